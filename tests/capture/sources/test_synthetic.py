from __future__ import annotations

import pytest

from edged.capture.source import CaptureRequest, Failure, Granted, SourceError
from edged.capture.sources.synthetic.options import dimensions
from edged.capture.sources.synthetic.synthetic import SyntheticSource
from tests.rig.camera import FakeTime, Notes

MS = 1_000_000


def opened(request: CaptureRequest) -> tuple[SyntheticSource, FakeTime, Notes, Granted]:
    time, notes = FakeTime(), Notes(request.max_fps)
    source = SyntheticSource(request, notes.admission, clock=time.clock, sleep=time.sleep)
    return source, time, notes, source.open()


@pytest.mark.parametrize(
    ("source", "size", "fps", "expected"),
    [
        ("synthetic", None, None, ((640, 480), 30.0)),
        ("synthetic", (320, 240), 15.0, ((320, 240), 15.0)),
        ("synthetic:1280x720@25", None, None, ((1280, 720), 25.0)),
        ("synthetic:1280x720@12.5", (320, 240), 15.0, ((1280, 720), 12.5)),
        ("synthetic:@10", (320, 240), 15.0, ((320, 240), 10.0)),
        ("synthetic:100x90", None, 15.0, ((100, 90), 15.0)),
        ("synthetic:1280x720@25?still", None, None, ((1280, 720), 25.0)),
        ("synthetic:?still", None, None, ((640, 480), 30.0)),
    ],
)
def test_size_and_rate(
    source: str, size: tuple[int, int] | None, fps: float | None, expected: object
) -> None:
    assert dimensions(CaptureRequest(source, size=size, fps=fps)) == expected


@pytest.mark.parametrize(
    "source",
    [
        *("synthetic:large", "synthetic:0x0", "synthetic:9999x1", "synthetic:64x64@0"),
        *("synthetic:64x64?moving", "synthetic:64x64@30?stillest", "synthetic:", "synthetic:9x9"),
    ],
)
def test_a_scene_that_cannot_be_drawn(source: str) -> None:
    with pytest.raises(SourceError, match="synthetic:1280x720@30") as caught:
        opened(CaptureRequest(source))
    assert caught.value.reason is Failure.OPEN_FAILED


def test_frames_come_on_schedule_and_move() -> None:
    source, time, notes, granted = opened(CaptureRequest("synthetic:160x120@50"))
    assert granted == Granted(160, 120, 50.0, "synthetic")
    begun_ns = time.now_ns
    pictures = set()
    for number in range(1, 26):
        picture = source.read(0)
        assert picture is not None
        assert picture.pixels.shape == (120, 160, 3)
        assert picture.captured_ns == picture.received_ns == begun_ns + number * 20 * MS
        assert time.now_ns - picture.captured_ns <= 10
        pictures.add(picture.pixels.tobytes())
    assert len(pictures) > 5
    assert notes.counts.captured == 25
    source.close()


def test_a_still_scene_comes_on_schedule_and_does_not_move() -> None:
    source, time, notes, granted = opened(CaptureRequest("synthetic:160x120@50?still"))
    assert granted == Granted(160, 120, 50.0, "synthetic")
    begun_ns = time.now_ns
    pictures = set()
    for number in range(1, 26):
        picture = source.read(0)
        assert picture is not None
        assert picture.captured_ns == begun_ns + number * 20 * MS
        assert picture.pixels.std() > 10
        pictures.add(picture.pixels.tobytes())
    assert len(pictures) == 1
    assert notes.counts.captured == 25


def test_what_cannot_be_drawn_in_time_is_left_out() -> None:
    source, time, notes, _ = opened(CaptureRequest("synthetic:64x64@50"))
    first = source.read(0)
    time.sleep(1.005)
    second = source.read(0)
    assert first is not None
    assert second is not None
    assert second.captured_ns - first.captured_ns == 1000 * MS
    assert time.now_ns - second.captured_ns <= 6 * MS
    assert notes.counts.captured == 2


def test_max_fps() -> None:
    source, _, notes, _ = opened(CaptureRequest("synthetic:64x64@50", max_fps=10))
    for _ in range(10):
        source.read(0)
    assert notes.counts.skipped in range(35, 41)
