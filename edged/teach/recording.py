"""What the daemon keeps of a view's pictures while it runs, for one classifier.

The pipeline offers every result; a picture is copied only while a recording wants one. A thread of
its own encodes and stores: the pipeline never waits for the disk.
"""

from __future__ import annotations

import logging
import queue
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from numpy.typing import NDArray

from edged.errors import EdgedError
from edged.teach.moments import Look, differs, look
from edged.teach.pictures.stored import stored_jpeg
from edged.teach.store import Classifier

SERVES = 224
"""A picture with a shorter side is passed over while the camera may still deliver a larger one."""
LARGER_SECONDS = 1.0
"""How long a recording waits for one: the camera is asked when it begins."""
INTERVAL_NS = 200_000_000
"""Between two pictures of a recording."""
MOST_SEEN = 200
"""Moments that wait for a label; the oldest make room."""
IDLE_SECONDS = 1.0
_WAITING = 8
"""Pictures that wait for the disk; further ones are passed over."""

log = logging.getLogger("edged.teach")


@dataclass(slots=True)
class Recording:
    """One moment that is being recorded. label: None for what is to be labelled later. kept: of the
    pictures that were stored."""

    label: str | None
    moment: str
    begun_ns: int
    until_ns: int
    reason: str = ""
    most: int = 1000
    next_ns: int = 0
    pictures: int = 0
    failure: str = ""
    kept: list[Look] = field(default_factory=list)

    def wants(self, pixels: NDArray[np.uint8], now_ns: int) -> bool:
        if now_ns >= self.until_ns or now_ns < self.next_ns or self.pictures >= self.most:
            return False
        patient = now_ns - self.begun_ns < LARGER_SECONDS * 1e9
        return not (patient and min(pixels.shape[:2]) < SERVES)


class Recorder:
    """Stores pictures in a thread of its own, which begins with the first and ends when none has
    come for a while."""

    def __init__(self) -> None:
        self._waiting: queue.Queue[Callable[[], None]] = queue.Queue(_WAITING)
        self._working = threading.Lock()

    def store(
        self, classifier: Classifier, recording: Recording, pixels: NDArray[np.uint8]
    ) -> bool:
        """Copy the picture and store it if it differs from what the recording has. False if too
        many wait."""
        try:
            self._waiting.put_nowait(partial(_store, classifier, recording, pixels.copy()))
        except queue.Full:
            return False
        self._begin()
        return True

    def wait(self) -> None:
        """Until every picture that was handed over is stored or left out."""
        self._waiting.join()

    def _begin(self) -> None:
        if self._working.acquire(blocking=False):
            threading.Thread(target=self._work, name="teach", daemon=True).start()

    def _work(self) -> None:
        while True:
            try:
                store = self._waiting.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                break
            try:
                store()
            except Exception:  # the next picture may be another matter
                log.exception("a picture could not be stored")
            finally:
                self._waiting.task_done()
        self._working.release()
        if not self._waiting.empty():  # it came just before
            self._begin()


def _store(classifier: Classifier, recording: Recording, pixels: NDArray[np.uint8]) -> None:
    seen = look(pixels)
    if not differs(seen, recording.kept):
        return
    jpeg, _ = stored_jpeg(pixels)
    try:
        new = classifier.add(recording.label, recording.moment, jpeg, recording.reason)
        if recording.label is None:
            _make_room(classifier)
    except EdgedError as error:
        log.error("teach %s: %s", classifier.name, error)
        recording.failure = str(error)
        recording.until_ns = 0
        return
    recording.kept.append(seen)
    recording.pictures += new


def _make_room(classifier: Classifier) -> None:
    waiting = [each for each in classifier.moments() if each.label is None]
    for each in waiting[:-MOST_SEEN]:
        classifier.discard(each.id)
