#!/bin/sh
# SPDX-License-Identifier: MIT
# Installs what is missing of packages.txt: `install-packages.sh SECTION…` (build, runtime, test, or a part of
# runtime: database, engines; none: all). `install-packages.sh --list SECTION…` only prints their names.
# Asks nothing when everything is there. As an ordinary user it goes through sudo. On a system that is not
# Debian it says what to install, and stops.
set -eu
list=$(dirname "$0")/packages.txt
only_list=
[ "${1:-}" = --list ] && only_list=yes && shift

wanted=$(awk -v sections="$*" '
    /^# section: / {
        take = sections == ""
        for (i = 3; i <= NF; i++) take = take || index(" " sections " ", " " $i " ") > 0
        next
    }
    /^#/ || /^$/ { next }
    take { print $1 }' "$list")
if [ -n "$only_list" ]; then
    echo "$wanted"
    exit 0
fi

if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
    # Somebody who has built before knows what he does; a first build is told what it needs.
    [ "${SKIP_PACKAGES:-}" = 1 ] && exit 0
    echo "This is not a Debian system. Install what these Debian packages hold, then set SKIP_PACKAGES=1:" >&2
    echo "$wanted" | tr '\n' ' ' >&2
    echo >&2
    exit 1
fi

installed=$(dpkg-query -W -f '${db:Status-Status} ${Package}\n' 2>/dev/null | sed -n 's/^installed //p')
missing=$(echo "$wanted" | grep -vxF "$installed" || true)
[ -z "$missing" ] && exit 0

if [ "$(id -u)" = 0 ]; then
    as_root=
elif command -v sudo >/dev/null; then
    as_root=sudo
else
    echo "These packages are missing, and installing them needs root or sudo:" >&2
    echo "$missing" | tr '\n' ' ' >&2
    echo >&2
    exit 1
fi

echo "Installing: $(echo "$missing" | tr '\n' ' ')"
# Ours is a private cluster: the package's own, on port 5432, is neither made nor started.
if echo "$missing" | grep -qx postgresql && [ ! -e /etc/postgresql-common/createcluster.conf ]; then
    $as_root mkdir -p /etc/postgresql-common
    echo 'create_main_cluster = false' | $as_root tee /etc/postgresql-common/createcluster.conf >/dev/null
fi
$as_root apt-get update -q
# shellcheck disable=SC2086 # the words of the lists are arguments
$as_root env DEBIAN_FRONTEND=noninteractive apt-get install -q -y --no-install-recommends \
    -o Dpkg::Options::=--force-confold $missing
