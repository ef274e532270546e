#!/bin/sh
# Images a second of each step on this machine's GPU, and what holds each up; on a CPU where there is none (it says so).
#   benchmarks/gpu.sh [--short] [--json] [--size PX] [--batch N]
set -eu
cd "$(dirname "$0")/.."
exec .venv/bin/python benchmarks/gpu.py "$@"
