"""Arguments of gst-launch-1.0, and the meaning of its output. Pure.

The user's description ends in raw video. The same tail follows each: rotate by the stream's tags,
crop to `roi` and its centre square (or squeeze into a square if the whole picture is wanted), scale
in YUV to SIDE x SIDE pixels, or to what several views need, convert to RGB, write to a descriptor.
So all pictures on the pipe have one known size.

The presets `csi` (Jetson) and `libcamera` (Raspberry Pi and others) shrink in hardware. They were
written from their elements' documentation and not tested on such a device.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise

from edged.capture.decode.covering import COVERED_SIDE, covering_size
from edged.capture.decode.crop import region, whole_side
from edged.capture.source import CaptureRequest, Failure, SourceError

WHERE = "gst-launch-1.0"
"""The source in errors, because a description may contain a password anywhere."""
GIVEN = "edged_given"
"""Name of the element after the description."""
SIDE = COVERED_SIDE
"""Of the pictures on the pipe, in pixels."""
_ROW_PIXELS = 4
"""GStreamer pads rows to multiples of these."""
PRESET_SIZE = (1280, 720)
PRESET_FPS = 30.0

# Only the newest frame of a live source waits for conversion.
_NEWEST = "! queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0"
# By the stream's tags.
_UPRIGHT = "! videoconvert ! videoflip video-direction=auto"
_SQUARE = "! videoconvert ! aspectratiocrop aspect-ratio=1/1"
_SHRUNK = "! videoconvert ! videoscale method=bilinear2 add-borders=false ! videoconvert"
_RGB = "! video/x-raw,format=RGB,width={},height={}"
_SINK = "! fdsink fd={fd} sync={sync}"


@dataclass(frozen=True, slots=True)
class Caps:
    """What the source delivers. fps: None if it varies or is not stated."""

    width: int
    height: int
    format: str
    fps: float | None


def arguments(request: CaptureRequest, fd: int, *, live: bool) -> list[str]:
    """The pipeline that writes pictures to `fd`. Raises SourceError.

    live: deliver at once, instead of by time stamps.
    """
    tail = [
        _NEWEST if live else "",
        _UPRIGHT if request.source.lower().startswith("gst:") else "",
        _cropped(request),
        _SQUARE if request.square else "",
        _SHRUNK,
        _RGB.format(*pipe_size(request)),
        _SINK.format(fd=fd, sync="false" if live else "true"),
    ]
    return ["-v", *_head(request), *" ".join(tail).split()]


def pipe_size(request: CaptureRequest) -> tuple[int, int]:
    """(width, height) of the pictures on the pipe. The configuration requires a size for views."""
    if not request.views:
        return SIDE, SIDE
    width, height = _scaled(request)
    return -(-width // _ROW_PIXELS) * _ROW_PIXELS, height


def _head(request: CaptureRequest) -> list[str]:
    kind, _, rest = request.source.partition(":")
    if kind.lower() == "gst":
        try:
            description = shlex.split(rest)
        except ValueError as error:
            raise SourceError(Failure.OPEN_FAILED, str(error), where=WHERE) from None
        return [*description, "!", *_given("video/x-raw(ANY)", request.size, request.fps)]
    size, fps = request.size or PRESET_SIZE, request.fps or PRESET_FPS
    if kind == "libcamera":
        name = [f"camera-name={rest}"] if rest else []
        return ["libcamerasrc", *name, "!", *_given("video/x-raw,format=NV12", size, fps)]
    width, height = _scaled(request)
    return [
        *("nvarguscamerasrc", f"sensor-id={rest or 0}", "!"),
        *_given("video/x-raw(memory:NVMM),format=NV12", size, fps),
        *("!", "nvvidconv", "!", f"video/x-raw,format=BGRx,width={width},height={height}"),
    ]


def _scaled(request: CaptureRequest) -> tuple[int, int]:
    size = request.size or PRESET_SIZE
    return covering_size(*size, whole_side(SIDE, request, size))


def _cropped(request: CaptureRequest) -> str:
    """The configuration requires a size for `roi`."""
    if request.roi is None:
        return ""
    width, height = request.size or PRESET_SIZE
    if request.source.partition(":")[0] == "csi":
        width, height = _scaled(request)
    left, top, seen_width, seen_height = region(request, (width, height))
    right, bottom = width - left - seen_width, height - top - seen_height
    edges = f"left={left} top={top} right={right} bottom={bottom}"
    return f"! videoconvert ! videocrop {edges}"


def _given(caps: str, size: tuple[int, int] | None, fps: float | None) -> list[str]:
    """Caps that the source must deliver."""
    if size is not None:
        caps += f",width={size[0]},height={size[1]}"
    if fps is not None:
        rate = Fraction(fps).limit_denominator(1001)
        caps += f",framerate={rate.numerator}/{rate.denominator}"
    return ["capsfilter", f"name={GIVEN}", f"caps={caps}"]


def caps_of(line: str) -> Caps | None:
    """From a line of `-v`; None if it does not state the source's caps."""
    if f":{GIVEN}.GstPad:" not in line:
        return None
    fields = dict(re.findall(r"([\w-]+)=\(\w+\)([^,; ]+)", line))
    try:
        rate = Fraction(fields.get("framerate", "0"))
        width, height = int(fields["width"]), int(fields["height"])
    except (KeyError, ValueError, ZeroDivisionError):
        return None
    return Caps(width, height, fields.get("format", "raw"), float(rate) if rate > 0 else None)


def liveness_of(line: str) -> bool | None:
    """Whether the source is live; None if the line does not state it."""
    if line.startswith("Pipeline is live"):
        return True
    return False if line.startswith("Pipeline is PREROLL") else None


# Debian's packages of elements.
_PACKAGES = (
    (r"libcamerasrc", "sudo apt install gstreamer1.0-libcamera"),
    (r"nv\w+", "it comes with NVIDIA's JetPack, for Jetson devices"),
    (r"vaapi\w+", "sudo apt install gstreamer1.0-vaapi"),
    (r"gdp(de)?pay|h26[45]parse|va\w+", "sudo apt install gstreamer1.0-plugins-bad"),
    (r"avdec_\w+", "sudo apt install gstreamer1.0-libav"),
    (
        r"aspectratiocrop|videocrop|videoflip|v4l2\w+|rtspsrc|rtp\w+|jpegdec|souphttpsrc|multipartdemux|qtdemux",
        "sudo apt install gstreamer1.0-plugins-good",
    ),
    (
        r"video(convert|scale|rate|testsrc)|(uri)?decodebin3?|app(src|sink)",
        "sudo apt install gstreamer1.0-plugins-base",
    ),
    (r".*", "find its package: apt search gstreamer1.0"),
)
_PARSING = re.compile(r"(?:erroneous pipeline|pipeline could not be constructed): (.+)")
_ERROR = re.compile(r"ERROR: from element (?:/\S*[:/])?(\S+): (.+)")
_PLACE = re.compile(r"\.\./\S+\(\d+\): ")
_NO_ELEMENT = re.compile(r'no element "([^"]+)"')
_ENDING = "the description must end in raw video of the configured size and fps, without a sink"


def complaint(reason: Failure, lines: Sequence[str], otherwise: str) -> SourceError:
    """The first error in GStreamer's output; `otherwise` if there is none."""
    what = otherwise
    for number, line in enumerate(lines):
        if match := _PARSING.search(line):
            what = match[1]
            break
        if match := _ERROR.match(line):
            details = _details(lines[number + 1 :])
            what = f"{match[1]}: {': '.join([match[2].rstrip('.'), *details])}"
            break
    fix = None
    text = "\n".join(lines)
    if missing := _NO_ELEMENT.search(what):
        fix = next(fix for names, fix in _PACKAGES if re.fullmatch(names, missing[1]))
        what = f"GStreamer has no element {missing[1]}"
    elif "Failed to create CaptureSession" in text:
        what, fix = "Failed to create CaptureSession", "sudo systemctl restart nvargus-daemon"
    elif GIVEN in what or "not-negotiated" in what:
        fix = _ENDING
    elif re.search(r"\bunauthori[sz]ed\b|\b401\b", what, re.IGNORECASE):
        reason, fix = Failure.UNAUTHORIZED, "check the user and password"
    return SourceError(reason, what, where=WHERE, fix=fix)


def _details(lines: Sequence[str]) -> list[str]:
    """The line after the location in GStreamer's source, if the error has one."""
    for place, detail in pairwise(lines[:4]):
        if _PLACE.match(place) and not detail.startswith(("ERROR", "WARNING", "Execution")):
            return [detail]
    return []
