from __future__ import annotations

from dataclasses import replace

import pytest

from edged.capture.options import capture_errors
from edged.capture.source import CaptureRequest, Failure, SourceError, ViewRequest
from edged.capture.sources.gstreamer.launch import (
    GIVEN,
    Caps,
    arguments,
    caps_of,
    complaint,
    liveness_of,
    pipe_size,
)


def launched(request: CaptureRequest, *, live: bool = True) -> list[str]:
    """The elements, each with its properties."""
    flag, *words = arguments(request, 7, live=live)
    assert flag == "-v"
    return " ".join(words).split(" ! ")


def test_a_description_is_followed_by_what_makes_small_rgb_of_it() -> None:
    assert launched(CaptureRequest("gst:v4l2src device=/dev/video0 ! jpegdec")) == [
        "v4l2src device=/dev/video0",
        "jpegdec",
        f"capsfilter name={GIVEN} caps=video/x-raw(ANY)",
        "queue leaky=downstream max-size-buffers=1 max-size-bytes=0 max-size-time=0",
        "videoconvert",
        "videoflip video-direction=auto",
        "videoconvert",
        "aspectratiocrop aspect-ratio=1/1",
        "videoconvert",
        "videoscale method=bilinear2 add-borders=false",
        "videoconvert",
        "video/x-raw,format=RGB,width=256,height=256",
        "fdsink fd=7 sync=false",
    ]


def test_what_is_not_live_keeps_every_frame_and_its_own_pace() -> None:
    words = launched(CaptureRequest("gst:videotestsrc", square=False), live=False)
    assert not [word for word in words if word.startswith(("queue", "aspectratiocrop"))]
    assert words[-2:] == ["video/x-raw,format=RGB,width=256,height=256", "fdsink fd=7 sync=true"]


def test_the_part_that_counts_is_cut_out_before_the_square() -> None:
    part = (0.5, 0.0, 0.25, 1.0)
    words = launched(CaptureRequest("gst:v4l2src", size=(640, 480), roi=part))
    cut = words.index("videocrop left=320 top=0 right=160 bottom=0")
    assert words[cut - 1] == "videoconvert"
    assert cut < words.index("aspectratiocrop aspect-ratio=1/1")
    turned = launched(CaptureRequest("libcamera", rotate=180, roi=part, square=False))
    assert "videocrop left=320 top=0 right=640 bottom=0" in turned


def test_several_views_get_the_whole_picture_as_large_as_they_need() -> None:
    views = ViewRequest((0.5, 0.5, 0.25, 0.5)), ViewRequest((0, 0, 0.5, 0.75))
    for source in ("gst:v4l2src", "libcamera", "csi"):
        request = CaptureRequest(source, size=(1918, 1080), square=False, views=views)
        words = launched(request)
        # 256 of the first one's 479 columns are 578 of 1080 rows; rows have a multiple of 4 pixels.
        assert pipe_size(request) == (1028, 578)
        assert "video/x-raw,format=RGB,width=1028,height=578" in words
        assert not [word for word in words if word.startswith(("videocrop", "aspectratiocrop"))]


def test_views_of_a_pipeline_need_its_size() -> None:
    views = (ViewRequest(),)
    asked = CaptureRequest("gst:videotestsrc", square=False, views=views)
    ((key, error),) = capture_errors(asked)
    assert (key, str(error)) == (
        "views",
        "needs the size of the pipeline's pictures; write size: 1280x720",
    )
    assert not [*capture_errors(replace(asked, size=(1280, 720)))]
    assert not [*capture_errors(replace(asked, source="csi"))]


def test_a_jetson_shrinks_no_more_than_the_part_that_counts_allows() -> None:
    words = launched(CaptureRequest("csi", size=(1920, 1080), roi=(0.5, 0.5, 0.5, 0.5)))
    assert words[3] == "video/x-raw,format=BGRx,width=910,height=512"
    assert "videocrop left=455 top=256 right=0 bottom=0" in words


def test_size_and_rate_are_asked_of_the_source() -> None:
    words = launched(CaptureRequest("gst:v4l2src", size=(640, 480), fps=29.97))
    caps = "video/x-raw(ANY),width=640,height=480,framerate=2997/100"
    assert words[1] == f"capsfilter name={GIVEN} caps={caps}"


def test_words_are_split_as_a_shell_does_but_nothing_is_run() -> None:
    request = CaptureRequest("gst:filesrc location='a b.mp4' ! $(reboot) ; \"x y\"")
    assert arguments(request, 7, live=True)[1:8] == [
        *("filesrc", "location=a b.mp4", "!", "$(reboot)", ";", "x y", "!"),
    ]
    with pytest.raises(SourceError, match="No closing quotation"):
        launched(CaptureRequest("gst:filesrc location='hunter2"))


@pytest.mark.parametrize(
    ("source", "sensor"),
    [("csi", "sensor-id=0"), ("csi:0", "sensor-id=0"), ("csi:1", "sensor-id=1")],
)
def test_a_jetson_shrinks_before_the_processor_sees_the_picture(source: str, sensor: str) -> None:
    caps = "video/x-raw(memory:NVMM),format=NV12,width=1280,height=720,framerate=30/1"
    assert launched(CaptureRequest(source))[:4] == [
        f"nvarguscamerasrc {sensor}",
        f"capsfilter name={GIVEN} caps={caps}",
        "nvvidconv",
        "video/x-raw,format=BGRx,width=456,height=256",
    ]


def test_libcamera_by_name_and_in_another_size() -> None:
    caps = "video/x-raw,format=NV12,width=640,height=480,framerate=15/1"
    name = "/base/soc/i2c0mux/i2c@1/imx219@10"
    assert launched(CaptureRequest(f"libcamera:{name}", size=(640, 480), fps=15))[:2] == [
        f"libcamerasrc camera-name={name}",
        f"capsfilter name={GIVEN} caps={caps}",
    ]
    assert launched(CaptureRequest("libcamera"))[0] == "libcamerasrc"


SAID = (
    "/GstPipeline:pipeline0/GstCapsFilter:edged_given.GstPad:src: caps = video/x-raw, "
    "width=(int)455, height=(int)256, framerate=(fraction)30000/1001, format=(string)RGB"
)


def test_caps() -> None:
    assert caps_of(SAID) == Caps(455, 256, "RGB", pytest.approx(29.97, abs=0.001))
    assert caps_of(SAID.replace("edged_given", "edged_other")) is None
    assert caps_of(SAID.replace("30000/1001", "0/1")) == Caps(455, 256, "RGB", None)
    assert caps_of(SAID.replace("30000/1001", "1/0")) is None
    assert caps_of(SAID.partition("video/x-raw")[0] + "ANY") is None


def test_liveness() -> None:
    assert liveness_of("Pipeline is live and does not need PREROLL ...") is True
    assert liveness_of("Pipeline is PREROLLING ...") is False
    assert liveness_of("Pipeline is PREROLLED ...") is False
    assert liveness_of("Setting pipeline to PAUSED ...") is None


NO_DEVICE = """\
ERROR: from element /GstPipeline:pipeline0/GstV4l2Src:v4l2src0: Cannot identify device '/dev/vid9'.
Additional debug info:
../sys/v4l2/v4l2_calls.c(608): gst_v4l2_open (): /GstPipeline:pipeline0/GstV4l2Src:v4l2src0:
system error: No such file or directory
ERROR: pipeline doesn't want to preroll."""
HUNG_DAEMON = """\
Error generated. Failed to create CaptureSession
ERROR: from element /GstPipeline:pipeline0/GstNvArgusCameraSrc:nvarguscamerasrc0: CANCELLED"""


@pytest.mark.parametrize(
    ("lines", "message"),
    [
        (
            'WARNING: erroneous pipeline: no element "libcamerasrc"',
            "GStreamer has no element libcamerasrc; sudo apt install gstreamer1.0-libcamera",
        ),
        (
            'WARNING: erroneous pipeline: no element "nvarguscamerasrc"',
            "GStreamer has no element nvarguscamerasrc; it comes with NVIDIA's JetPack",
        ),
        (
            'WARNING: erroneous pipeline: no element "avdec_h264"',
            "GStreamer has no element avdec_h264; sudo apt install gstreamer1.0-libav",
        ),
        (
            'ERROR: pipeline could not be constructed: no element "rtspsrc".',
            "GStreamer has no element rtspsrc; sudo apt install gstreamer1.0-plugins-good",
        ),
        (
            'WARNING: erroneous pipeline: no element "videoscale"',
            "sudo apt install gstreamer1.0-plugins-base",
        ),
        (
            'WARNING: erroneous pipeline: no element "mysrc"',
            "GStreamer has no element mysrc; find its package: apt search gstreamer1.0",
        ),
        ("WARNING: erroneous pipeline: syntax error", "gst-launch-1.0: syntax error"),
        (
            "WARNING: erroneous pipeline: could not link jpegenc0 to edged_given",
            "could not link jpegenc0 to edged_given; the description must end in raw video",
        ),
        (
            NO_DEVICE,
            "v4l2src0: Cannot identify device '/dev/vid9': system error: No such file or dir",
        ),
        (
            HUNG_DAEMON,
            "Failed to create CaptureSession; sudo systemctl restart nvargus-daemon",
        ),
        ("", "the pipeline ended"),
        ("Caught SIGSEGV", "the pipeline ended"),
    ],
)
def test_complaints(lines: str, message: str) -> None:
    error = complaint(Failure.OPEN_FAILED, lines.split("\n"), "the pipeline ended")
    assert message in str(error)
    assert error.reason is Failure.OPEN_FAILED


def test_a_refused_login_is_not_tried_again_and_again() -> None:
    line = "ERROR: from element /GstPipeline:pipeline0/GstRTSPSrc:rtspsrc0: Unauthorized"
    assert complaint(Failure.OPEN_FAILED, [line], "").reason is Failure.UNAUTHORIZED
