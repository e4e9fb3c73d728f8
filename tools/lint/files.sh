#!/bin/sh
# SPDX-License-Identifier: MIT
# Files: a .c or .cc of at most 600 lines, a header of 250, a main.c of 200; an SPDX line first; no line over
# 120 columns (110 is the aim, and what clang-format makes); no tab, no trailing blank, no work left over.
set -u
status=0
git ls-files --cached --others --exclude-standard '*.c' '*.h' '*.cc' | while read -r file; do
    [ -e "$file" ] || continue
    awk -v file="$file" '
        function complain(what) { printf "%s:%d: %s\n", file, FNR, what; bad = 1 }
        FNR == 1 && !/SPDX-License-Identifier: MIT/ { complain("no SPDX line") }
        length($0) > 120 { complain("longer than 120 columns") }
        /\t/ { complain("tab") }
        /[ \t]$/ { complain("trailing blank") }
        /(TODO|FIXME|XXX:|HACK)/ { complain("work left over") }
        END {
            limit = file ~ /\.h$/ ? 250 : file ~ /(^|\/)main\.c$/ ? 200 : 600
            if (FNR > limit) complain("more than " limit " lines")
            exit bad
        }' "$file" || echo failed
done | {
    while read -r line; do
        status=1
        [ "$line" = failed ] || echo "$line"
    done
    exit $status
}
