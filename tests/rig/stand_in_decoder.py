"""GStreamer whose hardware decoders are software, for devices without one.

Programs of GStreamer's names stand before the real ones on PATH. They replace the names of hardware
elements, and nothing else, and run the real ones.
"""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.rig.gst_launch import has_elements

ELEMENTS = {"h264": "openh264dec", "h265": "libde265dec"}
_SCALE = "videoconvert ! videoscale ! videoconvert"
_REAL = {name: shutil.which(name) for name in ("gst-launch-1.0", "gst-inspect-1.0")}

needs_stand_in = pytest.mark.skipif(
    not has_elements("gdpdepay", "gdppay", "h264parse", *ELEMENTS.values()),
    reason="needs apt-get install gstreamer1.0-tools gstreamer1.0-plugins-bad",
)

_LAUNCH = """\
#!/bin/sh
for word; do
    shift
    case $word in
    {decoder}) set -- "$@" {element} ;;
    {scaler}) set -- "$@" {scale} ;;
    interpolation-method=*) ;;
    fd=*) fd=${{word#fd=}}; set -- "$@" "$word" ;;
    *) set -- "$@" "$word" ;;
    esac
done
{then}
"""
RUN = 'exec {real} "$@"'
REFUSED = """\
echo "ERROR: from element /GstPipeline:pipeline0/{decoder}:{decoder}0: Could not open device." >&2
exit 1"""
GARBAGE = "exec cat /dev/zero >/proc/self/fd/$fd"
WHILE_THERE = """\
exec 3<&0
{real} "$@" <&3 &
while [ -e {device} ]; do sleep 0.05; done
kill $!
echo "ERROR: from element /GstPipeline:pipeline0/{decoder}:{decoder}0: {device} is gone." >&2
exit 1"""


def install(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    *,
    codec: str = "h264",
    decoder: str = "v4l2{}dec",
    scaler: str = "v4l2convert",
    element: str | None = None,
    then: str = RUN,
    device: Path = Path("/dev/null"),
) -> str:
    """The name of the hardware element. element: what runs instead; then: how, of the above."""
    decoder = decoder.format(codec)
    known = {
        "decoder": decoder,
        "scaler": scaler,
        "scale": _SCALE.replace("!", "'!'"),
        "element": (element or ELEMENTS[codec]).replace("!", "'!'"),
        "real": _REAL["gst-launch-1.0"],
        "device": device,
    }
    launch = _LAUNCH.format(**known, then=then.format(**known))
    inspect = f"""\
#!/bin/sh
case $2 in
{decoder}|{scaler}) exit 0 ;;
nvv4l2decoder|v4l2*|va*) exit 1 ;;
esac
exec {_REAL["gst-inspect-1.0"]} "$@"
"""
    for name, text in (("gst-launch-1.0", launch), ("gst-inspect-1.0", inspect)):
        path = folder / name
        path.write_text(text)
        path.chmod(0o755)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    monkeypatch.setenv("GST_STAND_IN", str(folder))  # so that the confinement permits it
    return decoder
