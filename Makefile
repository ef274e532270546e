# Two commands do everything on a fresh machine: `make demo` and `make test`. Both set up .venv first.
.PHONY: help setup demo faces test test-fast test-long bench bench-short conformance image lint format lock

# One process a core; a file's tests stay together, because they share costly fixtures.
SIDE_BY_SIDE = -n $(shell nproc) --dist loadfile

help:
	@echo "make demo       from nothing to a pushed servable that answers by gRPC and REST"
	@echo "make test       lint, types and all tests"
	@echo "make test-fast  the tests without whole-pipeline runs"
	@echo "make test-long  preparation against the served graph, with 20,000 odd and damaged files of each format"
	@echo "make bench      speed and scale against the published method's way: a table (about 16 minutes)"
	@echo "make bench-short the same rows from fewer images (about 3.5 minutes)"
	@echo "make conformance ADDRESS=HOST:8500 REST=http://HOST:8501 [MODEL=NAME]"
	@echo "                checks a running server, TF Serving or ours; without addresses it starts ours"
	@echo "make image      builds the container image without Docker and runs it (root on Debian)"
	@echo "make faces FACES_WEB=TREE FACES=TREE"
	@echo "                trains the model that comes with the product again, from two image trees"
	@echo "make lint       ruff and mypy"
	@echo "make lock       resolve requirements.lock anew"

setup:
	@./bootstrap

demo: setup
	@.venv/bin/genattr demo

# The model that comes with the product: docs/data.md has the images.
faces: setup
	@test -d "$(FACES_WEB)" -a -d "$(FACES)" || { echo "make faces: name both image trees: FACES_WEB=TREE FACES=TREE"; exit 2; }
	rm -rf data/faces_images && mkdir -p data/faces_images
	cp -r --no-preserve=mode "$(FACES_WEB)/real" "$(FACES_WEB)/fake" data/faces_images
	for class in real fake; do for source in "$(FACES)/$$class"/*; do \
	  mkdir -p "data/faces_images/$$class/$${source##*/}" && \
	  cp -r --no-preserve=mode "$$source" "data/faces_images/$$class/$${source##*/}/png" || exit 1; \
	done; done
	.venv/bin/genattr prepare data/faces_images data/faces_model --size 256 --train 0.8 --eval 0.1 --test 0.1
	.venv/bin/genattr run configs/faces_model.yaml
	.venv/bin/genattr evaluate runs/faces_model/serving/generator_attribution data/faces_model \
	  -o runs/faces_model/evaluation --perturb all
	.venv/bin/genattr ship runs/faces_model/serving/generator_attribution faces \
	  --evaluation runs/faces_model/evaluation --again "make faces FACES_WEB=TREE FACES=TREE"

bench: setup
	@.venv/bin/python benchmarks/run.py

bench-short: setup
	@.venv/bin/python benchmarks/run.py --short

image:
	@.ci/image

lint: setup
	.venv/bin/ruff check .
	.venv/bin/ruff format --check .
	.venv/bin/mypy

format: setup
	.venv/bin/ruff check --fix .
	.venv/bin/ruff format .

test: lint
	.venv/bin/pytest $(SIDE_BY_SIDE) --durations 25

test-fast: setup
	.venv/bin/pytest -m "not e2e" $(SIDE_BY_SIDE)

test-long: setup
	.venv/bin/pytest tests/components/dataset/test_mutated_files.py --mutations 20000

conformance: setup
	.venv/bin/pytest tests/conformance $(if $(ADDRESS),--grpc-address $(ADDRESS)) $(if $(REST),--rest-address $(REST)) \
	  $(if $(MODEL),--model-name $(MODEL))

lock: setup
	.boot/tools/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-annotate \
	  --no-header --extra dev pyproject.toml --output-file requirements.lock
	echo 'tensorflow[and-cuda]' | .boot/tools/bin/uv pip compile - --quiet --universal --python-version 3.11 \
	  --generate-hashes --no-annotate --no-header -c requirements.lock | awk '/^[a-z]/ {keep = /^nvidia/} keep' \
	  >requirements-gpu.lock
