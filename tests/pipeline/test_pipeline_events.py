"""Events that the pipeline announces, with the picture that began them."""

from __future__ import annotations

import numpy as np
import pytest

from edged.events.events import AWAY_SECONDS, Watch
from edged.events.options import EventConfig
from edged.pipeline.pipeline import Pipeline
from edged.result import Event
from tests.rig.pipeline import LABELS, Feed, Recorder, make, running
from tests.rig.waiting import eventually

LIT = EventConfig("lit", ("light",), ("door",), 0.6, 0.4, 0.0, 0.0, smooth_seconds=0.0)


class Announced(list[tuple[Event, float | None]]):
    """Events, each with the brightness of the picture that came along."""

    def announce(self, event: Event, pixels: np.ndarray | None) -> None:
        self.append((event, None if pixels is None else float(pixels.mean())))


def watching(feeds: list[Feed], seen: Recorder, told: Announced, *rules: EventConfig) -> Pipeline:
    views = [feed.queue.view for feed in feeds]
    watch = Watch.of(rules, dict.fromkeys(views, LABELS), dict.fromkeys(views, AWAY_SECONDS))
    return make(feeds, seen, watch=watch, announce=told.announce)


def test_an_event_is_told_with_the_picture_that_began_it() -> None:
    feed, seen, told = Feed("door", 500), Recorder(), Announced()
    with running(watching([feed], seen, told, LIT)):
        for number, value in enumerate((10, 250, 240, 20), 1):
            feed.send(value)
            eventually(lambda count=number: len(seen.results) == count)
        eventually(lambda: len(told) == 2)
    (begun, brightness), (ended, _) = told
    assert (begun.view, begun.name, begun.ended_unix_ns) == ("door", "lit", None)
    assert brightness == 250
    assert begun.started_unix_ns == seen.results[1].captured_unix_ns
    assert ended.peak == pytest.approx(250 / 255)
    assert ended.ended_unix_ns == pytest.approx(seen.results[2].captured_unix_ns, abs=1e6)


def test_an_event_goes_on_in_the_next_pipeline() -> None:
    feed, seen, told = Feed("door", 500), Recorder(), Announced()
    before = watching([feed], seen, told, LIT)
    with running(before):
        feed.send(250)
        eventually(lambda: len(told) == 1)
    after = watching([feed], seen, told, LIT)
    after.take_over(before)
    assert len(told) == 1
    with running(after):
        feed.send(250)
        eventually(lambda: len(seen.results) == 2)
        feed.send(0)
        eventually(lambda: len(told) == 2)
    gone = watching([feed], seen, told)
    gone.take_over(after)
    assert len(told) == 2


def test_what_nobody_watches_any_more_has_ended() -> None:
    feed, seen, told = Feed("door", 500), Recorder(), Announced()
    before = watching([feed], seen, told, LIT)
    with running(before):
        feed.send(250)
        eventually(lambda: len(told) == 1)
    after = watching([feed], seen, told)
    after.take_over(before)
    (begun, _), (ended, _) = told
    assert ended.ended_unix_ns == begun.started_unix_ns
