"""Full traces on disk, as a bench writes them."""

from __future__ import annotations

import gzip
import io
import json
from pathlib import Path

from edged.tracing.trace import FullTrace


def write_full_trace(path: Path, trace: FullTrace) -> None:
    """Frames must come at a constant interval, which is all that the format can say."""
    interval_ms = trace.frames[1].captured_ms if len(trace.frames) > 1 else 1.0
    variants = [
        {"name": variant.name, "top1": variant.top1, "p50_ms": variant.p50_ms}
        for variant in trace.variants
    ]
    with io.StringIO() as text:
        text.write(json.dumps({"variants": variants, "interval_ms": interval_ms}) + "\n")
        for frame in trace.frames:
            values = {"wait_ms": frame.wait_ms, "service_ms": frame.service_ms}
            text.write(json.dumps(values, separators=(",", ":")) + "\n")
        content = text.getvalue().encode()
    if path.suffix == ".gz":
        content = gzip.compress(content, mtime=0)
    path.write_bytes(content)
