#!/bin/sh
# SPDX-License-Identifier: MIT
# `make-env.sh [URL]`: writes .env beside docker-compose.yml from .env.example, with fresh secrets, readable by its
# owner alone; URL is where clients will reach nginx. An .env that exists keeps every value: only secrets of ours that
# are empty are filled in.
set -eu
umask 077
cd "$(dirname "$0")"
url=${1:-}
[ -z "$url" ] || case $url in
http://?* | https://?*) url=${url%/} ;;
*)
    echo "usage: make-env.sh [http[s]://HOST[:PORT]]" >&2
    exit 2
    ;;
esac

if [ -e .env ]; then
    source=.env
    if [ -n "$url" ]; then
        echo "make-env.sh: .env exists: change FILEMILL_PUBLIC_URL and FILEMILL_STORAGE_PUBLIC_ENDPOINT in it" >&2
        exit 1
    fi
else
    source=.env.example
fi

secret() { # BYTES
    od -An -v -tx1 -N"$1" /dev/urandom | tr -d ' \n'
}
others_keys=$(sed -n 's/^\(SUPABASE_PROJECT_URL\|FILEMILL_JWKS_URL\)=//p' "$source")

fresh=$(mktemp .env.XXXXXX)
trap 'rm -f "$fresh"' EXIT
while IFS= read -r line || [ -n "$line" ]; do
    case $line in
    FILEMILL_JWT_SECRET=)
        [ -n "$others_keys" ] || line=$line$(secret 24)
        ;;
    POSTGRES_PASSWORD= | FILEMILL_*_PASSWORD= | FILEMILL_STORAGE_ACCESS_KEY= | FILEMILL_STORAGE_SECRET_KEY=)
        line=$line$(secret 24)
        ;;
    FILEMILL_ENCRYPTION_KEY=)
        line=$line$(secret 32)
        ;;
    FILEMILL_PUBLIC_URL=* | FILEMILL_STORAGE_PUBLIC_ENDPOINT=*)
        [ -z "$url" ] || line=${line%%=*}=$url
        ;;
    esac
    printf '%s\n' "$line"
done <"$source" >"$fresh"
mv "$fresh" .env
trap - EXIT
echo "$PWD/.env holds the secrets of this installation: keep a copy."
