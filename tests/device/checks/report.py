"""One line a check: whether it held, and the figure that was seen."""

from __future__ import annotations

import time


class Report:
    def __init__(self) -> None:
        self.held = 0
        self.failed = 0
        self._begun = time.monotonic()

    def check(self, what: str, held: bool, figure: object = "") -> None:
        seconds = time.monotonic() - self._begun
        print(f"{seconds:6.1f} s  {'ok  ' if held else 'FAIL'}  {what}: {figure}", flush=True)
        if held:
            self.held += 1
        else:
            self.failed += 1

    def note(self, text: str) -> None:
        """A figure that nothing is asked of."""
        print(f"{time.monotonic() - self._begun:6.1f} s        {text}", flush=True)

    def summary(self) -> str:
        return f"{self.held} passed, {self.failed} failed"
