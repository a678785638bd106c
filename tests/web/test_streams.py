"""Server-sent events: a slow client loses the oldest, is told, and holds nobody up or out."""

from __future__ import annotations

import json
from itertools import islice

from edged.web.streams import QUEUE_RESULTS, ResultStream, ResultStreams
from tests.rig.results import make_result


def opened(streams: ResultStreams, *cameras: str) -> ResultStream:
    return streams.open(frozenset(cameras))


def sequences(parts: list[bytes]) -> list[int]:
    return [json.loads(part[len(b"data: ") :])["sequence"] for part in parts]


def test_every_stream_gets_every_result() -> None:
    streams = ResultStreams(2)
    both = opened(streams), opened(streams)
    for sequence in (1, 2):
        streams.publish(make_result(sequence=sequence))
    for stream in both:
        beginning, *parts = islice(stream.parts(), 3)
        assert beginning.startswith(b"retry: ")
        assert all(part.endswith(b"\n\n") for part in parts)
        assert sequences(parts) == [1, 2]


def test_only_the_cameras_asked_for() -> None:
    streams = ResultStreams(1)
    stream = opened(streams, "yard")
    streams.publish(make_result(1))
    streams.publish(make_result(2, view="yard"))
    assert sequences(list(islice(stream.parts(), 2))[1:]) == [2]


def test_a_slow_client_is_told_what_it_lost() -> None:
    streams = ResultStreams(1)
    stream = opened(streams)
    for sequence in range(QUEUE_RESULTS + 3):
        streams.publish(make_result(sequence=sequence))
    _, dropped, *parts = islice(stream.parts(), 2 + QUEUE_RESULTS)
    assert dropped == b'event: dropped\ndata: {"results":3}\n\n'
    assert sequences(parts) == list(range(3, QUEUE_RESULTS + 3))


def test_a_heartbeat_when_nothing_comes() -> None:
    _, beat = islice(opened(ResultStreams(1)).parts(heartbeat_seconds=0.001), 2)
    assert beat.startswith(b":") and beat.endswith(b"\n\n")


def test_a_closed_one_makes_room() -> None:
    streams = ResultStreams(1)
    opened(streams).close()
    again = opened(streams)
    streams.publish(make_result(sequence=7))
    assert sequences(list(islice(again.parts(), 2))[1:]) == [7]


def test_the_oldest_makes_room_whatever_it_has_not_taken() -> None:
    streams = ResultStreams(2)
    first, second = opened(streams), opened(streams)
    streams.publish(make_result(sequence=1))
    third = opened(streams)
    _, farewell = first.parts()
    assert farewell == b'retry: 30000\nevent: end\ndata: {"reason":"displaced"}\n\n'
    first.close()  # as its thread does: takes nothing from anybody
    streams.publish(make_result(sequence=2))
    assert sequences(list(islice(second.parts(), 3))[1:]) == [1, 2]
    assert sequences(list(islice(third.parts(), 2))[1:]) == [2]


def test_who_has_most_makes_room() -> None:
    streams = ResultStreams(3)
    alone, *many = (streams.open(client=client) for client in ("a", "b", "b"))
    newcomers = [streams.open(client=client) for client in ("b", "c")]
    for stream in many:  # one for another of its own, one for c
        assert len(list(stream.parts())) == 2
    streams.publish(make_result(sequence=3))
    for stream in (alone, *newcomers):
        assert sequences(list(islice(stream.parts(), 2))[1:]) == [3]


def test_it_ends_when_nothing_can_come_any_more() -> None:
    over = [False, True]
    stream = ResultStreams(1).open(is_over=lambda: over.pop(0))
    _, beat, farewell = stream.parts(heartbeat_seconds=0.001)
    assert beat.startswith(b":")
    assert farewell == b'event: end\ndata: {"reason":"camera_removed"}\n\n'
