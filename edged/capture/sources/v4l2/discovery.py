"""Lists attached V4L2 cameras, with stable paths and the processes that use them.

Cameras that only libcamera or Argus can read appear as sensors without a usable format. Nothing
here captures or changes a device.
"""

from __future__ import annotations

import os
import re
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from edged.capture.sources.v4l2.controls import Control, controls
from edged.capture.sources.v4l2.device import Device, PixelFormat, capability, formats, open_error
from edged.errors import EdgedError
from edged.printable import printable
from edged.secret import redact

IN_USE = "cannot be opened for capture; it may be in use by another program"
_LONGEST_COMMAND = 60
_PROCESSORS = frozenset(("bcm2835-isp", "pispbe"))
"""Drivers of image processors, which are not cameras."""


class OpenDevice(Protocol):
    def ioctl(self, request: int, argument: bytes) -> bytes: ...


Opener = Callable[[str], AbstractContextManager[OpenDevice]]


@dataclass(frozen=True, slots=True)
class Holder:
    pid: int
    command: str


@dataclass(frozen=True, slots=True)
class AttachedCamera:
    """source: for the configuration. problem: why the rest is unknown."""

    node: str
    source: str
    driver: str = ""
    card: str = ""
    formats: tuple[PixelFormat, ...] = ()
    controls: tuple[Control, ...] = ()
    holders: tuple[Holder, ...] = ()
    problem: str | None = None


def attached(
    root: Path = Path("/"), open_device: Opener = Device
) -> tuple[list[AttachedCamera], list[str]]:
    """(cameras, nodes that do not capture), each by number."""
    found: list[AttachedCamera] = []
    left_out: list[str] = []
    nodes = [path for path in (root / "dev").glob("video*") if path.name[5:].isdecimal()]
    for path in sorted(nodes, key=lambda path: int(path.name[5:])):
        camera = _camera(path, root, open_device)
        if camera is None:
            left_out.append(f"/dev/{path.name}")
        else:
            found.append(camera)
    return found, left_out


def _camera(path: Path, root: Path, open_device: Opener) -> AttachedCamera | None:
    """None for a node that does not capture."""
    node = f"/dev/{path.name}"
    source = stable_link(path, root) or node
    held_by = tuple(holders(node, root / "proc"))
    try:
        with open_device(str(path)) as device:
            said = capability(device.ioctl)
            if not said.captures or said.driver in _PROCESSORS:
                return None
            return AttachedCamera(
                node,
                source,
                said.driver,
                said.card,
                formats(device.ioctl, said.buffer_type),
                tuple(controls(device.ioctl)),
                held_by,
            )
    except OSError as error:
        problem: EdgedError = open_error(error, str(path))
        text = problem.what + (f"; {problem.fix}" if problem.fix else "")
        name = printable("".join(_lines(root / "sys/class/video4linux" / path.name / "name")))
        return AttachedCamera(node, source, card=name, holders=held_by, problem=text)


def stable_link(device: Path, root: Path = Path("/")) -> str | None:
    """The link in /dev/v4l that is stable across restarts; by-id is preferred to by-path.

    None if two devices claim the same link, as cameras without a serial number do: it points to
    the last one.
    """
    claims = Counter(
        line[2:]
        for entry in (root / "run/udev/data").glob("c*:*")
        for line in _lines(entry)
        if line.startswith("S:v4l/")
    )
    for kind in ("by-id", "by-path"):
        for link in sorted((root / "dev/v4l" / kind).glob("*")):
            name = f"v4l/{kind}/{link.name}"
            if claims[name] <= 1 and os.path.realpath(link) == os.path.realpath(device):
                return f"/dev/{name}"
    return None


def holders(node: str, proc: Path = Path("/proc")) -> Iterator[Holder]:
    """Other processes with the device open, as far as this user can see."""
    for process in sorted(proc.glob("[0-9]*")):
        if process.name == str(os.getpid()):
            continue
        try:
            if any(str(fd.readlink()) == node for fd in (process / "fd").iterdir()):
                yield Holder(int(process.name), _command(process))
        except OSError:  # another user's, or it has ended
            continue


def _command(process: Path) -> str:
    words = re.sub(r"[^ -~]+", " ", " ".join(_lines(process / "cmdline"))).strip()
    return redact(words)[:_LONGEST_COMMAND] or printable("".join(_lines(process / "comm")))


def _lines(path: Path) -> list[str]:
    try:
        return path.read_text(errors="replace").splitlines()
    except OSError:
        return []
