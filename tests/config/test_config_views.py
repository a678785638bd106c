"""Views of a camera: what they take from where, and what is wrong with them."""

from __future__ import annotations

from collections.abc import Callable

import jsonschema
import pytest
import yaml

from edged.capture.source import MOST_VIEWS, CaptureRequest, Quiet, ViewRequest
from edged.config.camera import CameraConfig, ViewConfig
from edged.config.schema import json_schema
from edged.errors import InputErrors
from tests.rig.configuration import YARD, Load, views
from tests.rig.paths import PROJECT


@pytest.fixture
def complaints(load: Load) -> Callable[..., list[str]]:
    """What is wrong, with line and key."""

    def found(text: str) -> list[str]:
        with pytest.raises(InputErrors) as caught:
            load(text)
        return [str(error).partition("edged.yaml:")[2] for error in caught.value.errors]

    return found


# values


def test_views_and_what_is_asked_of_the_camera(load: Load) -> None:
    config = load(YARD)
    yard, door = config.cameras
    gate_roi, bin_roi = (0.0, 0.2, 0.3, 0.6), (0.7, 0.5, 0.3, 0.5)
    assert yard == CameraConfig(
        "yard",
        CaptureRequest(
            "synthetic",
            square=False,
            views=(
                ViewRequest(gate_roi, name="gate"),
                ViewRequest(bin_roi, max_fps=0.2, name="bin"),
            ),
        ),
        (
            ViewConfig("yard/gate", "gate", None, 100.0, 0.95, roi=gate_roi, names_model=True),
            ViewConfig(
                *("yard/bin", "bin", None, 1000.0, 0.95), max_fps=0.2, roi=bin_roi, names_model=True
            ),
        ),
    )
    assert door.capture == CaptureRequest("synthetic")
    assert door.views == (ViewConfig("door", "imagenette", None, 100.0, 0.95),)
    assert config.views == (*yard.views, *door.views)
    assert [(view.camera, view.name) for view in config.views] == [
        ("yard", "gate"),
        ("yard", "bin"),
        ("door", None),
    ]
    assert [str(camera) for camera in config.cameras] == ["yard (gate, bin)", "door"]


def test_a_view_has_a_goal_of_its_own(load: Load) -> None:
    config = load(
        "goal: power\ngive_up: 0.05\nprobe: 0.01\ncameras:\n"
        "  door: {source: synthetic, goal: accuracy}\n"
        "  yard:\n    source: synthetic\n    give_up: 0.02\n"
        "    views: {gate: {goal: accuracy}, bin: {give_up: 0.03}, lane: {}}\n"
    )
    assert [(view.id, view.goal, view.give_up) for view in config.views] == [
        ("door", "accuracy", 0.05),
        ("yard/gate", "accuracy", 0.02),
        ("yard/bin", "power", 0.03),
        ("yard/lane", "power", 0.02),
    ]
    assert config.probe == 0.01


def test_a_view_takes_from_its_camera_and_that_from_the_top(load: Load) -> None:
    config = load(
        "model: top\nvariants: [mobilenet_v1_1_224]\nlatency_budget_ms: 10\non_time: 0.5\n"
        "min_fps: 1\nmin_top1: 0.1\n"
        "cameras:\n"
        "  bare: {source: synthetic, views: {a: {}}}\n"
        "  full:\n"
        "    source: synthetic\n"
        "    model: camera\n"
        "    variants: [mobilenet_v1_0.5_160]\n"
        "    latency_budget_ms: 20\n"
        "    on_time: 0.6\n"
        "    min_fps: 2\n"
        "    min_top1: 0.2\n"
        "    max_fps: 5\n"
        "    quiet: {hold_seconds: 7}\n"
        "    views:\n"
        "      same: {}\n"
        "      other:\n"
        "        model: view\n"
        "        variants: [mobilenet_v1_0.25_128]\n"
        "        latency_budget_ms: 30\n"
        "        on_time: 0.7\n"
        "        min_fps: 3\n"
        "        min_top1: 0\n"
        "        max_fps: 6\n"
        "        quiet: {threshold: 9}\n"
        "        roi: [0, 0, 0.5, 0.5]\n"
    )
    large, medium, small = (
        (f"mobilenet_v1_{name}",) for name in ("1.0_224", "0.5_160", "0.25_128")
    )
    quiet, other = Quiet(hold_seconds=7.0), Quiet(threshold=9.0)
    roi = (0.0, 0.0, 0.5, 0.5)
    assert config.views == (
        ViewConfig("bare/a", "top", large, 10.0, 0.5, 1.0, 0.1, None, None, None),
        ViewConfig("full/same", "camera", medium, 20.0, 0.6, 2.0, 0.2, 5.0, quiet, None),
        ViewConfig("full/other", "view", small, 30.0, 0.7, 3.0, 0.0, 6.0, other, roi, True),
    )
    assert config.cameras[1].capture.views == (
        ViewRequest(max_fps=5.0, quiet=quiet, name="same"),
        ViewRequest(roi, max_fps=6.0, quiet=other, name="other"),
    )


def test_a_camera_that_is_its_own_only_view_may_have_a_model(load: Load) -> None:
    config = load(
        "cameras:\n  door: {source: synthetic, model: ./birds, variants: [mobilenet_v1_1_224],\n"
        "    roi: [0, 0, 0.5, 1], quiet: {}, max_fps: 2}\n  yard: {source: synthetic}\n"
    )
    roi = (0.0, 0.0, 0.5, 1.0)
    assert config.views == (
        ViewConfig(
            *("door", "./birds", ("mobilenet_v1_1.0_224",), 33.0, 0.95),
            max_fps=2.0,
            quiet=Quiet(),
            roi=roi,
            names_model=True,
        ),
        ViewConfig("yard", "imagenette", None, 33.0, 0.95),
    )
    request = CaptureRequest("synthetic", max_fps=2.0, roi=roi, quiet=Quiet())
    assert config.cameras[0].capture == request


@pytest.mark.parametrize(
    ("rates", "highest"),
    [
        (("max_fps: 0.2", "max_fps: 5"), 5.0),
        (("max_fps: 0.2", ""), None),
        (("", ""), None),
    ],
)
def test_the_camera_is_asked_for_the_highest_rate(
    load: Load, rates: tuple[str, str], highest: float | None
) -> None:
    text = views(*(f"{name}: {{{rate}}}" for name, rate in zip("ab", rates, strict=True)))
    assert load(text).cameras[0].capture.max_fps == highest


def test_what_is_the_cameras_stays_the_cameras(load: Load) -> None:
    above = "    size: 640x480\n    rotate: 90\n    frozen_after_seconds: 9\n"
    capture = load(views("a: {}", above=above)).cameras[0].capture
    assert (capture.size, capture.rotate, capture.frozen_after_seconds) == ((640, 480), 90, 9)


def test_the_place_of_a_value(load: Load) -> None:
    config = load(
        "min_fps: 1\nmin_top1: 0.1\ncameras:\n  yard: {source: synthetic, min_fps: 2, "
        "views: {gate: {min_fps: 3}, bin: {}}}\n  door: {source: synthetic}\n"
    )
    yard = ("cameras", "yard")
    assert config.place("yard/gate", "min_fps") == (*yard, "views", "gate", "min_fps")
    assert config.place("yard/bin", "min_fps") == (*yard, "min_fps")
    assert config.place("door", "min_fps") == ("min_fps",)
    assert config.place("yard/gate", "min_top1") == ("min_top1",)
    assert config.place("yard/gate", "roi") == (*yard, "views", "gate", "roi")
    assert config.place("door", "roi") == ("cameras", "door", "roi")


def test_an_editor_knows_views() -> None:
    validator = jsonschema.Draft202012Validator(json_schema())
    assert validator.is_valid(yaml.safe_load(YARD))
    assert not validator.is_valid(yaml.safe_load(YARD.replace("gate:", "state:")))
    assert not validator.is_valid(yaml.safe_load(YARD.replace("max_fps: 0.2", "fps: 5")))
    both = yaml.safe_load(YARD)
    both["cameras"]["yard"]["roi"] = [0, 0, 1, 1]
    assert not validator.is_valid(both)


# mistakes


NAME = (
    "invalid name; expected a lower-case letter, then lower-case letters, digits, _ or -, 32 at "
    "most; not result, state, status, event, which are MQTT topics of a camera"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        *(
            (views(f"{name}: {{}}"), [f"5: cameras.yard.views.{name}: {NAME}"])
            for name in ("result", "state", "status", "event")
        ),
        (
            views("Front Gate: {}"),
            [f"5: cameras.yard.views.'Front Gate': {NAME}; for example front_gate"],
        ),
        (views("State: {}"), [f"5: cameras.yard.views.State: {NAME}"]),
        (views("a/b: {}"), [f"5: cameras.yard.views.'a/b': {NAME}; for example a_b"]),
        (
            views("gate: {}", "bin: {}", "gate: {}"),
            ["7: cameras.yard.views.gate: duplicate key, first on line 5; remove one of them"],
        ),
        (
            views("gate: {}", above="    roi: [0, 0, 0.5, 1]\n"),
            ["4: cameras.yard.roi: cannot be combined with views; write it in each of the views"],
        ),
        (views("gate:"), ["5: cameras.yard.views.gate: expected lines of `key: value` (got noth"]),
        (views()[:-1], ["4: cameras.yard.views: expected lines of `key: value` with 1 to 16 ent"]),
        (
            "cameras:\n  yard: {source: synthetic, views: [gate, bin]}",
            ["2: cameras.yard.views: expected lines of `key: value` with 1 to 16 entries (got a l"],
        ),
        (
            views(*(f"v{number}: {{}}" for number in range(33))),
            ["4: cameras.yard.views: expected lines of `key: value` with 1 to 16 entries"],
        ),
        (
            views("gate: {roi: [0.5, 0, 0.6, 1]}"),
            ["5: cameras.yard.views.gate.roi: extends beyond the right edge of the picture"],
        ),
        (
            views("gate: {max_fps: 0, latency_budget_ms: 0}", "bin: {model: 5, variants: [x]}"),
            [
                "5: cameras.yard.views.gate.max_fps: expected a number from 0.001 to 240 (got 0)",
                "5: cameras.yard.views.gate.latency_budget_ms: expected a number above 0",
                "6: cameras.yard.views.bin.model: expected text that is not empty (got 5)",
                "6: cameras.yard.views.bin.variants[0]: not the name of a variant (got 'x')",
            ],
        ),
        # keys of other places
        (
            views("gate: {source: clip.mp4}"),
            ["5: cameras.yard.views.gate.source: unknown key; source is a key of the camera"],
        ),
        (
            views("gate: {url: clip.mp4}"),
            ["5: cameras.yard.views.gate.url: unknown key; source is a key of the camera"],
        ),
        (
            views("gate: {rotate: 90}"),
            ["5: cameras.yard.views.gate.rotate: unknown key; rotate is a key of the camera"],
        ),
        (
            views("gate: {width: 640}"),
            ["5: cameras.yard.views.gate.width: unknown key; at the camera, write size: 1280x720"],
        ),
        (
            views("gate: {family: gate, zone: 1, budget: 5, motion: true}"),
            [
                "5: cameras.yard.views.gate.family: unknown key; did you mean model?",
                "5: cameras.yard.views.gate.zone: unknown key; did you mean roi?",
                "5: cameras.yard.views.gate.budget: unknown key; did you mean latency_budget_ms?",
                "5: cameras.yard.views.gate.motion: unknown key; did you mean quiet?",
            ],
        ),
        (
            views("gate: {}", above="    zones: {}\n"),
            ["4: cameras.yard.zones: unknown key; did you mean views?"],
        ),
        (
            views("gate: {}", above="    regions: {}\n"),
            ["4: cameras.yard.regions: unknown key; did you mean views?"],
        ),
        (
            "views: {gate: {}}\ncameras:\n  yard: {source: synthetic}\n",
            ["1: views: unknown key; set it per camera, under the camera's name"],
        ),
    ],
)
def test_a_mistake_has_its_line_and_its_key(
    complaints: Callable[..., list[str]], text: str, expected: list[str]
) -> None:
    found = complaints(text)
    assert len(found) == len(expected), found
    for answer, part in zip(sorted(found), sorted(expected), strict=True):
        assert answer.startswith(part)


def test_views_are_bounded_in_all(load: Load, complaints: Callable[..., list[str]]) -> None:
    many = "{" + ", ".join(f"v{number}: {{}}" for number in range(MOST_VIEWS)) + "}"
    full = "".join(f"  c{number}: {{source: synthetic, views: {many}}}\n" for number in range(16))
    assert len(load("cameras:\n" + full).views) == 256
    assert complaints("cameras:\n" + full + "  door: {source: synthetic}\n") == [
        "1: cameras: 257 views; expected at most 256 of all cameras together"
    ]


def test_a_password_in_a_view_is_not_shown(complaints: Callable[..., list[str]]) -> None:
    found = complaints(views("gate: {source: rtsp://admin:Hunter2,Swordfish@192.0.2.7/1}"))
    assert "unter" not in str(found)
    assert "wordfish" not in str(found)


# events


EVENT = "events:\n  open:\n    class: ant\n"


@pytest.mark.parametrize(
    ("cameras", "watched"),
    [
        ("", ("yard/gate", "yard/bin", "door")),
        ("[yard]", ("yard/gate", "yard/bin")),
        ("[yard/bin]", ("yard/bin",)),
        ("[door, yard/gate]", ("door", "yard/gate")),
        ("[yard/bin, yard]", ("yard/bin", "yard/gate")),
    ],
)
def test_an_event_watches_cameras_and_views(
    load: Load, cameras: str, watched: tuple[str, ...]
) -> None:
    (event,) = load(YARD + EVENT + (cameras and f"    cameras: {cameras}\n")).events
    assert event.views == watched


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("yard/gat", "no such view (got yard/gat); did you mean yard/gate"),
        ("door/gate", "no such view (got door/gate); did you mean"),
        ("yrad", "no such camera (got yrad); did you mean yard?"),
        ("gate", "no such camera (got gate); did you mean yard/gate"),
    ],
)
def test_an_event_names_what_there_is(
    complaints: Callable[..., list[str]], name: str, expected: str
) -> None:
    (found,) = complaints(YARD + EVENT + f"    cameras: [door, {name}]\n")
    assert found.startswith(f"12: events.open.cameras[1]: {expected}")


def test_an_event_may_name_a_view_that_has_an_error(complaints: Callable[..., list[str]]) -> None:
    text = YARD.replace("max_fps: 0.2", "max_fps: 0") + EVENT + "    cameras: [yard/bin]\n"
    assert [line[:2] for line in complaints(text)] == ["7:"]


def test_too_many_views(complaints: Callable[..., list[str]]) -> None:
    found = complaints(views(*(f"gate{number}: {{}}" for number in range(MOST_VIEWS + 2))))
    wanted = f"expected lines of `key: value` with 1 to {MOST_VIEWS} entries"
    assert found == [f"4: cameras.yard.views: {wanted} (got {MOST_VIEWS + 2}); remove 2 of them"]
    manual = (PROJECT / "docs/configuration.md").read_text()
    assert f"A camera has at most {MOST_VIEWS} views" in manual
