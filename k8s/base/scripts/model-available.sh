#!/usr/bin/env bash
# Startup and readiness probe: does any version of the model answer?
#   model-available.sh MODEL PORT
# The status page is 200 in every state of a model, so an httpGet probe would send requests to a server that is still
# loading. TF Serving's image has bash and no curl: bash speaks HTTP through /dev/tcp.
# Exit code 0: a version is AVAILABLE. 1: none is, or the server drains, refuses, or stays silent.
set -u
model=${1:?model-available.sh MODEL PORT: MODEL is missing}
port=${2:?model-available.sh MODEL PORT: PORT is missing}
patience=3 # seconds for one line; a local server that takes longer is as good as silent

if [[ -e ${DRAIN_MARK:-/tmp/draining} ]]; then
  echo "draining"
  exit 1
fi
if ! exec 3<>"/dev/tcp/127.0.0.1/$port"; then
  echo "nothing listens on port $port"
  exit 1
fi
# HTTP/1.0: no chunks to put together, and the server closes when it is done.
printf 'GET /v1/models/%s HTTP/1.0\r\nHost: 127.0.0.1\r\n\r\n' "$model" >&3
IFS= read -r -t "$patience" status <&3
if [[ ! ${status:-} =~ ^HTTP/1\.[01]\ 200 ]]; then
  echo "status page of model $model: ${status:-no answer}"
  exit 1
fi
# The last line may have no end of line: read fails then, and has read it all the same.
while IFS= read -r -t "$patience" line <&3 || [[ -n ${line:-} ]]; do
  if [[ $line =~ \"state\":[[:space:]]*\"AVAILABLE\" ]]; then
    exit 0
  fi
  line=
done
echo "no version of model $model is AVAILABLE"
exit 1
