#!/bin/sh
# SPDX-License-Identifier: MIT
# Builds every fuzz target with clang's libFuzzer and runs one after the other:
#   tests/fuzz/run.sh [seconds for each, default 60] [folder] [target…]
# Findings and the grown corpora stay in the folder (default build-fuzz below the project). Ends with 1 if any
# target found something.
set -eu
root=$(cd "$(dirname "$0")/../.." && pwd)
seconds=${1:-60}
folder=${2:-$root/build-fuzz}
[ $# -le 2 ] && set -- || shift 2
mkdir -p "$folder"
folder=$(cd "$folder" && pwd)
cd "$root"

base="lib/buffer.c lib/clock.c lib/log.c lib/memory.c lib/text.c lib/text_code.c"
message="proto/message.c proto/fields.c proto/reader.c"
tables="proto/processors.c proto/plan.c proto/sniff.c proto/media.c"
request="http/request.c"

# name, libraries for pkg-config (or -), sources
targets="guard - http/guard.c http/guard_head.c
target - $request
json jansson gateway/json.c
token jansson,jose gateway/json.c gateway/token.c gateway/key_set.c
authorize libcrypto $request storage/sigv4.c storage/store/authorize.c storage/store/payload.c storage/store/checksum.c
sigv4 libcrypto storage/sigv4.c storage/keys.c
xml - storage/store/xml.c storage/store/conditions.c
message msgpack $message $tables
result msgpack $message $tables workers/result.c workers/deaths.c workers/nursery_wire.c
lines - supervisor/command.c supervisor/variables.c"

seed() {
    mkdir -p "$folder/$1"
    printf "$3" >"$folder/$1/$2"
}
seed guard get 'GET /a%%20b?x=1 HTTP/1.1\r\nHost: x\r\n\r\nGET'
seed guard chunked 'POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;a="b"\r\nabc\r\n0\r\nX: 1\r\n\r\n'
seed guard length 'POST / HTTP/1.1\r\nHost: [::1]:80\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\nabc'
seed target query '/a%%20b/%%2F?x=1&y=%%41+b&&z'
seed json object '{"a":[1,2.5e3,true,null,"\\u00e4\\ud83d\\ude00"],"b":{"c":-1}}'
seed token token 'eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.AAAA'
seed token claims '{"sub":"3b241101-e2bb-4255-8caf-4136c566a962","aud":["authenticated"],"role":"authenticated","exp":1800000000,"iat":1,"nbf":1}'
seed token keys '{"keys":[{"kty":"oct","alg":"HS256","kid":"a","k":"QUJDREVGR0hJSktMTU5PUFFSU1RVVldYWVowMTIzNDU2Nzg5"}]}'
seed authorize header '\003/b/k?x=1\nHost: h\nx-amz-date: 20260101T000000Z\nx-amz-content-sha256: STREAMING-AWS4-HMAC-SHA256-PAYLOAD\nx-amz-decoded-content-length: 3\nAuthorization: AWS4-HMAC-SHA256 Credential=AKIDEXAMPLE/20260101/us-east-1/s3/aws4_request, SignedHeaders=host;x-amz-content-sha256;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000\n\n3;chunk-signature=0000000000000000000000000000000000000000000000000000000000000000\r\nabc\r\n0\r\n\r\n'
seed authorize query '\002/b/k?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIDEXAMPLE%%2F20260101%%2Fus-east-1%%2Fs3%%2Faws4_request&X-Amz-Date=20260101T000000Z&X-Amz-Expires=60&X-Amz-SignedHeaders=host&X-Amz-Signature=0000000000000000000000000000000000000000000000000000000000000000\nHost: h\nx-amz-trailer: x-amz-checksum-crc32\nx-amz-decoded-content-length: 3\n\n3\r\nabc\r\n0\r\nx-amz-checksum-crc32:NSRBwg==\r\n\r\n'
seed sigv4 request '\007/a/../b c\000x\0001\000Host\000 a  b \000q\000\303\244\000X-Amz-Date\000d\000'
seed xml complete '<?xml version="1.0"?><c:Complete xmlns="x"><Part><PartNumber>1</PartNumber><ETag>&quot;a&#x41;&quot;</ETag></Part></c:Complete>'
seed xml range 'bytes=0-99'
seed xml date 'Sun, 06 Nov 1994 08:49:37 GMT'
seed message ping '\202\000\016\001\052'
seed message delete '\202\000\014\002\221\201\001\241k'
seed message pairs '\202\241k\001\241t\241x'
seed message svg '<?xml version="1.0"?><!-- c --><svg >'
seed message zip 'PK\003\004\024\000\000\000\010\000word/document.xml'
seed result done '\205\245error\240\246detail\240\245pages\003\247d.words\007\2470.chars\011'
seed result failed '\203\245error\251bad_input\246detail\243why\245pages\000'
seed result wire '\203\244verb\245ended\242id\001\246reason\240'
seed lines env 'export A=1\n# c\nB="x\\n\\"y\\"\nz"\nC='"'"'lit $x'"'"' # c\n'
seed lines command 'slots 4'

build() {
    name=$1 libraries=$2
    shift 2
    flags=""
    [ "$libraries" = - ] || flags=$(pkg-config --cflags --libs $(echo "$libraries" | tr , ' '))
    clang -std=gnu11 -g -O1 -D_GNU_SOURCE -DFILEMILL_VERSION='"fuzz"' -fsanitize=fuzzer,address,undefined \
        -fno-sanitize-recover=undefined -I. "tests/fuzz/${name}_fuzz.c" "$@" $base $flags -o "$folder/${name}_fuzz"
}

chosen() {
    name=$1
    shift
    [ $# = 0 ] && return 0
    for one in "$@"; do
        [ "$one" = "$name" ] && return 0
    done
    return 1
}

status=0
while read -r name libraries sources; do
    chosen "$name" "$@" || continue
    build "$name" "$libraries" $sources
    echo "-- $name"
    (cd "$folder" && "./${name}_fuzz" -max_total_time="$seconds" -max_len=4096 -timeout=10 -rss_limit_mb=1024 \
        -print_final_stats=1 -artifact_prefix="$name-" "$name" 2>"$name.log") || status=1
    grep -E 'ERROR|SUMMARY|runtime error|number_of_executed_units' "$folder/$name.log" || true
done <<END
$targets
END
exit $status
