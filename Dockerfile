# One image for every step of the pipeline, for the embedded server and for the command line (docs/container.md).
#   docker build -t generator-attribution:0.1.0 .
#   docker build -t generator-attribution:0.1.0-gpu --build-arg VARIANT=gpu .
# Debian 13: TensorFlow Data Validation and ML Metadata need glibc >= 2.38, and have wheels for x86-64 only.
ARG BASE=debian:trixie-slim

FROM ${BASE} AS dependencies
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 python3-dev python3-venv g++ \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /build
COPY requirements.lock requirements-gpu.lock pyproject.toml ./
ARG VARIANT=cpu
# What [project.dependencies] needs, and nothing of the extra "dev": the lock file holds both, so it is given as
# constraints. With --require-hashes a package that has no hash there is refused, build dependencies included.
# Left out: libclang, which TensorFlow declares and never imports; the client of Vertex AI, which serves TFX's Vertex
# components alone; TensorFlow's headers; all packages' tests; symbols that only a debugger reads.
# The secrets, both optional, are for networks with a certificate authority or a package index of their own.
RUN --mount=type=secret,id=certificates --mount=type=secret,id=index \
    if [ -e /run/secrets/certificates ]; then \
      export SSL_CERT_FILE=/run/secrets/certificates PIP_CERT=/run/secrets/certificates; \
    fi \
 && if [ -e /run/secrets/index ]; then \
      PIP_INDEX_URL=$(cat /run/secrets/index) && export PIP_INDEX_URL UV_DEFAULT_INDEX="$PIP_INDEX_URL"; \
    fi \
 && python3 -m venv /opt/tools \
 && echo 'uv==0.13.9 --hash=sha256:d7f459fe4fd247d830351c75686d3996ace3c6f3f728eb0e85a30b7ada0cef19' >uv.lock \
 && /opt/tools/bin/pip install --quiet --no-cache-dir --require-hashes -r uv.lock \
 && /opt/tools/bin/uv venv --quiet --python /usr/bin/python3 /opt/venv \
 && printf 'libclang\ngoogle-cloud-aiplatform\n' >excludes.txt \
 && /opt/tools/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python --require-hashes \
      --preview-features build-dependency-hashes --require-build-hashes \
      --constraints requirements.lock --build-constraints requirements.lock --excludes excludes.txt -r pyproject.toml \
 && case "$VARIANT" in \
      cpu) ;; \
      gpu) /opt/tools/bin/uv pip install --quiet --no-cache --python /opt/venv/bin/python --require-hashes --no-deps \
             -r requirements-gpu.lock ;; \
      *) echo "VARIANT: must be cpu or gpu, got '$VARIANT'." >&2; exit 1 ;; \
    esac \
 && cd /opt/venv/lib/python3*/site-packages \
 && find . -type d \( -path ./tensorflow/include -o -path ./pyarrow/include -o -name tests \) -prune -exec rm -rf {} + \
 && find . -name '*.a' -delete \
 && strip --strip-unneeded tensorflow/libtensorflow_cc.so.2 tensorflow/libtensorflow_framework.so.2 \
 && rm /opt/venv/.lock
# The root file system is read-only and holds the only bytecode there will be. It is not tied to the time stamps of
# the sources, because builders and registries may rewrite those.
# Some packages hold templates that are no Python yet: that those do not compile is no error.
RUN /opt/venv/bin/python -m compileall -q -j 0 --invalidation-mode unchecked-hash /opt/venv/lib >/dev/null || :

# Our own packages apart from the rest: a change of code makes a small layer, not one of gigabytes.
FROM dependencies AS application
COPY setup.py README.md LICENSE ./
COPY pipeline pipeline
COPY components components
COPY serving serving
COPY models models
RUN /opt/tools/bin/uv pip install --quiet --no-cache --offline --no-deps --no-build-isolation \
      --python /opt/venv/bin/python --prefix /opt/application . \
 && rm /opt/application/.lock \
 && /opt/venv/bin/python -m compileall -q --invalidation-mode unchecked-hash /opt/application/lib

FROM ${BASE}
# Numeric, so that Kubernetes can verify runAsNonRoot; with a name, for libraries that ask who they are. Programs that
# change users have no place here.
RUN apt-get update \
 && apt-get install -y --no-install-recommends python3 libstdc++6 ca-certificates \
 && rm -rf /var/lib/apt/lists/* /var/cache/apt/* \
 && useradd --uid 65532 --user-group --no-create-home --home-dir /tmp --shell /usr/sbin/nologin genattr \
 && find / -xdev -type f -perm /6000 -exec chmod a-s {} +
COPY --from=dependencies /opt/venv /opt/venv
COPY --from=application /opt/application /opt/venv
COPY configs /work/configs
# Everything that a library may want to write goes to /tmp.
ENV PATH=/opt/venv/bin:/usr/bin:/bin HOME=/tmp XDG_CACHE_HOME=/tmp/cache MPLCONFIGDIR=/tmp/matplotlib \
    PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 TF_USE_LEGACY_KERAS=0 TF_ENABLE_ONEDNN_OPTS=1
ARG SOURCE=
ARG REVISION=
LABEL org.opencontainers.image.title="generator-attribution" \
      org.opencontainers.image.description="Is an image camera-made or synthesised by a GAN, and by which generator?" \
      org.opencontainers.image.version="0.1.0" \
      org.opencontainers.image.source="${SOURCE}" \
      org.opencontainers.image.revision="${REVISION}"
WORKDIR /work
EXPOSE 8500 8501
USER 65532:65532
ENTRYPOINT ["genattr"]
CMD ["--help"]
