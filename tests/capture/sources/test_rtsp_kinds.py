"""What cameras put into an RTSP stream besides plain H.264: sound, B-frames, few key frames."""

from __future__ import annotations

import time

import numpy as np
import pytest

from edged.capture.source import CaptureRequest
from edged.capture.supervisor import CameraState
from tests.rig.camera import next_frame, running, wait_until
from tests.rig.ports import free_port
from tests.rig.rtsp import Opened, needs_gstreamer, send_line, servers, serving, url

MS = 1_000_000


@servers
@needs_gstreamer
def test_behind_sound_and_with_b_frames_every_picture_comes_in_order_at_its_pace() -> None:
    port = free_port()
    with (
        serving(port, "--audio", "--codec", "h264-bframes", "--gop", "50"),
        Opened(url(port)) as opened,
    ):
        granted = opened.granted
        assert (granted.width, granted.height) == (640, 360)
        assert granted.format == "h264"
        times = []
        for _ in range(40):
            picture = opened.source.read(120)
            assert picture is not None
            assert picture.pixels.shape == (120, 213, 3)
            assert np.abs(picture.pixels[60, 100].astype(int) - [254, 0, 0]).max() < 8
            times.append(picture.captured_ns)
        assert times == sorted(set(times))
        gaps = np.diff(times[15:]) / MS
        assert np.median(gaps) == pytest.approx(40, abs=4)
        assert opened.counts.broken == 0


@servers
@needs_gstreamer
def test_long_groups_of_pictures() -> None:
    """Who comes late waits for the next key frame; then every picture comes."""
    port = free_port()
    with (
        serving(port, "--gop", "75") as server,
        running(CaptureRequest(url(port)), wanted=64) as (first, mailbox),
    ):
        next_frame(mailbox, 30)
        time.sleep(0.5)
        with running(CaptureRequest(url(port)), wanted=64) as (late, its_mailbox):
            frame = next_frame(its_mailbox, 30)
            assert np.abs(frame.pixels[30, 30].astype(int) - [254, 0, 0]).max() < 8
            send_line(server, "pattern blue")
            for each in (mailbox, its_mailbox):
                assert wait_until(lambda each=each: next_frame(each, 30).pixels[30, 30, 2] > 240)
                assert each.broken == 0
            for camera in (first, late):
                assert wait_until(lambda camera=camera: camera.state is CameraState.STREAMING)
                assert sum(camera.restarts.values()) == 0
