#!/bin/sh
# SPDX-License-Identifier: MIT
# A third-party header has one home, and a folder includes only what is above it in the list of folders.
set -u
status=0

# header pattern | files that may include it (a regular expression over paths)
while IFS='|' read -r header home; do
    [ -n "$header" ] || continue
    found=$(git grep --untracked -nE "^#include <($header)" -- '*.c' '*.h' '*.cpp' ':!tests' ':!bench' | grep -vE "^($home):")
    [ -z "$found" ] || { echo "$found" | sed "s#\$#   (its home is $home)#"; status=1; }
done <<'HOMES'
zmq\.h|proto/channel[a-z0-9_]*\.c
msgpack|proto/message[a-z0-9_]*\.c
libpq-fe\.h|sql/[a-z0-9_]*\.[ch]
microhttpd\.h|http/[a-z0-9_]*\.[ch]
curl/|http/[a-z0-9_]*\.[ch]
jose/|gateway/(token|jwks|key_set)[a-z0-9_]*\.[ch]|gateway/token/[a-z0-9_]*\.c
seccomp\.h|workers/sandbox[a-z0-9_]*\.[ch]
linux/landlock\.h|workers/sandbox[a-z0-9_]*\.[ch]
linux/seccomp\.h|workers/sandbox[a-z0-9_]*\.[ch]
vips/|workers/processors/[a-z0-9_]*\.(c|h|cpp)
poppler|workers/processors/[a-z0-9_]*\.(c|h|cpp)
openssl/|(storage|gateway|http|workers|lib|sql|scheduler)/[a-z0-9_/]*\.[ch]
HOMES

# folder | folders whose headers it may include besides its own
while IFS='|' read -r folder allowed; do
    [ -n "$folder" ] || continue
    found=$(git grep --untracked -nE '^#include "[a-z]+/' -- "$folder/*.c" "$folder/*.h" "$folder/*.cpp" |
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
workers|lib|config|proto|http
demo|lib|config|proto|http
FOLDERS
exit $status
