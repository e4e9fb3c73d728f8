#!/bin/bash
# SPDX-License-Identifier: MIT
# Walks docs/deploy.md's compose path for real: builds the image, starts everything with three processors, and runs
# compose_checks.py against it. `tests/deploy/compose.sh [pytest's arguments]`; ends with 77 and a line when it can't run.
#
# Needs: a Docker engine that answers, or root and Debian's docker.io, of which it then starts one of its own below a
# temporary folder; Compose V2 or docker-compose 1.29; python3-pytest, -boto3, -psycopg2. debian:bookworm-slim is
# made with debootstrap, and Postgres' and nginx' images from Debian's packages, where they can't be fetched.
# FILEMILL_TEST_DATA_ROOT: keep that engine's images in this folder, for the next time.
set -euo pipefail
here=$(cd "$(dirname "$0")" && pwd)
root=$(cd "$here/../.." && pwd)
work=$(mktemp -d /tmp/fmcompose-XXXXXX)
engine=
started=

say() { echo "compose.sh: $*"; }
skip() {
    say "skipped: $*"
    exit 77
}

compose() { (cd "$work/filemill/deploy" && "${compose_command[@]}" "$@"); }

finish() {
    status=$?
    trap - EXIT
    if [ -n "$started" ]; then
        [ $status = 0 ] || compose logs --no-color --tail=60 2>&1 | tail -n 300 || true
        compose down -v --remove-orphans >/dev/null 2>&1 || true
    fi
    if [ -n "$engine" ]; then
        kill "$engine" || true
        wait "$engine" || true
        mount | awk -v under="$work/" 'index($3, under) == 1 { print $3 }' | xargs -r umount || true
    fi
    rm -rf "$work"
    exit $status
}
trap finish EXIT

command -v docker >/dev/null || skip "no docker: install docker.io"
if ! docker info >/dev/null 2>&1; then
    [ "$(id -u)" = 0 ] || skip "no Docker engine answers, and starting one needs root"
    command -v dockerd >/dev/null || skip "no Docker engine answers, and there is no dockerd: install docker.io"
    # On addresses of its own, with no bridge that it would share with an engine of the system.
    export DOCKER_HOST=unix://$work/docker.sock
    dockerd --data-root "${FILEMILL_TEST_DATA_ROOT:-$work/data}" --exec-root "$work/exec" --pidfile "$work/pid" \
        -H "$DOCKER_HOST" >"$work/dockerd.log" 2>&1 </dev/null &
    engine=$!
    for _ in $(seq 100); do
        docker info >/dev/null 2>&1 && break
        sleep 0.2
    done
    docker info >/dev/null 2>&1 || {
        tail -n 5 "$work/dockerd.log"
        skip "dockerd does not start here"
    }
    say "started an engine of its own, pid $engine"
fi

if docker compose version >/dev/null 2>&1; then
    compose_command=(docker compose)
elif command -v docker-compose >/dev/null; then
    compose_command=(docker-compose)
else
    skip "neither Compose V2 nor docker-compose"
fi
say "$(docker version --format 'engine {{.Server.Version}}'), ${compose_command[*]} $("${compose_command[@]}" version --short)"

base=debian:bookworm-slim
if ! docker image inspect $base >/dev/null 2>&1 && ! timeout 120 docker pull -q $base 2>/dev/null; then
    if [ "$(id -u)" != 0 ] || ! command -v debootstrap >/dev/null; then
        skip "no $base, and no debootstrap (as root) to make it"
    fi
    base=filemill-test-base
    say "$base by debootstrap: the registry does not answer"
    if ! docker image inspect $base >/dev/null 2>&1; then
        debootstrap --variant=minbase --include=ca-certificates bookworm "$work/base" >"$work/debootstrap.log"
        printf 'path-exclude /usr/share/%s/*\n' doc man locale info >"$work/base/etc/dpkg/dpkg.cfg.d/slim"
        echo 'deb http://deb.debian.org/debian-security bookworm-security main' >>"$work/base/etc/apt/sources.list"
        rm -rf "$work"/base/usr/share/{doc,man,locale,info}/* "$work"/base/var/lib/apt/lists/* "$work"/base/var/cache/apt/*
        tar -C "$work/base" -c --exclude=./proc --exclude=./sys --exclude=./dev . | docker import - $base >/dev/null
    fi
fi

stand_in() { # SERVICE IMAGE: the image, or one of Debian's packages under our name
    if docker image inspect "$2" >/dev/null 2>&1 || timeout 120 docker pull -q "$2" >/dev/null 2>&1; then
        echo "$2"
        return
    fi
    say "$2 can't be fetched: Debian's $1 stands in" >&2
    docker build -q --build-arg BASE=$base -t "filemill-test-$1" -f "$here/images/$1.Dockerfile" "$here/images" \
        >"$work/$1.log" 2>&1 || { cat "$work/$1.log" >&2; return 1; }
    echo "filemill-test-$1"
}
image_of() { sed -n "s/^    image: \${$1:-\(.*\)}$/\1/p" "$root/deploy/docker-compose.yml"; }
postgres=$(stand_in postgres "$(image_of POSTGRES_IMAGE)")
nginx=$(stand_in nginx "$(image_of NGINX_IMAGE)")

# --- what docs/deploy.md says, in a copy of what is under version control or about to be ---
mkdir "$work/filemill"
(cd "$root" && git ls-files -z --cached --others --exclude-standard | tar -c --null --ignore-failed-read -T - 2>/dev/null) |
    tar -x -C "$work/filemill"
read -r http https < <(python3 - <<'END'
import socket
probes = [socket.socket() for _ in range(2)]
for probe in probes:
    probe.bind(("127.0.0.1", 0))
print(*(probe.getsockname()[1] for probe in probes))
END
)
echo FILEMILL_ENCRYPTION_KEY= >>"$work/filemill/deploy/.env.example"
"$work/filemill/deploy/make-env.sh" "http://localhost:$http" >/dev/null
secret() { sed -n "s/^$1=//p" "$work/filemill/deploy/.env"; }
cat >>"$work/filemill/deploy/.env" <<END
FILEMILL_HTTP_BIND=127.0.0.1:$http
FILEMILL_HTTPS_BIND=127.0.0.1:$https
FILEMILL_BASE_IMAGE=$base
FILEMILL_IMAGE=filemill-test
POSTGRES_IMAGE=$postgres
NGINX_IMAGE=$nginx
FILEMILL_ADMINS=$(cat /proc/sys/kernel/random/uuid)
FILEMILL_WORDLIST_COOLDOWN_SECONDS=0
FILEMILL_WEBHOOK_ALLOW_HTTP=on
FILEMILL_WEBHOOK_ALLOW_NETWORKS=10.0.0.0/8,172.16.0.0/12,192.168.0.0/16
FILEMILL_PUBLISH_ENDPOINT=http://store:8081
FILEMILL_PUBLISH_REGION=us-east-1
FILEMILL_PUBLISH_BUCKET=filemill
FILEMILL_PUBLISH_ACCESS_KEY=$(secret FILEMILL_STORAGE_ACCESS_KEY)
FILEMILL_PUBLISH_SECRET_KEY=$(secret FILEMILL_STORAGE_SECRET_KEY)
FILEMILL_CDN_BASE_URL=https://cdn.example
END
sed -i "s/^COMPOSE_PROJECT_NAME=.*/COMPOSE_PROJECT_NAME=filemill-test-$http/" "$work/filemill/deploy/.env"
if command -v openssl >/dev/null; then
    openssl req -x509 -newkey rsa:2048 -nodes -days 2 -subj /CN=localhost -addext subjectAltName=DNS:localhost \
        -keyout "$work/filemill/deploy/nginx/tls/privkey.pem" -out "$work/filemill/deploy/nginx/tls/fullchain.pem" 2>/dev/null
    chmod 644 "$work"/filemill/deploy/nginx/tls/*.pem
    cp "$work/filemill/deploy/nginx/tls.conf.example" "$work/filemill/deploy/nginx/tls.conf"
fi
chmod 755 "$work" "$work/filemill" # nginx reads its files as another user

say "building"
compose build gateway >"$work/build.log" 2>&1 || { tail -n 40 "$work/build.log"; exit 1; }
grep -h '^image: ' "$work/build.log" || true
say "image: $(($(docker image inspect -f '{{.Size}}' filemill-test) / 1000000)) MB"
started=yes
compose up --build -d --scale processor=3 >"$work/up.log" 2>&1 || { tail -n 40 "$work/up.log"; exit 1; }

FILEMILL_TEST_COMPOSE="${compose_command[*]}" FILEMILL_TEST_COMPOSE_DIRECTORY=$work/filemill/deploy \
    /usr/bin/python3 -m pytest -q -ra -p no:cacheprovider "$here/compose_checks.py" "$@"
