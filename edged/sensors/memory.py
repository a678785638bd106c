"""How much memory the device has left; what the daemon itself takes is in `process_…`."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from edged.sensors.reading import Gauge, read_text


class Memory:
    def __init__(self, root: Path) -> None:
        self._file = root / "proc/meminfo"

    def read(self) -> Iterable[Gauge]:
        fields = dict(re.findall(r"^(\w+): +(\d+) kB", read_text(self._file) or "", re.MULTILINE))
        for field, name, documentation in (
            ("MemAvailable", "edged_memory_available_bytes", "What can be had without swapping."),
            ("MemTotal", "edged_memory_total_bytes", "What the kernel has to give."),
        ):
            values: dict[tuple[str, ...], float] = {}
            if field in fields:
                values[()] = 1024.0 * int(fields[field])
            yield Gauge(name, documentation, (), values)
