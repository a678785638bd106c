#!/bin/sh
# older.sh OLD.deb OLDER.deb: the version before, as 0.1.0 was: the configuration is a conffile.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
dpkg-deb --raw-extract "$1" "$folder/tree"
cd "$folder/tree"
sed -i 's/^Version: /&0~/' DEBIAN/control
install -D -m 644 usr/lib/edged/edged.yaml etc/edged/edged.yaml
echo '# the version before said less here' >> etc/edged/edged.yaml
rm usr/lib/edged/edged.yaml
echo /etc/edged/edged.yaml > DEBIAN/conffiles
md5sum etc/edged/edged.yaml usr/bin/edged > DEBIAN/md5sums
cd "$OLDPWD"
dpkg-deb --root-owner-group -Znone --build "$folder/tree" "$2" > /dev/null
