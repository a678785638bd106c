"""What may stand in the configuration: one JSON Schema for the check and for an editor.

Every default is stated here and nowhere else. `format` names a function of edged/config.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edged.backends.auto import BACKENDS
from edged.config.camera import CAMERA
from edged.document.parts import BUDGET_MS, FPS, ON_TIME, TOP1, key, section
from edged.events.options import EVENT, MOST_EVENTS
from edged.sinks.options import RESULTS
from edged.web.options import HTTP

MOST_CAMERAS = 256
MOST_THREADS = 64
"""Of one inference; `--threads` of the commands goes as far."""


def json_schema() -> dict[str, Any]:
    """Draft 2020-12; a copy that the caller may change."""
    return deepcopy(_SCHEMA)


_RESULTS_KEYS = sorted(
    RESULTS["properties"], key=lambda name: "default" in RESULTS["properties"][name]
)
"""Those first that have to be asked for."""

_HINTS = {
    **dict.fromkeys(("budget", "budget_ms", "latency", "latency_ms"), "latency_budget_ms"),
    **dict.fromkeys(("family", "network", "models"), "model"),
    **dict.fromkeys(("streams", "sources", "devices"), "cameras"),
    **dict.fromkeys(("fps", "framerate", "size"), "it is a key of each camera, under its name"),
    **dict.fromkeys(_RESULTS_KEYS, "it is a key of results:"),
    **dict.fromkeys(("listen", "users", "tls", "token_hashes"), "it is a key of http:"),
    **dict.fromkeys(("server", "web", "port", "metrics"), 'write http: {listen: "127.0.0.1:9640"}'),
    **dict.fromkeys(("output", "outputs", "sinks"), "results"),
    **dict.fromkeys(("rules", "alerts", "triggers"), "events"),
    **dict.fromkeys(("runtime", "accelerator", "device"), "backend"),
    **dict.fromkeys(("temperature", "max_temp"), "max_temperature_c"),
}

_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "edged configuration",
    "description": "Camera frames become MobileNet results inside a latency budget.",
} | section(
    ["cameras"],
    _HINTS,
    model=key(
        "Model family",
        "A shipped family by its name, or the path of a family's folder, relative to this file.",
        "imagenette",
        "./families/birds",
        type="string",
        minLength=1,
        default="imagenette",
    ),
    latency_budget_ms=key(
        "Latency budget (ms)",
        "From capture to result. The most accurate variant that keeps it is used for each frame.",
        33,
        50,
        default=33,
        **BUDGET_MS,
    ),
    on_time=key(
        "Share on time",
        "The share of results that must keep the budget, over the long run.",
        0.95,
        0.99,
        default=0.95,
        **ON_TIME,
    ),
    min_fps=key(
        "Results per second, at least",
        "No variant that takes longer is used. Cameras take turns: all their runs together must "
        "fit into the time between two results of the most demanding one. max_temperature_c goes "
        "before it. Without it only the budget counts.",
        10,
        **FPS,
    ),
    min_top1=key(
        "Least accuracy (top-1, 0 to 1)",
        "No variant that is less accurate is used: rather late, and counted as late. Needs a "
        "family whose accuracy was measured. Without it every variant may be used.",
        0.8,
        **TOP1,
    ),
    max_temperature_c=key(
        "Highest temperature of the processor (degrees Celsius)",
        "From 6 degrees below it on cheaper variants run, then frames are left out, so that it "
        "stays below. A Raspberry Pi slows itself down at 80. Without it the device's own "
        "protection is left to do its work.",
        75,
        type="number",
        minimum=30,
        maximum=120,
    ),
    keep_warm=key(
        "Keep warm",
        "While no frame comes, the cheapest variant runs ten times a second, as it would for a "
        "camera of ten pictures a second, so that clocks and caches do not sink and the first "
        "frame after a pause is not slow. It costs power; edged bench measures whether it helps. "
        "Not while max_temperature_c holds work back.",
        True,
        type="boolean",
        default=False,
    ),
    cameras=key(
        "Cameras",
        "By name. The name stands in every result and metric: a lower-case letter, then "
        "lower-case letters, digits, _ or -, 32 at most.",
        {"door": {"source": "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0"}},
        type="object",
        minProperties=1,
        maxProperties=MOST_CAMERAS,
        propertyNames={
            "pattern": "^[a-z][a-z0-9_-]{0,31}$",
            "patternErrorMessage": "a lower-case letter, then lower-case letters, digits, _ or -, "
            "32 at most",
        },
        additionalProperties=CAMERA,
    ),
    events=key(
        "Events",
        "By name, which stands in metrics and messages and is spelt like a camera's. Without it "
        "there are only results.",
        {"visitor": {"class": "person", "cameras": ["door"], "snapshot": True}},
        type="object",
        maxProperties=MOST_EVENTS,
        propertyNames={
            "pattern": "^[a-z][a-z0-9_-]{0,31}$",
            "patternErrorMessage": "a lower-case letter, then lower-case letters, digits, _ or -, "
            "32 at most",
        },
        default={},
        additionalProperties=EVENT,
    ),
    backend=key(
        "Backend",
        "The runtime; auto takes the best one of this device.",
        "auto",
        enum=["auto", *BACKENDS],
        default="auto",
        **{
            "x-hints": {
                **dict.fromkeys(("gpu", "cuda", "jetson"), "auto takes the GPU where it can"),
                **dict.fromkeys(("cpu", "onnx", "ort"), "did you mean onnxruntime?"),
                "trt": "did you mean tensorrt?",
            }
        },
    ),
    threads=key(
        "Thread counts",
        "How many threads one inference may spread over. Each further number costs memory; with "
        "several, the daemon measures which one serves best.",
        [1],
        [1, 2],
        type="array",
        items={"type": "integer", "minimum": 1, "maximum": MOST_THREADS},
        minItems=1,
        maxItems=8,
        uniqueItems=True,
        default=[1],
    ),
    variants=key(
        "Variants",
        "Only these are used. Without it, all of the family.",
        ["mobilenet_v1_0.5_160", "mobilenet_v1_0.25_128_int8"],
        type="array",
        items={"type": "string", "format": "variant"},
        minItems=1,
        uniqueItems=True,
    ),
    http=key(
        "HTTP server",
        "The page, the API, metrics and health.",
        {"listen": "127.0.0.1:9640"},
        default={},
        **HTTP,
    ),
    results=RESULTS,
)
