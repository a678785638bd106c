"""What each path answers, without sockets."""

from __future__ import annotations

import json
import threading
from dataclasses import replace
from itertools import islice

import numpy as np
import pytest
from prometheus_client import CollectorRegistry, Counter

from edged.result import Score
from edged.telemetry.health import CameraHealth, stuck_loops
from edged.web.answer import Answer, Request
from edged.web.endpoints import Endpoints
from edged.web.live import STREAMS
from edged.web.page import PAGES
from edged.web.streams import ResultStream
from tests.rig.camera import FakeTime
from tests.rig.live import NOW_NS, Device, ShownCamera, State, endpoints_of, live_of, subjects_of
from tests.rig.results import make_result

SNAPSHOT = "/api/v1/cameras/door/snapshot.jpg"


def get(endpoints: Endpoints, path: str, **request: object) -> Answer:
    answer = endpoints.answer(Request("GET", path, **request))  # type: ignore[arg-type]
    assert isinstance(answer, Answer)
    return answer


@pytest.mark.parametrize("version", ["1.0.x", "x", "", "1..0", "9" * 5000, "²"])
def test_a_version_that_is_none_still_gets_metrics(version: str) -> None:
    registry = CollectorRegistry()
    Counter("things", "Things.", registry=registry).inc(3)
    accept = f"application/openmetrics-text; version={version}"
    answer = get(endpoints_of(registry=registry), "/metrics", accept=accept)
    assert answer.status == 200
    assert b"things_total 3.0\n" in answer.body


# --- health


def test_healthz_names_the_loop_that_is_stuck() -> None:
    device = Device(loops={"main": NOW_NS - 100_000_000, "pipeline": NOW_NS - 4_900_000_000})
    endpoints = endpoints_of(device)
    answer = get(endpoints, "/healthz")
    assert answer.status == 200
    assert json.loads(answer.body) == {"healthy": True, "stuck_seconds": {}}

    device.loops["pipeline"] = NOW_NS - 7_500_000_000
    answer = get(endpoints, "/healthz")
    assert answer.status == 503
    assert json.loads(answer.body) == {"healthy": False, "stuck_seconds": {"pipeline": 7.5}}


def test_stuck_loops_at_the_limit() -> None:
    loops = {"at": NOW_NS - 5_000_000_000, "beyond": NOW_NS - 5_000_000_001, "ahead": NOW_NS + 1}
    assert list(stuck_loops(loops, NOW_NS, 5.0)) == ["beyond"]


@pytest.mark.parametrize(
    ("state", "has_result", "ready", "settled"),
    [
        ("starting", False, False, False),
        ("streaming", False, False, False),
        ("streaming", True, True, True),
        ("starting", True, False, True),
        ("stalled", True, False, True),
        ("backoff", True, False, True),
        ("backoff", False, False, True),
        ("ended", False, True, True),
    ],
)
def test_a_camera_is_ready_while_it_streams_and_settled_when_known_to_be_down(
    state: str, has_result: bool, ready: bool, settled: bool
) -> None:
    camera = CameraHealth("door", state, has_result)
    assert (camera.ready, camera.settled) == (ready, settled)


@pytest.mark.parametrize("state", ["starting", "streaming", "stalled", "backoff", "ended"])
def test_a_camera_whose_views_are_all_off_keeps_nobody_waiting(state: str) -> None:
    camera = CameraHealth("door", state, has_result=True, off=True)
    assert (camera.ready, camera.settled) == (True, True)


def test_readyz_waits_for_every_camera() -> None:
    secret = "cannot open rtsp://admin:hunter2@10.0.0.9/1: refused"
    device = Device(
        cameras=[
            CameraHealth("door", "streaming", has_result=True),
            CameraHealth("yard", "backoff", has_result=False, last_error=secret),
            CameraHealth("roof", "starting", has_result=False),
        ]
    )
    endpoints = endpoints_of(device)
    answer = get(endpoints, "/readyz")
    assert (answer.status, answer.content_type) == (503, "application/json")
    said = json.loads(answer.body)
    assert said["ready"] is False
    assert said["cameras"]["door"] == {"state": "streaming", "ready": True, "last_error": None}
    assert said["cameras"]["yard"]["ready"] is False
    assert said["cameras"]["roof"]["ready"] is False
    assert "refused" in said["cameras"]["yard"]["last_error"]
    assert b"hunter2" not in answer.body

    device.cameras[1] = CameraHealth("yard", "streaming", has_result=True, last_error=secret)
    assert get(endpoints, "/readyz").status == 503
    device.cameras[2] = CameraHealth("roof", "streaming", has_result=True)
    assert get(endpoints, "/readyz").status == 200


# --- the page and the API


@pytest.mark.parametrize("path", ["/", "/events", "/teach", "/device"])
def test_a_page_is_whole_and_allows_only_itself(path: str) -> None:
    answer, page = get(endpoints_of(), path), PAGES[path]
    assert answer.body == page.html
    assert ("Content-Security-Policy", page.policy) in answer.headers
    assert "unsafe" not in page.policy
    text = page.html.decode()
    for mark in ("/*style*/", "/*script*/", "<!--"):
        assert mark not in text
    assert text.count('aria-current="page"') == 1
    assert " style=" not in text and " onclick=" not in text  # which the policy does not allow
    # Nothing from elsewhere: the only address is the name of a language.
    assert set(text.split("http://")[1:]) == {
        rest for rest in text.split("http://")[1:] if rest.startswith("www.w3.org/2000/svg")
    }
    assert "https://" not in text


def test_status_before_and_after_a_result() -> None:
    password = "rtsp://u:hunter2@10.0.0.9: refused"
    live = live_of(ShownCamera("door"), ShownCamera("yard", State.BACKOFF, password))
    endpoints = endpoints_of(live=live)
    said = json.loads(get(endpoints, "/api/v1/status").body)
    assert said["families"] == {
        "imagenette": {
            "classes": [f"class {number}" for number in range(20)],  # enough to tell what it is
            "count": 21,
        }
    }
    assert said["engines_building"] == 1
    assert said["temperature_c"] is None
    assert said["cameras"]["door"]["last"] is None
    assert said["cameras"]["yard"]["state"] == "backoff"
    assert "hunter2" not in json.dumps(said)

    live.observe(make_result())
    door = json.loads(get(endpoints, "/api/v1/status").body)["cameras"]["door"]
    assert door["last"]["variant"] == "mobilenet_v1_0.25_128"
    assert door["last"]["reason"] == "budget"
    assert door["last"]["top"] == [{"label": "line\nbreak", "score": 0.5}]
    assert door["budget_ms"] == 20.0


def test_a_camera_that_a_reload_removed_is_gone() -> None:
    live = live_of(ShownCamera("door"), ShownCamera("yard"))
    live.observe(make_result(view="yard"))
    live.observe(make_result())
    live.follow(subjects_of(ShownCamera("door")))
    endpoints = endpoints_of(live=live)
    said = json.loads(get(endpoints, "/api/v1/status").body)["cameras"]
    assert list(said) == ["door"]
    assert said["door"]["last"] is not None
    assert get(endpoints, "/api/v1/cameras/yard/snapshot.jpg").status == 404


def test_status_says_while_networks_are_loaded() -> None:
    live, loading = live_of(ShownCamera("door")), [True]
    live.follow(replace(subjects_of(ShownCamera("door")), loading=lambda: bool(loading)))
    assert json.loads(get(endpoints_of(live=live), "/api/v1/status").body)["loading"] is True
    loading.clear()
    assert json.loads(get(endpoints_of(live=live), "/api/v1/status").body)["loading"] is False


def test_history_tells_the_budget_of_a_second_in_which_every_frame_came_too_late() -> None:
    time = FakeTime()
    live = live_of(ShownCamera("door"), clock=time)
    live.stale("door")
    time.now_ns += 1_000_000_000
    said = json.loads(get(endpoints_of(live=live), "/api/v1/history").body)
    assert said["cameras"]["door"] == [[1, 0.0, 0.0, 0.0, 20.0, 1, None]]


def test_history_has_its_columns() -> None:
    live = live_of(ShownCamera("door"))
    live.observe(make_result())
    said = json.loads(get(endpoints_of(live=live), "/api/v1/history").body)
    for row in said["cameras"]["door"]:
        assert len(row) == len(said["columns"])


def test_a_snapshot_is_a_jpeg_of_the_next_frame() -> None:
    live = live_of(ShownCamera("door"))
    given = threading.Event()

    def deliver() -> None:
        while not given.is_set():
            live.pictures.offer(make_result(), np.full((64, 48, 3), (250, 5, 5), np.uint8))

    pipeline = threading.Thread(target=deliver)
    pipeline.start()
    answer = get(endpoints_of(live=live), SNAPSHOT)
    given.set()
    pipeline.join()
    assert (answer.status, answer.content_type) == (200, "image/jpeg")
    assert answer.body.startswith(b"\xff\xd8")


def test_a_snapshot_says_what_was_seen_in_it_whatever_came_later() -> None:
    live = live_of(ShownCamera("door"), clock=FakeTime())
    live.pictures.offer(make_result(sequence=7), np.zeros((64, 48, 3), np.uint8))
    live.observe(make_result(sequence=8))
    headers = dict(get(endpoints_of(live=live), SNAPSHOT).headers)
    said = json.loads(headers["Picture-Result"])
    assert (said["camera"], said["sequence"]) == ("door", 7)
    assert said["top"] == [{"label": "line\nbreak", "score": 0.5}]


def test_many_long_labels_fit_the_headers_that_a_proxy_takes() -> None:
    live = live_of(ShownCamera("door"), clock=FakeTime())
    top = tuple(Score(f"{number} ünïcödé\r\n" + 100 * "x", 0.5) for number in range(100))
    live.pictures.offer(make_result()._replace(top=top), np.zeros((64, 48, 3), np.uint8))
    line = dict(get(endpoints_of(live=live), SNAPSHOT).headers)["Picture-Result"]
    assert line.isascii() and line.isprintable() and len(line) <= 2000
    assert [each["label"] for each in json.loads(line)["top"]][:2] == [top[0].label, top[1].label]


def test_a_camera_that_is_quiet_shows_its_last_picture_and_one_that_is_down_does_not() -> None:
    time, door = FakeTime(), ShownCamera("door")
    live = live_of(door, clock=time)
    endpoints = endpoints_of(live=live)
    live.pictures.offer(make_result(), np.full((64, 48, 3), (250, 5, 5), np.uint8))
    time.now_ns += 40_000_000_000
    answer = get(endpoints, SNAPSHOT)
    assert answer.status == 200
    assert ("Picture-Age-Seconds", "40.0") in answer.headers
    door.state = State.BACKOFF
    answer = get(endpoints, SNAPSHOT)
    assert answer.status == 503
    assert b"no picture available" in answer.body


@pytest.mark.parametrize(
    "path",
    [
        "/api/v1/cameras/nobody/snapshot.jpg",
        "/api/v1/cameras/../snapshot.jpg",
        "/api/v1/cameras/door/../door/snapshot.jpg",
        "/api/v1/cameras/DOOR/snapshot.jpg",
        "/api/v1/cameras/",
        "/api/v1/",
        "/page.css",
        "/../page/page.html",
    ],
)
def test_what_is_not_there(path: str) -> None:
    assert get(endpoints_of(live=live_of(ShownCamera("door"))), path).status == 404


def test_streams_are_of_known_cameras_and_bounded() -> None:
    live = live_of(ShownCamera("door"))
    endpoints = endpoints_of(live=live)
    unknown = get(endpoints, "/api/v1/results", query={"camera": ["yard"]})
    assert unknown.status == 404
    assert b"door" in unknown.body
    first = opened(endpoints, "a", "door")
    others = [opened(endpoints, "b", "door") for _ in range(STREAMS)]
    live.observe(make_result())
    assert b"displaced" in list(others[0].parts())[1]
    for stream in (first, *others[1:]):
        assert list(islice(stream.parts(), 2))[1].startswith(b"data: ")


def test_a_stream_ends_with_the_last_of_its_cameras() -> None:
    live = live_of(*(ShownCamera(name) for name in ("door", "yard", "roof")))
    endpoints = endpoints_of(live=live)
    wanted = [("door",), ("door", "yard"), ()]
    ends, *goes_on = (opened(endpoints, "a", *cameras).parts(0.001) for cameras in wanted)
    live.follow(subjects_of(ShownCamera("yard")))
    assert b"camera_removed" in list(ends)[1]
    for parts in goes_on:
        assert list(islice(parts, 2))[1].startswith(b":")


def opened(endpoints: Endpoints, client: str, *cameras: str) -> ResultStream:
    query = {"camera": list(cameras)}
    stream = endpoints.answer(Request("GET", "/api/v1/results", query, client=client))
    assert isinstance(stream, ResultStream)
    return stream
