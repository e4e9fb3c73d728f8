#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds the message fuzzer with clang's libFuzzer and runs it: message_fuzz.sh [seconds, default 20] [folder].
# Findings and the grown corpus stay in the folder (default build-fuzz below the project).
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-20}
folder=${2:-$root/build-fuzz}
mkdir -p "$folder/message"
cd "$root"
clang -std=gnu11 -g -O1 -D_GNU_SOURCE -DFILEMILL_VERSION='"fuzz"' -fsanitize=fuzzer,address,undefined \
    -fno-sanitize-recover=undefined -I. tests/fuzz/message_fuzz.c proto/message.c proto/fields.c proto/reader.c \
    proto/sniff.c proto/media.c lib/buffer.c lib/clock.c lib/log.c lib/memory.c lib/text.c lib/text_code.c \
    -o "$folder/message_fuzz"
printf '\202\000\016\001\052' >"$folder/message/ping"
printf '\202\000\014\002\221\201\001\241k' >"$folder/message/delete"
printf '\202\241k\001\241t\241x' >"$folder/message/pairs"
printf '<?xml version="1.0"?><!-- c --><svg >' >"$folder/message/svg"
printf 'PK\003\004\024\000\000\000\010\000word/document.xml' >"$folder/message/zip"
cd "$folder"
exec ./message_fuzz -max_total_time="$seconds" -max_len=4096 -timeout=5 -print_final_stats=1 message
