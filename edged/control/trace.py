"""Trace files, JSON lines: what every variant took on every frame (full)."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class TracedVariant:
    name: str
    top1: float
    p50_ms: float


@dataclass(frozen=True, slots=True)
class TracedFrame:
    """wait_ms: age at which the frame is ready. service_ms: one time per variant."""

    wait_ms: float
    service_ms: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class FullTrace:
    variants: tuple[TracedVariant, ...]
    interval_ms: float
    frames: tuple[TracedFrame, ...]


def read_full_trace(path: Path) -> FullTrace:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "rt") as f:
        head = json.loads(next(f))
        frames = tuple(
            TracedFrame(r["wait_ms"], tuple(r["service_ms"])) for r in map(json.loads, f)
        )
    return FullTrace(
        tuple(TracedVariant(**v) for v in head["variants"]), head["interval_ms"], frames
    )


def write_full_trace(path: Path, trace: FullTrace) -> None:
    opener = gzip.open if path.suffix == ".gz" else open
    with opener(path, "wt") as f:
        f.write(
            json.dumps(
                {
                    "variants": [
                        {"name": v.name, "top1": v.top1, "p50_ms": v.p50_ms} for v in trace.variants
                    ],
                    "interval_ms": trace.interval_ms,
                }
            )
            + "\n"
        )
        for r in trace.frames:
            f.write(json.dumps({"wait_ms": r.wait_ms, "service_ms": r.service_ms}) + "\n")
