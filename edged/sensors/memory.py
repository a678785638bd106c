"""How much memory the device has left; what the daemon itself takes is in `process_…`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edged.sensors.reading import Gauge, read_text

AVAILABLE, TOTAL = "edged_memory_available_bytes", "edged_memory_total_bytes"

_FIELDS = re.compile(r"\n((?:Mem|Swap)(?:Total|Free|Available)): +(\d+) kB")


def meminfo(root: Path = Path("/")) -> dict[str, int]:
    """Memory and swap of /proc/meminfo in bytes; empty if it cannot be read."""
    text = read_text(root / "proc/meminfo") or ""
    return {name: 1024 * int(kilobytes) for name, kilobytes in _FIELDS.findall(f"\n{text}")}


class Memory:
    def __init__(self, root: Path) -> None:
        self._root = root

    def read(self) -> Iterable[Gauge]:
        fields = meminfo(self._root)
        for field, name, documentation in (
            ("MemAvailable", AVAILABLE, "Memory available without swapping."),
            ("MemTotal", TOTAL, "Memory that the kernel manages."),
        ):
            values: dict[tuple[str, ...], float] = {}
            if field in fields:
                values[()] = float(fields[field])
            yield Gauge(name, documentation, (), values)
