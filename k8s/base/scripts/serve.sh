#!/usr/bin/env bash
# Starts TF Serving in place of this shell.
#   serve.sh FLAG ...
# /tmp outlives a container that is restarted in its pod: without this, a mark from the stop before would keep the new
# one out of service for good.
set -eu
rm -f "${DRAIN_MARK:-/tmp/draining}"
exec tensorflow_model_server "$@"
