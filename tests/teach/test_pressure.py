"""Training waits while memory is short, and gives up in the end."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.teach.training.pressure import PATIENCE_SECONDS, Yielding, shortage

PLENTY, LITTLE = 1 << 20, 20 * 1024
"""kB available."""


def device(root: Path, available_kb: int, stalled: float | None = 0.0) -> Path:
    (root / "proc/pressure").mkdir(parents=True, exist_ok=True)
    (root / "proc/meminfo").write_text(f"MemTotal: 2000000 kB\nMemAvailable: {available_kb} kB\n")
    memory = root / "proc/pressure/memory"
    memory.unlink(missing_ok=True)
    if stalled is not None:
        memory.write_text(
            f"some avg10={stalled:.2f} avg60=0.00 avg300=0.00 total=1\n"
            "full avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"
        )
    return root


def test_what_counts_as_short(tmp_path: Path) -> None:
    assert shortage(device(tmp_path, PLENTY)) == ""
    assert shortage(device(tmp_path, PLENTY, None)) == ""
    assert shortage(tmp_path / "no proc") == ""
    assert shortage(device(tmp_path, LITTLE, None)) == "20 MB of memory available"
    assert shortage(device(tmp_path, PLENTY, 25)) == "programs wait for memory 25 % of the time"


class Time:
    """A clock that a wait moves on; after some waits memory is back."""

    def __init__(self, root: Path, waits: int) -> None:
        self.now = 100.0
        self.slept = 0
        self._root = root
        self._waits = waits

    def sleep(self, seconds: float) -> None:
        self.now += seconds
        self.slept += 1
        if self.slept == self._waits:
            device(self._root, PLENTY)


def yielding(root: Path, time: Time, told: list[str]) -> Yielding:
    return Yielding(told.append, root=root, clock=lambda: time.now, sleep=time.sleep)


def test_it_waits_until_there_is_memory(tmp_path: Path) -> None:
    time, told = Time(device(tmp_path, LITTLE), 5), list[str]()
    wait = yielding(tmp_path, time, told)
    wait()
    assert time.slept == 5
    assert told == ["20 MB of memory available"]
    device(tmp_path, LITTLE)
    wait()  # it has just looked
    assert time.slept == 5


def test_it_gives_up_with_a_message(tmp_path: Path) -> None:
    time = Time(device(tmp_path, LITTLE), 10**6)
    with pytest.raises(EdgedError, match=r"not enough memory.*20 MB.*stop other programs"):
        yielding(tmp_path, time, [])()
    assert time.slept == pytest.approx(PATIENCE_SECONDS, abs=2)
