"""The systemd unit: systemd's own check, its own grade, and what the daemon depends on."""

from __future__ import annotations

import re
import subprocess
from collections.abc import Mapping, Sequence
from pathlib import Path
from shutil import which

import pytest

from tests.rig.paths import PROJECT

SYSTEMD = PROJECT / "systemd"
UNIT = SYSTEMD / "edged.service"
JETSON = SYSTEMD / "edged.service.d" / "jetson.conf"
SYSUSERS = SYSTEMD / "sysusers.d" / "edged.conf"
EXPOSURE_LIMIT = 2.0
"""`systemd-analyze security` grades 0 (confined) to 10."""


def directives(unit: Path = UNIT) -> Mapping[str, Sequence[str]]:
    found: dict[str, list[str]] = {}
    for line in unit.read_text().splitlines():
        if match := re.fullmatch(r"(\w+)=(.*)", line):
            found.setdefault(match[1], []).append(match[2])
    return found


@pytest.fixture
def analyze() -> str:
    command = which("systemd-analyze")
    if command is None:
        pytest.skip("systemd-analyze is not installed")
    return command


@pytest.fixture(params=["unit", "unit on a Jetson"])
def installed(tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A root with a copy whose command exists there: systemd checks that it does."""
    text = UNIT.read_text()
    assert text.count("/usr/bin/edged") == 1
    copy = tmp_path / "etc/systemd/system" / UNIT.name
    copy.parent.mkdir(parents=True)
    copy.write_text(text.replace("/usr/bin/edged", "/bin/true"))
    if request.param != "unit":
        drop_in = copy.parent / "edged.service.d" / JETSON.name
        drop_in.parent.mkdir()
        drop_in.write_text(JETSON.read_text())
    return copy


def test_systemd_understands_every_line(analyze: str, installed: Path) -> None:
    check = subprocess.run(
        [analyze, "verify", "--man=no", str(installed)],
        capture_output=True,
        text=True,
        check=False,
    )
    ours = [line for line in check.stderr.splitlines() if "edged" in line]
    assert (check.returncode, ours) == (0, [])


def test_a_line_that_systemd_does_not_understand_would_be_seen(
    analyze: str, installed: Path
) -> None:
    installed.write_text(installed.read_text().replace("WatchdogSec=10", "WatchdogSeconds=10"))
    check = subprocess.run(
        [analyze, "verify", "--man=no", str(installed)],
        capture_output=True,
        text=True,
        check=False,
    )
    assert "WatchdogSeconds" in check.stderr


def test_it_is_confined(analyze: str, installed: Path) -> None:
    root = installed.parents[3]
    graded = subprocess.run(
        [analyze, "security", "--no-pager", "--offline=true", f"--root={root}", UNIT.name],
        capture_output=True,
        text=True,
        check=False,
    )
    overall = re.search(r"Overall exposure level for \S+: (\d+\.\d)", graded.stdout)
    assert overall is not None, graded.stderr
    print(overall[0])  # noqa: T201 - the grade is what this test is read for
    assert float(overall[1]) <= EXPOSURE_LIMIT


def test_what_hides_a_camera_stays_off() -> None:
    found = directives()
    assert "PrivateDevices" not in found
    assert "PrivateUsers" not in found
    assert found["SupplementaryGroups"] == ["video render"]
    # ProtectClock= is harmless only beside a list that names the cameras.
    assert "ProtectClock" not in found or "char-video4linux rw" in found["DeviceAllow"]
    assert directives(JETSON)["DeviceAllow"] == ["char-* rw"]


def test_capture_processes_may_confine_themselves() -> None:
    allowed = " ".join(directives()["SystemCallFilter"]).split()
    assert {f"landlock_{call}" for call in ("create_ruleset", "add_rule", "restrict_self")} <= {
        *allowed
    }


def test_every_group_is_made() -> None:
    """systemd starts nothing whose groups are not there."""
    lines = [line.split()[:2] for line in SYSUSERS.read_text().splitlines()]
    made = [name for kind, *name in (line for line in lines if line) if kind in ("u", "g")]
    wanted = directives()["User"] + directives()["SupplementaryGroups"][0].split()
    assert [name for (name,) in made] == wanted


def test_what_the_daemon_and_its_operator_rely_on() -> None:
    expected = {
        "Type": "notify",
        "ExecStart": "/usr/bin/edged run -c /etc/edged/edged.yaml",
        "ExecReload": "kill -HUP $MAINPID",
        "Environment": "MALLOC_ARENA_MAX=1 GST_REGISTRY=%C/edged/gstreamer.registry",
        "WatchdogSec": "10",
        "WatchdogSignal": "SIGKILL",
        "Restart": "on-failure",
        "RestartPreventExitStatus": "2",
        "StartLimitIntervalSec": "0",
        "StateDirectory": "edged",
        "CacheDirectory": "edged",
        "RuntimeDirectory": "edged",
        "OOMPolicy": "continue",
        "WorkingDirectory": "%S/edged",
    }
    found = directives()
    assert {name: " ".join(found.get(name, [])) for name in expected} == expected


def test_what_stays_off_is_explained() -> None:
    text = UNIT.read_text()
    for name in (
        "PrivateDevices",
        "ProcSubset",
        "PrivateUsers",
        "MemoryDenyWriteExecute",
        "PrivateNetwork",
        "IPAddressDeny",
    ):
        assert re.search(rf"^# .*\bNo .*\b{name}=", text, re.MULTILINE), name
    for name in ("@resources stays allowed", "AF_NETLINK"):
        assert re.search(rf"^# {name}: ", text, re.MULTILINE), name
