# One image for every step of the pipeline, for the embedded server and for the command line.
#   docker build -t generator-attribution .
#   docker run --rm -v "$PWD/data:/work/data" -v "$PWD/runs:/work/runs" generator-attribution run configs/demo.yaml
# Debian 13: TensorFlow Data Validation and ML Metadata need glibc >= 2.38.

FROM debian:trixie-slim AS build
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-dev python3-venv g++ \
 && rm -rf /var/lib/apt/lists/*
RUN python3 -m venv /opt/tools && /opt/tools/bin/pip install --no-cache-dir uv==0.13.9
WORKDIR /app
COPY requirements.lock pyproject.toml setup.py README.md ./
RUN /opt/tools/bin/uv venv --python /usr/bin/python3 /opt/venv \
 && /opt/tools/bin/uv pip sync --no-cache --require-hashes --python /opt/venv/bin/python requirements.lock
COPY pipeline pipeline
COPY components components
COPY serving serving
RUN /opt/tools/bin/uv pip install --no-cache --no-deps --no-build-isolation --python /opt/venv/bin/python .

FROM debian:trixie-slim
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 libstdc++6 ca-certificates \
 && rm -rf /var/lib/apt/lists/*
COPY --from=build /opt/venv /opt/venv
COPY configs /work/configs
ENV PATH=/opt/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 TF_USE_LEGACY_KERAS=0
WORKDIR /work
# Numeric, so that Kubernetes can verify runAsNonRoot.
USER 65532:65532
ENTRYPOINT ["genattr"]
CMD ["--help"]
