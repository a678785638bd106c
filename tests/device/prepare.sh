#!/usr/bin/env bash
# The Debian packages that the virtual device is made and run with.
set -euo pipefail

packages=(
  mmdebstrap arch-test            # its root
  qemu-user-static                # an arm64 root on another processor
  e2fsprogs cpio                  # its image
  qemu-system-x86 qemu-system-arm # the device
)
missing=()
for package in "${packages[@]}"; do
  dpkg-query -W -f='${Status}' "$package" 2>/dev/null | grep -q 'ok installed' || missing+=("$package")
done
if ((${#missing[@]})); then
  echo "installing ${missing[*]}"
  export DEBIAN_FRONTEND=noninteractive
  apt-get update -qq
  apt-get install -y -qq --no-install-recommends "${missing[@]}"
fi
