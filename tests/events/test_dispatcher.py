from __future__ import annotations

import json
import logging
import os
import threading
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.capture.decode.jpeg import decode_jpeg
from edged.events import journal as event_journal
from edged.events.dispatcher import MOST_PICTURES_WAITING, MOST_WAITING, Dispatcher
from edged.events.journal import FILE, EventJournal
from edged.result import Event

BEGUN = Event("door", "visitor", 1, None, 0.9)
ENDED = Event("door", "visitor", 1, 2, 0.9)
PICTURE = np.full((48, 64, 3), (200, 30, 10), np.uint8)


class Heard:
    """A sink. held: it takes nothing while this is set to False."""

    name = "heard"

    def __init__(self) -> None:
        self.events: list[Event] = []
        self.taken = threading.Semaphore(0)
        self.open = threading.Event()
        self.open.set()

    def publish_event(self, event: Event) -> None:
        self.taken.release()
        assert self.open.wait(30)
        self.events.append(event)


def dispatcher(
    *sinks: Heard, snapshots: tuple[str, ...] = ("visitor",), state: Path | None = None
) -> Dispatcher:
    each = Dispatcher(EventJournal(state))
    each.follow(sinks, snapshots)  # type: ignore[arg-type]
    return each


def test_every_sink_hears_of_events_in_their_order() -> None:
    first, second = Heard(), Heard()
    each = dispatcher(first, second, snapshots=())
    for event in (BEGUN, ENDED, BEGUN):
        each.dispatch(event, PICTURE)
    each.close(30)
    assert first.events == second.events == [BEGUN, ENDED, BEGUN]


def test_the_start_has_a_picture_of_its_moment_and_the_end_has_none() -> None:
    sink = Heard()
    sink.open.clear()
    each = dispatcher(sink)
    pixels = PICTURE.copy()
    pixels.flags.writeable = True
    each.dispatch(BEGUN, pixels)
    pixels[:] = 0  # the camera's next one
    each.dispatch(ENDED, pixels)
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
    each = dispatcher(sink)
    each.dispatch(BEGUN, PICTURE)
    assert sink.taken.acquire(timeout=30)
    for _ in range(MOST_WAITING + 7):
        each.dispatch(BEGUN, PICTURE)
    assert each.dropped == 7
    assert each.snapshots_dropped == MOST_WAITING - MOST_PICTURES_WAITING
    sink.open.set()
    each.close(30)
    assert len(sink.events) == MOST_WAITING + 1
    pictured = sum(event.snapshot is not None for event in sink.events)
    assert pictured == MOST_PICTURES_WAITING + 1


def test_a_sink_that_hangs_is_left_behind() -> None:
    sink = Heard()
    sink.open.clear()
    each = dispatcher(sink)
    each.dispatch(ENDED)
    assert sink.taken.acquire(timeout=30)
    each.close(0.01)
    assert sink.events == []
    sink.open.set()


@pytest.mark.parametrize(
    "pixels", [np.zeros((48, 70_000, 3), np.uint8), np.zeros((0, 0, 3), np.uint8)]
)
def test_a_picture_that_cannot_be_compressed_costs_the_picture_alone(
    pixels: np.ndarray, caplog: pytest.LogCaptureFixture
) -> None:
    sink = Heard()
    each = dispatcher(sink)
    for _ in range(2):
        each.dispatch(BEGUN, pixels)
    each.dispatch(BEGUN, PICTURE)
    each.close(30)
    assert [event.snapshot is None for event in sink.events] == [True, True, False]
    assert (each.dropped, each.snapshots_dropped) == (0, 2)
    (said,) = [record.getMessage() for record in caplog.records]
    assert said.startswith(f"door: visitor: cannot encode the snapshot ({pixels.shape})")


def test_a_sink_that_fails_costs_no_other_its_events(caplog: pytest.LogCaptureFixture) -> None:
    class Failing(Heard):
        def publish_event(self, event: Event) -> None:
            raise RuntimeError("no")

    sink = Heard()
    each = dispatcher(Failing(), sink)
    for event in (BEGUN, ENDED):
        each.dispatch(event)
    assert each.alive
    each.close(30)
    assert sink.events == [BEGUN, ENDED]
    assert each.dropped == 2
    assert [record.levelno for record in caplog.records] == [logging.ERROR]


def test_a_reload_changes_who_hears_and_not_the_order_nor_the_counts() -> None:
    before, after = Heard(), Heard()
    before.open.clear()
    each = dispatcher(before, snapshots=())
    each.dispatch(BEGUN)
    assert before.taken.acquire(timeout=30)
    each.dispatch(ENDED)
    for _ in range(MOST_WAITING):
        each.dispatch(BEGUN)
    assert each.dropped == 1
    reload = threading.Thread(target=each.follow, args=([after], ()))
    reload.start()
    before.open.set()
    reload.join(30)
    each.close(30)
    assert [*before.events, *after.events][:3] == [BEGUN, ENDED, BEGUN]
    assert len(before.events) + len(after.events) == MOST_WAITING + 1
    assert each.dropped == 1


# a crash


def crashed(state: Path, *events: Event) -> None:
    """What a daemon that is killed leaves behind."""
    each = dispatcher(Heard(), state=state)
    for event in events:
        each.dispatch(event, PICTURE)
    each.close(30)


def test_what_ran_at_a_crash_is_told_as_ended_at_the_last_sign_of_life(tmp_path: Path) -> None:
    state = tmp_path / "state"
    other = Event("yard", "dog", 5, None, 0.6)
    crashed(state, BEGUN, other, ENDED, Event("door", "dog", 7, None, 0.8))
    os.utime(state / FILE, ns=(9 * 10**9, 9 * 10**9))
    assert b"snapshot" not in (state / FILE).read_bytes()
    for _ in range(2):  # the second start has nothing to tell
        sink = Heard()
        each = dispatcher(sink, state=state)
        each.dispatch(Event("yard", "dog", 10**10, 10**10 + 1, 0.9))
        each.close(30)
        told = sink.events[:-1]
        assert told in ([], [
            Event("yard", "dog", 5, 9 * 10**9, 0.6),
            Event("door", "dog", 7, 9 * 10**9, 0.8),
        ])  # fmt: skip
        assert not (state / FILE).exists()
    assert told == []


@pytest.mark.parametrize(
    ("noted", "views"),
    [
        ([{"camera": "door"}, {"camera": "yard", "view": "gate"}], ["door", "yard/gate"]),
        ([{"camera": "door/../x"}, {"camera": "yard", "view": ""}, {"camera": "a/b/c"}], []),
    ],
)
def test_the_journal_names_camera_and_view(
    tmp_path: Path, noted: list[dict[str, str]], views: list[str]
) -> None:
    """An entry without a view is as release 0.1.0 wrote all of them."""
    about = {"event": "open", "started_unix_ns": 5, "peak": 0.5}
    (tmp_path / FILE).write_text(json.dumps([each | about for each in noted]))
    sink = Heard()
    dispatcher(sink, state=tmp_path).close(30)
    assert [(event.view, event.name, event.peak) for event in sink.events] == [
        (view, "open", 0.5) for view in views
    ]
    crashed(tmp_path, *(replace(event, ended_unix_ns=None) for event in sink.events))
    if views:
        assert json.loads((tmp_path / FILE).read_text()) == [each | about for each in noted]


def test_a_clock_that_went_back_ends_no_event_before_its_start(tmp_path: Path) -> None:
    begun = Event("door", "visitor", 10**18, None, 0.9)
    crashed(tmp_path, begun)
    os.utime(tmp_path / FILE, ns=(5, 5))
    sink = Heard()
    dispatcher(sink, state=tmp_path).close(30)
    assert [event.ended_unix_ns for event in sink.events] == [10**18]


def test_a_second_daemon_of_the_same_directory_ends_nothing(tmp_path: Path) -> None:
    first, second = Heard(), Heard()
    running = dispatcher(first, state=tmp_path)
    running.dispatch(BEGUN)
    while not (tmp_path / FILE).exists():
        assert running.alive
    other = dispatcher(second, state=tmp_path)
    for ended in (None, 2):
        other.dispatch(Event("door", "dog", 1, ended, 0.5))
    other.close(30)
    assert [event.name for event in second.events] == ["dog", "dog"]
    assert b"visitor" in (tmp_path / FILE).read_bytes()
    running.dispatch(ENDED)
    running.close(30)
    assert not (tmp_path / FILE).exists()


def noted(started_unix_ns: str, peak: str) -> bytes:
    at = f'"started_unix_ns": {started_unix_ns}, "peak": {peak}'
    return f'[{{"camera": "door", "event": "visitor", {at}}}]'.encode()


@pytest.mark.parametrize(
    "content",
    [
        *(b"", b"[", b"{}", b"[3]", b"\xff", b"[" * 100_000, b'[{"camera": "a/#"}]'),
        *(noted("1e30", "0.5"), noted("-1", "0.5"), noted("1e999", "0.5")),
        *(noted("1", "NaN"), noted("1", "1e999")),
    ],
)
def test_a_damaged_journal_tells_nothing_and_is_replaced(tmp_path: Path, content: bytes) -> None:
    (tmp_path / FILE).write_bytes(content)
    sink = Heard()
    each = dispatcher(sink, state=tmp_path)
    each.dispatch(BEGUN)
    each.close(30)
    assert [event.name for event in sink.events] == ["visitor"]
    assert b"visitor" in (tmp_path / FILE).read_bytes()


@pytest.mark.parametrize(
    ("content", "wrong"),
    [
        (b"[", "not JSON: Expecting value: line 1 column 2 (char 1)"),
        (b"\xff", "not a list of events as edged writes it"),
        (b"[3]", "not a list of events as edged writes it"),
        (None, "cannot be read: Is a directory"),
    ],
)
def test_what_is_wrong_with_a_journal_is_told_in_words(
    tmp_path: Path, content: bytes | None, wrong: str, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / FILE
    path.mkdir() if content is None else path.write_bytes(content)
    journal = EventJournal(tmp_path)
    assert journal.left() == []
    journal.close()
    assert caplog.messages == [f"{path}: invalid event journal, removed: {wrong}"]


def test_what_a_full_disk_left_in_the_journal_is_replaced_when_there_is_room(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else a crash would tell the end of what has long ended, and not of what runs."""
    journal = EventJournal(tmp_path)
    journal.note(BEGUN)

    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patched:
        patched.setattr(event_journal, "write_whole", full)
        journal.note(replace(BEGUN, view="yard"))
        journal.note(ENDED)
        journal.still_alive()
    assert b"yard" not in (tmp_path / FILE).read_bytes()
    journal.still_alive()
    journal.close()
    after = EventJournal(tmp_path)
    assert [(event.view, event.name) for event in after.left()] == [("yard", "visitor")]
    after.close()


def test_a_state_directory_that_cannot_be_written_costs_a_log_line(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "state").write_text("a file")
    sink = Heard()
    each = dispatcher(sink, state=tmp_path / "state")
    for event in (BEGUN, ENDED, BEGUN, ENDED):
        each.dispatch(event)
    each.close(30)
    assert len(sink.events) == 4
    assert len(caplog.records) <= 2
    assert "running-events.json: cannot be written" in caplog.text
