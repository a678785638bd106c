"""Controls of a V4L2 camera by name: exposure, gain, focus and others.

Names are those of `v4l2-ctl -l`: `exposure_time_absolute` for "Exposure Time, Absolute". A value
that cannot be set is logged, not an error.
"""

from __future__ import annotations

import difflib
import re
import struct
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace

from edged.capture.sources.v4l2.device import Ioctl, text

QUERYCTRL, QUERYMENU, G_CTRL, S_CTRL = 0xC0445624, 0xC02C5625, 0xC008561B, 0xC008561C
_CONTROL = struct.Struct("=II32siiiiI8x")
_MENU_ITEM = struct.Struct("=II32s4x")
_VALUE = struct.Struct("=Ii")
_NEXT = 0x80000000  # V4L2_CTRL_FLAG_NEXT_CTRL
_INTEGER, _BOOLEAN, _MENU, _BUTTON, _BITMASK, _INTEGER_MENU = 1, 2, 3, 4, 8, 9
_SETTABLE = frozenset((_INTEGER, _BOOLEAN, _MENU, _BUTTON, _BITMASK, _INTEGER_MENU))
_DISABLED, _READ_ONLY, _INACTIVE, _WRITE_ONLY = 0x1, 0x4, 0x10, 0x40
_MOST_CONTROLS = 512
_MOST_ITEMS = 64
_RULED = "an automatic control overrides it"


@dataclass(frozen=True, slots=True)
class Control:
    """items: names of a menu's items by number."""

    id: int
    name: str
    kind: int
    least: int
    most: int
    step: int
    default: int
    flags: int
    items: Mapping[int, str]

    @property
    def rules_others(self) -> bool:
        """Whether it may override others, as switches and menus like `auto_exposure` do."""
        return self.kind in (_BOOLEAN, _MENU, _INTEGER_MENU)

    @property
    def range(self) -> str:
        """`0 to 255`, `0 to 100 by 5`, `1 (Manual Mode), 3 (Aperture Priority Mode)`."""
        if self.kind == _BUTTON:
            return "0 (button)"
        if self.kind == _BITMASK:
            return f"bits of {self.most & 0xFFFFFFFF:#x}"
        if self.items:
            return ", ".join(f"{number} ({name})" for number, name in self.items.items())
        by = f" by {self.step}" if self.step > 1 else ""
        return f"{self.least} to {self.most}{by}"

    def number(self, wish: int | str) -> int | None:
        """The value to set; None if the control does not have it."""
        if isinstance(wish, str):
            wish = next((n for n, item in self.items.items() if name_of(item) == name_of(wish)), -1)
            return None if wish < 0 else wish
        if self.kind == _BITMASK:  # signed here
            return (wish + 2**31) % 2**32 - 2**31 if 0 <= wish < 2**32 else None
        inside = wish in self.items if self.items else self.least <= wish <= self.most
        return int(wish) if inside else None


def controls(ioctl: Ioctl) -> list[Control]:
    """The controls that can be set, in the driver's order."""
    found: list[Control] = []
    control_id = 0
    for _ in range(_MOST_CONTROLS):
        control = _query(ioctl, control_id | _NEXT)
        if control is None or control.id <= control_id:
            break
        control_id = control.id
        if control.kind in _SETTABLE and not control.flags & (_DISABLED | _READ_ONLY):
            found.append(replace(control, items=dict(_items(ioctl, control))))
    return found


def apply(ioctl: Ioctl, wishes: Mapping[str, int | str]) -> Iterator[str]:
    """Set controls; one message for each that could not be set.

    Switches and menus go first: a driver refuses exposure_time_absolute while auto_exposure is on.
    """
    known = {control.name: control for control in controls(ioctl)}
    for name in wishes:
        if name not in known:
            yield f"no control {name}; {_instead(name, list(known))}"
    ordered = sorted((n for n in wishes if n in known), key=lambda n: not known[n].rules_others)
    for name in ordered:
        control, wish = known[name], wishes[name]
        number = control.number(wish)
        if number is None:
            yield f"control {name} cannot be set to {wish}; valid values: {control.range}"
        elif (problem := _set(ioctl, control, number)) is not None:
            yield f"control {name} was set to {wish}: {problem}"


def _instead(name: str, known: list[str]) -> str:
    close = difflib.get_close_matches(name, known, n=3, cutoff=0.5)
    if close:
        return f"did you mean {' or '.join(close)}?"
    return f"valid controls: {', '.join(known)}" if known else "the camera has no controls"


def _set(ioctl: Ioctl, control: Control, number: int) -> str | None:
    """Why the value is not set; None if it is."""
    try:
        ioctl(S_CTRL, _VALUE.pack(control.id, number))
        if control.kind == _BUTTON or control.flags & _WRITE_ONLY:
            return None
        _, now = _VALUE.unpack(ioctl(G_CTRL, _VALUE.pack(control.id, 0)))
    except OSError as error:
        refused = f"refused by the driver ({error.strerror})"
        return f"{refused}; {_RULED}" if _is_inactive(ioctl, control) else refused
    if _is_inactive(ioctl, control):
        return f"no effect; {_RULED}"
    return None if now == number else f"the driver changed it to {now}"


def _is_inactive(ioctl: Ioctl, control: Control) -> bool:
    """Query again, because other controls may have changed it."""
    now = _query(ioctl, control.id)
    return now is not None and bool(now.flags & _INACTIVE)


def _query(ioctl: Ioctl, control_id: int) -> Control | None:
    """None after the last control, and without controls."""
    try:
        answer = ioctl(QUERYCTRL, _CONTROL.pack(control_id, 0, b"", 0, 0, 0, 0, 0))
    except OSError:
        return None
    number, kind, name, least, most, step, default, flags = _CONTROL.unpack(answer)
    return Control(number, name_of(text(name)), kind, least, most, step, default, flags, {})


def _items(ioctl: Ioctl, control: Control) -> Iterator[tuple[int, str]]:
    """(number, name); menus have gaps, and the names of integer menus are 64-bit values."""
    if control.kind not in (_MENU, _INTEGER_MENU):
        return
    for index in range(max(0, control.least), min(control.most, _MOST_ITEMS) + 1):
        try:
            answer = ioctl(QUERYMENU, _MENU_ITEM.pack(control.id, index, b""))
        except OSError:
            continue
        name = _MENU_ITEM.unpack(answer)[2]
        if control.kind == _INTEGER_MENU:
            yield index, str(int.from_bytes(name[:8], "little", signed=True))
        else:
            yield index, text(name)


def name_of(shown: str) -> str:
    """As in v4l2-ctl: letters and digits, and an underscore for each run of other characters."""
    return re.sub(r"[^a-z0-9]+", "_", shown.lower()).strip("_")
