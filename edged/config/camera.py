"""The sections of a camera and of a view: their schemas and their checked values.

A view is a region of a camera with a question of its own; a camera without `views` is its own only
view. What a view lacks comes from its camera, and what that lacks from the top of the file.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edged.capture.options import capture_request
from edged.capture.schema import SETTINGS, SOURCE, VIEW_KEYS
from edged.capture.source import MOST_VIEWS, CaptureRequest, Quiet, Roi, ViewRequest
from edged.capture.sources.grammar import camera_source, source_from
from edged.document.parts import (
    BUDGET_MS,
    FPS,
    GIVE_UP,
    GOAL,
    HOURS,
    MODEL,
    NAME,
    ON_TIME,
    TOP1,
    VARIANTS,
    key,
    section,
)
from edged.document.values import path_from
from edged.hours import Period, hours_of
from edged.variants.variant import Variant
from edged.view import camera_of, parts

DEFAULT_MODEL = "imagenette"

_SIZE = "size: 1280x720, width and height in one"
_LOGIN = "write the login in the address: source: rtsp://user:password@host/path"
_VIEW_HINTS = {
    **dict.fromkeys(
        ("interval", "frame_interval"), "write max_fps, results a second: 1 / interval"
    ),
    **dict.fromkeys(
        ("threshold", "confidence", "min_score"),
        "the keys are results.min_score, and above in events",
    ),
    **dict.fromkeys(("crop", "region", "zone"), "roi"),
    **dict.fromkeys(("motion", "motion_detection"), "quiet"),
    **dict.fromkeys(("latency", "budget", "budget_ms", "latency_ms"), "latency_budget_ms"),
    **dict.fromkeys(("family", "network"), "model"),
    "variant": "variants",
    **dict.fromkeys(
        ("events", "class", "classes"),
        "events is a key at the top of the file; each event lists its cameras",
    ),
    **dict.fromkeys(("schedule", "when", "active", "times"), "hours"),
    **dict.fromkeys(
        ("enabled", "disabled"),
        "switch it off on the page; to disable it for good, comment it out with #",
    ),
}
_CAMERA_HINTS = {
    **_VIEW_HINTS,
    **dict.fromkeys(
        ("url", "uri", "src", "address", "device", "path", "input", "stream"), "source"
    ),
    **dict.fromkeys(
        ("host", "ip", "rtsp", "rtsp_url", "stream_source", "still_image_url"), "source"
    ),
    **dict.fromkeys(("framerate", "frame_rate", "frames_per_second", "rate"), "fps"),
    **dict.fromkeys(("resolution", "dimensions"), "size"),
    **dict.fromkeys(("width", "height"), f"write {_SIZE}"),
    **dict.fromkeys(("rotation", "angle", "rotate_image"), "rotate"),
    **dict.fromkeys(("hflip", "mirror"), "write flip: horizontal"),
    "vflip": "write flip: vertical",
    **dict.fromkeys(("password", "username", "user", "login", "credentials"), _LOGIN),
    "port": "write the port in the address: source: rtsp://host:554/path",
    **dict.fromkeys(("zone", "zones", "regions", "rois", "crops"), "views"),
    "repeat": "loop",
}

_TOPICS = ("result", "state", "status", "event")
"""Of a camera in MQTT, where its views have theirs."""


def _view_keys(default: str) -> dict[str, Any]:
    """The keys that a view and a camera have. default: whose value applies without one."""
    default = f"Default: {default}."
    return {
        "model": key(
            "Model family",
            "Name of a shipped family or of a classifier (edged teach), or path of a family's "
            "folder, relative to this file. A classifier deployed to a view replaces what its "
            "camera or the top of the file names. " + default,
            "./families/gate",
            **MODEL,
        ),
        "variants": key(
            "Variants", f"Use only these variants. {default}", ["mobilenet_v1_0.5_160"], **VARIANTS
        ),
        "latency_budget_ms": key(
            "Latency budget (ms)", f"From capture to result. {default}", 50, **BUDGET_MS
        ),
        "on_time": key(
            "Share on time",
            f"Share of results that must meet the budget. {default}",
            0.99,
            **ON_TIME,
        ),
        "min_fps": key(
            "Minimum results per second",
            f"Variants that take longer are not used. {default}",
            10,
            **FPS,
        ),
        "min_top1": key(
            "Minimum accuracy (top-1, 0 to 1)",
            "Never use a variant that is less accurate by the family's table, even if results come "
            f"late. {default}",
            0.8,
            **TOP1,
        ),
        "hours": {
            **HOURS,
            "description": f"{HOURS['description']} A view that lacks it has its camera's.",
        },
        "goal": key(
            "Goal",
            f"accuracy, or power: cheaper variants within give_up. {default}",
            "power",
            **GOAL,
        ),
        "give_up": key(
            "Accuracy to give up (0 to 1)", f"With goal: power. {default}", 0.01, **GIVE_UP
        ),
        **{name: SETTINGS[name] for name in VIEW_KEYS},
    }


_DRIVER_KEYS = {name: each for name, each in SETTINGS.items() if name not in VIEW_KEYS}
_AT_THE_CAMERA = {
    word: f"{hint} is a key of the camera" if " " not in hint else f"at the camera, {hint}"
    for word, hint in {**_CAMERA_HINTS, **{name: name for name in (*SOURCE, *_DRIVER_KEYS)}}.items()
}

VIEW = section([], {**_AT_THE_CAMERA, **_VIEW_HINTS}, **_view_keys("the value of the camera")) | {
    "title": "View",
    "description": "One view: its region and its own settings.",
    "examples": [{"roi": [0, 0.2, 0.3, 0.6]}],
}
CAMERA = section(
    [],
    {**_CAMERA_HINTS, "roi": "write it in each of the views"},
    **SOURCE,
    **_view_keys("the value at the top of the file"),
    **_DRIVER_KEYS,
    views=key(
        "Views",
        "Several regions of the picture, by name, each with a question of its own: its results, "
        "metrics and events are those of camera/view. The camera is opened, and its picture "
        "decoded, once for all of them. Without it the camera is its own only view.",
        {"gate": {"roi": [0, 0.2, 0.3, 0.6]}, "bin": {"roi": [0.7, 0.5, 0.3, 0.5]}},
        type="object",
        minProperties=1,
        maxProperties=MOST_VIEWS,
        propertyNames={
            "pattern": f"^(?!({'|'.join(_TOPICS)})$)" + NAME["pattern"].removeprefix("^"),
            "patternErrorMessage": f"{NAME['patternErrorMessage']}; not {', '.join(_TOPICS)}, "
            "which are MQTT topics of a camera",
        },
        additionalProperties=VIEW,
    ),
) | {
    "title": "Camera",
    "description": "One camera: its source and its own settings.",
    "oneOf": [{"required": ["source"]}, {"required": ["source_file"]}],
    "not": {"required": ["views", "roi"]},
    "examples": [{"source": "synthetic"}],
}


@dataclass(frozen=True, slots=True)
class ViewConfig:
    """One view. id: `camera/view`, or `camera` where the camera is its own only view.

    model: a shipped family's or a classifier's name, or a path relative to Config.base.
    names_model: the view itself names it, so that no deployed classifier replaces it. model_above:
    of its camera or the top, in place of a classifier that cannot run. variants: names; None for
    all of the family. min_fps, max_fps: None for no limit. min_top1: 0 to 1. roi: None for the
    whole picture. hours: when it counts, empty for always. goal: accuracy or power; give_up counts
    only for the second.
    """

    id: str
    model: str
    variants: tuple[str, ...] | None
    latency_budget_ms: float
    on_time: float
    min_fps: float | None = None
    min_top1: float = 0.0
    max_fps: float | None = None
    quiet: Quiet | None = None
    roi: Roi | None = None
    names_model: bool = False
    goal: str = "accuracy"
    give_up: float = 0.01
    hours: tuple[Period, ...] = ()
    model_above: str = field(default=DEFAULT_MODEL, compare=False)

    @property
    def camera(self) -> str:
        return camera_of(self.id)

    @property
    def name(self) -> str | None:
        """None where the camera is its own only view."""
        return parts(self.id)[1]


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """One camera and its views, of which there is at least one.

    source_file: the file that the source was read from, if any.
    """

    name: str
    capture: CaptureRequest
    views: tuple[ViewConfig, ...]
    source_file: Path | None = None

    def __str__(self) -> str:
        """`door`, or `yard (gate, bin)`."""
        names = ", ".join(view.name for view in self.views if view.name is not None)
        return f"{self.name} ({names})" if names else self.name


def camera_config(
    name: str, own: Mapping[str, Any], top: Mapping[str, Any], base: Path
) -> CameraConfig:
    """own: the camera's section; top: the whole file; both checked, except that the source may be
    absent, which gives an empty one. base: for relative paths.
    """
    file = path_from(own["source_file"], base) if "source_file" in own else None
    source = ""
    if file is not None:
        source = source_from(file, base)
    elif "source" in own:
        source = camera_source(own["source"], base)
    capture = capture_request(source, own)
    if "views" not in own:
        return CameraConfig(name, capture, (_view(name, own, top),), file)
    above = {**top, **own}
    views = tuple(_view(f"{name}/{view}", each, above) for view, each in own["views"].items())
    return CameraConfig(name, _request(capture, views), views, file)


def _view(view: str, own: Mapping[str, Any], above: Mapping[str, Any]) -> ViewConfig:
    """own: the section that is the view's alone. above: the values of its camera and the top."""
    said = {**above, **own}
    variants = said.get("variants")
    return ViewConfig(
        id=view,
        model=said["model"],
        variants=None if variants is None else tuple(Variant.parse(v).name for v in variants),
        latency_budget_ms=said["latency_budget_ms"],
        on_time=said["on_time"],
        min_fps=said.get("min_fps"),
        min_top1=said.get("min_top1", 0.0),
        goal=said["goal"],
        give_up=said["give_up"],
        max_fps=said.get("max_fps"),
        quiet=Quiet(**said["quiet"]) if "quiet" in said else None,
        roi=tuple(said["roi"]) if "roi" in said else None,
        names_model="model" in own,
        hours=hours_of(said),
        model_above=above["model"],
    )


def _request(capture: CaptureRequest, views: Sequence[ViewConfig]) -> CaptureRequest:
    """The request of a camera with views."""
    rates = [view.max_fps for view in views if view.max_fps is not None]
    return replace(
        capture,
        roi=None,
        square=False,
        max_fps=max(rates) if len(rates) == len(views) else None,
        quiet=None,
        views=tuple(
            ViewRequest(roi=view.roi, max_fps=view.max_fps, quiet=view.quiet, name=view.name or "")
            for view in views
        ),
    )


def view_ids(name: str, own: object) -> tuple[str, ...]:
    """Ids of a camera's views. own: its section, unchecked."""
    views = own.get("views") if isinstance(own, dict) else None
    return tuple(f"{name}/{view}" for view in views) if isinstance(views, dict) else (name,)
