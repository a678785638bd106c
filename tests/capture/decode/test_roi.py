"""The part of a picture that counts: the right pixels, from each source, however it hangs."""

from __future__ import annotations

from fractions import Fraction
from itertools import product
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
import simplejpeg
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.capture.admission import Admission
from edged.capture.decode.crop import region, whole_side
from edged.capture.decode.orientation import of_user
from edged.capture.decode.raw_formats import LAYOUTS, raw_to_rgb
from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.capture.messages import Note, Status
from edged.capture.source import CaptureRequest, Picture, Quiet, Source, ViewRequest
from edged.capture.sources.file import FileSource
from edged.capture.sources.table import make_source
from edged.capture.views import Views
from edged.capture.worker import capture
from edged.clock import Clock, monotonic_ns
from tests.rig.board import COLUMNS, HANGS, ROWS, Pixels, board, field, hung, is_field
from tests.rig.camera import Notes, taken
from tests.rig.clips import turn_clip, write_jpegs
from tests.rig.gst_launch import needs_gstreamer
from tests.rig.pictures import MUCH, prepared
from tests.rig.raw_pictures import delivered
from tests.rig.v4l2_camera import Rig


@pytest.mark.parametrize(("rotate", "flip"), HANGS)
@pytest.mark.parametrize("square", [True, False])
def test_each_field_is_cut_out_upright(rotate: int, flip: str | None, square: bool) -> None:
    source = hung(board(160, 120), rotate, flip)
    for column, row in product(range(COLUMNS), range(ROWS)):
        request = CaptureRequest(
            "x",
            rotate=rotate,
            flip=flip,
            square=square,
            roi=field(column, row),  # type: ignore[arg-type]
        )
        assert np.array_equal(
            of_user(request.rotate, request.flip).upright(source), board(160, 120)
        )
        seen = prepared(source, request, 0, MUCH)
        assert seen.shape == (40, 40, 3)
        assert is_field(seen, column, row, tolerance=0)


SHARES = st.integers(0, 100)
PIXEL = 1.5
"""Edges are rounded, and of a part without any width one pixel is left."""


@given(
    st.sampled_from(HANGS), st.integers(1, 200), st.integers(1, 200), SHARES, SHARES, SHARES, SHARES
)
def test_any_part_is_inside_and_where_it_belongs(
    hang: tuple[int, str | None], width: int, height: int, a: int, b: int, c: int, d: int
) -> None:
    left, right = sorted((a / 100, b / 100))
    top, bottom = sorted((c / 100, d / 100))
    rotate, flip = hang
    request = CaptureRequest(
        "x",
        rotate=rotate,
        flip=flip,
        roi=(left, top, right - left, bottom - top),  # type: ignore[arg-type]
    )
    x, y, w, h = region(request, (width, height))
    assert 0 <= x < x + w <= width
    assert 0 <= y < y + h <= height
    marked = np.zeros((height, width, 3), np.uint8)
    marked[y : y + h, x : x + w] = 1
    seen = of_user(request.rotate, request.flip).upright(marked)[..., 0]
    ys, xs = np.nonzero(seen)
    tall, wide = seen.shape
    assert abs(xs.min() - left * wide) <= PIXEL
    assert abs(xs.max() + 1 - right * wide) <= PIXEL
    assert abs(ys.min() - top * tall) <= PIXEL
    assert abs(ys.max() + 1 - bottom * tall) <= PIXEL


@given(
    st.integers(1, 500),
    st.integers(16, 4000),
    st.integers(16, 4000),
    st.tuples(*[st.floats(0.05, 1)] * 2),
)
def test_the_whole_picture_is_as_large_as_its_part_needs(
    wanted: int, width: int, height: int, shares: tuple[float, float]
) -> None:
    request = CaptureRequest("x", roi=(0, 0, *shares))
    side = whole_side(wanted, request, (width, height))
    _, _, w, h = region(request, (width, height))
    assert side * min(w, h) >= wanted * min(width, height)  # the part covers it
    assert (side - 1) * min(w, h) < wanted * min(width, height)  # and no more is decoded
    # What a raw format is shrunk by is worked out again from the part.
    assert side * min(w, h) // min(width, height) == wanted


def test_without_a_part_nothing_changes() -> None:
    request = CaptureRequest("x", rotate=90)
    assert region(request, (640, 480)) == (0, 0, 640, 480)
    assert whole_side(224, request, (640, 480)) == 224
    assert whole_side(0, CaptureRequest("x", roi=(0, 0, 0.5, 0.5)), (640, 480)) == 0
    assert whole_side(224, CaptureRequest("x", roi=(0, 0, 0.5, 0.5)), (0, 0)) == 224


@pytest.mark.parametrize("name", sorted(LAYOUTS))
@pytest.mark.parametrize("wanted", [0, 33, 100])
def test_raw_formats_are_cut_before_they_are_converted(name: str, wanted: int) -> None:
    raw = delivered(board(), name, padding=8)
    stride = LAYOUTS[name].strides(640, 0)[0] + 8
    for column, row in product(range(COLUMNS), range(ROWS)):
        request = CaptureRequest("x", roi=field(column, row))
        part = region(request, (640, 480))
        seen = raw_to_rgb(
            raw, LAYOUTS[name], (640, 480), wanted, region=part, square=True, bytes_per_line=stride
        )
        assert seen is not None
        assert seen.shape[0] == seen.shape[1] >= (wanted or 160)
        assert name == "GREY" or is_field(seen, column, row)


@settings(deadline=None)
@given(st.sampled_from(sorted(LAYOUTS)), *[st.integers(0, 60)] * 4, st.integers(0, 80))
def test_any_part_of_a_raw_format_is_a_picture_or_none(
    name: str, left: int, top: int, width: int, height: int, wanted: int
) -> None:
    raw = np.full(61 * 61 * 3, 128, np.uint8)
    part = left, top, min(width, 61 - left), min(height, 61 - top)
    seen = raw_to_rgb(raw, LAYOUTS[name], (61, 61), wanted, region=part)
    unit = LAYOUTS[name].unit
    assert (seen is None) == (min(part[2:]) < unit)
    if seen is not None:
        assert min(seen.shape[:2]) >= min(wanted, min(part[2:]) // unit * unit)


@pytest.mark.parametrize("name", ["YUYV", "NV12", "MJPG"])
def test_a_v4l2_camera_that_hangs_upside_down(name: str) -> None:
    source = hung(board(), 180, None)
    frame = jpeg(source) if name == "MJPG" else delivered(source, name).tobytes()
    for column, row in ((0, 0), (3, 1)):
        rig = Rig({name: {(640, 480): [30.0]}}, frame, rotate=180, roi=field(column, row))
        rig.source.open()
        request = CaptureRequest("x", rotate=180, roi=field(column, row))
        picture = rig.source.read(whole_side(40, request, (640, 480)))
        assert picture is not None
        assert picture.cropped == (name != "MJPG")
        seen = prepared(picture.pixels, request, 40, MUCH, cropped=picture.cropped)
        assert seen.shape == (40, 40, 3)
        assert is_field(seen, column, row)


# through a whole capture process, but for the process


def captured(request: CaptureRequest, wanted: int) -> tuple[list[Status], Pixels]:
    """What it reported, and the last picture."""
    mailbox = Mailbox.create(2 * 480)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    mailbox.want(wanted)
    told: list[Status] = []
    capture(request, make_source(request, Admission(writer, None)), writer, told.append)
    frame = taken(mailbox)
    assert frame is not None, told
    assert frame.wanted == wanted
    pixels = frame.pixels.copy()
    mailbox.close()
    return told, pixels


def jpeg(picture: Pixels) -> bytes:
    data: bytes = simplejpeg.encode_jpeg(picture, quality=95, colorsubsampling="444")
    return data


def write_video(path: Path, picture: Pixels) -> Path:
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=25)
        stream.width, stream.height = picture.shape[1], picture.shape[0]
        stream.pix_fmt = "yuv420p"
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
    return path


def make_clip(folder: Path, kind: str, picture: Pixels) -> Path:
    if kind == "h264":
        return write_video(folder / "clip.mp4", picture)
    if kind == "mjpeg":
        size = picture.shape[1], picture.shape[0]
        return write_jpegs(folder / "clip.avi", [jpeg(picture)] * 3, size=size)
    pictures = folder / "pictures"
    pictures.mkdir()
    if kind == "png":
        cv2.imwrite(str(pictures / "a.png"), picture[:, :, ::-1])
    else:
        (pictures / "a.jpg").write_bytes(jpeg(picture))
    return pictures


@pytest.mark.parametrize("kind", ["h264", "mjpeg", "jpeg", "png"])
@pytest.mark.parametrize(("rotate", "flip"), [(0, None), (90, "horizontal"), (270, None)])
def test_the_right_field_arrives_large_enough(
    tmp_path: Path, kind: str, rotate: int, flip: str | None
) -> None:
    clip = make_clip(tmp_path, kind, hung(board(1280, 960), rotate, flip))
    for column, row in ((0, 0), (3, 1), (1, 2)):
        request = CaptureRequest(
            str(clip),
            rotate=rotate,
            flip=flip,
            roi=field(column, row),  # type: ignore[arg-type]
        )
        told, pixels = captured(request, wanted=96)
        assert is_field(pixels, column, row)
        # A field has 320x320 pixels, which is a third of them or, of a JPEG, a half.
        assert pixels.shape[0] == pixels.shape[1]
        assert 96 <= len(pixels) <= 160
        assert not [status for status in told if isinstance(status, Note)]


@pytest.mark.parametrize("kind", ["h264", "mjpeg", "jpeg", "png"])
@pytest.mark.parametrize(("rotate", "flip"), [(0, None), (90, "horizontal")])
def test_all_fields_arrive_at_once(
    tmp_path: Path, kind: str, rotate: int, flip: str | None
) -> None:
    clip = make_clip(tmp_path, kind, hung(board(1280, 960), rotate, flip))
    request = views_of_all(str(clip), rotate=rotate, flip=flip)
    mailbox = Mailbox.create(2048, len(FIELDS))
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    for view in range(len(FIELDS)):
        mailbox.want(96, view)
    capture(request, make_source(request, Admission(writer, None)), writer, lambda _: None)
    are_fields(mailbox, 160)
    mailbox.close()


FIELDS = list(product(range(COLUMNS), range(ROWS)))


def views_of_all(source: str, **more: object) -> CaptureRequest:
    views = tuple(ViewRequest(field(column, row)) for column, row in FIELDS)
    return CaptureRequest(source, square=False, views=views, **more)  # type: ignore[arg-type]


def are_fields(mailbox: Mailbox, most: int) -> None:
    """What is in the mailbox, for which 96 pixels of each field were wanted."""
    for frame, (column, row) in zip(mailbox.take(), FIELDS, strict=True):
        assert frame is not None
        assert is_field(frame.pixels, column, row)
        assert frame.pixels.shape[0] == frame.pixels.shape[1]
        assert 96 <= len(frame.pixels) <= most


@pytest.mark.parametrize("name", ["YUYV", "NV12", "MJPG"])
def test_all_fields_of_a_v4l2_camera_arrive_at_once(name: str) -> None:
    source = hung(board(), 180, None)
    frame = jpeg(source) if name == "MJPG" else delivered(source, name).tobytes()
    request = views_of_all("/dev/video0", rotate=180)
    rig = Rig({name: {(640, 480): [30.0]}}, frame, rotate=180, square=False, views=request.views)
    granted = rig.source.open()
    one_picture(request, rig.source, (granted.width, granted.height), rig.time.clock, most=160)


@needs_gstreamer
def test_all_fields_of_a_pipeline_arrive_at_once(tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), board()[:, :, ::-1])
    decoded = f"filesrc location={tmp_path}/a.png ! pngdec ! imagefreeze num-buffers=9"
    request = views_of_all(f"gst:{decoded}", size=(640, 480))
    source = make_source(request, Notes().admission)
    try:
        source.open()
        one_picture(request, source, (640, 480), monotonic_ns, most=160)
    finally:
        source.close()


def one_picture(
    request: CaptureRequest, source: Source, size: tuple[int, int], clock: Clock, most: int
) -> None:
    mailbox = Mailbox.create(2048, len(FIELDS), clock=clock)
    for view in range(len(FIELDS)):
        mailbox.want(96, view)
    views = Views(request, MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd))
    picture = source.read(views.whole_side(size))
    assert picture is not None
    views.deliver(picture, picture.captured_ns, picture.received_ns, clock=clock)
    are_fields(mailbox, most)
    mailbox.close()


def test_a_clip_that_lies_on_its_side_is_cut_as_it_is_shown(tmp_path: Path) -> None:
    clip = write_video(tmp_path / "phone.mp4", np.ascontiguousarray(np.rot90(board(480, 640))))
    turn_clip(clip)
    for column, row in ((0, 0), (3, 1)):
        _, pixels = captured(CaptureRequest(str(clip), roi=field(column, row)), wanted=64)
        assert is_field(pixels, column, row)
        assert min(pixels.shape[:2]) >= 64


def test_no_more_is_decoded_than_a_wide_strip_needs(tmp_path: Path) -> None:
    """The size of the whole follows the part's short side in pixels, not its smaller share."""
    clip = write_video(tmp_path / "clip.mp4", board(1280, 720))
    sizes = []

    class Wide(FileSource):
        def read(self, wanted: int) -> Picture | None:
            sizes.append(wanted)
            return super().read(wanted)

    mailbox = Mailbox.create(1280)
    writer = MailboxWriter.attach(mailbox.memfd, mailbox.wake_fd)
    mailbox.want(96)
    request = CaptureRequest(str(clip), roi=(0.5, 0, 0.5, 1))
    capture(request, Wide(request, Admission(writer, None)), writer, lambda _: None)
    assert set(sizes) == {108}  # of 720; the half of 1280 is 640 wide
    mailbox.close()


def test_a_part_with_fewer_pixels_than_networks_look_at_is_told_once(tmp_path: Path) -> None:
    clip = make_clip(tmp_path, "h264", board())
    told, pixels = captured(CaptureRequest(str(clip), roi=(0.25, 0, 0.25, 1 / 3)), wanted=224)
    (note,) = [each for each in told if isinstance(each, Note)]
    assert note.message.startswith("roi is 160x160 pixels of 640x480, less than the 224 that")
    assert is_field(pixels, 1, 0)


def test_a_request_reaches_the_process_whole() -> None:
    request = CaptureRequest("x", roi=(0.25, 0.5, 0.5, 0.5), quiet=Quiet(9.0, 1.0, 3.5))
    gate = ViewRequest((0.0, 0.5, 0.5, 0.5), True, 0.2, Quiet(9.0, 1.0, 3.5), "gate")
    for sent in (request, CaptureRequest("x", square=False, views=(gate, ViewRequest()))):
        assert CaptureRequest.from_json(sent.to_json()) == sent
