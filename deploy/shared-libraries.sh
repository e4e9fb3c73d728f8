#!/bin/sh
# SPDX-License-Identifier: MIT
# `shared-libraries.sh DIRECTORY`: the packages that hold the shared libraries which the programs in it name,
# one per line: what dpkg-shlibdeps would write into Depends.
set -eu
for program in "$1"/filemill*; do
    named=$(objdump -p "$program" | awk '$1 == "NEEDED" { print $2 }')
    ldd "$program" | awk -v named="$named" '
        BEGIN { count = split(named, list); for (i = 1; i <= count; i++) wanted[list[i]] = 1 }
        $2 == "=>" && $1 in wanted { print $3 }'
done | sort -u | while read -r library; do
    # Packages of a merged system may still say /lib/…, and the link's target has the version in its name.
    found=$(readlink -f "$library")
    { dpkg-query -S "$found" || dpkg-query -S "${found#/usr}"; } 2>/dev/null
done | sed 's/:.*//' | sort -u
