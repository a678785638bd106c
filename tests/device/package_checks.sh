#!/usr/bin/env bash
# What package.sh runs in its container: the package's life, and the mistakes that people make.
failed=0
config=/etc/edged/edged.yaml
check() { # WHAT COMMAND…: with the last line that it said
  if "${@:2}" > /tmp/said 2>&1; then echo "ok      $1: $(tail -n 1 /tmp/said | cut -c -300)"; else
    echo "FAILED  $1"; tail -n 12 /tmp/said | sed 's/^/        /'; failed=1
  fi
}
within() { # SECONDS COMMAND…
  local end=$((SECONDS + $1))
  until "${@:2}"; do [ $SECONDS -lt $end ] || return 1; sleep 0.2; done
}
show() { systemctl show edged --value -p "$1"; }
is() { [ "$(show "$1")" = "$2" ] || { systemctl --no-pager status edged; false; }; }
ready() { within 120 is ActiveState active && echo "$(ready_ms) ms from start to READY"; }
ready_ms() {
  echo $((($(show ActiveEnterTimestampMonotonic) - $(show InactiveExitTimestampMonotonic)) / 1000))
}
says() { journalctl -u edged -o cat --no-pager | grep -- "$1" || { journalctl -u edged; false; }; }
says_now() { # what this start said
  journalctl -o cat --no-pager "_SYSTEMD_INVOCATION_ID=$(show InvocationID)" | grep -- "$1" ||
    { journalctl -u edged; false; }
}
metrics() { python3 -c '
import urllib.request
print(urllib.request.urlopen("http://127.0.0.1:9640/metrics", timeout=5).read().decode())'; }
serves() { metrics 2>/dev/null | grep '^edged_build_info{'; }
results() { metrics 2>/dev/null | grep '^edged_results_total{.*} [1-9]'; }
starts() { journalctl -u edged -o cat --no-pager | grep -c '^edged .*: family'; }
no() { ! "$@"; }
refuses() { # WHAT IT SAYS, COMMAND…: it fails, with one message and no traceback
  ! "${@:2}" > /tmp/refused 2>&1 && ! grep -q Traceback /tmp/refused && grep -- "$1" /tmp/refused ||
    { cat /tmp/refused; false; }
}
dpkg_i() { DEBIAN_FRONTEND=noninteractive dpkg "$@" < /dev/null; }
apt_i() { # as Ansible or cloud-init do: nobody answers
  DEBIAN_FRONTEND=noninteractive apt-get -q -y --allow-downgrades install "$@" < /dev/null
}
state() { dpkg-query -W -f '${Status}\n' edged; }
mb_free() { df --output=avail -BM /usr/lib/edged | tail -n 1; }
as() { runuser -u "$1" -- env HOME=/tmp "${@:2}"; }
left() {
  find / -xdev -ipath '*edged*' -not -path '/proc/*' -not -path '/tmp/*' -not -path '/share/*' \
    -not -path '/var/log/*' -not -path '/sys/*'
  find /run -path /run/systemd -prune -o -iname '*edged*' -print # the rest is systemd's own
}
command_in() { # WHAT: the first command for it in what is said; a message may speak of `it`
  grep -oE '(sudo|chmod|chown|chgrp) [^;(]*' | sed "s, it *\$, $1," | grep -F -- "$1" | head -n 1
}
doctor_says() { # CHECK: what it advises
  edged doctor --json | python3 -c '
import json, sys
print(*[each["fix"] for each in json.load(sys.stdin)["findings"]
        if each["check"] == sys.argv[1] and each["fix"]], sep="\n")' "$1"
}
follow() { # WHAT ADVICE: done as it stands, a restart leaves a running service
  check "$1: ${2:-nothing is advised}" bash -c 'sudo() { "$@"; }; [ -n "$1" ] && eval "$1"' - "$2"
  systemctl restart edged 2> /dev/null
  check '... and it runs' ready
}
advice() { # WHAT PATTERN FILE: what the log of a start says of the file, followed
  systemctl restart edged 2> /dev/null
  check "$1" within 60 says_now "$2"
  follow '... it advises' "$(says_now "$2" | command_in "$3")"
  check '... and says it no more' no says_now "$2"
}
nothing_left() { left > /tmp/left; cat /tmp/left; [ ! -s /tmp/left ]; }

echo '--- from a version whose configuration was a conffile'
check 'installs' apt_i /share/before.deb
check 'is upgraded without a terminal' apt_i /share/old.deb
check '... the unedited configuration stays' grep 'version before' $config
check 'purges, although it is of two versions' dpkg_i -P edged
check '... and leaves nothing' nothing_left
check 'installs' apt_i /share/before.deb
printf 'cameras: {door: {source: synthetic}}\n' > $config && chmod 600 $config && chown edged: $config
before=$(stat -c '%U:%G %a' $config; cat $config)
check 'edited, it is upgraded without a terminal' apt_i /share/old.deb
check '... the configuration stays as it was' test "$(stat -c '%U:%G %a' $config; cat $config)" = "$before"
check '... and runs' within 120 results
check 'upgrades, with another default' apt_i /share/new.deb
check '... the configuration stays as it was' test "$(stat -c '%U:%G %a' $config; cat $config)" = "$before"
check '... nothing is half configured' sh -c 'dpkg --audit; test -z "$(dpkg --audit)"'
check 'goes back to the version before' apt_i -o Dpkg::Options::=--force-confold /share/before.deb
check '... the configuration stays as it was' test "$(stat -c '%U:%G %a' $config; cat $config)" = "$before"
check 'purges' dpkg_i -P edged
check '... and leaves nothing' nothing_left

echo '--- its life'
check 'installs' dpkg_i -i /share/old.deb
check '... with a first configuration, which may hold passwords' test "$(stat -c '%U:%G %a' $config)" = 'root:edged 640'
check '... in a folder that everybody sees' test "$(stat -c '%U:%G %a' /etc/edged)" = 'root:root 755'
check 'ready: its camera is known to be down' ready
check 'enabled at boot' systemctl is-enabled edged
check 'metrics' within 60 serves
check 'runs as its own user' sh -c 'ps -o user= -p "$(systemctl show edged --value -p MainPID)" | grep -x edged'
check 'its groups' sh -c 'grep "^Groups:.*\b$(getent group video | cut -d: -f3)\b" "/proc/$(systemctl show edged --value -p MainPID)/status"'
check 'the log has levels and a camera' sh -c 'journalctl -u edged -p warning CAMERA=camera -o cat | grep /dev/video0'
check 'bytecode' sh -c 'find /usr/lib/edged -name "*.pyc" | grep -c .'
check 'exposure' sh -c 'systemd-analyze security --no-pager edged | grep -E "exposure level.*: ([01]\.[0-9]|2\.0)"'

sed -i 's,source: /dev/video0,source: synthetic,' $config
systemctl restart edged
check 'ready: a drawn camera has a result' ready
check 'results' within 60 results
check 'the state is written' within 120 sh -c 'ls /var/lib/edged/profile-*.json'
check 'the list of GStreamer would lie in the cache' sh -c 'tr "\0" "\n" < "/proc/$(systemctl show edged --value -p MainPID)/environ" | grep -x GST_REGISTRY=/var/cache/edged/gstreamer.registry'
check 'check, as the service' as edged edged check $config

edited=$(stat -c '%U:%G %a' $config; cat $config)
pid=$(show MainPID) before=$(starts)
check 'upgrades, with another default, and nobody answers' apt_i /share/new.deb
check '... restarted' within 60 no is MainPID "$pid"
check '... ready again' ready
check '... once' test "$(starts)" -eq $((before + 1))
check '... the configuration is the edited one' test "$(stat -c '%U:%G %a' $config; cat $config)" = "$edited"
pid=$(show MainPID) before=$(starts)
check 'goes back, and nobody answers' apt_i /share/old.deb
check '... restarted' within 60 no is MainPID "$pid"
check '... ready again' ready
check '... once' test "$(starts)" -eq $((before + 1))
check '... the configuration is the edited one' test "$(stat -c '%U:%G %a' $config; cat $config)" = "$edited"
check 'completion of its cameras in bash' bash -c '
  . /usr/share/bash-completion/completions/edged
  COMP_WORDS=(edged replay trace --camera c) COMP_CWORD=4; _shtab_edged; echo "${COMPREPLY[@]}" | grep -x camera'
check '... bytecode again' sh -c 'find /usr/lib/edged -name "*.pyc" | grep -c .'

kill -STOP "$(show MainPID)"
check 'the watchdog ends one that is stopped' within 60 is NRestarts 1
check '... ready again' ready
touch /etc/nv_tegra_release
check 'a Jetson gets its drop-in' dpkg_i -i /share/new.deb
check '... and systemd reads it' sh -c 'systemctl show edged -p DeviceAllow | grep "char-\*"'
rm /etc/nv_tegra_release
check 'ready' ready
check 'stops' systemctl stop edged
check '... cleanly, with all its processes' sh -c 'systemctl show edged -p Result -p ExecMainStatus | tr "\n" " " | grep "ExecMainStatus=0.*Result=success\|Result=success.*ExecMainStatus=0" && ! pgrep -u edged'
systemctl --quiet disable edged 2> /dev/null
check 'an upgrade of a disabled one' dpkg_i -i /share/new.deb
check '... leaves it disabled' sh -c 'systemctl is-enabled edged | grep disabled'
check '... and stopped' is ActiveState inactive
systemctl --quiet enable --now edged 2> /dev/null

echo '--- mistakes'
check 'installing the service by hand, as nobody' refuses 'installed by a package' as nobody edged service install
check '... as root, beside the package' refuses 'already installed by a package' edged service install
check 'a second one on its port' refuses 'in use' as edged edged run -c $config
check '... and the first runs on' is ActiveState active
cp $config /tmp/kept.yaml
mv $config /tmp/gone.yaml
systemctl restart edged 2> /dev/null
check 'without a configuration it ends' within 60 is ActiveState failed
check '... says why' says_now "$config: no such file"
check '... and is not started again and again' is NRestarts 0
install -m 600 /tmp/kept.yaml $config
systemctl restart edged 2> /dev/null
check "root's configuration, that it may not read" within 60 is ActiveState failed
check '... says why' says_now "$config: no permission to read it"
check '... so does the doctor' refuses "no read permission for the service's user edged" edged doctor
chgrp edged $config && chmod 640 $config
systemctl restart edged
check '... mended as it says' ready
chmod 666 $config && systemctl restart edged
check 'a configuration that everybody can change' within 60 says_now 'everybody can change'
chmod 640 $config

printf 'synthetic\n' > /etc/edged/door && chgrp edged /etc/edged/door && chmod 644 /etc/edged/door
sed -i 's,source: synthetic,source_file: /etc/edged/door,' $config
systemctl restart edged
check 'a secret that everybody can read' within 60 says_now 'everybody can read'
chmod 600 /etc/edged/door
systemctl restart edged 2> /dev/null
check 'a secret that it may not read' within 60 says_now 'source_file: cannot be read: Permission denied'
sed -i 's,source_file: .*,source_file: ${CREDENTIALS_DIRECTORY}/door,' $config
mkdir -p /etc/systemd/system/edged.service.d
printf '[Service]\nLoadCredential=door:/etc/edged/door\n' > /etc/systemd/system/edged.service.d/door.conf
systemctl daemon-reload && systemctl restart edged
check '... by LoadCredential= it may' within 60 results
check '... and nobody is warned of' no says_now 'everybody'

# What draws a scene becomes arbitrary code, in the service as it is.
drawn=$(find /usr/lib/edged -path '*/edged/capture/sources/synthetic/synthetic.py')
cp -p "$drawn" /tmp/drawn.py
cat /share/hostile.py > "$drawn"
printf '[Service]\nEnvironment=DOOR_PASSWORD=hunter2-of-the-door\n' > /etc/systemd/system/edged.service.d/password.conf
systemctl daemon-reload && systemctl restart edged
check 'arbitrary code in a capture process' within 60 says_now 'attacks, reached: nothing'
printf '    confine: false\n' > /tmp/free
sed -i '/^    source_file:/r /tmp/free' $config
systemctl restart edged
check '... not confined' within 60 says_now 'attacks, reached: .*a signal to the daemon'
check '... cannot read the daemon either' no says_now 'environ of the daemon\|mem of the daemon'
check '... the doctor warns of it' sh -c 'edged doctor | grep "camera camera is not confined"'
cat /tmp/drawn.py > "$drawn"
rm /etc/systemd/system/edged.service.d/password.conf
systemctl daemon-reload
cat /tmp/kept.yaml > $config
rm -r /etc/systemd/system/edged.service.d && systemctl daemon-reload

echo '--- what it advises, done as it stands'
chown root:root $config && chmod 600 $config
advice "root's configuration" "$config: no permission to read it" $config
chown root:root $config && chmod 600 $config
follow 'the same, by the doctor' "$(doctor_says files.configuration | command_in $config)"
chown root:root $config && chmod 666 $config
advice 'a configuration that everybody can change' 'everybody can change' $config
sed -i 's,source: synthetic,source: "http://me:word@127.0.0.1:9/",' $config
chown root:root $config && chmod 644 $config
advice 'a password that everybody can read' "everybody can read $config" $config
sed -i 's,source: http.*,source_file: /etc/edged/door,; s,source: "http.*,source_file: /etc/edged/door,' $config
chown root:root /etc/edged/door && chmod 644 /etc/edged/door
advice 'a secret that everybody can read' 'everybody can read /etc/edged/door' /etc/edged/door
chown root:root /etc/edged/door && chmod 600 /etc/edged/door
follow 'a secret that it may not read' "$(doctor_says files.configuration | command_in /etc/edged/door)"
cat /tmp/kept.yaml > $config
cp /share/tls.pem /share/tls.key /etc/edged/
sed -i 's,listen: .*,listen: 127.0.0.1:9640\n  tls: {certificate: tls.pem\, key: tls.key},' $config
chown root:root /etc/edged/tls.key && chmod 644 /etc/edged/tls.key
advice 'a TLS key that everybody can read' 'everybody can read /etc/edged/tls.key' /etc/edged/tls.key
cat /tmp/kept.yaml > $config
chmod 700 /etc/edged
follow "root's folder" "$(doctor_says files.configuration | command_in /etc/edged)"
systemctl --quiet mask edged
follow 'a masked service' "$(doctor_says service.unit | command_in edged)"
mkdir -p /etc/systemd/system/edged.service.d
printf '[Service]\nEnvironment=MINE=1\n' > /etc/systemd/system/edged.service.d/mine.conf
sed s/WatchdogSec=.*/WatchdogSec=60/ /usr/lib/systemd/system/edged.service > /etc/systemd/system/edged.service
systemctl daemon-reload
follow "a unit before the package's" "$(doctor_says service.unit | command_in edged)"
check "... whose drop-in of one's own stays" sh -c 'systemctl show edged -p Environment | grep MINE=1'
check "... and it is the package's" sh -c 'systemctl show edged --value -p WatchdogUSec | grep -x 10s'
sed -i 's/^WatchdogSec=.*/WatchdogSec=60/' /usr/lib/systemd/system/edged.service
cp /share/new.deb /tmp/edged_copy.deb
cd /tmp || exit 1
follow 'a unit that somebody has changed' "$(doctor_says service.unit | command_in edged_)"
check '... and it is the shipped one' grep -x WatchdogSec=10 /usr/lib/systemd/system/edged.service
cd /
sed -i 's/^WatchdogSec=.*/WatchdogSec=60/' /usr/lib/systemd/system/edged.service
follow 'a unit that systemd has not read' "$(doctor_says service.state | command_in daemon-reload)"
sed -i 's/^WatchdogSec=.*/WatchdogSec=10/' /usr/lib/systemd/system/edged.service && systemctl daemon-reload
rm -r /etc/systemd/system/edged.service.d && systemctl daemon-reload && systemctl restart edged
check 'without what was tried' ready

check 'removes' dpkg_i -r edged
check '... stopped' is ActiveState inactive
check '... the configuration, its secret and the state stay' ls $config /etc/edged/door /var/lib/edged
check '... nothing of its files' no ls /usr/lib/edged /usr/bin/edged /etc/systemd/system/edged.service.d/jetson.conf
check 'installs again' dpkg_i -i /share/old.deb
check '... ready' ready
check 'purges' dpkg_i -P edged
check '... and leaves nothing' nothing_left
check '... but the user' getent passwd edged

echo '--- as pip installs it'
dpkg-deb -x /share/old.deb /tmp/tree && mv /tmp/tree/usr/lib/edged /opt/edged
check 'service install' /opt/edged/bin/python3 -I -m edged service install
check '... starts as it says' systemctl --quiet enable --now edged
check '... ready' ready
check 'service uninstall' /opt/edged/bin/python3 -I -m edged service uninstall
check '... stopped' is ActiveState inactive
check '... systemd knows it no more' sh -c '! systemctl cat edged'
check '... the configuration stays' ls $config
check '... and goes as it says' bash -c 'rm -r /opt/edged $1 /var/lib/edged /var/cache/edged' - /etc/edged
check '... which leaves nothing' nothing_left

echo '--- a full disk'
mkdir /usr/lib/edged && mount -t tmpfs -o size=60m tmpfs /usr/lib/edged
check 'install' refuses 'No space left on device' dpkg_i -i /share/old.deb
check '... nothing half-installed' no ls /usr/bin/edged /usr/lib/systemd/system/edged.service $config
check '... nothing started' no systemctl is-active --quiet edged
mount -o remount,size=600m /usr/lib/edged
check '... with room it installs' dpkg_i -i /share/old.deb
check '... ready' ready
pid=$(show MainPID)
check "upgrade, with $(mb_free)B" refuses 'No space left on device' dpkg_i -i /share/new.deb
check '... what was there is installed still' sh -c 'dpkg-query -W -f "\${Status} \${Version}\n" edged | grep "^install ok installed"'
check '... and was not disturbed' is MainPID "$pid"
check '... its bytecode' sh -c 'find /usr/lib/edged -name "*.pyc" | grep -c .'
systemctl restart edged
check '... it starts again' ready
mount -o remount,size=2g /usr/lib/edged
check '... with room it upgrades' dpkg_i -i /share/new.deb
check '... ready' ready
dd if=/dev/zero of=/usr/lib/edged/filler bs=1M status=none 2> /dev/null
rm -rf /usr/lib/edged/lib/python3*/site-packages/edged/__pycache__
dd if=/dev/zero of=/usr/lib/edged/filler2 bs=1k status=none 2> /dev/null
check 'no room for bytecode: configured all the same' env DPKG_MAINTSCRIPT_PACKAGE=edged \
  DPKG_MAINTSCRIPT_NAME=postinst /var/lib/dpkg/info/edged.postinst configure 0
check '... ready' ready
rm /usr/lib/edged/filler*
check 'purges' dpkg_i -P edged
exit $failed
