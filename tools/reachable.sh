#!/bin/sh
# SPDX-License-Identifier: MIT
# `reachable.sh BUILD [TARGET]` prints a directory from which the services' user can run the programs of BUILD.
# Started by root, services run as an unprivileged user, who can't enter, say, a clone below /root: then the
# programs are copied to TARGET, or a fresh directory below /tmp. The caller removes that one.
set -eu
build=$(realpath "$1")
target=${2:-}
user=nobody
id -u filemill >/dev/null 2>&1 && user=filemill

if [ "$(id -u)" != 0 ] ||
    setpriv --reuid "$user" --regid "$(id -g "$user")" --clear-groups test -x "$build/filemill" 2>/dev/null; then
    echo "$build"
    exit 0
fi
[ -n "$target" ] || target=$(mktemp -d /tmp/filemill-build-XXXXXX)
mkdir -p "$target/tests/integration" "$target/tests/sandbox"
chmod 755 "$target"
find "$build" -maxdepth 1 -type f -name 'filemill*' -perm -100 -exec cp -u --preserve=mode,timestamps {} "$target/" \;
for folder in tests/integration tests/sandbox; do
    [ -d "$build/$folder" ] || continue
    find "$build/$folder" -maxdepth 1 -type f -perm -100 \
        -exec cp -u --preserve=mode,timestamps {} "$target/$folder/" \;
done
cp -ru "$(dirname "$0")/../samples" "$target/" 2>/dev/null || true
echo "$target"
