"""Every check of the doctor, provoked on a folder that stands for the device, and on a good one."""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from edged.doctor.account import READ, WRITE, Account, account_of, own_account
from edged.doctor.child import Outcome, run
from edged.doctor.doctor import CHECKS, Check, examine
from edged.doctor.finding import Finding, Severity, error, info, ok, warning
from edged.doctor.runtime import diagnosis, imported
from edged.doctor.subject import Subject, subject_of
from edged.doctor.system import bits, clock, clock_error_us, confinement
from edged.service.install import shipped
from edged.variants.family import SHIPPED, Family
from tests.rig.classifiers import made, with_version
from tests.rig.device_files import PI
from tests.rig.doctored import (
    CONFIG,
    ERROR,
    ETC_UNIT,
    GOOD_PI,
    INFO,
    PACKAGED,
    RUNS,
    SYNTHETIC,
    WARNING,
    config,
    device,
    distribution,
    found,
    lay,
)
from tests.rig.families import make_family
from tests.rig.paths import PROJECT
from tests.rig.traps import TRAPS, Trap

LIST = PROJECT / "tests" / "device" / "README.md"


ELSEWHERE = {"system.bits", "system.clock", "system.confinement"}
"""Provoked below, by what a device cannot be given as a file."""


@pytest.mark.parametrize("trap", TRAPS, ids=lambda trap: f"{trap.check}: {trap.said[:40]}")
def test_the_trap_is_found(tmp_path: Path, trap: Trap) -> None:
    files = {**GOOD_PI, **lay(tmp_path, trap.files)}
    answers = {**trap.answers, "systemctl": trap.answers.get("systemctl", Outcome(0, RUNS))}
    subject = device(tmp_path, files, answers)
    for path in tmp_path.glob("dev/video*"):
        path.chmod(0o600)
    (tmp_path / CONFIG).chmod(0o600)
    findings = found(subject, trap.check)
    matching = [each for each in findings if trap.said in str(each)]
    assert [each.severity for each in matching] == [trap.severity], findings
    assert "hunter2" not in str(findings)


def test_every_check_is_provoked() -> None:
    assert {trap.check for trap in TRAPS} | ELSEWHERE == set(CHECKS)


def test_every_check_is_listed() -> None:
    """In tests/device/README.md, with tests that are here."""
    rows = re.findall(r"^\| `(\w+\.\w+)` \| (.+) \|$", LIST.read_text("utf-8"), re.MULTILINE)
    assert [check for check, _ in rows] == list(CHECKS)
    for check, provoked in rows:
        named = re.findall(r"`(test_\w+)`", provoked)
        assert named or "`traps`" in provoked, check
        assert ("`traps`" in provoked) == (check in {trap.check for trap in TRAPS}), check
        assert all(name in globals() for name in named), named


def test_a_good_device_has_nothing_to_mend(tmp_path: Path) -> None:
    subject = device(
        tmp_path,
        {**GOOD_PI, "dev/video0": "", **distribution("opencv-python-headless", "4.12.0")},
        {"systemctl": Outcome(0, RUNS), "vcgencmd": Outcome(0, "throttled=0x0\n")},
    )
    # Whoever runs the tests is the service's user: the folders above are not open to another.
    subject = replace(subject, account=own_account())
    good = {name: check for name, check in CHECKS.items() if name not in ELSEWHERE}
    bad = [each for each in examine(subject, good) if each[1].severity.exit_status]
    assert bad == []


def test_a_device_that_tells_nothing_breaks_no_check(tmp_path: Path) -> None:
    nothing = Outcome(None, problem="there is no such program")
    subject = device(tmp_path, {}, {"": nothing}, environ={})
    findings = examine(subject)
    assert not [each for _, each in findings if "the check itself" in each.what]
    assert {name for name, each in findings if each.severity is ERROR} == {
        *("runtime.packages", "runtime.onnxruntime", "files.family")
    }


# What no file provokes


@pytest.mark.parametrize(
    ("pointer_bits", "machine", "said"),
    [(32, "armv7l", "a 32-bit Python, armv7l"), (32, "aarch64", "on a 64-bit kernel")],
)
def test_32_bits(tmp_path: Path, pointer_bits: int, machine: str, said: str) -> None:
    subject = device(tmp_path, {})
    (finding,) = bits(subject, pointer_bits=pointer_bits, machine=machine)
    assert (finding.severity, said in str(finding)) == (ERROR, True)
    (finding,) = bits(subject, pointer_bits=64, machine="aarch64")
    assert finding.severity is Severity.OK


def test_a_temperature_limit_is_advised_only_where_it_has_an_effect(tmp_path: Path) -> None:
    text = config("max_power_w: 10\nmax_temperature_c: 75\n" + SYNTHETIC)
    for files, fix, severity in (
        ({}, "remove it", WARNING),
        (PI, "remove it, or limit max_temperature_c instead", Severity.OK),
    ):
        subject = device(tmp_path, {**GOOD_PI, **text, **files})
        (power,), (heat,) = found(subject, "power.limit"), found(subject, "power.temperature")
        assert (power.fix, heat.severity) == (fix, severity)


def test_the_clock(tmp_path: Path) -> None:
    subject = device(tmp_path, {})
    for error_us, severity in ((16_000_000, WARNING), (1500, Severity.OK), (None, INFO)):
        (finding,) = clock(subject, error_us=lambda error_us=error_us: error_us)
        assert finding.severity is severity
    real = clock_error_us()
    assert real is None or real >= 0


def test_what_is_not_confined(tmp_path: Path) -> None:
    text = "cameras: {a: {source: synthetic}, b: {source: synthetic, confine: false}}\n"
    subject = device(tmp_path, config(text))
    (free, good) = confinement(subject, missing=list)
    assert (free.severity, good.severity) == (WARNING, Severity.OK)
    assert "camera b is not confined" in free.what
    off = ["Landlock (it is switched off at boot)", "filters of system calls"]
    (landlock, seccomp, free) = confinement(subject, missing=lambda: off)
    assert landlock.severity is seccomp.severity is free.severity is WARNING
    assert landlock.got == "the kernel has no Landlock (it is switched off at boot)"
    assert "lsm=" in str(landlock.fix)


def listener() -> socket.socket:
    server = socket.socket()
    server.bind(("127.0.0.1", 0))
    server.listen()
    return server


def test_a_port_that_another_program_has(tmp_path: Path) -> None:
    with listener() as server:
        port = server.getsockname()[1]
        text = f"cameras: {{a: {{source: synthetic}}}}\nhttp: {{listen: '127.0.0.1:{port}'}}\n"
        (finding,) = found(device(tmp_path, config(text)), "network.port")
    assert finding.severity is ERROR
    assert f"another program listens on 127.0.0.1:{port}" in finding.what
    (finding,) = found(device(tmp_path, {}), "network.port")
    assert finding.severity is Severity.OK


def test_a_disk_that_is_full_or_read_only(tmp_path: Path) -> None:
    subject = device(tmp_path, {})

    def disk(blocks: int, flags: int) -> Callable[[Path], os.statvfs_result]:
        return lambda _: os.statvfs_result((4096, 4096, 9, blocks, blocks, 9, 9, 9, flags, 255))

    for check in ("files.state", "files.cache"):
        (finding,) = found(replace(subject, statvfs=disk(1000, 0)), check)
        assert (finding.severity, finding.got) == (WARNING, "4 MB free")
        (finding,) = found(replace(subject, statvfs=disk(10**6, os.ST_RDONLY)), check)
        assert (finding.severity, "read-only" in finding.what) == (WARNING, True)
        (finding,) = found(replace(subject, statvfs=disk(10**6, 0)), check)
        assert finding.severity is Severity.OK


@pytest.mark.parametrize("check", ["files.state", "files.cache"])
def test_a_folder_that_the_user_may_not_write_to(tmp_path: Path, check: str) -> None:
    subject = device(tmp_path, {"home/pi/file": ""})
    nobody = account_of("nobody", [])
    (finding,) = found(replace(subject, account=nobody), check)
    assert finding.severity is WARNING
    assert "no write permission for nobody" in finding.what
    (finding,) = found(device(tmp_path, {}, environ={}), check)
    assert (finding.severity, finding.got) == (WARNING, "HOME is not set")


def test_a_damaged_family_is_found_by_the_real_child(tmp_path: Path) -> None:
    family = make_family(tmp_path / "animals")
    (tmp_path / "edged.yaml").write_text(f"model: ./animals\n{SYNTHETIC}")
    real = partial(subject_of, tmp_path / "edged.yaml", {}, root=tmp_path)
    (finding,) = found(real(), "files.family")
    assert (finding.severity, "2 networks" in finding.what) == (Severity.OK, True)
    model = next(family.directory.glob("*.onnx"))
    model.write_bytes(model.read_bytes()[:-1] + b"?")
    (finding,) = found(real(), "files.family")
    assert (finding.severity, model.name in finding.what) == (ERROR, True)


def test_the_families_of_all_views_are_verified_once_each(tmp_path: Path) -> None:
    folders = [make_family(tmp_path / name).directory for name in ("gate", "bin")]
    views = "{gate: {model: ./gate}, bin: {model: ./bin}, wall: {model: ./bin}}"
    path = tmp_path / "edged.yaml"
    path.write_text(f"cameras: {{yard: {{source: synthetic, views: {views}}}}}\n")
    subject = subject_of(path, {}, root=tmp_path)
    findings = found(subject, "files.family")
    assert [each.severity for each in findings] == [Severity.OK] * 2
    said = zip(findings, folders, strict=True)
    assert all(str(folder) in finding.what for finding, folder in said)
    (valid, *_) = found(subject, "files.configuration")
    assert valid.what == f"{path}: valid; cameras yard (gate, bin, wall)"


def test_the_camera_of_a_running_edged_is_not_held_by_another(tmp_path: Path) -> None:
    link = {"dev/v4l/by-id/usb-cam": "-> ../../video0", "proc/42/fd/3": "-> /dev/video0"}
    source = "cameras: {door: {source: /dev/v4l/by-id/usb-cam}}\n"
    files = {"dev/video0": "", CONFIG: source, **lay(tmp_path, link)}
    worker = {**files, "proc/42/cmdline": "python3\0-m\0edged.capture.worker\0003\0004\0"}
    (finding,) = found(device(tmp_path, worker), "cameras.devices")
    assert finding.severity is Severity.OK
    other = {**files, "proc/42/cmdline": "cheese\0"}
    (finding,) = found(device(tmp_path, other), "cameras.devices")
    assert (finding.severity, finding.got) == (WARNING, "cheese (pid 42)")


# What the subject knows


def test_the_services_configuration_user_and_variables(tmp_path: Path) -> None:
    files = {**GOOD_PI, CONFIG: "cameras: {door: {source: 'rtsp://u:${DOOR}@192.0.2.7/'}}\n"}
    subject = device(tmp_path, files, {"systemctl": Outcome(0, RUNS)})
    assert subject.config is not None
    assert "secret-of-the-door" in subject.config.cameras[0].capture.source
    assert "secret-of-the-door" not in str(examine(subject))
    assert subject.account is not None
    assert subject.account.name == "nobody"


def test_a_drop_in_overrides_the_unit(tmp_path: Path) -> None:
    other = "[Service]\nExecStart=\nExecStart=/opt/x run --config '/srv/100%%/a b.yaml'\n"
    files = {**GOOD_PI, f"{ETC_UNIT}.d/z.conf": other, "srv/100%/a b.yaml": SYNTHETIC}
    subject = device(tmp_path, files)
    assert subject.config_path == tmp_path / "srv/100%/a b.yaml"
    assert subject.config is not None


def test_the_packages_unit_is_compared_as_it_is(tmp_path: Path) -> None:
    subject = device(tmp_path, {PACKAGED: shipped("edged.service")})
    assert [each.severity for each in found(subject, "service.unit")] == [Severity.OK]
    changed = shipped("edged.service").replace("/usr/bin/edged", "/opt/edged")
    (finding,) = found(device(tmp_path, {PACKAGED: changed}), "service.unit")
    assert (finding.severity, finding.got) == (WARNING, "ExecStart")
    assert "apt install --reinstall" in (finding.fix or "")


def test_what_a_mode_allows(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.touch()
    status = path.stat()
    stranger, member = (Account("x", 64000, frozenset(gids)) for gids in ((), (status.st_gid,)))
    for mode, expected in ((0o640, (False, True)), (0o604, (True, False)), (0o600, (False, False))):
        path.chmod(mode)
        assert (stranger.may(path, READ), member.may(path, READ)) == expected
    path.chmod(0o660)
    assert member.may(path, READ | WRITE)
    assert own_account().may(path, READ | WRITE)
    assert not stranger.may(tmp_path / "nowhere", READ)
    assert account_of("no such\nuser", []) is None


def test_what_bars_the_way_is_named() -> None:
    mine = own_account()
    everybody = Account("everybody", mine.uid + 1, frozenset())
    with (
        tempfile.TemporaryDirectory() as name
    ):  # tmp_path lies in a folder that is closed to others
        path = Path(name, "etc/edged/edged.yaml")
        path.parent.mkdir(parents=True)
        path.touch(0o644)
        for folder in (Path(name), path.parent.parent, path.parent):
            folder.chmod(0o755)
        assert mine.barred(path, READ) is None
        assert everybody.barred(path, READ) is None
        path.chmod(0o600)
        assert everybody.barred(path, READ) == path
        path.parent.chmod(0o700)
        assert everybody.barred(path, READ) == path.parent


# Children


def test_a_child_that_dies_hangs_or_is_not_there() -> None:
    die = "import os, resource, signal; resource.setrlimit(resource.RLIMIT_CORE, (0, 0)); "
    died = run([sys.executable, "-c", die + "os.kill(os.getpid(), signal.SIGILL)"], 60)
    assert died.signal == "SIGILL"
    failed = run([sys.executable, "-c", "input()"], 60)
    assert (failed.status, failed.said) == (1, "EOFError: EOF when reading a line")
    hung = run(["sleep", "600"], 0.01)
    assert (hung.status, hung.signal, hung.said) == (None, None, "timed out after 0.01 s")
    absent = run(["no-such-program-of-edged"], 60)
    assert absent.said == "no-such-program-of-edged: No such file or directory"


def test_what_a_real_import_says(tmp_path: Path) -> None:
    (tmp_path / "broken.py").write_text("from json import nothing\n")
    python = ("env", f"PYTHONPATH={tmp_path}", sys.executable)
    subject = replace(device(tmp_path, {}), run=run, python=python)
    assert diagnosis(imported(subject, "json"), "json", None, None) is None
    problem = diagnosis(imported(subject, "broken"), "broken", None, None)
    assert problem is not None
    assert str(tmp_path / "broken.py") in str(problem)


# What they share


def test_a_check_that_fails_is_a_finding_and_the_others_go_on(tmp_path: Path) -> None:
    def fails(subject: Subject) -> list[Finding]:
        raise RuntimeError("rtsp://me:hunter2@192.0.2.7/")

    checks: Mapping[str, Check] = {"a": fails, "b": lambda subject: [ok("well")]}
    (_, first), (_, second) = examine(device(tmp_path, {}), checks)
    assert (first.severity, second.what) == (ERROR, "well")
    assert "RuntimeError" in first.what
    assert "hunter2" not in str(first)


def test_the_severities_and_their_exit_status() -> None:
    made = [ok("a"), info("b"), warning("c", "x"), error("d", "x", "mend it")]
    assert [each.severity for each in made] == list(Severity)
    assert [each.severity.exit_status for each in made] == [0, 0, 1, 2]
    assert str(made[-1]) == "d (got x); mend it"


def test_the_shipped_family_is_verified_where_no_configuration_names_one(tmp_path: Path) -> None:
    findings = found(
        device(tmp_path, {}, {"models verify": Outcome(0, "as made\n")}), "files.family"
    )
    assert findings
    assert all(each.what == "as made" for each in findings)
    assert any(folder.is_dir() for folder in SHIPPED)


def test_a_classifier_is_found_as_the_daemon_finds_it(tmp_path: Path, family: Family) -> None:
    store = tmp_path / "teach"
    classifier = made(store)
    with_version(classifier, family)
    classifier.deploy()
    views = "cameras: {yard: {source: synthetic, views: {gate: {model: gate}}}}\n"
    subject = device(tmp_path, config(views), environ={"STATE_DIRECTORY": str(tmp_path)})
    assert [each.severity for each in found(subject, "files.family")] == [Severity.OK]
    path = next(classifier.folder.glob("versions/1/head_*"))
    path.write_bytes(b"damaged")
    damaged, verified = found(subject, "files.family")
    assert (damaged.severity, verified.severity) == (ERROR, Severity.OK)
    assert damaged.what.startswith(f"view yard/gate runs imagenette, not gate: {path}: the file is")
    assert "edged teach gate back" in damaged.what
