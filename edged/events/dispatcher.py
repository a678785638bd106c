"""Dispatch of events to the sinks and the history, in a thread that also encodes their snapshots.

The pipeline only copies a picture, because encoding it takes a millisecond or more. One dispatcher
lives as long as the daemon, so that sinks get events in order across reloads.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Collection, Sequence
from contextlib import suppress
from dataclasses import replace
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.jpeg import encode_jpeg
from edged.events.journal import EventJournal
from edged.result import Event

MOST_WAITING = 256
MOST_PICTURES_WAITING = 16
"""Above this number of queued events, new ones get no snapshot: a picture takes up to 600 kB."""
SIGN_OF_LIFE_SECONDS = 5.0
_QUALITY = 85

log = logging.getLogger("edged.announcer")


class Receiver(Protocol):
    """A sink, or the history."""

    @property
    def name(self) -> str: ...

    def publish_event(self, event: Event) -> None:
        """Queue it. Never blocks and never raises."""


class Dispatcher:
    """Call `follow` first. journal: events that were active at a crash are dispatched as ended."""

    def __init__(self, journal: EventJournal) -> None:
        self._crowded_out = self._pictures_crowded_out = 0
        """Counted by the caller's thread, the following two by the dispatcher's."""
        self._failed = self._pictures_failed = 0
        self._journal = journal
        self._receivers: Sequence[Receiver] = ()
        self._snapshots: Collection[str] = ()
        self._handing = threading.Lock()
        """Held while one event goes to the receivers, and while these are replaced."""
        self._closing = False
        self._queue: queue.SimpleQueue[tuple[Event, NDArray[np.uint8] | None] | None] = (
            queue.SimpleQueue()
        )
        self._thread = threading.Thread(target=self._run, name="events", daemon=True)

    @property
    def dropped(self) -> int:
        """Events that a receiver did not get: too many at once, or it raised."""
        return self._crowded_out + self._failed

    @property
    def snapshots_dropped(self) -> int:
        """Events dispatched without their snapshot."""
        return self._pictures_crowded_out + self._pictures_failed

    @property
    def alive(self) -> bool:
        """False only if the thread has ended unexpectedly."""
        return self._thread.ident is None or self._thread.is_alive() or self._closing

    def follow(self, receivers: Sequence[Receiver], snapshots: Collection[str]) -> None:
        """Dispatch to these from now on, from one thread. snapshots: names of the events that have
        one."""
        with self._handing:
            self._receivers, self._snapshots = receivers, snapshots
        if self._thread.ident is None:
            self._thread.start()

    def dispatch(self, event: Event, pixels: NDArray[np.uint8] | None = None) -> None:
        """Never blocks. pixels: uint8 (height, width, 3), RGB; copied if needed."""
        waiting = self._queue.qsize()
        if waiting >= MOST_WAITING:
            self._crowded_out += 1
            return
        wanted = event.ended_unix_ns is None and event.name in self._snapshots
        if pixels is None or not wanted:
            self._queue.put((event, None))
        elif waiting < MOST_PICTURES_WAITING:
            self._queue.put((event, pixels.copy()))
        else:
            self._pictures_crowded_out += 1
            self._queue.put((event, None))

    def close(self, timeout_seconds: float) -> None:
        """Dispatch what is queued; drop what is left after the time-out."""
        self._closing = True
        self._queue.put(None)
        if self._thread.ident is not None:
            self._thread.join(timeout_seconds)
        if not self._thread.is_alive():
            self._journal.close()

    def _run(self) -> None:
        for event in self._journal.left():
            self._hand_over(event)
        while True:
            try:
                waits = SIGN_OF_LIFE_SECONDS if self._journal.has_running else None
                waiting = self._queue.get(timeout=waits)
            except queue.Empty:
                self._journal.still_alive()
                continue
            if waiting is None:
                return
            event, pixels = waiting
            if pixels is not None:
                event = replace(event, snapshot=self._compressed(event, pixels))
            self._hand_over(event)

    def _compressed(self, event: Event, pixels: NDArray[np.uint8]) -> bytes | None:
        try:
            return encode_jpeg(pixels, _QUALITY)
        except Exception as error:  # an event without a snapshot is better than none
            self._pictures_failed += 1
            if self._pictures_failed == 1:
                what = "%s: %s: cannot encode the snapshot (%s): %s"
                log.warning(what, event.view, event.name, pixels.shape, type(error).__name__)
            return None

    def _hand_over(self, event: Event) -> None:
        with self._handing:
            for receiver in self._receivers:
                self._give(receiver, event)
        with suppress(Exception):
            self._journal.note(event)

    def _give(self, receiver: Receiver, event: Event) -> None:
        try:
            receiver.publish_event(event)
        except Exception:  # against its contract
            self._failed += 1
            if self._failed == 1:
                log.exception("%s did not accept an event", receiver.name)
