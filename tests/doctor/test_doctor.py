"""Every check of the doctor, provoked on a folder that stands for the device, and on a good one."""

from __future__ import annotations

import os
import re
import socket
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
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
from edged.service.install import Service, shipped, unit_text
from edged.variants.family import SHIPPED
from tests.rig.device_files import make_files
from tests.rig.families import make_family
from tests.rig.paths import PROJECT

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR

LIST = PROJECT / "tests" / "device" / "README.md"
ETC_UNIT = "etc/systemd/system/edged.service"
PACKAGED = "usr/lib/systemd/system/edged.service"
CONFIG = "etc/edged/edged.yaml"
SYNTHETIC = "cameras: {door: {source: synthetic}}\nhttp: {listen: none}\n"
OURS = unit_text(Service(Path("/opt/edged/bin/python3"), user="nobody"))
"""As installed by pip; `nobody` is there on every system, and is not who runs the tests."""
MISSING = "Traceback (most recent call last):\nModuleNotFoundError: No module named '{}'\n"
GOOD_PI = {
    "sys/firmware/devicetree/base/model": "Raspberry Pi 5 Model B Rev 1.0\0",
    "sys/devices/platform/soc/soc:firmware/get_throttled": "0\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_governor": "ondemand\n",
    "sys/devices/system/cpu/cpufreq/policy0/scaling_max_freq": "2400000\n",
    "sys/devices/system/cpu/cpufreq/policy0/cpuinfo_max_freq": "2400000\n",
    "sys/fs/cgroup/cgroup.controllers": "cpu io memory pids\n",
    "proc/cpuinfo": "Features\t: fp asimd crc32 asimdhp asimddp\n",
    "proc/meminfo": "MemTotal: 8000000 kB\nMemAvailable: 7000000 kB\n"
    "SwapTotal: 200000 kB\nSwapFree: 200000 kB\n",
    "proc/77/environ": "DOOR=secret-of-the-door\0",
    CONFIG: SYNTHETIC,
    ETC_UNIT: OURS,
}
JETSON = {"etc/nv_tegra_release": "# R36 (release), REVISION: 4.0\n"}
RUNS = "ActiveState=active\nSubState=running\nResult=success\nNRestarts=0\nMainPID=77\n"


class Programs:
    """Answers for a command that contains a key; all others succeed, and packages are there."""

    def __init__(self, answers: Mapping[str, Outcome]) -> None:
        self._answers = answers

    def __call__(self, command: Sequence[str], seconds: float) -> Outcome:
        asked = " ".join(command)
        good = Outcome(0, "1.2.3 /usr/lib/module.py\n")
        return next((answer for key, answer in self._answers.items() if key in asked), good)


def device(
    root: Path,
    files: Mapping[str, str],
    answers: Mapping[str, Outcome] | None = None,
    environ: Mapping[str, str] | None = None,
) -> Subject:
    return subject_of(
        None,
        {"HOME": str(root / "home/pi")} if environ is None else environ,
        root=make_files(root, files),
        run=Programs(answers or {}),
        python=("python3",),
        module_path=(str(root / "site"),),
    )


def distribution(name: str, version: str) -> dict[str, str]:
    metadata = f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n"
    return {f"site/{name.replace('-', '_')}-{version}.dist-info/METADATA": metadata}


def cannot_import(module: str) -> dict[str, Outcome]:
    return {f"import {module} ": Outcome(1, err=MISSING.format(module))}


def config(text: str) -> dict[str, str]:
    return {CONFIG: text}


@dataclass(frozen=True)
class Trap:
    """said: a part of one finding of that severity."""

    check: str
    severity: Severity
    said: str
    files: Mapping[str, str] = field(default_factory=dict)
    answers: Mapping[str, Outcome] = field(default_factory=dict)


POLICY = "sys/devices/system/cpu/cpufreq/policy0/"
FLAGS = "sys/devices/platform/soc/soc:firmware/get_throttled"
TRAPS = [
    Trap(
        "system.dot_product",
        INFO,
        "INT8 networks may be slower",
        {"proc/cpuinfo": "Features\t: fp asimd crc32\n"},
    ),
    Trap(
        "system.memory",
        WARNING,
        "less than 256 MB of memory are available (got 100 of 500 MB",
        {"proc/meminfo": "MemTotal: 512000 kB\nMemAvailable: 102400 kB\n"},
    ),
    Trap(
        "system.memory",
        WARNING,
        "swap is nearly full",
        {
            "proc/meminfo": "MemTotal: 999999 kB\nMemAvailable: 800000 kB\n"
            "SwapTotal: 100000 kB\nSwapFree: 5000 kB\n"
        },
    ),
    Trap("system.memory", INFO, "cannot be read", {"proc/meminfo": "\n"}),
    Trap("power.throttling", ERROR, "under voltage, now", {FLAGS: "50001\n"}),
    Trap("power.throttling", WARNING, "under voltage, since boot", {FLAGS: "10000\n"}),
    Trap("power.throttling", WARNING, "throttled, now", {FLAGS: "4\n"}),
    Trap("power.throttling", WARNING, "throttled, since boot", {FLAGS: "40000\n"}),
    Trap("power.throttling", WARNING, "frequency capped, now", {FLAGS: "2\n"}),
    Trap("power.throttling", INFO, "soft temperature limit, since boot", {FLAGS: "80000\n"}),
    Trap(
        "power.throttling",
        ERROR,
        "under voltage, now",
        answers={"vcgencmd": Outcome(0, "throttled=0x1\n")},
    ),
    Trap(
        "power.governor",
        WARNING,
        "keeps the lowest clock (got powersave of policy0)",
        {POLICY + "scaling_governor": "powersave\n", POLICY + "scaling_driver": "cpufreq-dt\n"},
    ),
    Trap(
        "power.governor",
        INFO,
        "got 1500 of 2400 MHz",
        {POLICY + "scaling_max_freq": "1500000\n"},
    ),
    Trap(
        "power.mode",
        INFO,
        "keeps clocks or cores back (got 15W)",
        JETSON,
        {"nvpmodel": Outcome(0, "NV Power Mode: 15W\n0\n")},
    ),
    Trap(
        "power.mode",
        INFO,
        "is not known (got no answer within 10 s)",
        JETSON,
        {"nvpmodel": Outcome(None, problem="no answer within 10 s")},
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "av cannot be imported (got ModuleNotFoundError: No module named 'av'); python3 -m pip",
        answers=cannot_import("av"),
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "No module named 'av'); sudo apt install --reinstall ./edged_*.deb (",
        {PACKAGED: ""},
        cannot_import("av"),
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "cv2 was built for another NumPy (ABI) (got NumPy 2.3.1; compiled using NumPy 1)",
        distribution("numpy", "2.3.1"),
        {
            "import cv2 ": Outcome(
                0, "4.8\n", "A module that was compiled using NumPy 1.x cannot be run in\n"
            )
        },
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "this OpenCV wheel needs a desktop",
        answers={
            "import cv2 ": Outcome(
                1,
                err="ImportError: libGL.so.1: cannot open shared object file: "
                "No such file or directory\n",
            )
        },
    ),
    Trap(
        "runtime.packages",
        ERROR,
        "jsonschema cannot be imported (got no answer within 60 s)",
        answers={"import jsonschema ": Outcome(None, problem="no answer within 60 s")},
    ),
    Trap(
        "runtime.onnxruntime",
        ERROR,
        "dies of an instruction that this processor does not have (got SIGILL)",
        answers={"import onnxruntime ": Outcome(-4)},
    ),
    Trap(
        "runtime.onnxruntime",
        ERROR,
        "dies with an illegal instruction on a Raspberry Pi 4 (got onnxruntime 1.21.0)",
        distribution("onnxruntime", "1.21.0"),
    ),
    Trap(
        "runtime.onnxruntime",
        ERROR,
        "dies when it is imported (got SIGSEGV)",
        answers={"import onnxruntime ": Outcome(-11)},
    ),
    Trap(
        "runtime.opencv_wheels",
        ERROR,
        "overwrite each other (got opencv-python 4.11.0, opencv-python-headless 4.12.0)",
        {
            **distribution("opencv-python", "4.11.0"),
            **distribution("opencv-python-headless", "4.12.0"),
        },
    ),
    Trap(
        "runtime.opencv_wheels",
        INFO,
        "needs a desktop's libraries",
        distribution("opencv-contrib-python", "4.11.0"),
    ),
    Trap(
        "runtime.tensorrt",
        INFO,
        "only a Jetson or another NVIDIA GPU",
        answers=cannot_import("tensorrt"),
    ),
    Trap(
        "runtime.tensorrt",
        WARNING,
        "networks run on the CPU: tensorrt is not installed",
        JETSON,
        cannot_import("tensorrt"),
    ),
    Trap(
        "runtime.tensorrt",
        WARNING,
        "(got /usr/lib/python3.10/dist-packages/tensorrt)",
        {**JETSON, "usr/lib/python3.10/dist-packages/tensorrt/__init__.py": ""},
        cannot_import("tensorrt"),
    ),
    Trap(
        "cameras.devices",
        ERROR,
        "/dev/video0: nobody has no permission to use the camera",
        {**config("cameras: {door: {source: /dev/video0}}\n"), "dev/video0": ""},
    ),
    Trap(
        "cameras.devices",
        WARNING,
        "another program has it; while that streams, edged cannot (got motion -n (pid 42))",
        {
            **config("cameras: {door: {source: /dev/video0}}\n"),
            "dev/video0": "",
            "proc/42/cmdline": "motion\0-n\0",
            "proc/42/fd/3": "-> /dev/video0",
        },
    ),
    Trap(
        "cameras.gstreamer",
        ERROR,
        "no GStreamer, which door needs (got gst-launch-1.0: No such file",
        config("cameras: {door: {source: csi}}\n"),
        {"gst-launch": Outcome(None, problem="gst-launch-1.0: No such file or directory")},
    ),
    Trap(
        "cameras.gstreamer",
        INFO,
        "no GStreamer; only sources that begin with gst:",
        answers={"gst-launch": Outcome(None, problem="gst-launch-1.0: No such file")},
    ),
    Trap(
        "cameras.gstreamer",
        ERROR,
        "no libcamerasrc, which libcamera needs",
        config("cameras: {door: {source: libcamera}}\n"),
        {"--exists libcamerasrc": Outcome(1)},
    ),
    Trap(
        "cameras.gstreamer",
        ERROR,
        "the Jetson's camera service does not run",
        config("cameras: {door: {source: csi}}\n"),
    ),
    Trap(
        "cameras.picamera2",
        ERROR,
        "picamera2 is not installed; door needs it",
        config("cameras: {door: {source: picamera2}}\n"),
        cannot_import("picamera2"),
    ),
    Trap(
        "cameras.picamera2",
        INFO,
        "(got /usr/lib/python3/dist-packages/picamera2)",
        {"usr/lib/python3/dist-packages/picamera2/__init__.py": ""},
        cannot_import("picamera2"),
    ),
    Trap(
        "cameras.picamera2",
        INFO,
        "in /opt/edged/site-packages/libcamera/__init__.py",
        answers={
            "import picamera2 ": Outcome(
                1,
                err='  File "/usr/lib/python3/dist-packages/picamera2/__init__.py", line 4\n'
                '  File "/opt/edged/site-packages/libcamera/__init__.py", line 1\n'
                "ImportError: cannot import name 'controls'\n",
            )
        },
    ),
    Trap(
        "files.configuration",
        ERROR,
        "cameras.door.fbs: unknown key; did you mean fps?",
        config("cameras: {door: {source: synthetic, fbs: 3}}\n"),
    ),
    Trap(
        "files.configuration",
        WARNING,
        "/dev/video9: No such file or directory",
        config("cameras: {door: {source: /dev/video9}}\n"),
    ),
    Trap(
        "files.configuration",
        WARNING,
        "the variable GATE is not set; the service may have it",
        config("cameras: {door: {source: '${GATE}'}}\n"),
    ),
    Trap("files.configuration", ERROR, "the service's user nobody may not read it"),
    Trap(
        "files.family",
        ERROR,
        "there is no family",
        config(SYNTHETIC + "model: ./no-such-folder\n"),
    ),
    Trap(
        "files.family",
        ERROR,
        "a network kills ONNX Runtime on this processor (got SIGILL)",
        answers={"models verify": Outcome(-4)},
    ),
    Trap(
        "files.family",
        ERROR,
        "a.onnx: damaged",
        answers={"models verify": Outcome(2, err="edged: a.onnx: damaged\n")},
    ),
    Trap(
        "files.family",
        ERROR,
        "could not be verified (got no answer within 300 s)",
        answers={"models verify": Outcome(None, problem="no answer within 300 s")},
    ),
    Trap(
        "files.family",
        INFO,
        "not checked",
        config("cameras: {}\n"),
    ),
    Trap("files.state", WARNING, "a file is in the way", {"var/lib/edged": ""}),
    Trap("files.cache", WARNING, "a file is in the way", {"var/cache/edged": ""}),
    Trap(
        "network.port",
        ERROR,
        "203.0.113.7:9640 cannot be listened on (got Cannot assign requested address)",
        config("cameras: {door: {source: synthetic}}\nhttp: {listen: '203.0.113.7:9640'}\n"),
    ),
    Trap(
        "network.port",
        ERROR,
        "nobody may not listen on a port below 1024",
        config("cameras: {door: {source: synthetic}}\nhttp: {listen: '127.0.0.1:80'}\n"),
    ),
    Trap(
        "service.unit",
        WARNING,
        "differs from the shipped one (got WatchdogSec, Environment)",
        {ETC_UNIT: OURS.replace("WatchdogSec=10", "WatchdogSec=0") + "Environment=DOOR=hunter2\n"},
    ),
    Trap(
        "service.unit",
        WARNING,
        "hides the package's unit",
        {PACKAGED: shipped("edged.service")},
    ),
    Trap("service.unit", WARNING, "is masked", {ETC_UNIT: ""}),
    Trap("service.unit", WARNING, "the drop-in for a Jetson is not there", JETSON),
    Trap("service.unit", INFO, f"changed by /{ETC_UNIT}.d/a.conf", {f"{ETC_UNIT}.d/a.conf": ""}),
    Trap(
        "service.account",
        ERROR,
        "the service's user no-such-user is not there",
        {f"{ETC_UNIT}.d/who.conf": "[Service]\nUser=no-such-user\n"},
    ),
    Trap(
        "service.state",
        ERROR,
        "the service has failed (got exit-code)",
        answers={"systemctl": Outcome(0, "ActiveState=failed\nResult=exit-code\n")},
    ),
    Trap(
        "service.state",
        WARNING,
        "restarted 7 times",
        answers={"systemctl": Outcome(0, RUNS.replace("NRestarts=0", "NRestarts=7"))},
    ),
    Trap(
        "service.state",
        WARNING,
        "has not read the changed unit",
        answers={"systemctl": Outcome(0, RUNS + "NeedDaemonReload=yes\n")},
    ),
    Trap(
        "service.memory_limit",
        WARNING,
        "MemoryMax= of the unit has no effect",
        {"sys/fs/cgroup/cgroup.controllers": "cpu io pids\n"},
    ),
]
ELSEWHERE = {"system.bits", "system.clock", "system.confinement"}
"""Provoked below, by what a device cannot be given as a file."""


def lay(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Links are made here; what is left are files."""
    links = {name: text[3:] for name, text in files.items() if text.startswith("-> ")}
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).symlink_to(target)
    return {name: text for name, text in files.items() if name not in links}


def found(subject: Subject, check: str) -> list[Finding]:
    return [finding for _, finding in examine(subject, {check: CHECKS[check]})]


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
    assert "nobody may not write to it" in finding.what
    (finding,) = found(device(tmp_path, {}, environ={}), check)
    assert (finding.severity, finding.got) == (WARNING, "no HOME")


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
    assert (hung.status, hung.signal, hung.said) == (None, None, "no answer within 0.01 s")
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
