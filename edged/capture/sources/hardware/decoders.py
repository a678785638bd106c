"""The hardware decoders that edged knows by their GStreamer elements, and their pipelines.

The pipelines were written from the documentation of their elements and have not run on such
hardware. The scaler after each decoder works in hardware, too.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

SOFTWARE = "software"
CODECS = {"h264": "h264", "hevc": "h265"}
"""GStreamer's names of the codecs, by FFmpeg's."""
_INSPECT_SECONDS = 10.0


class Decoder(NamedTuple):
    """codec: as in GStreamer. element, scaler: names of elements. scaling: the scaler's
    properties."""

    codec: str
    element: str
    scaler: str
    scaling: str = ""


_KNOWN = (  # element, scaler, its properties
    # Jetson. The default scales to the nearest pixel, which shows as flicker; 5 is the best.
    ("nvv4l2decoder", "nvvidconv", "interpolation-method=5"),
    ("v4l2{}dec", "v4l2convert", ""),  # V4L2 memory to memory: Raspberry Pi 4 and earlier
    ("va{}dec", "vapostproc", ""),  # VA-API: Intel and AMD
    ("vaapi{}dec", "vaapipostproc", ""),  # the same, before GStreamer 1.22
)
DECODERS = tuple(
    Decoder(codec, element.format(codec), scaler, scaling)
    for codec in CODECS.values()
    for element, scaler, scaling in _KNOWN
)


def exists(element: str) -> bool:
    """Whether GStreamer has it. Elements of V4L2 and VA-API exist only if the device does."""
    import subprocess  # takes memory

    try:
        command = ["gst-inspect-1.0", "--exists", element]
        return (
            subprocess.run(command, capture_output=True, timeout=_INSPECT_SECONDS).returncode == 0
        )
    except (OSError, subprocess.TimeoutExpired):
        return False


def found(codec: str, has: Callable[[str], bool] = exists) -> Decoder | None:
    """The first decoder of the codec (GStreamer's name) that exists with its scaler."""
    known = (each for each in DECODERS if each.codec == codec)
    return next((each for each in known if has(each.element) and has(each.scaler)), None)


def arguments(decoder: Decoder, size: tuple[int, int], fd: int) -> list[str]:
    """Of gst-launch-1.0: compressed frames from its standard input, pictures of that size in NV12
    to `fd`, both with their time stamps (gdp.py)."""
    scaled = f"video/x-raw,format=NV12,width={size[0]},height={size[1]}"
    return (
        f"-q fdsrc fd=0 ! gdpdepay ! {decoder.codec}parse ! {decoder.element} ! {decoder.scaler} "
        f"{decoder.scaling} ! {scaled} ! gdppay ! fdsink fd={fd} sync=false"
    ).split()
