"""Pipelines of the real gst-launch-1.0."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.gstreamer.gstreamer import GstreamerSource
from edged.capture.supervisor import CameraState
from tests.rig.camera import (
    A_DAEMON,
    Notes,
    alive,
    command_line,
    next_frame,
    only_worker,
    running,
    wait_until,
    workers_of,
)
from tests.rig.gst_launch import needs_gstreamer

LIVE = "gst:videotestsrc is-live=true"
COLOURS = {
    "red": (255, 0, 0),
    "green": (0, 255, 0),
    "blue": (0, 0, 255),
    "white": (255, 255, 255),
}


servers = pytest.mark.servers
pytestmark = [servers, needs_gstreamer]


@contextmanager
def opened(source: str, notes: Notes | None = None, **request: object) -> Iterator[GstreamerSource]:
    """A source that is closed at the end; what it granted is in `granted`."""
    made = GstreamerSource(
        CaptureRequest(source, **request),  # type: ignore[arg-type]
        (Notes() if notes is None else notes).admission,
    )
    try:
        yield made
    finally:
        made.close()


def pictures(source: GstreamerSource, count: int) -> Iterator[Picture]:
    for _ in range(count):
        picture = source.read(0)
        assert picture is not None
        yield picture


def grandchildren(worker: int) -> list[int]:
    """The gst-launch-1.0 that a process has started."""
    paths = Path(f"/proc/{worker}/task").glob("*/children")
    pids = [int(pid) for path in paths for pid in path.read_text().split()]
    return [pid for pid in pids if b"videotestsrc" in command_line(pid)]


def only_grandchild(worker: int) -> int:
    (pid,) = grandchildren(worker)
    return pid


@pytest.mark.parametrize("colour", COLOURS)
@pytest.mark.parametrize("size", ["1280x720", "250x141"])
@pytest.mark.parametrize("square", [True, False])
def test_colours_are_exact_to_the_corners(colour: str, size: str, square: bool) -> None:
    width, height = (int(side) for side in size.split("x"))
    notes = Notes()
    with opened(f"{LIVE} pattern={colour}", notes, size=(width, height), square=square) as source:
        assert source.open() == Granted(width, height, 30.0, "RGB from GStreamer")
        for picture in pictures(source, 3):
            assert picture.pixels.shape == (256, 256, 3)
            assert np.all(picture.pixels == COLOURS[colour])
            assert picture.pixels.dtype == np.uint8
            assert picture.captured_ns <= picture.received_ns
        assert notes.counts.captured == 3 + notes.counts.overwritten


def test_the_part_that_counts_is_cut_out() -> None:
    # Red where it is, blue around it.
    inner = "video/x-raw,format=RGB,width=160,height=240"
    edges = "left=-320 right=-160 top=-120 bottom=-120"
    source = f"{LIVE} pattern=red ! {inner} ! videobox {edges} fill=blue"
    part = (0.5, 0.25, 0.25, 0.5)
    with opened(source, size=(640, 480), roi=part, square=False) as made:
        made.open()
        (picture,) = pictures(made, 1)
        assert picture.cropped
        assert np.mean(picture.pixels[..., 0] > 128) > 0.98


@pytest.mark.parametrize("size", ["1920x1080", "360x640", "160x120", "641x481", "3840x2160"])
def test_what_comes_is_the_centre_square(size: str) -> None:
    width, height = (int(side) for side in size.split("x"))
    # Red in the middle, blue around it: nine tenths of the centre square are red, each way.
    red = round(min(width, height) * 0.9)
    left, top = (width - red) // 2, (height - red) // 2
    edges = f"left=-{left} right=-{width - red - left} top=-{top} bottom=-{height - red - top}"
    inner = f"video/x-raw,format=RGB,width={red},height={red}"
    with opened(f"{LIVE} pattern=red ! {inner} ! videobox {edges} fill=blue") as source:
        assert source.open() == Granted(width, height, 30.0, "RGB from GStreamer")
        (picture,) = pictures(source, 1)
        reds = picture.pixels[..., 0] > 128
        assert 0.88 < np.mean(reds[128]) < 0.92
        assert 0.88 < np.mean(reds[:, 128]) < 0.92
        assert picture.pixels[[0, 0, -1, -1], [0, -1, 0, -1]].tolist() == [[0, 0, 255]] * 4


def test_a_pipeline_that_ends_is_the_end_of_the_source_and_keeps_its_pace() -> None:
    notes = Notes()
    with opened("gst:videotestsrc num-buffers=12 ! video/x-raw,framerate=20/1", notes) as source:
        assert source.open().fps == 20.0
        times = [picture.captured_ns for picture in pictures(source, 12)]
        assert source.read(0) is None
        assert (times[-1] - times[0]) / 1e9 > 0.4  # 11 intervals of 50 ms, not all at once
    assert notes.counts.captured == 12


def test_the_end_of_a_live_pipeline_is_a_failure() -> None:
    # A reader that comes late drops up to three pictures at a time.
    with opened(f"{LIVE} num-buffers=10") as source, pytest.raises(SourceError) as caught:
        source.open()
        list(pictures(source, 11))
    assert caught.value.reason is Failure.READ_FAILED
    assert "the pipeline ended" in str(caught.value)


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("gst:videotestsrc ! vidoconvert", "GStreamer has no element vidoconvert"),
        ("gst:videotestsrc ! ! tee", "syntax error"),
        ("gst:videotestsrc colour=5", 'no property "colour" in element "videotestsrc"'),
        ("gst:videotestsrc ! jpegenc", "could not link jpegenc0 to edged_given; the description"),
        ("gst:videotestsrc ! fakesink", "could not link fakesink0 to edged_given; the description"),
        ("gst:v4l2src device=/dev/absent", "Cannot identify device '/dev/absent': system error: N"),
        ("gst:filesrc location=/absent ! decodebin", 'Resource not found: No such file "/absent"'),
        ("gst:videotestsrc num-buffers=0", "the pipeline ended"),
        ("gst:rtspsrc location=rtsp://u:hunter2@127.0.0.1:9/ ! decodebin", "rtspsrc0: Could not"),
        ("csi", "GStreamer has no element nvarguscamerasrc; it comes with NVIDIA's JetPack"),
        ("libcamera:x", "GStreamer has no element libcamerasrc; sudo apt install gstreamer1.0-lib"),
    ],
)
def test_what_cannot_be_opened(source: str, message: str) -> None:
    if source.startswith(("csi", "libcamera")) and _has(source):
        pytest.skip("this machine has that element")
    with opened(source) as made, pytest.raises(SourceError) as caught:
        made.open()
    assert caught.value.reason is Failure.OPEN_FAILED
    assert message in str(caught.value)
    assert "hunter2" not in str(caught.value)


def _has(source: str) -> bool:
    element = "nvarguscamerasrc" if source == "csi" else "libcamerasrc"
    return subprocess.run(["gst-inspect-1.0", "--exists", element]).returncode == 0


def test_a_size_that_the_source_does_not_have() -> None:
    source = "gst:videotestsrc ! video/x-raw,width=640,height=480"
    with opened(source, size=(1280, 720)) as made, pytest.raises(SourceError) as caught:
        made.open()
    assert "of the configured size and fps" in str(caught.value)


def test_the_whole_picture_is_squashed_into_the_square() -> None:
    scene = "video/x-raw,format=RGB,width=320,height=240 ! videobox left=-320 fill=blue"
    with opened(f"{LIVE} pattern=red ! {scene}", square=False) as source:
        assert source.open() == Granted(640, 240, 30.0, "RGB from GStreamer")
        (picture,) = pictures(source, 1)
        assert np.all(picture.pixels[:, :126] == (0, 0, 255))
        assert np.all(picture.pixels[:, 130:] == (255, 0, 0))


def test_a_size_that_changes_on_the_way_tears_no_picture(tmp_path: Path) -> None:
    clip = tmp_path / "both.mjpeg"
    for side, colour in ((64, "red"), (640, "blue")):
        scene = f"videotestsrc num-buffers=10 pattern={colour}"
        scene += f" ! video/x-raw,width={side},height={side} ! jpegenc"
        write = f"{scene} ! filesink location={tmp_path}/{side}"
        subprocess.run(["gst-launch-1.0", "-q", *write.split()], check=True)
    clip.write_bytes(b"".join((tmp_path / str(side)).read_bytes() for side in (64, 640)))
    with opened(f"gst:filesrc location={clip} ! jpegparse ! jpegdec") as made:
        assert made.open().width == 64
        seen = []
        while (picture := made.read(0)) is not None:
            low, high = picture.pixels.min(axis=(0, 1)), picture.pixels.max(axis=(0, 1))
            assert np.all(high - low < 5)  # of one colour from corner to corner
            seen.append("red" if low[0] > 200 else "blue" if low[2] > 200 else "neither")
        assert seen == ["red"] * 10 + ["blue"] * 10


def test_a_program_that_is_not_installed_names_its_package() -> None:
    source = GstreamerSource(CaptureRequest(LIVE), Notes().admission, launcher="gst-launch-0.0")
    with pytest.raises(SourceError, match=r"gst-launch-0\.0 is not installed") as caught:
        source.open()
    assert "sudo apt install gstreamer1.0-tools" in str(caught.value)
    source.close()


def test_a_slow_reader_gets_rare_pictures_not_all_the_old_ones() -> None:
    notes = Notes()
    with opened(f"{LIVE} ! video/x-raw,framerate=100/1", notes) as made:
        made.open()
        reads = 0

        def has_let_some_go_after_a_pause() -> bool:
            nonlocal reads
            time.sleep(0.3)  # the pipeline was busy, for 30 frames
            reads += len(list(pictures(made, 1)))
            return notes.counts.overwritten > 0

        assert wait_until(has_let_some_go_after_a_pause)
        assert notes.counts.captured <= 4 * reads + 1
        assert notes.counts.captured - notes.counts.overwritten in (reads, reads + 1)


def test_max_fps_holds() -> None:
    notes = Notes(max_fps=5)
    with opened(f"{LIVE} ! video/x-raw,framerate=50/1", notes) as made:
        made.open()
        times = [picture.captured_ns for picture in pictures(made, 4)]
    assert (times[-1] - times[0]) / 1e9 > 0.4  # three intervals of 200 ms, give or take jitter
    assert notes.counts.skipped > 0


def test_its_warnings_are_passed_on(tmp_path: Path) -> None:
    launcher = tmp_path / "launcher"
    launcher.write_text(
        "#!/bin/sh\n"
        "echo 'WARNING: from element /GstPipeline:pipeline0/GstX:x0: the lens is dirty' >&2\n"
        "echo 'Additional debug info:' >&2\n"
        'exec gst-launch-1.0 "$@"\n'
    )
    launcher.chmod(0o755)
    notes = Notes()
    source = GstreamerSource(CaptureRequest(LIVE), notes.admission, launcher=str(launcher))
    source.open()
    list(pictures(source, 2))
    source.close()
    assert notes == ["WARNING: from element /GstPipeline:pipeline0/GstX:x0: the lens is dirty"]


def test_an_element_that_fails_under_way() -> None:
    with opened(f"{LIVE} ! identity error-after=5") as made, pytest.raises(SourceError) as caught:
        made.open()
        list(pictures(made, 6))
    assert caught.value.reason is Failure.READ_FAILED
    assert "identity0: Failed after iterations as requested" in str(caught.value)


def test_nothing_is_left_open_after_twenty_rounds() -> None:
    before = descriptors()
    for number in range(20):
        source = f"{LIVE} ! tee" if number % 2 else "gst:videotestsrc ! absent"
        with opened(source) as made:
            if number % 2:
                made.open()
                assert made.read(0) is not None
                child = only_grandchild(os.getpid())
            else:
                with pytest.raises(SourceError):
                    made.open()
        assert grandchildren(os.getpid()) == []
    assert not Path(f"/proc/{child}").exists()
    assert descriptors() == before


def descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_pipeline_that_does_not_stop_is_killed() -> None:
    with opened(LIVE) as made:
        made.open()
        child = only_grandchild(os.getpid())
        os.kill(child, signal.SIGSTOP)
    assert not Path(f"/proc/{child}").exists()


LIMITS = TimeLimits(pause=0.2, pause_longest=0.4)


def test_the_whole_way_and_back_after_the_pipeline_was_killed() -> None:
    request = CaptureRequest(f"{LIVE} pattern=blue", size=(640, 360))
    with running(request, wanted=128, limits=LIMITS) as (camera, mailbox):
        frame = next_frame(mailbox)
        assert frame.pixels.shape == (128, 128, 3)
        assert np.all(frame.pixels == (0, 0, 255))
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        os.kill(only_grandchild(only_worker()), signal.SIGKILL)
        assert wait_until(lambda: camera.restarts[Failure.READ_FAILED] == 1)
        assert camera.last_error is not None
        assert "the pipeline ended with status -9" in camera.last_error
        mailbox.take()
        assert next_frame(mailbox).sequence > frame.sequence


def test_a_hanging_pipeline_has_stalled_and_is_replaced() -> None:
    limits = TimeLimits(stall=1.0, pause=0.2)
    with running(CaptureRequest(LIVE), limits=limits) as (camera, mailbox):
        assert wait_until(lambda: mailbox.captured > 40)  # how its pictures come is known
        hanging = only_grandchild(only_worker())
        os.kill(hanging, signal.SIGSTOP)
        assert wait_until(lambda: camera.restarts[Failure.STALLED] == 1)
        mailbox.take()
        assert next_frame(mailbox).sequence > 0
        assert not alive(hanging)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_a_pipeline_ends_with_its_worker(number: int) -> None:
    with running(CaptureRequest(LIVE), limits=LIMITS) as (camera, mailbox):
        next_frame(mailbox)
        worker = only_worker()
        child = only_grandchild(worker)
        os.kill(worker, number)
        assert wait_until(lambda: not alive(child))
        assert wait_until(lambda: sum(camera.restarts.values()) == 1)


def test_a_pipeline_ends_with_its_daemon_even_while_it_hangs() -> None:
    daemon = subprocess.Popen([sys.executable, "-c", A_DAEMON, LIVE])
    try:
        assert wait_until(lambda: bool(workers_of(daemon.pid)))
        worker = workers_of(daemon.pid)[0]
        assert wait_until(lambda: bool(grandchildren(worker)))
        child = only_grandchild(worker)
        name = Path(f"/proc/{child}/comm")  # setpriv's before
        assert wait_until(lambda: name.read_text().startswith("gst-launch"))
        os.kill(child, signal.SIGSTOP)
    finally:
        daemon.kill()
        daemon.wait()
    assert wait_until(lambda: not alive(worker))
    assert wait_until(lambda: not alive(child))


def test_a_broken_description_is_reported_once(caplog: pytest.LogCaptureFixture) -> None:
    request = CaptureRequest("gst:videotestsrc ! absent user-pw=hunter2")
    limits = TimeLimits(pause=0.05, pause_longest=0.05)
    with running(request, limits=limits) as (camera, _):
        assert wait_until(lambda: camera.restarts[Failure.OPEN_FAILED] >= 3)
    warned = [record for record in caplog.records if "no element absent" in record.getMessage()]
    assert len([record for record in warned if record.levelname == "WARNING"]) == 1
    assert "hunter2" not in caplog.text


class Bursts:
    """A live pipeline that gives ten pictures in 0.1 s, each a little lighter, and then rests."""

    live = True

    def __init__(self) -> None:
        self._begun = time.monotonic()
        self._taken = 0

    def listen(self, seconds: float | None) -> bool:
        bursts, number = divmod(self._taken, 10)
        left = self._begun + bursts + 0.01 * number - time.monotonic()
        comes = seconds is None or left <= seconds
        time.sleep(max(0.0, left if comes or seconds is None else seconds))
        return comes

    def read_into(self, view: memoryview) -> int:
        view[:] = bytes([self._taken % 10]) * len(view)
        self._taken += 1
        return len(view)

    def take_warnings(self) -> list[str]:
        return []


def test_the_last_picture_of_each_burst_comes_also_with_max_fps() -> None:
    notes = Notes(max_fps=3)
    source = GstreamerSource(CaptureRequest(LIVE), notes.admission)
    source._launched = Bursts()  # type: ignore[assignment]
    seen = [int(picture.pixels[0, 0, 0]) for picture in pictures(source, 8)]
    assert seen.count(9) >= 3, seen
    assert notes.counts.captured - notes.counts.skipped - notes.counts.overwritten == 8
