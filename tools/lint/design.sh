#!/bin/sh
# SPDX-License-Identifier: MIT
# Every source file is named in the DESIGN.md of its program's folder (or of a folder of its own within).
set -u
status=0
for folder in config lib proto http storage sql supervisor gateway scheduler workers oneshot demo; do
    files=$(git ls-files --cached --others --exclude-standard "$folder/*.c" "$folder/*.cc")
    [ -n "$files" ] || continue
    for file in $files; do
        [ -e "$file" ] || continue
        design=$(dirname "$file")/DESIGN.md
        [ -e "$design" ] || design=$folder/DESIGN.md
        if [ ! -e "$design" ]; then
            echo "$folder has no DESIGN.md"
            status=1
            break
        fi
        name=$(basename "$file")
        # `claim.c`, or the pair as `claim.[ch]` or `claim.h/.c`
        stem=${name%.*}
        grep -qE "(^|[^a-z0-9_])$stem\.(${name##*.}|\[ch\]|h[/,])" "$design" || {
            echo "$design does not name $name"
            status=1
        }
    done
done
exit $status
