"""A camera's process that decodes with stand-ins for hardware, which then fail."""

from __future__ import annotations

import logging
import os
import signal
import time
from pathlib import Path

import numpy as np
import pytest

from edged.capture.source import CaptureRequest
from edged.clock import monotonic_ns
from tests.rig import stand_in_decoder as stand_in
from tests.rig.camera import command_line, next_frame, only_worker, running, wait_until
from tests.rig.metrics import make_metrics, value
from tests.rig.ports import free_port
from tests.rig.rtsp import needs_gstreamer, send_line, servers, serving, url

pytestmark = [servers, needs_gstreamer, stand_in.needs_stand_in]
LONGEST_SECONDS = 5.0


def launched() -> int:
    """The process of GStreamer that decodes."""
    children = Path(f"/proc/{only_worker()}/task").glob("*/children")
    pids = [int(pid) for each in children for pid in each.read_text().split()]
    (found,) = [pid for pid in pids if b"fdsrc" in command_line(pid)]
    return found


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("codec", ["h264", "h265"])
def test_colours_size_and_time_are_those_of_software(
    codec: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = stand_in.install(tmp_path, monkeypatch, codec=codec)
    port = free_port()
    request = CaptureRequest(url(port), decode="hardware")
    with (
        serving(port, "--codec", codec, "--fps", "25"),
        running(request, wanted=224) as (camera, mailbox),
    ):
        assert wait_until(lambda: camera.decoder == element)
        times = []
        for _ in range(50):
            frame = next_frame(mailbox)
            red, green, blue = frame.pixels[100, 100].tolist()
            assert red > 240
            assert green < 15
            assert blue < 15
            assert frame.captured_ns <= frame.received_ns <= frame.ready_ns <= monotonic_ns()
            times.append(frame.captured_ns)
        assert frame.pixels.shape[0] == 224
        assert np.median(np.diff(times)) / 1e6 == pytest.approx(40, abs=4)
        assert not sum(camera.restarts.values())


@pytest.mark.parametrize("end", ["killed", "device removed"])
def test_it_goes_on_in_software(
    end: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    device = tmp_path / "video10"
    device.touch()
    removed = end == "device removed"
    element = stand_in.install(
        tmp_path,
        monkeypatch,
        then=stand_in.WHILE_THERE if removed else stand_in.RUN,
        device=device,
    )
    port = free_port()
    # Key frames are rarer than the time in which pictures have to come again.
    request = CaptureRequest(url(port), decode="hardware", confine=not removed)
    with (
        serving(port, "--gop", "500", "--pattern", "ball"),
        running(request, wanted=224) as (camera, mailbox),
    ):
        assert wait_until(lambda: camera.decoder == element)
        metrics = make_metrics({"porch": 33}, [camera])
        labels = {"camera": "porch", "decoder": element}
        assert value(metrics, "edged_source_decoder", **labels) == 1
        for _ in range(25):
            next_frame(mailbox)
        begun = time.monotonic()
        if removed:
            device.unlink()
        else:
            os.kill(launched(), signal.SIGKILL)
        assert wait_until(lambda: camera.decoder == "software")
        for _ in range(10):
            next_frame(mailbox)
        assert time.monotonic() - begun < LONGEST_SECONDS
        assert value(metrics, "edged_source_decoder", **labels) is None
        assert value(metrics, "edged_source_decoder", camera="porch", decoder="software") == 1
        assert not sum(camera.restarts.values())
    (line,) = warnings(caplog)
    assert line.startswith(f"camera porch: decoding in software: {element} failed: ")
    assert line.endswith(f"{device} is gone" if removed else "gst-launch-1.0 was killed")


def test_a_stream_that_changes_its_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    element = stand_in.install(tmp_path, monkeypatch)
    port = free_port()
    request = CaptureRequest(url(port), decode="hardware", square=False)
    with serving(port) as server, running(request, wanted=128) as (camera, mailbox):
        assert wait_until(lambda: camera.decoder == element)
        send_line(server, "size 320x320")
        assert wait_until(lambda: camera.decoder == "software")
        assert wait_until(lambda: next_frame(mailbox).pixels.shape == (128, 128, 3))
        assert not sum(camera.restarts.values())
    (line,) = warnings(caplog)
    assert line.endswith(f"{element} failed: the stream has changed")


def test_a_decoder_that_holds_frames_makes_them_old(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As it would be with a decoder that has buffers of its own: the delay is seen."""
    held = 3
    element = stand_in.install(
        tmp_path,
        monkeypatch,
        element=f"openh264dec ! queue min-threshold-buffers={held}",
    )
    port = free_port()
    request = CaptureRequest(url(port), decode="hardware")
    with serving(port), running(request, wanted=128) as (camera, mailbox):
        assert wait_until(lambda: camera.decoder == element)
        frames = [next_frame(mailbox) for _ in range(40)][20:]
        captured = np.diff([each.captured_ns for each in frames])
        delays = [each.ready_ns - each.received_ns for each in frames]
        assert np.median(delays) > (held - 1) * np.median(captured)
