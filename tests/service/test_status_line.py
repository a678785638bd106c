from __future__ import annotations

from edged.service.status_line import WINDOW_SECONDS, StatusLine, ViewNow, building
from edged.variants.runtime import Engines


def now(frames: int, on_time: int, trouble: str | None = None, name: str = "door") -> ViewNow:
    return ViewNow(name, trouble, "mobilenet_v1_0.5_160" if frames else "", frames, on_time)


def test_each_view_has_its_variant_and_its_share() -> None:
    views = [
        now(200, 199),
        now(0, 0, "backoff, /dev/video9: No such device", "yard"),
        now(0, 0, name="shed/gate"),
    ]
    assert StatusLine().text(views, 0) == (
        "door: mobilenet_v1_0.5_160, 99.5 % on time; "
        "yard: backoff, /dev/video9: No such device; shed/gate: no results yet"
    )


def test_the_share_is_that_of_the_last_windows() -> None:
    line, window_ns = StatusLine(), WINDOW_SECONDS * 10**9
    line.text([now(0, 0)], 0)
    line.text([now(1000, 1000)], window_ns)  # a good first minute
    assert "100.0 %" in line.text([now(1000, 1000)], window_ns + 1)
    line.text([now(2000, 1000)], 2 * window_ns)  # a bad second one
    assert "0.0 %" in line.text([now(2100, 1000)], 2 * window_ns + 1)
    line.text([now(3000, 2000)], 3 * window_ns)
    assert "100.0 %" in line.text([now(3100, 2100)], 3 * window_ns + 1)


def test_silence_and_a_new_camera_of_the_same_name() -> None:
    line, window_ns = StatusLine(), WINDOW_SECONDS * 10**9
    for windows in range(3):
        text = line.text([now(500, 400)], windows * window_ns)
    assert text == "door: no recent results"
    assert "50.0 %" in line.text([now(10, 5)], 2 * window_ns + 1)


def test_what_is_built_is_counted_from_one() -> None:
    shown = [building(Engines(building=left, of=4)) for left in (4, 3, 1, 0)]
    assert shown == [
        "building engine 1 of 4", "building engine 2 of 4", "building engine 4 of 4", "",
    ]  # fmt: skip
