#!/usr/bin/env bash
# preStop hook: takes this server out of service, then waits for the requests that are on their way.
#   drain.sh SECONDS
# TF Serving ignores SIGTERM (https://github.com/tensorflow/serving/issues/1853), so it goes on answering meanwhile, and
# is killed when the pod's grace period ends. SECONDS must cover the time until no endpoint points here any more and
# the slowest request; the grace period must be longer.
set -eu
seconds=${1:?drain.sh SECONDS: SECONDS is missing}
: >"${DRAIN_MARK:-/tmp/draining}"
sleep "$seconds"
