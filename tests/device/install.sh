#!/usr/bin/env bash
# The lines of docs/install.md for one device, each run as it stands by a user with sudo in a fresh system
# of its own. What runs before `ssh` runs here. As root, where port 9640 is free:
#
#   tests/device/install.sh 'Raspberry Pi OS'
#
# Needs mmdebstrap, systemd-container, qemu-user-static (arm64) and a keyring of Ubuntu's (jammy).
# What takes time is kept in $EDGED_RIG.
set -euo pipefail

heading=$1
cd "$(dirname "$(realpath "$0")")/../.."
rig=${EDGED_RIG:-$HOME/.cache/edged-rig}
components=main
case $heading in
Debian) suite=bookworm arch=amd64 mirror=http://deb.debian.org/debian ;;
'Raspberry Pi OS') suite=bookworm arch=arm64 mirror=http://deb.debian.org/debian ;;
'Ubuntu on Jetson') suite=jammy arch=amd64 mirror=http://archive.ubuntu.com/ubuntu components=main,universe ;;
*) echo "$heading: docs/install.md says nothing that could be run in a system of its own" >&2; exit 2 ;;
esac
root=$rig/root-install-$suite-$arch
mkdir -p "$rig"
if [[ ! -d $root ]]; then
  rm -rf "$root.partial"
  mmdebstrap --quiet --mode=root --variant=minbase --architectures=$arch --components=$components \
    --include=apt,systemd-sysv,dbus,udev,sudo,ca-certificates "$suite" "$root.partial" $mirror
  mv "$root.partial" "$root"
fi
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
git archive --prefix=edged/ HEAD | tar --extract --directory "$share"
sed -n "/^## $heading\$/,/^## /s/^    //p" docs/install.md > "$share/lines"
if grep -q '^ssh ' "$share/lines"; then
  sed '/^ssh /,$d' "$share/lines" | while IFS= read -r line; do
    echo "\$ $line"
    case $line in
    scp*) set -- $line && cp "$2" "$share/edged" ;; # $line is split, and its pattern expanded
    *) bash -c "$line" ;;
    esac
  done
  sed -i '1,/^ssh /d' "$share/lines"
fi
# NVIDIA's archive has packages for Jetsons only.
sed -i 's/ nvidia-jetpack / /' "$share/lines"
cat > "$share/run" <<'R'
useradd --create-home --shell /bin/bash me
user=me # an emulated sudo cannot become root
[ -d /run/systemd/system ] || user=root
echo 'me ALL=(ALL) NOPASSWD: ALL' > /etc/sudoers.d/me
echo 'APT::Get::Assume-Yes "true"; quiet "1";' > /etc/apt/apt.conf.d/90here # nobody is there to say so
apt-get update -qq
cp -r /share/edged /home/me && chown -R me: /home/me/edged && cd /home/me/edged
while IFS= read -r line; do
  echo "\$ $line"
  DEBIAN_FRONTEND=noninteractive runuser -u $user -- bash -c "$line" 2>&1 < /dev/null
  status=$?
  [ $status = 0 ] || echo "(exit status $status)"
done < /share/lines
journalctl -q -o cat -u edged --no-pager | tail -n 12
R
cat > "$share/install.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'bash /share/run > /share/log 2>&1; systemctl --no-block poweroff'
TimeoutStartSec=infinity
U
options=(--quiet --register=no --keep-unit --directory "$root" --ephemeral --bind "$share:/share" --resolv-conf=replace-host)
for path in /etc/pip.conf /etc/ssl/certs/ca-certificates.crt; do # this machine's way to packages
  [[ ! -e $path ]] || options+=(--bind-ro "$path")
done
if [[ $arch = $(dpkg --print-architecture) ]]; then
  timeout 1800 systemd-nspawn "${options[@]}" --volatile=no --console=pipe \
    --bind-ro "$share/install.service:/etc/systemd/system/install.service" \
    --system-call-filter='landlock_create_ruleset landlock_add_rule landlock_restrict_self' \
    --boot systemd.wants=install.service < /dev/null > "$share/console" 2>&1 || true
  cat "$share/log" || { tail -n 30 "$share/console"; exit 1; }
else # emulated: systemd does not run
  timeout 1800 systemd-nspawn "${options[@]}" --pipe bash /share/run
fi
