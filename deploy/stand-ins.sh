#!/bin/bash
# SPDX-License-Identifier: MIT
# `stand-ins.sh PROGRAMS DIRECTORY`: for libraries that Debian's engines name but Filemill's work never enters,
# libraries of the same symbols with nothing behind them, in DIRECTORY under the path that they stand for. A call ends
# the process with SIGILL: what is believed unused is seen to be. They are encoders of video and speech (libavcodec
# decodes audio here, libheif writes AVIF with libaom) and the linear algebra with which sphinxbase would adapt a
# model. Of ICU's data the character sets and properties stay: documents are decoded, and nothing is sorted, named or
# written after a country's custom. Only what a program in PROGRAMS loads. Needs a compiler, binutils, icu-devtools.
set -euo pipefail
programs=$1 target=$2
names='libx265 libx264 libcodec2 libSvtAv1Enc librav1e liblapack libblas'
# libavcodec, while it lists its codecs, asks which depths there are: none.
none='x265_api_get_[0-9]+'

source_of() { # data keeps its size, and is zero
    printf '__attribute__((used)) static void refuse(void) { __builtin_trap(); }\n'
    printf '__attribute__((used)) static void *none(void) { return 0; }\n__asm__(\n'
    readelf --dyn-syms --wide "$1" | awk -v none="^($none)\$" '
        $5 == "LOCAL" || $7 == "UND" || seen[$8]++ { next }
        $4 == "FUNC" {
            printf "\".globl %s\\n.type %s, %%function\\n.set %s, %s\\n\"\n", $8, $8, $8, $8 ~ none ? "none" : "refuse"
        }
        $4 == "OBJECT" {
            printf "\".pushsection .bss\\n.balign 16\\n.globl %s\\n.type %s, %%object\\n.size %s, %s\\n\"\n", $8, $8, $8, $3
            printf "\"%s: .zero %s\\n.popsection\\n\"\n", $8, $3
        }'
    printf ');\n'
}

work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT

shrink_icu_data() { # LIBRARY VERSION; what is in a package bears the name of its file
    local data=icudt$2l.dat
    objcopy -O binary -j .rodata "$1" "$work/$data"
    icupkg -l "$work/$data" | grep -vE '\.(cnv|icu|nrm|spp|cfu)$' >"$work/unneeded.txt"
    mkdir "$work/icu"
    icupkg -r "$work/unneeded.txt" "$work/$data" "$work/icu/$data"
    genccode -a gcc -e "icudt$2" -d "$work" "$work/icu/$data" >/dev/null
}

find "$programs" -type f -name 'filemill*' -perm -100 -exec ldd {} + 2>/dev/null |
    awk '$2 == "=>" && $3 ~ /^\// { print $1, $3 }' | sort -u | while read -r name path; do
    case " $names libicudata " in *" ${name%%.so*} "*) ;; *) continue ;; esac
    if [ "${name%%.so*}" = libicudata ]; then
        shrink_icu_data "$path" "${name##*.}"
        source=$work/icudt${name##*.}l_dat.S
    else
        source=$work/${name%%.so*}.c
        source_of "$path" >"$source"
    fi
    folder=$target$(readlink -f "${path%/*}")
    mkdir -p "$folder"
    cc -shared -fPIC -O1 -nostdlib -Wl,-s,-z,noexecstack "-Wl,-soname,$name" -o "$folder/$name" "$source"
done
