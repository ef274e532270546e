#!/bin/sh
# Makes the folder that TF Serving watches, and puts the default models.config there if none is.
#   seed-models-config.sh SERVING DEFAULT
# `genattr promote` and `genattr rollback` edit that file afterwards, so one that is there is never touched. Several
# pods may start at once: each writes a file of its own and moves it into place only where there is none.
set -eu
serving=${1:?seed-models-config.sh SERVING DEFAULT: SERVING is missing}
default=${2:?seed-models-config.sh SERVING DEFAULT: DEFAULT is missing}
mkdir -p "$serving/generator_attribution"
if [ -s "$serving/models.config" ]; then
  echo "$serving/models.config is kept"
  exit 0
fi
partial=$serving/.models.config.${HOSTNAME:-seed}
trap 'rm -f "$partial"' EXIT
cp "$default" "$partial"
# Some releases of mv fail where they keep an existing file, which is as good.
mv --no-clobber "$partial" "$serving/models.config" || :
test -s "$serving/models.config"
echo "$serving/models.config is in place"
