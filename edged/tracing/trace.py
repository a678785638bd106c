"""Full traces: what every variant would have taken on every frame, because a bench timed them all.

JSON lines, optionally gzipped. First `{"variants": [{"name", "top1", "p50_ms"}…], "interval_ms":
…}`, then per frame `{"wait_ms": …, "service_ms": [one per variant]}`. top1 is a share or a
percentage. What a daemon records is another format (recording.py), read with the same checks.
"""

from __future__ import annotations

import gzip
import logging
import math
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from edged.document.json_line import Line, parse_line
from edged.errors import InputError, cannot_read

log = logging.getLogger("edged.control.trace")


@dataclass(frozen=True, slots=True)
class TracedVariant:
    """p50_ms: on an undisturbed device. threads: of a run. joules: of a result; 0 where that is not
    known."""

    name: str
    top1: float
    p50_ms: float
    threads: int = 1
    joules: float = 0.0


@dataclass(frozen=True, slots=True)
class TracedFrame:
    """wait_ms: age at which the frame is ready to run. service_ms: one time per variant.

    limit_ms: what frame rate, temperature and other views allowed a run to take, where that was
    recorded.
    """

    captured_ms: float
    wait_ms: float
    service_ms: tuple[float, ...]
    limit_ms: float = math.inf


@dataclass(frozen=True, slots=True)
class FullTrace:
    variants: tuple[TracedVariant, ...]
    frames: tuple[TracedFrame, ...]


def read_lines(path: Path) -> Iterator[Line]:
    try:
        with gzip.open(path) if path.suffix == ".gz" else path.open("rb") as file:
            for number, line in enumerate(file, start=1):
                if not line.strip():
                    continue
                where = f"{path}:{number}"
                try:
                    parsed = parse_line(line, where, number)
                except InputError:
                    if line.endswith(b"\n") or number == 1:
                        raise
                    log.warning("%s: incomplete line ignored, as after a killed recording", where)
                    return
                yield parsed
    except (OSError, EOFError, zlib.error) as error:
        if isinstance(error, OSError) and error.strerror:
            raise cannot_read(path, error) from None
        raise InputError(f"cannot read the trace: {error}", where=path) from None


def full_trace(first: Line, lines: Iterator[Line]) -> FullTrace:
    interval_ms = first.number_at("interval_ms", above=True)
    variants = []
    for index, entry in enumerate(first.list_at("variants")):
        variant = first.inside(f"variants[{index}]", entry)
        variants.append(
            TracedVariant(
                variant.text_at("name"),
                variant.number_at("top1"),
                variant.number_at("p50_ms", above=True),
            )
        )
    names = [variant.name for variant in variants]
    for name in names:
        if names.count(name) > 1:
            raise first.error("a variant is listed twice", name)
    frames = []
    for index, line in enumerate(lines):
        service_ms = line.list_at("service_ms")
        if len(service_ms) != len(variants):
            raise line.error(
                f"`service_ms` must have {len(variants)} times, one per variant", len(service_ms)
            )
        times = tuple(line.check("service_ms", value) for value in service_ms)
        frames.append(TracedFrame(index * interval_ms, line.number_at("wait_ms"), times))
    if not frames:
        raise first.error("the trace has no frames")
    return FullTrace(tuple(variants), tuple(frames))
