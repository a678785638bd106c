"""The text of each pipeline, and which decoder is chosen."""

from __future__ import annotations

import pytest

from edged.capture.options import capture_errors
from edged.capture.source import CaptureRequest
from edged.capture.sources.hardware.decoders import DECODERS, arguments, found
from edged.capture.sources.table import needs_of

WRITTEN = {
    # Jetson
    "nvv4l2decoder": "fdsrc fd=0 ! gdpdepay ! h264parse ! nvv4l2decoder ! "
    "nvvidconv interpolation-method=5 ! video/x-raw,format=NV12,width=456,height=256 ! "
    "gdppay ! fdsink fd=9 sync=false",
    # Raspberry Pi 4
    "v4l2h264dec": "fdsrc fd=0 ! gdpdepay ! h264parse ! v4l2h264dec ! "
    "v4l2convert ! video/x-raw,format=NV12,width=456,height=256 ! "
    "gdppay ! fdsink fd=9 sync=false",
    # VA-API
    "vah264dec": "fdsrc fd=0 ! gdpdepay ! h264parse ! vah264dec ! "
    "vapostproc ! video/x-raw,format=NV12,width=456,height=256 ! "
    "gdppay ! fdsink fd=9 sync=false",
    "vaapih265dec": "fdsrc fd=0 ! gdpdepay ! h265parse ! vaapih265dec ! "
    "vaapipostproc ! video/x-raw,format=NV12,width=456,height=256 ! "
    "gdppay ! fdsink fd=9 sync=false",
}


@pytest.mark.parametrize("element", WRITTEN)
def test_the_pipeline_of_each_device(element: str) -> None:
    decoder = next(each for each in DECODERS if each.element == element)
    quiet, *words = arguments(decoder, (456, 256), 9)
    assert quiet == "-q"
    assert " ".join(words) == WRITTEN[element]


@pytest.mark.parametrize(
    ("there", "element"),
    [
        ({"v4l2h264dec", "v4l2convert"}, "v4l2h264dec"),
        ({"nvv4l2decoder", "nvvidconv", "v4l2h264dec", "v4l2convert"}, "nvv4l2decoder"),
        # NVIDIA's decoder is also on a PC, but not the scaler of a Jetson.
        ({"nvv4l2decoder", "vah264dec", "vapostproc"}, "vah264dec"),
        ({"vaapih264dec", "vaapipostproc"}, "vaapih264dec"),
        ({"v4l2h265dec", "v4l2convert"}, None),
        (set(), None),
    ],
)
def test_the_first_decoder_that_is_there_with_its_scaler(
    there: set[str], element: str | None
) -> None:
    decoder = found("h264", lambda name: name in there)
    assert (decoder and decoder.element) == element


def test_only_hardware_may_use_devices_and_start_programs() -> None:
    for decode in ("auto", "software"):
        needs = needs_of(CaptureRequest.of({"source": "rtsp://192.0.2.7/", "decode": decode}))
        assert not needs.devices
        assert not needs.programs
    needs = needs_of(CaptureRequest("clip.mp4", decode="hardware"))
    assert needs.programs
    assert {"/dev/video*", "/dev/dri/*"} <= set(needs.devices)
    assert "clip.mp4" in needs.reads
    assert not needs.network
    assert needs_of(CaptureRequest("rtsp://192.0.2.7/", decode="hardware")).network


@pytest.mark.parametrize("source", ["/dev/video0", "http://192.0.2.7/", "photo.jpg", "csi"])
def test_a_source_without_compressed_video_refuses_the_key(source: str) -> None:
    request = CaptureRequest(source, decode="hardware")
    (refused,) = [error for key, error in capture_errors(request) if key == "decode"]
    assert "only RTSP streams and video files" in str(refused)
