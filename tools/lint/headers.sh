#!/bin/sh
# SPDX-License-Identifier: MIT
# A third-party header has one home, and a folder includes only what is above it in the list of folders.
set -u
status=0

# header pattern | files that may include it (a regular expression over paths)
while IFS='|' read -r header home; do
    [ -n "$header" ] || continue
    found=$(git grep --untracked -nE "^#include <($header)" -- '*.c' '*.h' '*.cc' ':!tests' ':!bench' | grep -vE "^($home):")
    [ -z "$found" ] || { echo "$found" | sed "s#\$#   (its home is $home)#"; status=1; }
done <<'HOMES'
zmq\.h|proto/channel\.c
msgpack|proto/message\.c
libpq-fe\.h|sql/[a-z0-9_]*\.[ch]
microhttpd\.h|http/(server\.c|exchange\.[ch])
jansson\.h|(gateway|demo|oneshot|doctor|supervisor/top)/[a-z0-9_]*\.[ch]|workers/processors/[a-z0-9_]*\.[ch]|workers/(chat|verbose_json|remote_compute)\.[ch]|storage/portal_report\.[ch]
curl/|http/(client\.c|outbound\.c|transfer\.[ch])
magic\.h|workers/identify_main\.c
jose/|gateway/token\.c
openssl/|storage/(sigv4\.c|envelope(_stream)?\.c|hpke\.c|keyring\.c|store/(checksum\.h|disk\.c))|gateway/(auth|files_init|portal_webhook|idempotency)\.c|http/transfer\.h|workers/transfer\.c|scheduler/outbox_sign\.c
seccomp\.h|workers/sandbox\.c
linux/seccomp\.h|workers/sandbox\.c
linux/landlock\.h|workers/sandbox\.c
linux/filter\.h|workers/sandbox\.c
vips/|workers/processors/(image\.h|image_reduce\.c|photo\.h|engine_rules\.c)
poppler|workers/processors/poppler_shim\.cc
qpdf/|workers/processors/(ocr_pdf|pdf_marks)\.cc
tesseract/|workers/processors/ocr_engine\.c
leptonica/|workers/processors/ocr[a-z0-9_]*\.[ch]
libswresample/|workers/processors/speech_read\.c
pocketsphinx/|workers/processors/transcribe\.c
sphinxbase/|workers/processors/transcribe\.c
libav|workers/processors/audio_(reader\.c|samples\.[ch])
zip\.h|workers/processors/office_package\.c
libxml/|workers/processors/office_xml\.c
unicode/|workers/processors/(office_plain|vocabulary)\.c
libstemmer|workers/processors/vocabulary\.c
webp/|workers/processors/webp(_animation)?\.c
png\.h|workers/processors/png_encode\.c
jpeglib\.h|workers/processors/jpeg\.c
libheif/|workers/processors/avif\.c
zlib\.h|workers/processors/(png_encode\.c|zip_store\.c|dictionary\.c|ocr_scan\.c|ocr_pdf\.cc)
HOMES

# folder | folders whose headers it may include besides its own
while IFS='|' read -r folder allowed; do
    [ -n "$folder" ] || continue
    found=$(git grep --untracked -nE '^#include "[a-z]+/' -- "$folder/*.c" "$folder/*.h" "$folder/*.cc" |
        grep -vE "#include \"($folder|$allowed)/")
    [ -z "$found" ] || { echo "$found" | sed "s#\$#   ($folder may include: $allowed)#"; status=1; }
done <<'FOLDERS'
lib|lib
config|lib
proto|lib|config
http|lib
storage|lib|config|http
sql|lib|config
supervisor|lib|config
gateway|lib|config|proto|http|storage|sql
scheduler|lib|config|proto|http|storage|sql
workers|lib|config|proto|http|storage
oneshot|lib|config|proto|http|storage|workers
demo|lib|config|proto|http
FOLDERS
exit $status
