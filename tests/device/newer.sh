#!/bin/sh
# newer.sh OLD.deb NEW.deb: the next version. The same files, another number, another default
# configuration, as an upgrade meets them.
set -eu
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
dpkg-deb --raw-extract "$1" "$folder/tree"
cd "$folder/tree"
sed -i 's/^Version: .*/&.1/' DEBIAN/control
echo '# the next version says more here' >> usr/lib/edged/edged.yaml
md5sum usr/lib/edged/edged.yaml usr/bin/edged > DEBIAN/md5sums
cd "$OLDPWD"
dpkg-deb --root-owner-group -Znone --build "$folder/tree" "$2" > /dev/null
