#!/bin/bash
# SPDX-License-Identifier: MIT
# A container's health: the node says that it is ready, and where it serves the API, GET /ready says so as well
# (database, object store, scheduler).
set -eu
filemill health >/dev/null
case ",${FILEMILL_ROLES:-all}," in
*,all,* | *gateway*) ;;
*) exit 0 ;;
esac
exec 3<>"/dev/tcp/127.0.0.1/${FILEMILL_GATEWAY_PORT:-${PORT:-8080}}"
printf 'GET /ready HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n' >&3
read -r -t 4 _ status _ <&3
[ "$status" = 200 ]
