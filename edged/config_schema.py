"""What may stand in the configuration: one JSON Schema for the check and for an editor.

Every default is stated here and nowhere else. `format` names a function of config.py.
"""

from __future__ import annotations

from copy import deepcopy
from typing import Any

from edged.backends.auto import BACKENDS
from edged.config_http import OPEN

URL_SCHEMES = ("rtsp", "rtsps", "http", "https")
LARGEST_SIZE = (7680, 4320)
SMALLEST_SIDE = 16
PIXEL_FORMATS = (
    *("MJPG", "JPEG", "YUYV", "YVYU", "UYVY", "NV12", "NV21", "YU12", "YV12"),
    *("GREY", "BGR3", "RGB3"),
)
"""Those of V4L2 that can be read, by its names."""
MOST_EVENTS = 16
"""Rules; each has two series of metrics a camera, which has no more than 200."""
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
_FILE: dict[str, Any] = {"type": "string", "minLength": 1}
_HASH: dict[str, Any] = {"type": "string", "writeOnly": True}
"""By mistake it may be the password itself: writeOnly is what no message shows."""
_HASH_EXAMPLE = (
    "scrypt:16384:8:1:oYPE7qv1E4GqhdIvL9pQ3A:2n0ZkkeW1uH9qT0Zc0m1yXb7u3sQm0d3v5kH1xVtR2w"
)
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
    roi=_key(
        "Region of interest",
        "Left, top, width and height of the part of the picture that counts, as shares of it, 0 to "
        "1: they stay right when the camera's size changes. Of the picture as it stands upright, "
        "after rotate and flip. Of this part networks see the centre square, as otherwise of the "
        "whole picture. Without it the whole picture counts.",
        [0.5, 0, 0.5, 1],
        [0.25, 0.25, 0.5, 0.5],
        type="array",
        items={"type": "number", "minimum": 0, "maximum": 1, "examples": [0.5]},
        minItems=4,
        maxItems=4,
    ),
    quiet=_key(
        "Quiet mode",
        "While nothing moves, frames become no results: they are counted as dropped (quiet), and "
        "are no misses. The first one in which something moves does at once. It pays where nothing "
        "moves most of the time: to look for motion takes some time for every frame. Without it "
        "every frame counts.",
        {},
        {"at_least_every_seconds": 10},
        **_section(
            [],
            at_least_every_seconds=_key(
                "At least every (seconds)",
                "So often a frame becomes a result, though nothing moves.",
                5,
                type="number",
                exclusiveMinimum=0,
                maximum=3600,
                default=5,
            ),
            hold_seconds=_key(
                "Hold (seconds)",
                "So long every frame counts, after something has moved.",
                2,
                type="number",
                minimum=0,
                maximum=3600,
                default=2,
            ),
            threshold=_key(
                "Threshold",
                "By how much the brightness of a 24th of the picture's width and height must "
                "change to count as motion, of 255; more where the camera's noise is stronger.",
                4,
                type="number",
                minimum=0.5,
                maximum=255,
                default=4,
            ),
        ),
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

_EVENT_SECONDS: dict[str, Any] = {"type": "number", "minimum": 0, "maximum": 3600}
_SHARE: dict[str, Any] = {"type": "number", "exclusiveMinimum": 0, "maximum": 1}

_EVENT = _section(
    [],
    **{
        "class": _key(
            "Class", "Its label in the family.", "person", "golf ball", type="string", minLength=1
        )
    },
    classes=_key(
        "Classes",
        "Instead of class: labels of a group, whose scores are added up.",
        ["church", "garbage truck"],
        type="array",
        items={"type": "string", "minLength": 1},
        minItems=1,
        uniqueItems=True,
    ),
    cameras=_key(
        "Cameras",
        "Names of those that are watched. Without it all.",
        ["door"],
        type="array",
        items={"type": "string"},
        minItems=1,
        uniqueItems=True,
    ),
    above=_key(
        "Present above",
        "The smoothed score from which on the class counts as present.",
        0.6,
        default=0.6,
        **_SHARE,
    ),
    below=_key(
        "Gone below",
        "The smoothed score below which it counts as gone. Without it two thirds of `above`.",
        0.4,
        **_SHARE,
    ),
    for_seconds=_key(
        "For (seconds)",
        "How long the score must have stayed there before an event begins.",
        1,
        default=1,
        **_EVENT_SECONDS,
    ),
    gone_seconds=_key(
        "Gone (seconds)",
        "How long it must have stayed away before the event ends.",
        3,
        default=3,
        **_EVENT_SECONDS,
    ),
    smooth_seconds=_key(
        "Smoothing (seconds)",
        "Time constant of the score's exponential mean; 0 for none.",
        0.5,
        default=0.5,
        **_EVENT_SECONDS,
    ),
    snapshot=_key(
        "Snapshot",
        "The start of an event comes with a JPEG picture of what the network saw.",
        True,
        type="boolean",
        default=False,
    ),
) | {
    "title": "Event",
    "description": "When a class, or one of a group, counts as present before a camera.",
    "oneOf": [{"required": ["class"]}, {"required": ["classes"]}],
    "examples": [{"class": "person"}],
}

_ROTATION: dict[str, Any] = {
    "path": _key("File", "Appended to.", "results.jsonl", type="string", minLength=1),
    "max_bytes": _key(
        "Bytes in a file",
        "A file that would grow beyond it becomes FILE.1, and that FILE.2.",
        10_000_000,
        type="integer",
        minimum=100_000,
    ),
    "keep": _key(
        "Full files",
        "So many stay beside the one that is written: the card holds at most (keep + 1) x "
        "max_bytes of results.",
        3,
        type="integer",
        minimum=0,
        maximum=1000,
        default=3,
    ),
}
_SECRET: dict[str, Any] = {"type": "string", "minLength": 1, "writeOnly": True}
_CA_FILE = _key(
    "Trusted certificates",
    "PEM file of who may have signed the server's certificate. Without it whom the system trusts.",
    "/etc/edged/ca.pem",
    **_FILE,
)
_CERTIFICATE_FILE = _key(
    "Client certificate",
    "PEM file that is shown to the server. Without it none is.",
    "/etc/edged/pi.pem",
    **_FILE,
)
_KEY_FILE = _key(
    "Its key",
    "PEM file that has no password. Without it there is no client certificate.",
    "/etc/edged/pi.key",
    **_FILE,
)

_MQTT = _section(
    ["broker"],
    broker=_key(
        "Broker",
        "mqtt://host, or mqtts://host for TLS; :port where it is not 1883 or 8883.",
        "mqtts://broker.example",
        "mqtt://192.0.2.10:1883",
        type="string",
        format="broker-url",
    ),
    user=_key(
        "User",
        "Whom the broker knows. Without it a client without a name.",
        "edged",
        type="string",
        minLength=1,
    ),
    password=_key(
        "Password",
        "`${NAME}` becomes the variable of that name. Without it none is sent.",
        "${MQTT_PASSWORD}",
        **_SECRET,
    ),
    password_file=_key(
        "Password file",
        "Instead of password: a file whose one line it is. Without it none is read.",
        "${CREDENTIALS_DIRECTORY}/mqtt",
        format="password-file",
        **_FILE,
    ),
    ca_file=_CA_FILE,
    certificate_file=_CERTIFICATE_FILE,
    key_file=_KEY_FILE,
    version=_key("MQTT version", "Of the protocol.", 5, "3.1.1", enum=[5, "5", "3.1.1"], default=5),
    topic=_key(
        "Topic",
        "What all topics begin with: TOPIC/DEVICE/status, TOPIC/DEVICE/CAMERA/result, …/state, "
        "…/event/NAME and …/event/NAME/snapshot.",
        "edged",
        type="string",
        format="mqtt-topic",
        default="edged",
    ),
    device=_key(
        "Device",
        "This device in topics and in Home Assistant; no two may share it. Without it the host "
        "name.",
        "gate-pi",
        pattern="^[A-Za-z0-9_-]{1,64}$",
        type="string",
    ),
    qos=_key(
        "Quality of service",
        "0: sent once; 1: until the broker says that it is there; 2: and never twice while the "
        "connection lasts.",
        1,
        enum=[0, 1, 2],
        default=1,
    ),
    results=_key(
        "Results",
        "Send every result. Without it there are events, and a camera's state once a second at "
        "most.",
        True,
        type="boolean",
        default=True,
    ),
    home_assistant=_key(
        "Home Assistant",
        "What its discovery topics begin with, or none.",
        "homeassistant",
        "none",
        type="string",
        format="mqtt-topic",
        default="homeassistant",
    ),
) | {
    "title": "MQTT",
    "description": "Results, states and events to a broker. Without it to none.",
    "dependentRequired": {
        "password": ["user"],
        "password_file": ["user"],
        "certificate_file": ["key_file"],
        "key_file": ["certificate_file"],
    },
    "not": {"required": ["password", "password_file"]},
    "examples": [{"broker": "mqtts://broker.example", "user": "edged", "password": "${PASSWORD}"}],
}

_WEBHOOK = _section(
    ["url"],
    url=_key(
        "URL",
        "Gets a POST with JSON for each event. It is never shown, as its path often is what lets "
        "in.",
        "https://hooks.example/${HOOK}",
        format="webhook-url",
        **_SECRET,
    ),
    authorization=_key(
        "Authorization",
        "The value of that header. Without it none is sent.",
        "Bearer ${TOKEN}",
        format="header-value",
        **_SECRET,
    ),
    authorization_file=_key(
        "Authorization file",
        "Instead of authorization: a file whose one line it is. Without it none is read.",
        "${CREDENTIALS_DIRECTORY}/webhook",
        format="authorization-file",
        **_FILE,
    ),
    ca_file=_CA_FILE,
    certificate_file=_CERTIFICATE_FILE,
    key_file=_KEY_FILE,
    send=_key(
        "Send",
        "Events, results or both.",
        ["events"],
        type="array",
        items={"enum": ["events", "results"]},
        minItems=1,
        uniqueItems=True,
        default=["events"],
    ),
    timeout_seconds=_key(
        "Time-out (seconds)",
        "So long the server may take for one answer; then it is asked again.",
        10,
        type="number",
        exclusiveMinimum=0,
        maximum=300,
        default=10,
    ),
) | {
    "title": "Webhook",
    "description": "Events to a web server. Without it to none.",
    "dependentRequired": {
        "certificate_file": ["key_file"],
        "key_file": ["certificate_file"],
    },
    "not": {"required": ["authorization", "authorization_file"]},
    "examples": [{"url": "https://hooks.example/edged"}],
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
    keep_warm=_key(
        "Keep warm",
        "While no frame comes, the cheapest variant runs ten times a second, as it would for a "
        "camera of ten pictures a second, so that clocks and caches do not sink and the first "
        "frame after a pause is not slow. It costs power; edged bench measures whether it helps. "
        "Not while max_temperature_c holds work back.",
        True,
        type="boolean",
        default=False,
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
    events=_key(
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
        additionalProperties=_EVENT,
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
        "The page, the API, metrics and health.",
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
            users=_key(
                "Users",
                "Name and hash of the password, as edged hash-password prints it. With users or "
                "tokens, whoever has neither gets nothing but what is open.",
                {"anna": _HASH_EXAMPLE},
                type="object",
                propertyNames={
                    "pattern": "^[A-Za-z0-9._-]{1,64}$",
                    "patternErrorMessage": "letters, digits, . _ or -, 64 at most",
                },
                additionalProperties=_key(
                    "Hash", "Of the password.", _HASH_EXAMPLE, format="password-hash", **_HASH
                ),
                default={},
            ),
            token_hashes=_key(
                "Hashes of tokens",
                "For programs, which send the token itself (Authorization: Bearer …); edged "
                "new-token prints both.",
                ["sha256:" + 64 * "0"],
                type="array",
                items={"format": "token-hash", **_HASH},
                maxItems=32,
                default=[],
            ),
            tls=_key(
                "TLS",
                "PEM files: the certificate with its chain, and the key without a password. A "
                "reload reads them anew. Without it, plain HTTP.",
                {"certificate": "/etc/edged/tls.pem", "key": "/etc/edged/tls.key"},
                **_section(
                    ["certificate", "key"],
                    certificate=_key("Certificate", "A PEM file.", "tls.pem", **_FILE),
                    key=_key("Key", "A PEM file.", "tls.key", **_FILE),
                ),
            ),
            open=_key(
                "Open paths",
                "What needs neither password nor token although there are some.",
                ["metrics", "healthz"],
                type="array",
                items={"enum": list(OPEN)},
                uniqueItems=True,
                default=[],
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
                {"path": "results.jsonl", "max_bytes": 10_000_000, "keep": 3},
                type=["string", "object"],
                pattern=".",
                patternErrorMessage='a file, "-" or none',
                default="-",
                additionalProperties=False,
                required=["path", "max_bytes"],
                properties=_ROTATION,
            ),
            mqtt=_MQTT,
            webhook=_WEBHOOK,
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
