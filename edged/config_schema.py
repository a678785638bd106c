"""What may stand in the configuration: one JSON Schema for the check and for an editor.

Every default is stated here and nowhere else. `format` names a function of config.py.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edged.backends.auto import BACKENDS

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
LARGEST_SIZE = (7680, 4320)
SMALLEST_SIDE = 16
PIXEL_FORMATS = (
    *("MJPG", "JPEG", "YUYV", "YVYU", "UYVY", "NV12", "NV21", "YU12", "YV12"),
    *("GREY", "BGR3", "RGB3"),
)
"""Those of V4L2 that can be read, by its names."""
MOST_THREADS = 64
"""Of one inference; `--threads` of the commands goes as far."""


def schema() -> dict[str, Any]:
    """JSON Schema, Draft 2020-12; a copy that the caller may change."""
    return deepcopy(_SCHEMA)


def _key(title: str, description: str, *examples: object, **rules: Any) -> dict[str, Any]:
    return {"title": title, "description": description, **rules, "examples": list(examples)}


def _section(required: list[str], **keys: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": required,
        "properties": keys,
    }


_BUDGET_MS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 60_000}
_ON_TIME: dict[str, Any] = {"type": "number", "minimum": 0.5, "maximum": 0.999}
_FPS: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 240}
_TOP1: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 1}

_CAMERA = _section(
    [],
    source=_key(
        "Source",
        "Where the pictures come from: a device, a URL (of an RTSP or MJPEG stream, or of a single "
        "JPEG picture that is fetched again and again), a video file, a folder of pictures, or "
        "`synthetic` for a drawn scene; a camera on a ribbon cable: `csi` on a Jetson, `picamera2` "
        "or `libcamera` on a Raspberry Pi; `gst:` with a GStreamer pipeline up to raw video. A "
        "relative path starts at this file's folder. `${NAME}` becomes the variable of that name; "
        "a password is never shown.",
        "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0",
        "rtsp://user:${DOOR_PASSWORD}@192.168.1.20/stream",
        "http://192.168.1.21/video.mjpg",
        "http://192.168.1.22/snapshot.jpg",
        "picamera2",
        "picamera2:1",
        "libcamera",
        "csi",
        "gst:v4l2src device=/dev/video0 ! jpegdec",
        "clip.mp4",
        "photos/",
        "synthetic",
        "synthetic:640x480@30",
        type="string",
        minLength=1,
        format="camera-source",
    ),
    source_file=_key(
        "Source file",
        "Instead of source: a file whose one line is the source, so that a password stands "
        "neither here nor in the environment.",
        "/etc/edged/door.source",
        "${CREDENTIALS_DIRECTORY}/door",
        type="string",
        minLength=1,
        format="source-file",
    ),
    latency_budget_ms=_key(
        "Latency budget of this camera (ms)",
        "From capture to result; without it, that of the whole file.",
        50,
        **_BUDGET_MS,
    ),
    on_time=_key(
        "Share on time of this camera",
        "The share of results that must keep the budget; without it, that of the whole file.",
        0.99,
        **_ON_TIME,
    ),
    min_fps=_key(
        "Results per second of this camera, at least",
        "No variant that takes longer is used; without it, that of the whole file.",
        10,
        **_FPS,
    ),
    min_top1=_key(
        "Least accuracy of this camera",
        "Rather late than less accurate; without it, that of the whole file.",
        0.8,
        **_TOP1,
    ),
    size=_key(
        "Picture size",
        "Width x height in pixels that the camera is asked for; what it grants is logged. Without "
        "it the camera decides; /dev/… is asked for 640x480, csi and libcamera for 1280x720, "
        "picamera2 for the whole field of its sensor.",
        "1280x720",
        "640x480",
        type="string",
        pattern="^[0-9]{2,4}x[0-9]{2,4}$",
        patternErrorMessage="width x height in pixels, such as 1280x720",
        format="picture-size",
    ),
    fps=_key(
        "Frames per second",
        "The rate that the camera is asked for; what it grants is logged. Without it the camera "
        "decides; csi, libcamera and picamera2 are asked for 30, single pictures at a URL are "
        "fetched twice a second, those of a folder come once a second.",
        30,
        **_FPS,
    ),
    max_fps=_key(
        "Results per second at most",
        "Frames beyond it are left out, so that a small board need not run hot. Without it every "
        "frame counts.",
        15,
        **_FPS,
    ),
    rotate=_key(
        "Rotation (degrees)",
        "Clockwise, so that the picture stands upright.",
        180,
        enum=[0, 90, 180, 270],
        default=0,
    ),
    flip=_key(
        "Mirror",
        "horizontal exchanges left and right, vertical top and bottom, after the rotation. Without "
        "it nothing is mirrored.",
        "horizontal",
        enum=["horizontal", "vertical"],
    ),
    loop=_key(
        "Loop",
        "A video file or folder begins again at its end.",
        True,
        type="boolean",
        default=False,
    ),
    frozen_after_seconds=_key(
        "Frozen after (seconds)",
        "A camera that hangs may go on sending the same picture. After this time without a new one "
        "it is started anew. It must be longer than the stream's distance of key frames, such as "
        "10. Without it every picture counts as live: one without any noise, such as a test "
        "picture, a short loop or a covered lens, cannot be told from a frozen one.",
        10,
        type="number",
        minimum=1,
        maximum=86_400,
    ),
    format=_key(
        "Pixel format",
        "What a V4L2 camera (/dev/…) is asked for, by its four letters. Without it MJPG for large "
        "pictures, and a plain format where it needs less than 10 MB/s or there is no MJPG.",
        "YUYV",
        enum=list(PIXEL_FORMATS),
    ),
    controls=_key(
        "Camera controls",
        "Values that a V4L2 camera (/dev/…) is set to, by the names that `edged cameras` lists; of "
        "a menu the number or the name. What the camera refuses is logged. Without it they stay as "
        "they are.",
        {"auto_exposure": "Manual Mode", "exposure_time_absolute": 100, "gain": 4},
        type="object",
        propertyNames={
            "pattern": "^[a-z0-9_]+$",
            "patternErrorMessage": "lower-case letters, digits and _, as edged cameras prints it",
        },
        additionalProperties=_key(
            "Value",
            "A whole number, true or false, or the name that a menu has for it. Without it nothing "
            "is set.",
            100,
            "Manual Mode",
            type=["integer", "boolean", "string"],
        ),
    ),
) | {
    "title": "Camera",
    "description": "One camera: its source, and what it does not share with the others.",
    "oneOf": [{"required": ["source"]}, {"required": ["source_file"]}],
    "examples": [{"source": "synthetic"}],
}

_SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "edged configuration",
    "description": "Camera frames become MobileNet results inside a latency budget.",
} | _section(
    ["cameras"],
    model=_key(
        "Model family",
        "A shipped family by its name, or the path of a family's folder, relative to this file.",
        "imagenette",
        "./families/birds",
        type="string",
        minLength=1,
        default="imagenette",
    ),
    latency_budget_ms=_key(
        "Latency budget (ms)",
        "From capture to result. The most accurate variant that keeps it is used for each frame.",
        33,
        50,
        default=33,
        **_BUDGET_MS,
    ),
    on_time=_key(
        "Share on time",
        "The share of results that must keep the budget, over the long run.",
        0.95,
        0.99,
        default=0.95,
        **_ON_TIME,
    ),
    min_fps=_key(
        "Results per second, at least",
        "No variant that takes longer is used. Cameras take turns: all their runs together must "
        "fit into the time between two results of the most demanding one. max_temperature_c goes "
        "before it. Without it only the budget counts.",
        10,
        **_FPS,
    ),
    min_top1=_key(
        "Least accuracy (top-1, 0 to 1)",
        "No variant that is less accurate is used: rather late, and counted as late. Without it "
        "every variant may be used.",
        0.8,
        **_TOP1,
    ),
    max_temperature_c=_key(
        "Highest temperature of the processor (degrees Celsius)",
        "From 6 degrees below it on cheaper variants run, then frames are left out, so that it "
        "stays below. A Raspberry Pi slows itself down at 80. Without it the device's own "
        "protection is left to do its work.",
        75,
        type="number",
        minimum=30,
        maximum=120,
    ),
    cameras=_key(
        "Cameras",
        "By name. The name stands in every result and metric: a lower-case letter, then "
        "lower-case letters, digits, _ or -, 32 at most.",
        {"door": {"source": "/dev/v4l/by-id/usb-046d_HD_Pro_Webcam_C920-video-index0"}},
        type="object",
        minProperties=1,
        propertyNames={
            "pattern": "^[a-z][a-z0-9_-]{0,31}$",
            "patternErrorMessage": "a lower-case letter, then lower-case letters, digits, _ or -, "
            "32 at most",
        },
        additionalProperties=_CAMERA,
    ),
    backend=_key(
        "Backend",
        "The runtime; auto takes the best one of this device.",
        "auto",
        enum=["auto", *BACKENDS],
        default="auto",
    ),
    threads=_key(
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
    variants=_key(
        "Variants",
        "Only these are used. Without it, all of the family.",
        ["mobilenet_v1_0.5_160", "mobilenet_v1_0.25_128_int8"],
        type="array",
        items={"type": "string", "format": "variant"},
        minItems=1,
        uniqueItems=True,
    ),
    http=_key(
        "HTTP server",
        "Metrics and health.",
        {"listen": "127.0.0.1:9640"},
        default={},
        **_section(
            [],
            listen=_key(
                "Address",
                "address:port; an IPv6 address in brackets, and that in quotes. Port 0 takes a "
                "free one; none switches the server off.",
                "127.0.0.1:9640",
                "0.0.0.0:9640",
                "[::1]:9640",
                "none",
                type="string",
                format="listen-address",
                default="127.0.0.1:9640",
            ),
        ),
    ),
    results=_key(
        "Results",
        "Where results go, and what stands in them.",
        {"jsonl": "-", "top_k": 3, "min_score": 0.1},
        default={},
        **_section(
            [],
            jsonl=_key(
                "JSON lines",
                'A file, "-" for standard output, or none.',
                "-",
                "results.jsonl",
                "none",
                type="string",
                minLength=1,
                default="-",
            ),
            top_k=_key(
                "Classes in a result",
                "The best so many classes.",
                3,
                type="integer",
                minimum=1,
                maximum=100,
                default=3,
            ),
            min_score=_key(
                "Least score",
                "Classes below it are left out.",
                0.1,
                type="number",
                minimum=0,
                maximum=1,
                default=0.1,
            ),
        ),
    ),
)
