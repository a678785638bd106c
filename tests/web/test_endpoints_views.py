"""What the API answers about cameras with views."""

from __future__ import annotations

import json
from itertools import islice
from typing import Any

import numpy as np
import pytest

from edged.switches.switch import State as Switched
from edged.switches.switch import Switch
from edged.web.answer import Answer, Request
from edged.web.endpoints import Endpoints
from edged.web.streams import ResultStream
from tests.rig.camera import FakeTime
from tests.rig.feed import whole
from tests.rig.live import ShownCamera, State, Views, endpoints_of, live_of, subjects_of
from tests.rig.results import make_result

YARD: Views = {
    "yard/gate": {"roi": (0.0, 0.2, 0.3, 0.6), "family": "gates", "labels": ("open", "shut")},
    "yard/bin": {"budget_ms": 1000.0, "max_fps": 0.2, "on_time": 0.8},
}
PIXELS = np.full((64, 48, 3), (250, 5, 5), np.uint8)


def get(endpoints: Endpoints, path: str, **query: str) -> Answer:
    request = Request("GET", path, {key: [value] for key, value in query.items()})
    answer = endpoints.answer(request)
    assert isinstance(answer, Answer)
    return answer


def said(endpoints: Endpoints, path: str) -> Any:
    return json.loads(get(endpoints, path).body)


def test_status_has_the_camera_and_in_it_each_view() -> None:
    yard = ShownCamera("yard", max_fps=10.0)
    live = live_of(yard, ShownCamera("door"), views=YARD, clock=FakeTime())
    live.observe(make_result(view="yard/gate", latency_ms=10))
    live.stale("yard/bin")
    status = said(endpoints_of(live=live), "/api/v1/status")
    assert status["families"] == {
        "gates": {"classes": ["open", "shut"], "count": 2},
        "imagenette": {"classes": [f"class {number}" for number in range(20)], "count": 21},
    }
    yard_said, door = status["cameras"]["yard"], status["cameras"]["door"]
    of_camera = {"state", "last_error", "away_since", "away_seconds", "max_fps", "advice"}
    assert yard_said.keys() == {*of_camera, "views"}
    assert (yard_said["state"], yard_said["max_fps"]) == ("streaming", 10)
    gate, bin = yard_said["views"]["gate"], yard_said["views"]["bin"]
    assert gate["roi"] == [0.0, 0.2, 0.3, 0.6]
    assert (gate["family"], gate["budget_ms"], gate["last"]["latency_ms"]) == ("gates", 20.0, 10.0)
    assert (bin["roi"], bin["family"], bin["last"]) == (None, "imagenette", None)
    assert (bin["budget_ms"], bin["max_fps"], bin["on_time_target"]) == (1000.0, 0.2, 0.8)
    assert door.keys() == yard_said.keys() - {"views"} | gate.keys() - {"roi"}


def test_history_is_by_view() -> None:
    time = FakeTime()
    live = live_of(ShownCamera("yard"), ShownCamera("door"), views=YARD, clock=time)
    live.observe(make_result(view="yard/gate", latency_ms=10))
    live.stale("yard/bin")
    time.now_ns += 1_000_000_000
    rows = said(endpoints_of(live=live), "/api/v1/history")["cameras"]
    assert list(rows) == ["yard/gate", "yard/bin", "door"]
    assert [row[1] for row in rows["yard/gate"]] == [10.0]
    assert rows["yard/bin"] == [[1, 0.0, 0.0, 0.0, 1000.0, 1, None]]
    assert rows["door"] == []


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        (("yard",), ["yard/gate", "yard/bin"]),
        (("yard/bin",), ["yard/bin"]),
        (("yard/gate", "door"), ["yard/gate", "door"]),
        ((), ["yard/gate", "yard/bin", "door", "shed/yard"]),
    ],
)
def test_results_are_those_of_a_camera_or_of_one_view(
    asked: tuple[str, ...], expected: list[str]
) -> None:
    cameras = [ShownCamera(name) for name in ("yard", "door", "shed")]
    live = live_of(*cameras, views={**YARD, "shed/yard": {}})
    stream = endpoints_of(live=live).answer(
        Request("GET", "/api/v1/results", {"camera": list(asked)})
    )
    assert isinstance(stream, ResultStream)
    for view in ("yard/gate", "yard/bin", "door", "shed/yard"):
        live.observe(make_result(view=view))
    lines = [part for part in islice(stream.parts(), 1 + len(expected)) if b"data: " in part]
    found = [json.loads(line.removeprefix(b"data: ")) for line in lines]
    names = ["/".join(filter(None, (each["camera"], each.get("view")))) for each in found]
    assert names == expected


@pytest.mark.parametrize("name", ["gate", "yard/lamp", "door/gate", "yard/", "shed"])
def test_an_unknown_camera_or_view_is_refused_with_those_there_are(name: str) -> None:
    live = live_of(ShownCamera("yard"), ShownCamera("door"), views=YARD)
    answer = get(endpoints_of(live=live), "/api/v1/results", camera=name)
    assert answer.status == 404
    assert answer.body.decode().endswith("cameras: yard, yard/gate, yard/bin, door\n")


def test_a_stream_ends_with_the_last_of_its_views() -> None:
    yard = ShownCamera("yard")
    live = live_of(yard, views=YARD)
    endpoints = endpoints_of(live=live)
    streams = {}
    for name in ("yard", "yard/gate", "yard/bin"):
        stream = endpoints.answer(Request("GET", "/api/v1/results", {"camera": [name]}))
        assert isinstance(stream, ResultStream)
        streams[name] = stream
    live.follow(subjects_of(yard, views={"yard/bin": {}}))
    assert b"camera_removed" in list(streams.pop("yard/gate").parts(0.001))[1]
    for stream in streams.values():
        assert next(islice(stream.parts(0.001), 1, None)).startswith(b":")


def test_snapshots_of_the_camera_and_of_its_views() -> None:
    live = live_of(ShownCamera("yard"), views=YARD, clock=FakeTime())
    endpoints = endpoints_of(live=live)
    live.pictures.offer_camera("yard", whole(PIXELS))
    live.pictures.offer(make_result(view="yard/gate"), PIXELS // 2)
    yard = get(endpoints, "/api/v1/cameras/yard/snapshot.jpg")
    assert (yard.status, yard.content_type) == (200, "image/jpeg")
    assert dict(yard.headers) == {"Picture-Age-Seconds": "0.0", "Picture-Results": "{}"}
    gate = get(endpoints, "/api/v1/cameras/yard/views/gate/snapshot.jpg")
    result = json.loads(dict(gate.headers)["Picture-Result"])
    assert (result["camera"], result["view"]) == ("yard", "gate")
    assert gate.body != yard.body


def test_a_view_of_a_camera_that_is_down_shows_no_old_picture() -> None:
    time, yard = FakeTime(), ShownCamera("yard")
    live = live_of(yard, views=YARD, clock=time)
    endpoints = endpoints_of(live=live)
    live.pictures.offer_camera("yard", whole(PIXELS))
    live.pictures.offer(make_result(view="yard/gate"), PIXELS)
    time.now_ns += 40_000_000_000
    yard.state = State.BACKOFF
    paths = [f"/api/v1/cameras/yard{view}/snapshot.jpg" for view in ("", "/views/gate")]
    assert [get(endpoints, path).status for path in paths] == [503, 503]


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/cameras/yard/views/lamp/snapshot.jpg",
        "/api/v1/cameras/door/views/door/snapshot.jpg",
        "/api/v1/cameras/door/views/snapshot.jpg",
        "/api/v1/cameras/yard/gate/snapshot.jpg",
        "/api/v1/cameras/gate/snapshot.jpg",
        "/api/v1/cameras/yard/views/../snapshot.jpg",
    ],
)
def test_what_is_not_there(path: str) -> None:
    live = live_of(ShownCamera("yard"), ShownCamera("door"), views=YARD)
    assert get(endpoints_of(live=live), path).status == 404


def test_what_is_off_shows_no_picture_and_says_why() -> None:
    states = {view: Switch() for view in YARD}
    switched: Views = {view: {"switch": lambda view=view: states[view]} for view in YARD}
    live = live_of(ShownCamera("yard"), views=switched, clock=FakeTime())
    endpoints = endpoints_of(live=live)
    paths = {each: f"/api/v1/cameras/yard{each}/snapshot.jpg" for each in ("", "/views/gate")}
    live.pictures.offer(make_result(view="yard/gate"), PIXELS)
    live.pictures.offer_camera("yard", whole(PIXELS))
    assert [get(endpoints, path).status for path in paths.values()] == [200, 200]
    states["yard/gate"] = Switch(Switched.OFF)
    assert [get(endpoints, path).status for path in paths.values()] == [200, 503]
    states["yard/bin"] = Switch(Switched.HOURS)
    answers = [get(endpoints, path) for path in paths.values()]
    gate = "503 Service Unavailable: yard/gate is switched off"
    assert [answer.body.decode() for answer in answers] == [
        f"{gate}; yard/bin is outside its hours\n",
        f"{gate}\n",
    ]
    states["yard/gate"] = Switch()
    assert [get(endpoints, path).status for path in paths.values()] == [200, 200]
