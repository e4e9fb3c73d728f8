#!/bin/sh
# SPDX-License-Identifier: MIT
# `run.sh BUILD`: a node on embedded defaults, with the demo once it is ready, until Ctrl-C. The node itself is
# this process, so that signals reach it directly.
set -eu
state=${FILEMILL_STATE_DIRECTORY:-/var/lib/filemill}
if [ "$(id -u)" = 0 ]; then
    directory=$("$(dirname "$0")/reachable.sh" "$1" "$state/programs")
else
    directory=$1
fi
# The demo is for reading: requests are not logged beside it, unless somebody asks for that.
[ -n "${FILEMILL_LOG_LEVEL:-}${LOG_LEVEL:-}" ] || export FILEMILL_LOG_LEVEL=warn
echo "Starting Filemill; Ctrl-C stops it."
exec "$directory/filemill" serve --demo
