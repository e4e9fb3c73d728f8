#!/bin/sh
# SPDX-License-Identifier: MIT
# `install.sh BUILD PREFIX [DESTDIR]`: what has been built, the samples and the systemd unit, below DESTDIR. All programs
# go into one folder, since they find each other there; people call the link in bin.
set -eu
build=$1 prefix=$2 root=${3:-}$2
here=$(dirname "$0")

install -d "$root/bin" "$root/libexec/filemill/samples" "$root/lib/systemd/system" "$root/lib/sysusers.d"
find "$build" -maxdepth 1 -type f -name 'filemill*' -perm -100 -exec install -m 755 -t "$root/libexec/filemill" {} +
find "$here/../samples" -maxdepth 1 -type f \( -name '*.pdf' -o -name '*.jpg' \) \
    -exec install -m 644 -t "$root/libexec/filemill/samples" {} +
ln -sfn ../libexec/filemill/filemill "$root/bin/filemill"
sed "s|/usr/local/bin/|$prefix/bin/|" "$here/filemill.service" >"$root/lib/systemd/system/filemill.service"
install -m 644 "$here/filemill.sysusers" "$root/lib/sysusers.d/filemill.conf"
