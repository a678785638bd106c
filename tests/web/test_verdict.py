"""Whether all is well, in words: the verdict of `/api/v1/status`."""

from __future__ import annotations

import json
import re
import time
from dataclasses import replace
from typing import Any

import pytest

from edged.capture.source import Granted
from edged.control.selector import Reason
from edged.sensors.reading import Gauge
from edged.sensors.temperature import NAME as TEMPERATURE
from edged.switches.switch import State as Switched
from edged.switches.switch import Switch
from edged.telemetry.metrics import FEWEST_RESULTS
from edged.variants.variant import Precision, Variant
from edged.web.live import MOST_SEEN, Live, ViewLive
from edged.web.status.status import SILENT_SECONDS, status
from edged.web.status.verdict import WHY, choice, short
from tests.rig.camera import FakeTime
from tests.rig.live import LARGE, SMALL, ShownCamera, State, live_of, subjects_of
from tests.rig.metrics import Sink
from tests.rig.results import make_result

SECOND = 1_000_000_000
TOP1 = {SMALL: 0.6312, LARGE: 0.7088}


def observed(live: Live, clock: FakeTime, *latencies_ms: float, view: str = "door") -> None:
    """One result after the other, and the second in which they came is over."""
    for latency_ms in latencies_ms:
        live.observe(make_result(view=view, latency_ms=latency_ms))
        clock.now_ns += SECOND // 30
    clock.now_ns += SECOND


def verdict_of(live: Live) -> dict[str, Any]:
    said: dict[str, Any] = json.loads(json.dumps(status(live)))["verdict"]
    return said


def test_all_is_well_once_every_view_keeps_its_budget() -> None:
    clock = FakeTime()
    live = live_of(ShownCamera("door"), ShownCamera("yard"), clock=clock)
    assert verdict_of(live)["text"] == "door has given no result yet (and 1 more)"
    observed(live, clock, *[10.0] * 20)
    said = verdict_of(live)
    assert (said["ok"], said["text"]) == (False, "yard has given no result yet")
    observed(live, clock, *[10.0] * 20, view="yard")
    said = {"ok": True, "text": "all 2 views keep their budget", "troubles": []}
    assert verdict_of(live) == said
    live.follow(subjects_of(ShownCamera("door")))
    assert verdict_of(live)["text"] == "door keeps its budget"


def test_a_view_that_misses_its_budget_is_told_with_what_was_wanted() -> None:
    clock = FakeTime()
    views: dict[str, Any] = {"yard/gate": {}, "yard/bin": {}}
    live = live_of(ShownCamera("yard"), views=views, clock=clock)
    observed(live, clock, *[10.0] * 15, *[40.0] * 6, view="yard/gate")
    observed(live, clock, *[10.0] * 7, view="yard/bin")
    text = "yard/gate misses its budget: 71 % on time, 95 % wanted"
    about = {"kind": "late", "camera": "yard", "view": "gate", "text": text}
    assert verdict_of(live) == {"ok": False, "text": text, "troubles": [about]}


def test_a_substream_is_advised_where_decoding_costs_more_than_deciding() -> None:
    clock = FakeTime()
    large, small = Granted(1920, 1080, 25.0, "h264"), Granted(640, 360, 25.0, "h264")
    door = ShownCamera("door", granted=large, is_stream=True)
    live = live_of(door, clock=clock)
    cheap = make_result(latency_ms=10.0)
    dear = cheap._replace(stages=cheap.stages._replace(decode=7.0))
    for _ in range(FEWEST_RESULTS):
        assert "door" not in verdict_of(live)["text"].partition("; ")[2]
        live.observe(dear)
    clock.now_ns += SECOND
    said = (
        "decoding 1920x1080 takes 7.0 ms a result, deciding 6.0 ms; the camera's substream, a "
        "smaller stream at another path, costs less"
    )
    assert verdict_of(live)["text"] == f"door keeps its budget; door: {said}"
    for granted, is_stream in ((small, True), (large, False), (None, True)):
        door.granted, door.is_stream = granted, is_stream
        assert status(live)["cameras"]["door"]["advice"] is None
    door.granted, door.is_stream = large, True
    for _ in range(2 * FEWEST_RESULTS):
        live.observe(cheap)
    assert status(live)["cameras"]["door"]["advice"] is None


def test_shares_that_round_to_the_same_are_told_apart() -> None:
    clock = FakeTime()
    live = live_of(ShownCamera("door"), clock=clock)
    for _ in range(20):
        observed(live, clock, *[10.0] * 9)
    observed(live, clock, *[40.0] * 10)  # 180 of 190
    assert verdict_of(live)["text"] == ("door misses its budget: 94.7 % on time, 95.0 % wanted")


@pytest.mark.parametrize("seconds", [60, 3 * 86_400])
def test_an_absent_camera_comes_first_with_since_when_and_why(seconds: int) -> None:
    clock = FakeTime()
    error = "rtsp://u:hunter2@10.0.0.9: connection refused"
    away = ShownCamera("garage", State.BACKOFF, error, away_ns=clock.now_ns)
    live = live_of(ShownCamera("door"), away, clock=clock)
    clock.now_ns += seconds * SECOND
    observed(live, clock, 40.0, 40.0, 40.0)
    before = time.time() - seconds - 2
    said, about = verdict_of(live), status(live)["cameras"]["garage"]
    first, late = said["troubles"]
    assert (first["kind"], first["camera"], late["kind"]) == ("away", "garage", "late")
    form = "%H:%M" if seconds < 86_400 else "%Y-%m-%d %H:%M"
    told = {time.strftime(form, time.localtime(before + each)) for each in (0, 1)}
    since = re.fullmatch(
        r"garage is away since (.*): rtsp://\*\*\*@10\.0\.0\.9: connection refused", first["text"]
    )
    assert since is not None and since[1] in told
    assert about["away_seconds"] == pytest.approx(seconds + 1.1, abs=0.1)
    assert about["away_since"].endswith("Z")
    assert status(live)["cameras"]["door"]["away_since"] is None


def test_a_camera_that_is_tried_again_is_still_away_and_one_that_starts_is_not() -> None:
    clock = FakeTime()
    again = ShownCamera("garage", State.STARTING, "connection refused", away_ns=clock.now_ns)
    first = ShownCamera("door", State.STARTING, None, away_ns=clock.now_ns)
    troubles = verdict_of(live_of(again, first, clock=clock))["troubles"]
    assert [(each["kind"], each["camera"]) for each in troubles] == [
        ("away", "garage"),
        ("starting", "door"),
    ]


def test_a_clip_that_was_played_is_no_trouble() -> None:
    clock = FakeTime()
    live = live_of(ShownCamera("clip", State.ENDED), ShownCamera("door"), clock=clock)
    observed(live, clock, 10.0)
    said = verdict_of(live)
    assert said["ok"]
    assert said["text"] == "door keeps its budget; clip was played to its end"


def test_a_view_is_silent_after_a_while_unless_it_waits_for_motion_or_is_seldom() -> None:
    clock = FakeTime()
    rules: dict[str, Any] = {"yard/a": {}, "yard/b": {"quiet": True}, "yard/c": {"max_fps": 0.01}}
    live = live_of(ShownCamera("yard"), views=rules, clock=clock)
    for view in rules:
        observed(live, clock, 10.0, 10.0, view=view)
    assert verdict_of(live)["ok"]
    clock.now_ns += int((SILENT_SECONDS + 1) * SECOND)
    (trouble,) = verdict_of(live)["troubles"]
    assert (trouble["kind"], trouble["view"]) == ("silent", "a")
    clock.now_ns += 300 * SECOND
    assert [each.get("view") for each in verdict_of(live)["troubles"]] == ["a", "c"]


def test_results_that_do_not_leave_and_a_device_that_is_too_hot_are_troubles() -> None:
    clock = FakeTime()
    live = live_of(ShownCamera("door"), clock=clock)
    observed(live, clock, 10.0)
    sink = Sink("mqtt", trouble="mqtts://u:hunter2@broker: connection refused")
    heat = Gauge(TEMPERATURE, "", ("zone",), {("cpu",): 81.6, ("gpu",): 70.0})
    live.follow(
        replace(
            subjects_of(ShownCamera("door")),
            sinks=[sink, Sink()],
            sensors=lambda: [heat],
            max_temperature_c=80.0,
        )
    )
    assert [each["text"] for each in verdict_of(live)["troubles"]] == [
        "results do not reach mqtt: mqtts://***@broker: connection refused",
        "the device is too hot: 82 °C, at most 80 °C wanted",
    ]


def test_a_history_that_cannot_be_written_is_told() -> None:
    clock = FakeTime()
    live = live_of(ShownCamera("door"), clock=clock)
    observed(live, clock, 10.0)
    why: list[str | None] = ["No space left on device"]
    live.follow(replace(subjects_of(ShownCamera("door")), history_trouble=lambda: why[0]))
    text = "events and minutes are not kept: No space left on device"
    assert verdict_of(live) == {
        "ok": False,
        "text": text,
        "troubles": [{"kind": "history", "text": text}],
    }
    why[0] = None
    assert verdict_of(live)["ok"] is True


def test_what_has_to_be_taught_and_what_still_loads() -> None:
    clock = FakeTime()
    views = {"door": {"to_teach": "gate is not taught yet: edged teach gate"}}
    live = live_of(ShownCamera("door"), views=views, clock=clock)
    said = verdict_of(live)
    assert said["text"] == "door gives no results: gate is not taught yet: edged teach gate"
    told = {"to_teach": "teach it", "instead": "camera door gives no result: a damaged head"}
    (trouble,) = verdict_of(live_of(ShownCamera("door"), views={"door": told}, clock=clock))[
        "troubles"
    ]
    assert trouble == {"kind": "instead", "camera": "door", "text": told["instead"]}
    live.follow(replace(subjects_of(ShownCamera("door")), loading=lambda: True))
    assert verdict_of(live)["text"] == "edged is loading its networks"


def test_why_has_words_for_every_reason() -> None:
    assert WHY.keys() == {reason.value for reason in Reason}


@pytest.mark.parametrize(
    ("running", "best", "reason", "slowdown", "told"),
    [
        (0.63, 0.71, "slowdown", 1.4, "63 % instead of 71 % accuracy; the device is 1.4x slower"),
        (0.63, 0.71, "slowdown", 1.0, "63 % instead of 71 % accuracy; the device is currently"),
        (0.63, 0.71, "budget", 1.4, "63 % instead of 71 % accuracy; more accurate variants are"),
        (0.7012, 0.7023, "hold", 1.0, "70.1 % instead of 70.2 % accuracy; a change would gain"),
        (0.63, 0.71, "most_accurate", 1.0, "63 % instead of 71 % accuracy; more accurate variants"),
        (0.71, 0.71, "hold", 1.0, "the most accurate variant"),
        (None, None, "budget", 1.0, "more accurate variants are too slow for the budget"),
    ],
)
def test_what_accuracy_is_given_up_and_why(
    running: float | None, best: float | None, reason: str, slowdown: float, told: str
) -> None:
    about = {"running": running, "best": best}
    said = choice(Variant(0.5, 160), about, reason, slowdown)
    assert said.startswith(f"0.5@160: {told}")


def test_short_names() -> None:
    assert short(Variant(1.0, 224)) == "1@224"
    assert short(Variant(0.25, 128, Precision.INT8)) == "0.25@128 int8"


def test_status_has_the_accuracy_of_what_runs_and_of_the_best() -> None:
    live = live_of(ShownCamera("door"), views={"door": {"top1": TOP1}})
    assert status(live)["cameras"]["door"]["accuracy"]["running"] is None
    assert status(live)["cameras"]["door"]["choice"] is None
    live.observe(make_result())
    door = status(live)["cameras"]["door"]
    assert door["accuracy"] == {
        "running": TOP1[SMALL],
        "best": TOP1[LARGE],
        "best_variant": LARGE.name,
    }
    assert door["choice"].startswith("0.25@128: 63 % instead of 71 % accuracy; ")
    assert door["last"]["why"] == WHY["budget"]


def test_what_was_seen_is_bounded_and_the_latest_comes_first() -> None:
    view = ViewLive()
    for moment in range(3 * MOST_SEEN):
        view.see(f"class {moment % (MOST_SEEN + 1)}", moment)
    assert len(view.seen) == MOST_SEEN
    assert [*view.seen.values()] == list(range(2 * MOST_SEEN, 3 * MOST_SEEN))
    clock = FakeTime()
    live = live_of(ShownCamera("door"), clock=clock)
    live.observe(make_result())
    clock.now_ns += 12 * SECOND
    seen = status(live)["cameras"]["door"]["seen"]
    assert seen == [{"label": "line\nbreak", "age_seconds": 12.0}]


def switched(*off: str, state: Switched = Switched.OFF) -> dict[str, Any]:
    """Views of the camera `yard`; these are not on."""
    switch = Switch(state, None, 1, "mqtt")
    return {
        view: {"switch": lambda: switch} if view in off else {}
        for view in ("yard/gate", "yard/bin")
    }


@pytest.mark.parametrize(
    ("state", "words"), [(Switched.OFF, "switched off"), (Switched.HOURS, "outside its hours")]
)
def test_a_view_that_is_off_is_no_trouble(state: Switched, words: str) -> None:
    clock = FakeTime()
    yard = ShownCamera("yard")
    live = live_of(yard, views=switched("yard/gate", state=state), clock=clock)
    assert verdict_of(live)["text"] == "yard/bin has given no result yet"
    observed(live, clock, *[40.0] * 20, view="yard/gate")  # late, before it went off
    observed(live, clock, *[10.0] * 20, view="yard/bin")
    clock.now_ns += int(SILENT_SECONDS / 2 * SECOND)
    observed(live, clock, *[10.0] * 200, view="yard/bin")
    well = f"yard/bin keeps its budget; yard/gate is {words}"
    assert verdict_of(live) == {"ok": True, "text": well, "troubles": []}
    live.follow(subjects_of(yard, views=switched()))
    kinds = [each["kind"] for each in verdict_of(live)["troubles"]]
    assert kinds == ["late"]


def test_a_camera_that_is_away_is_no_trouble_while_all_its_views_are_off() -> None:
    clock = FakeTime()
    yard = ShownCamera("yard", State.BACKOFF, "connection refused", away_ns=clock.now_ns)
    live = live_of(yard, views=switched("yard/gate"), clock=clock)
    assert [each["kind"] for each in verdict_of(live)["troubles"]] == ["away"]
    live.follow(subjects_of(yard, views=switched("yard/gate", "yard/bin")))
    text = "yard/gate is switched off; yard/bin is switched off"
    assert verdict_of(live) == {"ok": True, "text": text, "troubles": []}


def test_many_views_that_are_off_are_counted() -> None:
    off = {"switch": lambda: Switch(Switched.OFF, None, 1, "mqtt")}
    views = {f"yard/{name}": off for name in "abc"}
    assert verdict_of(live_of(ShownCamera("yard"), views=views))["text"] == "3 views are off"


def test_a_view_that_is_on_again_is_silent_only_after_a_while() -> None:
    clock = FakeTime()
    live = live_of(ShownCamera("door"), clock=clock)
    observed(live, clock, *[10.0] * 20)
    clock.now_ns += 3600 * SECOND
    assert verdict_of(live)["troubles"][0]["kind"] == "silent"
    live.views["door"].on_ns = clock.now_ns
    assert verdict_of(live)["ok"]
    clock.now_ns += int((SILENT_SECONDS + 1) * SECOND)
    assert verdict_of(live)["troubles"][0]["kind"] == "silent"
