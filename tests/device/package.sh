#!/usr/bin/env bash
# The .deb under real systemd (Debian 12, in a container, without a camera): install, reload, upgrade,
# bad and absent configuration, remove, purge. As root, on a machine of the package's architecture:
#
#   tests/device/package.sh dist/edged_0.1.0+deb12_amd64.deb
#
# Needs mmdebstrap and systemd-container. What takes time is kept in $EDGED_RIG.
set -euo pipefail

package=$(realpath "$1")
rig=${EDGED_RIG:-$HOME/.cache/edged-rig}
root=$rig/root-package
mkdir -p "$rig"
if [[ ! -d $root ]]; then
  mmdebstrap --quiet --mode=root --variant=minbase \
    --include=systemd-sysv,dbus,procps,python3,udev bookworm "$root.partial"
  mv "$root.partial" "$root"
fi
share=$(mktemp -d)
trap 'rm -rf "$share"' EXIT
cp "$package" "$share/old.deb"

# The next version: the same files, another number, another default configuration.
dpkg-deb --raw-extract "$package" "$share/new"
sed -i 's/^Version: .*/&.1/' "$share/new/DEBIAN/control"
echo '# the next version says more here' >> "$share/new/etc/edged/edged.yaml"
(cd "$share/new" && md5sum etc/edged/edged.yaml usr/bin/edged > DEBIAN/md5sums)
dpkg-deb --root-owner-group -Znone --build "$share/new" "$share/new.deb" > "$share/log"
rm -rf "$share/new"

cat > "$share/run" <<'R'
failed=0
check() { # WHAT COMMAND…
  if "${@:2}" > /tmp/said 2>&1; then echo "ok      $1"; else
    echo "FAILED  $1"; tail -n 12 /tmp/said | sed 's/^/        /'; failed=1
  fi
}
within() { # SECONDS COMMAND…
  local end=$((SECONDS + $1))
  until "${@:2}"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
is() { [ "$(systemctl show edged --value -p "$1")" = "$2" ] || { systemctl status edged; false; }; }
says() { journalctl -u edged -o cat --no-pager | grep -q -- "$1" || { journalctl -u edged; false; }; }
metrics() { python3 -c '
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9640/metrics", timeout=5).read().decode())'; }
results() { metrics 2>/dev/null | grep -q '^edged_results_total{.*} [1-9]'; }
starts() { journalctl -u edged -o cat --no-pager | grep -c '^edged .*: family'; }
no() { ! "$@"; }
dpkg_i() { DEBIAN_FRONTEND=noninteractive dpkg "$@"; }
config=/etc/edged/edged.yaml

check 'installs' dpkg_i -i /share/old.deb
check 'ready: its camera is known to be down' within 60 is ActiveState active
ready_usec=$(($(systemctl show edged --value -p ActiveEnterTimestampMonotonic) -
  $(systemctl show edged --value -p InactiveExitTimestampMonotonic)))
echo "        $((ready_usec / 1000)) ms from start to READY"
check 'enabled at boot' systemctl is-enabled edged
check 'metrics' metrics
check 'runs as its own user' sh -c 'test "$(ps -o user= -p "$(systemctl show edged --value -p MainPID)")" = edged'
check 'its groups' sh -c 'grep -q "^Groups:.*\b$(getent group video | cut -d: -f3)\b" "/proc/$(systemctl show edged --value -p MainPID)/status"'
check 'the log has levels and a camera' sh -c 'journalctl -u edged -p warning CAMERA=camera -o cat | grep -q /dev/video0'
check 'bytecode is there' sh -c 'find /usr/lib/edged -name "*.pyc" | grep -q .'

sed -i 's,source: /dev/video0,source: synthetic,' $config
systemctl restart edged
check 'a drawn camera gives results' within 60 results
check 'the state is written' within 120 sh -c 'ls /var/lib/edged/profile-*.json'
check 'check, as whoever' runuser -u nobody -- edged check $config
check 'a second one on its port says so' sh -c "runuser -u edged -- env HOME=/tmp edged run -c $config 2>&1 | grep -q 'cannot listen\|in use'"

pid=$(systemctl show edged --value -p MainPID)
starts_before=$(starts)
check 'upgrades, and keeps the configuration' dpkg_i --force-confold -i /share/new.deb
check 'restarted' within 60 no is MainPID "$pid"
check 'ready again' within 60 is ActiveState active
check 'once' test "$(starts)" -eq $((starts_before + 1))
check 'the configuration is the old one' grep -q 'source: synthetic' $config
check 'bytecode is there again' sh -c 'test "$(find /usr/lib/edged -name "*.pyc" | wc -l)" -gt 100'

kill -STOP "$(systemctl show edged --value -p MainPID)"
check 'the watchdog ends one that is stopped' within 60 is NRestarts 1
check 'ready again' within 60 is ActiveState active

mv $config /tmp/kept.yaml
systemctl restart edged
check 'without a configuration it ends' within 60 is ActiveState failed
check '... says why' says "$config: no such file"
check '... and is not started again and again' is NRestarts 0
install -m 600 /tmp/kept.yaml $config
systemctl restart edged
check 'a configuration that it may not read: it ends' within 60 is ActiveState failed
check '... says why' says "$config: no permission to read it"
chgrp edged $config && chmod 640 $config
printf 'synthetic\n' > /etc/edged/door && chmod 600 /etc/edged/door
sed -i 's,source: synthetic,source_file: ${CREDENTIALS_DIRECTORY}/door,' $config
mkdir -p /etc/systemd/system/edged.service.d
printf '[Service]\nLoadCredential=door:/etc/edged/door\n' > /etc/systemd/system/edged.service.d/door.conf
systemctl daemon-reload && systemctl restart edged
check 'a source by LoadCredential=' within 60 results
rm -r /etc/systemd/system/edged.service.d /etc/edged/door
cat /tmp/kept.yaml > $config

touch /etc/nv_tegra_release
check 'a Jetson gets its drop-in' dpkg_i --force-confold -i /share/new.deb
check '... and systemd reads it' sh -c 'systemctl show edged -p DeviceAllow | grep -q "char-\*"'
rm /etc/nv_tegra_release

check 'removes' dpkg_i -r edged
check '... stopped' no systemctl is-active --quiet edged
check '... the configuration and the state stay' ls $config /var/lib/edged
check '... nothing of its files' no ls /usr/lib/edged /usr/bin/edged /etc/systemd/system/edged.service.d/jetson.conf
check 'installs again' dpkg_i --force-confold -i /share/old.deb
check '... and runs' within 60 is ActiveState active
check 'purges' dpkg_i -P edged
left=$(find / -xdev -ipath '*edged*' -not -path '/proc/*' -not -path '/tmp/*' -not -path '/share/*' \
  -not -path '/var/log/*' -not -path '/run/*' -not -path '/sys/*')
check "... leaves nothing but the user ($left)" test -z "$left"
check '... who stays' getent passwd edged
exit $failed
R
mkdir -p "$share/units"
cat > "$share/units/package.service" <<'U'
[Unit]
After=multi-user.target
[Service]
Type=oneshot
ExecStart=/bin/bash -c 'bash /share/run > /share/log 2>&1; echo $? > /share/status; systemctl --no-block poweroff'
TimeoutStartSec=infinity
[Install]
WantedBy=multi-user.target
U
timeout 600 systemd-nspawn --quiet --register=no --keep-unit --directory "$root" --volatile=no --ephemeral \
  --bind "$share:/share" --bind-ro "$share/units/package.service:/etc/systemd/system/package.service" \
  --setenv=SYSTEMD_LOG_LEVEL=warning --console=pipe \
  --boot systemd.wants=package.service < /dev/null > "$share/console" 2>&1 || true
cat "$share/log"
[[ -e $share/status ]] || { tail -30 "$share/console"; exit 1; }
exit "$(cat "$share/status")"
