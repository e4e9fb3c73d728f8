#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds every fuzz target with clang's libFuzzer and runs one after the other:
#   tests/fuzz/run.sh [seconds for each, default 60] [folder] [target…]
# Findings and the grown corpora stay in the folder (default build-fuzz below the project). Ends with 1 if any
# target found something. meson.build here has the list of targets.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
folder=${2:-$root/build-fuzz}
[ $# -le 2 ] && set -- || shift 2
flags=-fsanitize=fuzzer-no-link,float-cast-overflow
if [ ! -e "$folder/build.ninja" ]; then
    CC=${CC:-clang} CXX=${CXX:-clang++} meson setup "$folder" "$root" -Dfuzz=true -Db_sanitize=address,undefined \
        -Db_lundef=false -Dbuildtype=debugoptimized -Dc_args="$flags -fno-sanitize-recover=all" >/dev/null
fi
ninja -C "$folder" --quiet fuzz-targets >"$folder/build.log" 2>&1 || { cat "$folder/build.log"; exit 1; }
folder=$(cd "$folder" && pwd)
"$root/tests/fuzz/seeds.sh" "$folder/corpus"
[ $# -gt 0 ] || set -- $(ls "$folder/corpus")

status=0
cd "$folder"
for name in "$@"; do
    echo "-- $name"
    "tests/fuzz/${name}_fuzz" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$name-" "corpus/$name" 2>"$name.log" || status=1
    grep -E 'ERROR|SUMMARY|runtime error|number_of_executed_units' "$name.log" || true
done
exit $status
