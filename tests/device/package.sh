#!/usr/bin/env bash
# The .deb under real systemd (in a container of its release, without a camera): package_checks.sh.
# As root, on a machine of the package's architecture:
#
#   tests/device/package.sh dist/edged_0.1.0+deb12_amd64.deb
#
# Needs mmdebstrap and systemd-container (and ubuntu-keyring for jammy). What takes time is kept in
# $EDGED_RIG.
set -euo pipefail

package=$(realpath "$1")
here=$(dirname "$(realpath "$0")")
rig=${EDGED_RIG:-$HOME/.cache/edged-rig}
case $package in
*+deb12_*) suite=bookworm mirror=http://deb.debian.org/debian ;;
*+deb13_*) suite=trixie mirror=http://deb.debian.org/debian ;;
*+ubuntu22.04_*) suite=jammy mirror=http://archive.ubuntu.com/ubuntu ;;
*) echo "$package: its name does not tell its release, as +deb12_ does" >&2; exit 2 ;;
esac
root=$rig/root-package-$suite
mkdir -p "$rig"
if [[ ! -d $root ]]; then
  rm -rf "$root.partial"
  mmdebstrap --quiet --mode=root --variant=minbase \
    --include=systemd-sysv,dbus,procps,python3,udev "$suite" "$root.partial" "$mirror"
  mv "$root.partial" "$root"
fi
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
cp "$package" "$share/old.deb"
"$here/newer.sh" "$package" "$share/new.deb"
"$here/older.sh" "$package" "$share/before.deb"
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=edged -days 30 \
  -keyout "$share/tls.key" -out "$share/tls.pem" 2> /dev/null
cp "$here/package_checks.sh" "$share/run"
cp "$here/../rig/hostile.py" "$share"
cat > "$share/package.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'bash /share/run > /share/log 2>&1; echo $? > /share/status; systemctl --no-block poweroff'
TimeoutStartSec=infinity
U
echo "$(basename "$package"): $(($(stat -c %s "$package") / 1000000)) MB," \
  "installed $(($(dpkg-deb -f "$package" Installed-Size) / 1024)) MiB, on $suite"
timeout 1800 systemd-nspawn --quiet --register=no --keep-unit --directory "$root" --volatile=no \
  --ephemeral --private-network --bind "$share:/share" --bind-ro "$share/package.service:/etc/systemd/system/package.service" \
  --setenv=SYSTEMD_LOG_LEVEL=warning --console=pipe \
  --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' \
  --boot systemd.wants=package.service < /dev/null > "$share/console" 2>&1 || true
cat "$share/log"
[[ -e $share/status ]] || { tail -30 "$share/console"; exit 1; }
exit "$(cat "$share/status")"
