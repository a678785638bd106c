"""A simulated V4L2 driver: answers ioctls with the structs of linux/videodev2.h."""

from __future__ import annotations

import errno
import struct
from dataclasses import dataclass, field
from typing import TypeVar

Item = TypeVar("Item")
Sizes = dict[tuple[int, ...], "list[float] | tuple[float, float]"]

CAPTURE, M2M, METADATA, OUTPUT = 0x1, 0x8000, 0x00800000, 0x2
DEVICE_CAPS = 0x80000000
INTEGER, BOOLEAN, MENU, BUTTON, CLASS, STRING, BITMASK, INTEGER_MENU = 1, 2, 3, 4, 6, 7, 8, 9
DISABLED, READ_ONLY, INACTIVE, WRITE_ONLY = 0x1, 0x4, 0x10, 0x40


@dataclass
class PaperControl:
    """A control, as the driver keeps it."""

    name: str
    least: int = 0
    most: int = 255
    value: int = 0
    kind: int = INTEGER
    step: int = 1
    flags: int = 0
    menu: dict[int, str | int] = field(default_factory=dict)
    becomes: int | None = None
    """What the driver makes of any value, if it does not keep what it is told."""
    errno: int | None = None
    """How setting it fails."""
    frees: str | None = None
    """The control that is active only while this one is 1."""


@dataclass
class PaperDriver:
    """sizes: by format, then by (width, height), frames per second; a size may be a range."""

    sizes: dict[str, Sizes] = field(default_factory=dict)
    controls: list[PaperControl] = field(default_factory=list)
    driver: str = "uvcvideo"
    card: str = "HD Camera"
    node_caps: int = CAPTURE
    bytes_per_line: int = 0
    buffer_type: int = 1
    endless: bool = False
    asked: list[int] = field(default_factory=list)
    closed: bool = False

    def __enter__(self) -> PaperDriver:
        return self

    def __exit__(self, *_: object) -> None:
        self.closed = True

    def ioctl(self, request: int, argument: bytes) -> bytes:
        assert len(argument) == request >> 16 & 0x3FFF  # the size is part of the number
        self.asked.append(request)
        answer = {
            0x80685600: self._capability,
            0xC0405602: self._format,
            0xC02C564A: self._size,
            0xC034564B: self._interval,
            0xC0D05604: self._present_format,
            0xC0445624: self._control,
            0xC02C5625: self._menu_item,
            0xC008561B: self._get,
            0xC008561C: self._set,
        }[request](argument)
        assert len(answer) == len(argument)
        return answer

    def _capability(self, _: bytes) -> bytes:
        whole = DEVICE_CAPS | CAPTURE | METADATA
        names = self.driver.encode(), self.card.encode(), b"usb-0000:01:00.0-1.2"
        return struct.pack("=16s32s32sIII12x", *names, 0x060600, whole, self.node_caps)

    def _format(self, argument: bytes) -> bytes:
        index, kind = struct.unpack_from("=II", argument)
        if kind != self.buffer_type:
            raise OSError(errno.EINVAL, "Invalid argument")
        name = self._at(list(self.sizes), 0 if self.endless else index)
        return struct.pack("=III32s4s16x", index, kind, 0, b"a format", name.encode().ljust(4))

    def _size(self, argument: bytes) -> bytes:
        index, code = struct.unpack_from("=I4s", argument)
        sizes = list(self.sizes[code.decode().strip()])
        sides = self._at(sizes, 0 if self.endless else index)
        kind = 1 if len(sides) == 2 else 3
        return struct.pack("=I4sI6I8x", index, code, kind, *sides, *[0] * (6 - len(sides)))

    def _interval(self, argument: bytes) -> bytes:
        index, code, width, height = struct.unpack_from("=I4sII", argument)
        sizes = self.sizes[code.decode().strip()]
        rates = next(
            (fps for sides, fps in sizes.items() if (width, height) in (sides, sides[1:5:3])), None
        )
        if rates is None:
            raise OSError(errno.EINVAL, "Invalid argument")
        if isinstance(rates, tuple):  # continuous: from the shortest to the longest interval
            self._at([0], index)
            fastest, slowest = max(rates), min(rates)
            parts = (1000, round(fastest * 1000), 1000, round(slowest * 1000), 1, 1000)
            return struct.pack("=I4sIII6I8x", index, code, width, height, 2, *parts)
        fps = self._at(rates, 0 if self.endless else index)
        parts = (1000, round(fps * 1000), 0, 0, 0, 0)
        return struct.pack("=I4sIII6I8x", index, code, width, height, 1, *parts)

    def _present_format(self, argument: bytes) -> bytes:
        (kind,) = struct.unpack_from("=I", argument)
        if kind != self.buffer_type:
            raise OSError(errno.EINVAL, "Invalid argument")
        if kind == 9:  # v4l2_pix_format_mplane: width, height, format, field, colours, planes
            pixels = struct.pack("=II4sIIII", 0, 0, b"", 0, 0, 0, self.bytes_per_line)
        else:
            pixels = struct.pack("=II4sIII", 0, 0, b"", 0, self.bytes_per_line, 0)
        return (struct.pack("=II", kind, 0) + pixels).ljust(208, b"\0")

    def _control(self, argument: bytes) -> bytes:
        (number,) = struct.unpack_from("=I", argument)
        if number & 0x80000000:
            place = (number & 0x7FFFFFFF) - 0x980900 + 1 if number != 0x80000000 else 0
        else:
            place = number - 0x980900
        it = self._at(self.controls, max(place, 0))
        number = 0x980900 + max(place, 0)
        values = it.least, it.most, it.step, it.value, it.flags
        return struct.pack("=II32siiiiI8x", number, it.kind, it.name.encode(), *values)

    def _menu_item(self, argument: bytes) -> bytes:
        number, index = struct.unpack_from("=II", argument)
        it = self.controls[number - 0x980900]
        if index not in it.menu:
            raise OSError(errno.EINVAL, "Invalid argument")
        item = it.menu[index]
        name = item.encode() if isinstance(item, str) else struct.pack("=q", item)
        return struct.pack("=II32s4x", number, index, name)

    def _get(self, argument: bytes) -> bytes:
        number, _ = struct.unpack("=Ii", argument)
        it = self.controls[number - 0x980900]
        if it.flags & WRITE_ONLY or it.kind == BUTTON:
            raise OSError(errno.EACCES, "Permission denied")
        return struct.pack("=Ii", number, it.value)

    def _set(self, argument: bytes) -> bytes:
        number, value = struct.unpack("=Ii", argument)
        it = self.controls[number - 0x980900]
        if it.errno is not None:
            raise OSError(it.errno, "Input/output error")
        it.value = value if it.becomes is None else it.becomes
        for other in self.controls:
            if other.name == it.frees:
                other.flags = other.flags & ~INACTIVE | (INACTIVE if value != 1 else 0)
        return argument

    @staticmethod
    def _at(items: list[Item], index: int) -> Item:
        if index >= len(items):
            raise OSError(errno.EINVAL, "Invalid argument")
        return items[index]


WEBCAM: dict[str, Sizes] = {
    "MJPG": {(1920, 1080): [30.0], (1280, 720): [60.0, 30.0], (640, 480): [30.0]},
    "YUYV": {(1280, 720): [10.0], (640, 480): [30.0, 15.0], (320, 240): [30.0]},
}
