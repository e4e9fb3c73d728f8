#!/bin/sh
# SPDX-License-Identifier: MIT
# `make-deb.sh BUILD DIRECTORY`: a Debian package of what has been built, in DIRECTORY; prints its path. It depends on
# the libraries that the programs name and on the engines' data; Postgres is recommended, for the embedded default, and
# dictionaries for word lists.
# The package starts nothing by itself: `systemctl enable --now filemill` does.
set -eu
build=$1 target=$2
here=$(cd "$(dirname "$0")" && pwd)
stage=$(mktemp -d)
trap 'rm -rf "$stage"' EXIT
chmod 755 "$stage"

"$here/install.sh" "$build" /usr "$stage"
find "$stage/usr/libexec/filemill" -maxdepth 1 -type f -name 'filemill*' -exec strip --strip-unneeded {} +
version=$("$stage/usr/libexec/filemill/filemill" version | cut -d' ' -f2)
architecture=$(dpkg --print-architecture)

install -d "$stage/etc" "$stage/usr/share/doc/filemill" "$stage/DEBIAN"
printf '%s\n' '# Options of Filemill, NAME=value; `filemill config` lists them. Empty: embedded Postgres and store.' \
    >"$stage/etc/filemill.env"
chmod 640 "$stage/etc/filemill.env"
install -m 644 "$here/../LICENSE" "$stage/usr/share/doc/filemill/copyright"
install -m 644 "$here"/../docs/*.md "$stage/usr/share/doc/filemill/"
install -D -m 644 "$here/nginx/filemill.conf" "$stage/usr/share/doc/filemill/examples/nginx.conf"

data=$("$here/install-packages.sh" --list engines)
recommends=$(printf '%s\n' postgresql nginx "$("$here/install-packages.sh" --list dictionaries)" | paste -sd, | sed 's/,/, /g')
depends=$(printf '%s\n' "$("$here/shared-libraries.sh" "$build")" "$data" adduser | sort -u | paste -sd, | sed 's/,/, /g')
cat >"$stage/DEBIAN/control" <<END
Package: filemill
Version: $version
Section: web
Priority: optional
Architecture: $architecture
Maintainer: The Filemill authors <filemill@localhost>
Installed-Size: $(du -sk --exclude=DEBIAN "$stage" | cut -f1)
Depends: $depends
Recommends: $recommends
Description: self-hosted file-processing backend
 Clients upload straight to S3-compatible storage; jobs are queued in Postgres, and every document is parsed in a
 sandboxed process of its own: text, OCR, transcripts, thumbnails, web images, waveforms.
END
echo /etc/filemill.env >"$stage/DEBIAN/conffiles"
cat >"$stage/DEBIAN/postinst" <<'END'
#!/bin/sh
set -e
if [ "$1" = configure ]; then
    getent passwd filemill >/dev/null ||
        adduser --system --group --home /var/lib/filemill --no-create-home --gecos Filemill filemill >/dev/null
    chgrp filemill /etc/filemill.env
    [ ! -d /run/systemd/system ] || systemctl daemon-reload
fi
END
cat >"$stage/DEBIAN/prerm" <<'END'
#!/bin/sh
set -e
if [ "$1" = remove ] && [ -d /run/systemd/system ]; then
    systemctl disable --now filemill.service || true
fi
END
cat >"$stage/DEBIAN/postrm" <<'END'
#!/bin/sh
# State stays, unless the package is purged by name.
set -e
if [ "$1" = purge ]; then
    rm -rf /var/lib/filemill
fi
[ ! -d /run/systemd/system ] || systemctl daemon-reload
END
chmod 755 "$stage/DEBIAN/postinst" "$stage/DEBIAN/prerm" "$stage/DEBIAN/postrm"

mkdir -p "$target"
dpkg-deb --root-owner-group --build "$stage" "$target/filemill_${version}_$architecture.deb" >/dev/null
echo "$target/filemill_${version}_$architecture.deb"
