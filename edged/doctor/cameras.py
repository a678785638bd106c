"""Cameras: permissions, other programs that use them, and the software that reads them."""

from __future__ import annotations

import grp
import os
import re
from collections.abc import Iterator
from pathlib import Path

from edged.capture.sources.v4l2.discovery import holders
from edged.doctor.account import READ, WRITE
from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.runtime import diagnosis, imported, unseen
from edged.doctor.subject import Subject
from edged.state import in_container

_GSTREAMER_SECONDS = 30.0
_GSTREAMER = (
    "sudo apt install gstreamer1.0-tools gstreamer1.0-plugins-base gstreamer1.0-plugins-good"
)
_ELEMENTS = {
    "csi": ("nvarguscamerasrc", "sudo apt install nvidia-l4t-gstreamer"),
    "libcamera": ("libcamerasrc", "sudo apt install gstreamer1.0-libcamera"),
}
"""By the prefix of the source."""


def devices(subject: Subject) -> Iterator[Finding]:
    """Devices in the configuration, or all without one. `edged check` warns of missing ones."""
    named = set(subject.uses("v4l2"))
    cameras = [] if subject.config is None else subject.config.cameras
    paths = [Path(each.capture.source) for each in cameras if each.name in named]
    nodes = [subject.root / path.relative_to("/") for path in paths]
    if subject.config is None:
        nodes = sorted((subject.root / "dev").glob("video*"))
    nodes = [node for node in nodes if node.exists()]
    if not nodes and subject.config is None:
        fix = "check whether the system detects one: lsusb"
        yield info("no V4L2 camera found", "no /dev/video*", fix)
    good = []
    for node in nodes:
        problems = list(_problems(subject, node))
        yield from problems
        if not problems:
            good.append(f"/{node.relative_to(subject.root)}")
    if good:
        scope = "" if os.geteuid() == 0 else " (of this user; check others with sudo)"
        yield ok(f"{', '.join(good)}: accessible, and not in use by another program{scope}")


def _problems(subject: Subject, node: Path) -> Iterator[Finding]:
    name = f"/{node.relative_to(subject.root)}"
    if subject.account is not None and not subject.account.may(node, READ | WRITE):
        yield _forbidden(subject, node, name, subject.account.name)
    real = f"/{os.path.relpath(os.path.realpath(node), os.path.realpath(subject.root))}"
    for holder in holders(real, subject.root / "proc"):
        if "edged.capture.worker" not in holder.command:
            what = f"{name}: in use by another program; edged cannot open it meanwhile"
            who = f"{holder.command} (pid {holder.pid})"
            yield warning(what, who, f"stop it: sudo kill {holder.pid}")


def _forbidden(subject: Subject, node: Path, name: str, user: str) -> Finding:
    status = node.stat()
    try:
        group = grp.getgrgid(status.st_gid).gr_name
    except KeyError:
        group = str(status.st_gid)
    got = f"group {group}, mode {status.st_mode & 0o777:o}"
    if status.st_mode & 0o060 != 0o060:
        fix = f"allow its group: sudo chmod g+rw {name} (permanently: with a udev rule)"
    elif in_container(subject.environ):
        fix = f"start the container with --group-add $(stat -c %g {name})"
    elif subject.unit is not None:
        fix = f"sudo systemctl edit edged: [Service] SupplementaryGroups={group}"
    else:
        fix = f"sudo usermod -aG {group} {user}, then log in again"
    return error(f"{name}: {user} has no permission for this camera", got, fix)


def gstreamer(subject: Subject) -> Iterator[Finding]:
    wanted = subject.uses("gstreamer")
    outcome = subject.run(["gst-launch-1.0", "--version"], _GSTREAMER_SECONDS)
    if outcome.status != 0 and wanted:
        what = f"GStreamer is not installed; needed by {', '.join(wanted)}"
        yield error(what, outcome.said, _GSTREAMER)
    elif outcome.status != 0:
        what = "GStreamer is not installed; only gst:, csi and libcamera sources need it"
        yield info(what, outcome.said)
    else:
        version = re.search(r"GStreamer (\S+)", outcome.out)
        yield ok(f"GStreamer {version[1] if version else ''} is installed")
        yield from _presets(subject)


def _presets(subject: Subject) -> Iterator[Finding]:
    cameras = () if subject.config is None else subject.config.cameras
    begin = {camera.capture.source.partition(":")[0] for camera in cameras}
    for word, (element, install) in _ELEMENTS.items():
        if word not in begin:
            continue
        found = subject.run(["gst-inspect-1.0", "--exists", element], _GSTREAMER_SECONDS)
        if found.status != 0:
            yield error(f"GStreamer lacks {element}, needed by {word}", None, install)
    if "csi" in begin and not (subject.root / "tmp/argus_socket").exists():
        fix = "sudo systemctl restart nvargus-daemon"
        yield error("the Jetson's camera service is not running", "no /tmp/argus_socket", fix)


def picamera2(subject: Subject) -> Iterator[Finding]:
    outcome = imported(subject, "picamera2")
    problem = diagnosis(outcome, "picamera2", None, subject.version("numpy"))
    wanted = subject.uses("picamera2")
    if problem is None:
        yield ok(f"picamera2 {outcome.out}")
        return
    seen = unseen(subject, "picamera2", problem, "sudo apt install python3-picamera2")
    if wanted:
        yield error(f"{seen.what}; needed by {', '.join(wanted)}", seen.got, seen.fix)
    else:
        yield info(f"{seen.what}; only the source picamera2 needs it", seen.got, seen.fix)
