from __future__ import annotations

import threading

import numpy as np

from edged.announcer import MOST_PICTURES_WAITING, MOST_WAITING, Announcer
from edged.capture.jpeg import decode_jpeg
from edged.frame import Event

BEGUN = Event("door", "visitor", 1, None, 0.9)
ENDED = Event("door", "visitor", 1, 2, 0.9)
PICTURE = np.full((48, 64, 3), (200, 30, 10), np.uint8)


class Heard:
    """A sink. held: it takes nothing while this is set to False."""

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.taken = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def publish_event(self, event: Event) -> None:
        self.taken.release()
        assert self.open.wait(30)
        self.events.append(event)


def announcer(*sinks: Heard, snapshots: tuple[str, ...] = ("visitor",)) -> Announcer:
    return Announcer(sinks, snapshots)  # type: ignore[arg-type]


def test_every_sink_hears_of_events_in_their_order() -> None:
    first, second = Heard(), Heard()
    each = announcer(first, second, snapshots=())
    for event in (BEGUN, ENDED, BEGUN):
        each.announce(event, PICTURE)
    each.close(30)
    assert first.events == second.events == [BEGUN, ENDED, BEGUN]


def test_the_start_has_a_picture_of_its_moment_and_the_end_has_none() -> None:
    sink = Heard()
    sink.open.clear()
    each = announcer(sink)
    pixels = PICTURE.copy()
    pixels.flags.writeable = True
    each.announce(BEGUN, pixels)
    pixels[:] = 0  # the camera's next one
    each.announce(ENDED, pixels)
    sink.open.set()
    each.close(30)
    begun, ended = sink.events
    assert begun.snapshot is not None
    decoded = decode_jpeg(begun.snapshot, 0)
    assert decoded is not None
    assert decoded.shape == PICTURE.shape
    assert np.abs(decoded.astype(int) - PICTURE).max() < 12
    assert ended == ENDED


def test_nobody_waits_for_a_sink_and_what_is_too_much_is_counted() -> None:
    sink = Heard()
    sink.open.clear()
    each = announcer(sink)
    each.announce(BEGUN, PICTURE)
    assert sink.taken.acquire(timeout=30)
    for _ in range(MOST_WAITING + 7):
        each.announce(BEGUN, PICTURE)
    assert each.dropped == 7
    sink.open.set()
    each.close(30)
    assert len(sink.events) == MOST_WAITING + 1
    pictured = sum(event.snapshot is not None for event in sink.events)
    assert pictured == MOST_PICTURES_WAITING + 1


def test_a_sink_that_hangs_is_left_behind() -> None:
    sink = Heard()
    sink.open.clear()
    each = announcer(sink)
    each.announce(ENDED)
    assert sink.taken.acquire(timeout=30)
    each.close(0.01)
    assert sink.events == []
    sink.open.set()
