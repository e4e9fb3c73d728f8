#!/bin/sh
# SPDX-License-Identifier: MIT
# A cluster of POSTGRES_USER, POSTGRES_PASSWORD and POSTGRES_DB at the first start; then the server.
set -eu
if [ ! -e "$PGDATA/PG_VERSION" ]; then
    printf '%s' "$POSTGRES_PASSWORD" >/tmp/password
    initdb --username="$POSTGRES_USER" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 --locale=C.UTF-8
    rm /tmp/password
    echo "create database \"$POSTGRES_DB\"" | postgres --single -j postgres >/dev/null
    echo 'host all all all scram-sha-256' >>"$PGDATA/pg_hba.conf"
fi
exec postgres -c listen_addresses='*' -c unix_socket_directories=/tmp
