"""Folders that stand for a device with its programs, as the doctor sees them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from edged.doctor.child import Outcome
from edged.doctor.doctor import CHECKS, examine
from edged.doctor.finding import Finding, Severity
from edged.doctor.subject import Subject, subject_of
from edged.service.install import Service, unit_text
from tests.rig.device_files import make_files

INFO, WARNING, ERROR = Severity.INFO, Severity.WARNING, Severity.ERROR


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


def lay(root: Path, files: Mapping[str, str]) -> dict[str, str]:
    """Links are made here; what is left are files."""
    links = {name: text[3:] for name, text in files.items() if text.startswith("-> ")}
    for name, target in links.items():
        (root / name).parent.mkdir(parents=True)
        (root / name).symlink_to(target)
    return {name: text for name, text in files.items() if name not in links}


def found(subject: Subject, check: str) -> list[Finding]:
    return [finding for _, finding in examine(subject, {check: CHECKS[check]})]
