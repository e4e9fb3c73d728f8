#!/bin/bash
# SPDX-License-Identifier: MIT
# `image-root.sh DIRECTORY PACKAGE…`: fills DIRECTORY with what an image needs of this system and no more: the
# programs under /usr/local, the packages named (data, certificates, Postgres), a shell with a few tools, and every
# shared library that any of these loads, or what stands in for it (stand-ins.sh). Packages that are there in part are recorded in /var/lib/dpkg/status.d,
# where scanners look.
set -euo pipefail
root=$1
shift
stand_ins=$(cd "$(dirname "$0")" && pwd)/stand-ins
tools='bash dash cat env head id ls mkdir rm sleep tail'
# Loaded by name, not by link: HEIF for libvips, and what iconv opens before a runner is shut in. libvips' modules for
# ImageMagick and others stay out, as do iconv's other character sets: no runner may open them.
plugins='/usr/lib/*/vips-modules-*/vips-heif.so /usr/lib/*/gconv/gconv-modules* /usr/lib/*/gconv/UTF-*.so'

copy() { # keeps links, owners and modes; directories on the way come with theirs
    tar -C / -c --no-recursion -T - | tar -C "$root" -x
}

# What packages own; of Postgres also those that its meta package stands for, without the
# compiler (jit is off), and the time zones that it reads.
files_of() {
    local package
    for package in "$@"; do
        dpkg-query -L "$package"
        [ "$package" = postgresql ] || continue
        dpkg-query -L tzdata
        dpkg-query -W -f '${Package} ${db:Status-Status}\n' 'postgresql-*' |
            awk '$1 ~ /^postgresql-(client-)?[0-9]+$/ && $2 == "installed" { print $1 }' |
            xargs -r -n 1 dpkg-query -L
    done | grep -vE '^/\.?$|^/usr/share/(doc|man|locale|lintian)(/|$)|/bitcode(/|$)|/llvmjit' | sort -u
}

libraries_of() { # ldd complains of scripts, and of what it has nothing to say about
    local before
    before=$(find "$stand_ins" -name '*.so*' -printf '%h\n' 2>/dev/null | sort -u | paste -sd:)
    { find "$root" -type f \( -perm -100 -o -name '*.so*' \) -exec env LD_LIBRARY_PATH="$before" ldd {} + 2>/dev/null || true; } |
        awk '$2 == "=>" && $3 ~ /^\// { print $3 } $1 ~ /^\/lib/ { print $1 }' | sed "s|^$root/|/|" | sort -u
}

mkdir -p "$root"
printf '%s\n' bin lib lib64 sbin etc dev proc sys run usr usr/bin usr/lib usr/lib64 usr/share var var/lib tmp var/tmp \
    etc/{passwd,group,shadow,nsswitch.conf,debian_version,os-release,ld.so.conf,ld.so.conf.d,ssl,ssl/certs} \
    usr/lib/os-release | while read -r path; do [ ! -e "/$path" ] || echo "$path"; done | copy
chmod 1777 "$root/tmp" "$root/var/tmp"
find /usr/local /etc/ld.so.conf.d /etc/ssl/certs /etc/fonts /usr/lib/locale/C.utf8 -not -type d 2>/dev/null | sed 's|^/||' | copy
for tool in $tools; do echo "usr/bin/$tool"; done | while read -r path; do
    [ -e "/$path" ] && echo "$path" || echo "bin/${path##*/}"
done | copy
ln -sf dash "$root/usr/bin/sh"
files_of fontconfig-config "$@" | while read -r path; do [ ! -e "$path" ] || echo "${path#/}"; done | copy
# shellcheck disable=SC2086 # patterns
find $plugins -not -type d | sed 's|^/||' | copy
libraries_of | while read -r library; do
    folder=$(readlink -f "${library%/*}")
    install -D -m 755 "$(readlink -f "$library")" "$root${folder#"$stand_ins"}/${library##*/}"
done
ldconfig -r "$root"

# The cache of fonts counts nanoseconds of the folders' times, and an image's layers keep whole seconds.
if [ -e "$root/usr/bin/fc-cache" ]; then
    mkdir -p "$root/var/cache/fontconfig" "$root/usr/local/share/fonts"
    find "$root/usr/share/fonts" "$root/usr/local/share/fonts" -type d -exec touch -d "$(date +%F)" {} +
    chroot "$root" /usr/bin/fc-cache --force --system-only
fi

install -d "$root/var/lib/dpkg/status.d" "$root/var/lib"
libraries_of | xargs -n 1 readlink -f | while read -r library; do
    { dpkg-query -S "$library" || dpkg-query -S "${library#/usr}"; } 2>/dev/null || true
done | sed 's/:.*//' | sort -u - <(printf '%s\n' base-files "$@") | while read -r package; do
    dpkg-query -s "$package" >"$root/var/lib/dpkg/status.d/$package"
done
install -d -m 700 -o filemill -g filemill "$root/var/lib/filemill"

# Nothing may be missing, seen from inside: each program and plug-in finds all that it names.
loader=$(cd "$root" && find lib64/ lib/ -maxdepth 1 -name 'ld-linux*' | head -n 1)
missing=$(find "$root" -type f \( -perm -100 -o -name '*.so*' \) -printf '/%P\n' | while read -r file; do
    chroot "$root" "/$loader" --list "$file" 2>&1 | grep -E 'not found|cannot open' | sed "s|^|$file: |" || true
done)
if [ -n "$missing" ] || [ -z "$loader" ]; then
    printf 'image-root.sh: libraries are missing\n%s\n' "$missing" >&2
    exit 1
fi
