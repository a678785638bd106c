"""Capabilities and formats of a V4L2 device: the ioctls of linux/videodev2.h.

Sizes and numbers are those of 64-bit Linux, the same on x86-64 and aarch64. Imports no heavy
library.
"""

from __future__ import annotations

import errno
import fcntl
import grp
import os
import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from edged.capture.source import Failure, SourceError

Ioctl = Callable[[int, bytes], bytes]
"""(request, struct) → struct as returned by the driver. Raises OSError."""

QUERYCAP, ENUM_FMT, G_FMT = 0x80685600, 0xC0405602, 0xC0D05604
ENUM_FRAMESIZES, ENUM_FRAMEINTERVALS = 0xC02C564A, 0xC034564B
_CAPABILITY = struct.Struct("=16s32s32sIII12x")
_FORMAT_DESCRIPTION = struct.Struct("=III32s4s16x")
_FRAME_SIZE = struct.Struct("=III6I8x")
_FRAME_INTERVAL = struct.Struct("=IIIII6I8x")
_FORMAT_BYTES = 208
_AT_PIXELS, _AT_PLANES = 8 + 16, 8 + 24
"""Offsets of bytesperline in v4l2_format: in v4l2_pix_format, and in the first plane's format."""
_CAPTURE, _CAPTURE_PLANES = 1, 9  # enum v4l2_buf_type
_DISCRETE = 1  # the same number for sizes and for intervals
_CAN_CAPTURE = 0x1 | 0x1000  # V4L2_CAP_VIDEO_CAPTURE, V4L2_CAP_VIDEO_CAPTURE_MPLANE
_MULTI_PLANAR = 0x1000
_HAS_DEVICE_CAPS = 0x80000000
_MOST_LISTED = 256
"""Guards against drivers with endless lists."""


class Device:
    """An open device node, in addition to that of the capture."""

    def __init__(self, path: str) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_NONBLOCK | os.O_CLOEXEC)

    def __enter__(self) -> Device:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def ioctl(self, request: int, argument: bytes) -> bytes:
        return fcntl.ioctl(self._fd, request, argument)


@dataclass(frozen=True, slots=True)
class Capability:
    """Of a device node. buffer_type: for requests about its formats."""

    driver: str
    card: str
    captures: bool
    buffer_type: int = _CAPTURE

    @classmethod
    def parse(cls, answer: bytes) -> Capability:
        """From VIDIOC_QUERYCAP. A camera has further nodes, for metadata, that do not capture."""
        driver, card, _, _, whole, node = _CAPABILITY.unpack(answer)
        flags = node if whole & _HAS_DEVICE_CAPS else whole
        buffer_type = _CAPTURE_PLANES if flags & _MULTI_PLANAR else _CAPTURE
        return cls(text(driver), text(card), bool(flags & _CAN_CAPTURE), buffer_type)


@dataclass(frozen=True, slots=True)
class FrameSize:
    """A size of pictures, or a range of sizes. fps: rates at the largest size, fastest first.
    in_range: fps are the ends of a range.
    """

    smallest: tuple[int, int]
    largest: tuple[int, int]
    fps: tuple[float, ...]
    in_range: bool = False

    def holds(self, size: tuple[int, int]) -> bool:
        return all(
            low <= side <= high
            for low, side, high in zip(self.smallest, size, self.largest, strict=True)
        )

    @property
    def rates(self) -> str:
        """`30, 15 fps`, `60 to 1 fps`; empty if the driver does not list them."""
        numbers = (" to " if self.in_range else ", ").join(f"{fps:.3g}" for fps in self.fps)
        return numbers and f"{numbers} fps"

    def __str__(self) -> str:
        """`640x480`, `48x32 to 3840x2160`."""
        sizes = (f"{width}x{height}" for width, height in (self.smallest, self.largest))
        return " to ".join(dict.fromkeys(sizes))


@dataclass(frozen=True, slots=True)
class PixelFormat:
    """sizes: empty if the driver does not list them."""

    name: str
    sizes: tuple[FrameSize, ...]

    def at(self, size: tuple[int, int]) -> FrameSize | None:
        return next((each for each in self.sizes if each.holds(size)), None)


def capability(ioctl: Ioctl) -> Capability:
    """Raises OSError if it is not a V4L2 device."""
    return Capability.parse(ioctl(QUERYCAP, bytes(_CAPABILITY.size)))


def formats(ioctl: Ioctl, buffer_type: int = _CAPTURE) -> tuple[PixelFormat, ...]:
    """The device's formats in the driver's order, one entry per name."""
    found: dict[str, PixelFormat] = {}
    for index in range(_MOST_LISTED):
        answer = _ask(ioctl, ENUM_FMT, _FORMAT_DESCRIPTION.pack(index, buffer_type, 0, b"", b""))
        if answer is None:
            break
        code = _FORMAT_DESCRIPTION.unpack(answer)[-1]
        name = fourcc_name(int.from_bytes(code, "little"))
        if name not in found:
            found[name] = PixelFormat(name, tuple(_frame_sizes(ioctl, code)))
    return tuple(found.values())


def _frame_sizes(ioctl: Ioctl, code: bytes) -> Iterator[FrameSize]:
    number = int.from_bytes(code, "little")
    for index in range(_MOST_LISTED):
        answer = _ask(ioctl, ENUM_FRAMESIZES, _FRAME_SIZE.pack(index, number, *[0] * 7))
        if answer is None:
            return
        _, _, kind, *sides = _FRAME_SIZE.unpack(answer)
        if kind == _DISCRETE:
            smallest = largest = (sides[0], sides[1])
        else:  # minimum, maximum, step of each side
            smallest, largest = (sides[0], sides[3]), (sides[1], sides[4])
        yield FrameSize(smallest, largest, *_rates(ioctl, number, largest))
        if kind != _DISCRETE:
            return


def _rates(ioctl: Ioctl, number: int, size: tuple[int, int]) -> tuple[tuple[float, ...], bool]:
    """(frames per second, fastest first; whether they are the ends of a range)."""
    fps: set[float] = set()
    for index in range(_MOST_LISTED):
        question = _FRAME_INTERVAL.pack(index, number, *size, 0, *[0] * 6)
        answer = _ask(ioctl, ENUM_FRAMEINTERVALS, question)
        if answer is None:
            break
        _, _, _, _, kind, *parts = _FRAME_INTERVAL.unpack(answer)
        seconds = list(zip(parts[::2], parts[1::2], strict=True))  # as fractions
        shown = seconds[:1] if kind == _DISCRETE else seconds[:2]
        fps.update(below / above for above, below in shown if above and below)
        if kind != _DISCRETE:
            return tuple(sorted(fps, reverse=True)), len(fps) > 1
    return tuple(sorted(fps, reverse=True)), False


def bytes_per_line(ioctl: Ioctl, buffer_type: int = _CAPTURE) -> int:
    """Of the current format's first plane, with padding; 0 if unknown."""
    answer = _ask(ioctl, G_FMT, buffer_type.to_bytes(4, "little") + bytes(_FORMAT_BYTES - 4))
    if answer is None:
        return 0
    at = _AT_PLANES if buffer_type == _CAPTURE_PLANES else _AT_PIXELS
    return int.from_bytes(answer[at : at + 4], "little")


def _ask(ioctl: Ioctl, request: int, question: bytes) -> bytes | None:
    """None at the end of a list (EINVAL), and for an unsupported request (ENOTTY)."""
    try:
        return ioctl(request, question)
    except OSError:
        return None


def open_error(error: OSError, path: str) -> SourceError:
    """Why a device node could not be opened, and what to do about it."""
    group = _group(path)
    join = f"add the user to the group {group}: sudo usermod -aG {group} $USER"
    in_container = f"for a container: --group-add $(stat -c %g {path})"
    what, fix = {
        errno.ENOENT: (
            "no such device; is the camera plugged in?",
            "list devices with: edged cameras",
        ),
        errno.EACCES: (
            "no permission to use the camera",
            f"{join} (for a service: SupplementaryGroups={group}; {in_container})",
        ),
        errno.EPERM: (
            "the system denies access to the camera",
            f"give the service or container access: DeviceAllow={path} or --device {path}",
        ),
        errno.EBUSY: ("the camera is in use by another program", "see which: edged cameras"),
        errno.ENODEV: ("the camera has disappeared; is it unplugged?", None),
        errno.ENXIO: ("the camera has disappeared; is it unplugged?", None),
    }.get(error.errno or 0, (f"cannot be opened: {error.strerror}", None))
    return SourceError(Failure.OPEN_FAILED, what, where=path, fix=fix)


def _group(path: str) -> str:
    """The group of the device; `video` on common distributions."""
    try:
        return grp.getgrgid(Path(path).stat().st_gid).gr_name
    except (OSError, KeyError):
        return "video"


def fourcc_name(code: int) -> str:
    """`MJPG` for its code; the highest bit marks a big-endian variant."""
    name = text((code & 0x7FFFFFFF).to_bytes(4, "little")).strip()
    return f"{name}-BE" if code & 0x80000000 else name


def text(field: bytes) -> str:
    """A C string of fixed width, without unprintable characters."""
    words = field.split(b"\0", 1)[0].decode("utf-8", "replace")
    return "".join(char for char in words if char.isprintable())
