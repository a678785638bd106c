"""The device's hardware decoder: whether there is one, and what it saves."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from edged.capture.sources.hardware.decoders import found
from edged.doctor.child import Run
from edged.doctor.finding import Finding, info, ok, warning
from edged.doctor.subject import Subject

_INSPECT_SECONDS = 30.0
_MEASURE_SECONDS = 120.0


class Measured(NamedTuple):
    """element: of H.264, as in GStreamer. Processor time per frame of 1920x1080. why: it does not
    decode, else ""."""

    element: str
    software_ms: float = 0.0
    hardware_ms: float = 0.0
    why: str = ""

    @property
    def saves(self) -> bool:
        return not self.why and self.hardware_ms < self.software_ms

    def __str__(self) -> str:
        if self.why:
            return f"the hardware decoder {self.element} does not work"
        return (
            f"the hardware decoder {self.element} takes {self.hardware_ms:g} ms of processor time "
            f"per frame of H.264 (1920x1080), software {self.software_ms:g} ms"
        )


def measured(run: Run, python: Sequence[str]) -> Measured | None:
    """None without a hardware decoder."""

    def has(element: str) -> bool:
        return run(["gst-inspect-1.0", "--exists", element], _INSPECT_SECONDS).status == 0

    decoder = found("h264", has)
    if decoder is None:
        return None
    module = "edged.capture.sources.hardware.measure"
    outcome = run([*python, "-m", module], _MEASURE_SECONDS)
    try:
        return Measured(decoder.element, **json.loads(outcome.out))
    except (ValueError, TypeError):
        return Measured(decoder.element, why=outcome.said)


def check(subject: Subject) -> Iterator[Finding]:
    """Nothing for a configuration without compressed video."""
    compressed = subject.uses("rtsp", "file")
    if subject.config is not None and not compressed:
        return
    cameras = () if subject.config is None else subject.config.cameras
    decode = {each.name: each.capture.decode for each in cameras if each.name in compressed}
    asking = ", ".join(name for name, how in decode.items() if how == "hardware")
    others = ", ".join(name for name, how in decode.items() if how == "auto")
    found_one = measured(subject.run, subject.python)
    finding = warning if asking else info
    if found_one is None:
        cure = "remove decode: hardware, or install GStreamer's plug-in for it" if asking else None
        yield finding(
            "no hardware decoder was found",
            f"decode: hardware of {asking}" if asking else None,
            cure,
        )
    elif found_one.why:
        yield finding(str(found_one), found_one.why)
    elif not found_one.saves:
        yield finding(
            str(found_one), fix=f"remove decode: hardware of {asking}" if asking else None
        )
    elif others:
        yield info(str(found_one), fix=f"set decode: hardware for {others}")
    else:
        yield ok(str(found_one))
