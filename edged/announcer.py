"""Events on their way to the sinks: a thread that makes their snapshots and hands them on.

The pipeline only copies a picture; to compress it takes a millisecond or more. Knows nothing of
when an event begins.
"""

from __future__ import annotations

import queue
import threading
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from edged.capture.jpeg import encode_jpeg
from edged.frame import Event

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from edged.sinks import Sink

MOST_WAITING = 256
MOST_PICTURES_WAITING = 16
"""Where more events wait, the next ones have no snapshot: a picture takes up to 600 kB."""
_QUALITY = 85


class Announcer:
    """sinks: `publish_event` of each is called from one thread of this. snapshots: names of the
    events that have one."""

    def __init__(self, sinks: Sequence[Sink], snapshots: Collection[str]) -> None:
        self.dropped = 0
        """Events that the sinks were never given, because too many came at once."""
        self._sinks = sinks
        self._snapshots = snapshots
        self._queue: queue.SimpleQueue[tuple[Event, NDArray[np.uint8] | None] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)
        self._thread.start()

    def announce(self, event: Event, pixels: NDArray[np.uint8] | None = None) -> None:
        """Never blocks. pixels: uint8 (height, width, 3), RGB, that may change afterwards."""
        waiting = self._queue.qsize()
        if waiting >= MOST_WAITING:
            self.dropped += 1
            return
        begins = event.ended_unix_ns is None and event.name in self._snapshots
        if pixels is not None and begins and waiting < MOST_PICTURES_WAITING:
            self._queue.put((event, pixels.copy()))
        else:
            self._queue.put((event, None))

    def close(self, timeout_seconds: float) -> None:
        """Hand over what waits; what is not through by then is given up."""
        self._queue.put(None)
        self._thread.join(timeout_seconds)

    def _run(self) -> None:
        while (waiting := self._queue.get()) is not None:
            event, pixels = waiting
            if pixels is not None:
                event = replace(event, snapshot=encode_jpeg(pixels, _QUALITY))
            for sink in self._sinks:
                sink.publish_event(event)
