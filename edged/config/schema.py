"""The JSON Schema of the configuration, for `edged check` and for editors.

A key that a file leaves out has its default from the schema. load_config passes the functions that
`format` names.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edged.backends.auto import BACKENDS
from edged.config.camera import CAMERA, DEFAULT_MODEL
from edged.document.parts import (
    BUDGET_MS,
    FPS,
    GIVE_UP,
    GOAL,
    MODEL,
    NAME,
    ON_TIME,
    TOP1,
    VARIANTS,
    key,
    section,
)
from edged.events.options import EVENT, MOST_EVENTS
from edged.history.options import HISTORY
from edged.sinks.options import RESULTS
from edged.web.options import HTTP

MOST_CAMERAS = 256
"""Also the limit of all views."""
MOST_THREADS = 64
"""Also the limit of the commands' `--threads`."""


def json_schema() -> dict[str, Any]:
    """A copy, Draft 2020-12."""
    return deepcopy(_SCHEMA)


_RESULTS_KEYS = sorted(
    RESULTS["properties"], key=lambda name: "default" in RESULTS["properties"][name]
)
"""The keys without a default first."""

_HINTS = {
    **dict.fromkeys(("budget", "budget_ms", "latency", "latency_ms"), "latency_budget_ms"),
    **dict.fromkeys(("family", "network", "models"), "model"),
    **dict.fromkeys(("streams", "sources", "devices"), "cameras"),
    **dict.fromkeys(
        ("source", "views", "roi", "max_fps", "quiet", "fps", "framerate", "size"),
        "set it per camera, under the camera's name",
    ),
    **dict.fromkeys(_RESULTS_KEYS, "it is a key of results:"),
    **dict.fromkeys(("days", "max_bytes", "retention", "database"), "history"),
    **dict.fromkeys(("listen", "users", "tls", "token_hashes", "may"), "it is a key of http:"),
    **dict.fromkeys(("server", "web", "port", "metrics"), 'write http: {listen: "127.0.0.1:9640"}'),
    **dict.fromkeys(("output", "outputs", "sinks"), "results"),
    **dict.fromkeys(("rules", "alerts", "triggers"), "events"),
    **dict.fromkeys(("runtime", "accelerator", "device"), "backend"),
    **dict.fromkeys(("temperature", "max_temp"), "max_temperature_c"),
    **dict.fromkeys(("watts", "max_watts", "power_limit"), "max_power_w"),
    "power": "write goal: power, or max_power_w: WATTS",
    **dict.fromkeys(("energy", "prefer", "mode"), "write goal: power"),
    **dict.fromkeys(("probes", "probing", "explore"), "probe"),
}

_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "edged configuration",
    "description": "Classify camera frames with MobileNet within a latency budget.",
} | section(
    ["cameras"],
    _HINTS,
    model=key(
        "Model family",
        "Name of a shipped family or of a classifier (edged teach), or path of a family's folder, "
        "relative to this file.",
        DEFAULT_MODEL,
        "./families/birds",
        default=DEFAULT_MODEL,
        **MODEL,
    ),
    latency_budget_ms=key(
        "Latency budget (ms)",
        "From capture to result. For each frame edged uses the most accurate variant that "
        "meets the budget.",
        33,
        50,
        default=33,
        **BUDGET_MS,
    ),
    on_time=key(
        "Share on time",
        "Share of results that must meet the budget in the long run.",
        0.95,
        0.99,
        default=0.95,
        **ON_TIME,
    ),
    min_fps=key(
        "Minimum results per second",
        "Variants that take longer are not used. Cameras share the time: one run of each must "
        "fit between two results of the camera with the highest minimum. max_temperature_c "
        "and max_power_w take precedence. Without it only the budget limits the variants.",
        10,
        **FPS,
    ),
    min_top1=key(
        "Minimum accuracy (top-1, 0 to 1)",
        "Never use a variant that is less accurate by the family's table, even if results come "
        "late; late results are counted. Needs a family with measured accuracy. Without it every "
        "variant may be used.",
        0.8,
        **TOP1,
    ),
    goal=key(
        "Goal",
        "accuracy: run the most accurate variant that the budget allows. power: run cheaper ones "
        "(in energy where it was measured, otherwise in processor time) that together are at most "
        "give_up less accurate.",
        "power",
        default="accuracy",
        **GOAL,
    ),
    give_up=key(
        "Accuracy to give up (0 to 1)",
        "With goal: power, how much less accurate than with goal: accuracy, in the mean over about "
        "1,800 frames.",
        0.01,
        0.03,
        default=0.01,
        **GIVE_UP,
    ),
    probe=key(
        "Share of the time for probes",
        "In gaps between frames edged runs some frames again with other variants, to learn what "
        "each is worth before each view. It takes at most this share of the time, and less as it "
        "learns. 0: never; then the accuracy of the family's table counts.",
        0.02,
        0,
        type="number",
        minimum=0,
        maximum=0.2,
        default=0.02,
    ),
    max_temperature_c=key(
        "Maximum processor temperature (degrees Celsius)",
        "To stay below this temperature, edged first runs cheaper variants and then drops "
        "frames, starting 6 degrees below it. A Raspberry Pi throttles itself at 80. Without "
        "it only the device's own protection applies.",
        75,
        type="number",
        minimum=30,
        maximum=120,
    ),
    max_power_w=key(
        "Maximum power (watts)",
        "To stay below this power, averaged over 20 seconds, edged first runs cheaper variants and "
        "then drops frames, starting at 88 % of it. It counts what the whole device takes, other "
        "programs included, or, where only that is measured, its processor. Needs a sensor that "
        "edged can read: Orin NX, Orin Nano and Thor have one, a Raspberry Pi has none. Without "
        "it there is no limit.",
        10,
        type="number",
        minimum=0.5,
        maximum=2000,
    ),
    keep_warm=key(
        "Keep warm",
        "While no frames arrive, run the cheapest variant ten times a second, so that clocks "
        "and caches stay warm and the first frame after a pause is not slow. Costs power; "
        "edged bench measures the benefit. Suspended while max_temperature_c or max_power_w limits "
        "the work.",
        True,
        type="boolean",
        default=False,
    ),
    cameras=key(
        "Cameras",
        "Cameras by name. The name appears in every result and metric: a lower-case letter, "
        "then lower-case letters, digits, _ or -, 32 at most.",
        {"door": {"source": "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0"}},
        type="object",
        minProperties=1,
        maxProperties=MOST_CAMERAS,
        propertyNames=NAME,
        additionalProperties=CAMERA,
    ),
    events=key(
        "Events",
        "Events by name. The name appears in metrics and messages and follows the same rules "
        "as a camera's. Without it there are only results.",
        {"visitor": {"class": "person", "cameras": ["door"], "snapshot": True}},
        type="object",
        maxProperties=MOST_EVENTS,
        propertyNames=NAME,
        default={},
        additionalProperties=EVENT,
    ),
    backend=key(
        "Backend",
        "Inference runtime. auto selects TensorRT where there is a GPU for it; on a CPU it "
        "measures onnxruntime and, where it is installed, ncnn, and runs each variant in the "
        "faster one. ncnn needs fewer instructions than onnxruntime on ARM; it runs INT8 networks "
        "only on ARM processors with dot-product instructions.",
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
        "Threads per inference. Each further count costs memory; given several, edged measures "
        "them and uses the best.",
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
        "Use only these variants. Without it all variants of the family are used.",
        ["mobilenet_v1_0.5_160", "mobilenet_v1_0.25_128_int8"],
        **VARIANTS,
    ),
    http=key(
        "HTTP server",
        "Serves the page, the API, metrics and health checks.",
        {"listen": "127.0.0.1:9640"},
        default={},
        **HTTP,
    ),
    results=RESULTS,
    history=HISTORY,
)
