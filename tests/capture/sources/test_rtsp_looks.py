"""RTSP cameras that look every few seconds, against a real server."""

from __future__ import annotations

import signal
import time
from dataclasses import replace

import numpy as np
import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.mailbox import Mailbox
from edged.capture.source import CaptureRequest, Failure
from edged.capture.supervisor import Camera, CameraState
from edged.clock import monotonic_ns
from tests.rig.camera import next_frame, running, wait_until
from tests.rig.ports import free_port
from tests.rig.rtsp import Opened, needs_gstreamer, servers, serving, url

CASES = {
    "key frames": ("--codec", "h264", "--gop", "25"),
    "B-frames": ("--codec", "h264-bframes", "--gop", "25"),
    "a long group of pictures": ("--codec", "h264", "--gop", "250", "--fps", "160"),
    "a refresh in parts": ("--codec", "h264-refresh", "--gop", "25"),
    "H.265": ("--codec", "h265", "--gop", "25"),
}


@servers
@needs_gstreamer
@pytest.mark.parametrize("options", CASES.values(), ids=CASES)
def test_looks_are_whole_and_new(options: tuple[str, ...]) -> None:
    port = free_port()
    scene = ("--pattern", "circular", "--size", "320x240")
    with serving(port, *options, *scene) as _, Opened(url(port), max_fps=0.5) as opened:
        pictures, captured, ages_ms = [], [], []
        for _ in range(5):
            picture = opened.source.read(240)
            assert picture is not None
            pictures.append(picture.pixels.astype(np.int16))
            captured.append(picture.captured_ns)
            ages_ms.append((monotonic_ns() - picture.captured_ns) / 1e6)
        gaps_ms = np.diff(captured) / 1e6
        assert 1400 < gaps_ms.mean() < 3000
        for later in pictures[1:]:
            assert np.abs(later - pictures[0]).mean() < 3
        assert np.median(ages_ms) < gaps_ms.mean() / 2  # a busy machine may delay one of them
        counts = opened.counts
        assert counts.broken == 0
        assert list(opened.notes) == []
        assert counts.skipped > 0.9 * counts.captured - 60  # the first group is decoded


@servers
@needs_gstreamer
def test_without_further_key_frames_it_is_said_and_every_frame_is_decoded() -> None:
    port = free_port()
    with serving(port, "--gop", "100000"), Opened(url(port), max_fps=0.5) as opened:
        times = []
        for _ in range(4):
            picture = opened.source.read(64)
            assert picture is not None
            times.append(picture.captured_ns)
        assert np.diff(times) / 1e6 == pytest.approx([2000] * 3, abs=300)
        (note,) = opened.notes
        assert "no key frame for" in note


@servers
@needs_gstreamer
@pytest.mark.parametrize("off", [False, True])
def test_a_camera_that_dies_between_two_looks_is_noticed_as_soon_as_another(off: bool) -> None:
    port, limits = free_port(), TimeLimits(pause=0.3, pause_longest=0.6)
    request, seldom = CaptureRequest(url(port)), CaptureRequest(url(port), max_fps=0.01)
    if off:
        seldom = replace(request, on=False)

    def stalls(camera: Camera) -> bool:
        return camera.restarts[Failure.STALLED] > 0

    with (
        serving(port, "--size", "320x240") as server,
        running(request, limits=limits) as (usual, frames),
        running(seldom, limits=limits) as (camera, looks),
    ):
        next_frame(looks)
        assert wait_until(lambda: looks.captured > 100 and frames.captured > 100)
        assert camera.state is CameraState.STREAMING
        assert took_no_further(looks)
        server.send_signal(signal.SIGSTOP)
        begun = time.monotonic()
        assert wait_until(lambda: stalls(usual))
        usual_seconds = time.monotonic() - begun
        assert wait_until(lambda: stalls(camera))
        assert time.monotonic() - begun < 2 * usual_seconds
        assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        server.send_signal(signal.SIGCONT)
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        next_frame(looks)
        if off:
            assert wait_until(lambda: took_no_further(looks))
            camera.switch(on=True)
            for _ in range(20):
                next_frame(looks)


def took_no_further(mailbox: Mailbox) -> bool:
    counts = mailbox.counts()
    return not mailbox.take() and counts.skipped + counts.off > 50
