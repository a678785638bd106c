"""The status line of `systemctl status`: engine builds and views."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edged.variants.runtime import Engines

WINDOW_SECONDS = 60
"""The share on time covers the last one to two windows."""


@dataclass(frozen=True, slots=True)
class ViewNow:
    """trouble: why it is down, or None. variant: in use, "" before the first. frames: results and
    frames too late to run. on_time: results on time. Both counts are since the start.
    """

    name: str
    trouble: str | None
    variant: str
    frames: int
    on_time: int


def building(engines: Engines) -> str:
    """`building engine 2 of 4`; empty if none is being built."""
    left, of = engines.building, engines.of
    return f"building engine {of - left + 1} of {of}" if left else ""


class StatusLine:
    def __init__(self) -> None:
        self._begun_ns: int | None = None
        self._since: Mapping[str, tuple[int, int]] = {}
        self._later: Mapping[str, tuple[int, int]] = {}

    def text(self, views: Iterable[ViewNow], now_ns: int) -> str:
        """`door: mobilenet_v1_0.5_160, 99.2 % on time; yard: backoff, no such device`."""
        views = tuple(views)
        if self._begun_ns is None or now_ns - self._begun_ns >= WINDOW_SECONDS * 1e9:
            self._begun_ns, self._since = now_ns, self._later
            self._later = {view.name: (view.frames, view.on_time) for view in views}
        return "; ".join(f"{view.name}: {self._of(view)}" for view in views)

    def _of(self, view: ViewNow) -> str:
        if view.trouble is not None:
            return view.trouble
        frames, on_time = self._since.get(view.name, (0, 0))
        if frames > view.frames:  # another view with the name
            frames = on_time = 0
        if view.frames == frames:
            return "no recent results" if frames else "no results yet"
        share = 100 * (view.on_time - on_time) / (view.frames - frames)
        return f"{view.variant or 'all frames too late'}, {share:.1f} % on time"
