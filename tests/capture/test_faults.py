"""Every fault of a camera, provoked for real: what the state becomes, what the log says of it, that
pictures flow again, and that nothing is left behind.
"""

from __future__ import annotations

import gc
import itertools
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.mailbox import Mailbox
from edged.capture.process import start_worker
from edged.capture.source import CaptureRequest, Failure
from edged.capture.sources.rtsp.stream import StreamSource
from edged.capture.supervisor import Camera, CameraState
from tests.rig.bad_network import BadNetwork
from tests.rig.camera import (
    Notes,
    descriptors_of,
    next_frame,
    only_worker,
    running,
    wait_until,
    workers_of,
)
from tests.rig.mjpeg_server import HttpCamera, part
from tests.rig.pictures import encoded
from tests.rig.ports import free_port
from tests.rig.rtsp import needs_gstreamer, send_line, servers, serving, url

LIMITS = TimeLimits(pause=0.3, pause_longest=0.6)
RED, BLUE = (255, 0, 0), (0, 0, 255)


def belongings() -> Counter[str]:
    """What cameras have in this process."""
    gc.collect()  # a mailbox that nobody knows any more
    threads = (thread.name for thread in threading.enumerate())
    return Counter(
        [
            *descriptors_of(os.getpid()),
            *(f"process {pid}" for pid in workers_of(os.getpid())),
            *(name for name in threads if name.startswith("camera-")),
        ]
    )


@pytest.fixture(autouse=True)
def _nothing_is_left_behind() -> Iterator[None]:
    before = belongings()
    yield
    assert wait_until(lambda: not belongings() - before), belongings() - before


def states(log: pytest.LogCaptureFixture) -> list[str]:
    """The states that the log tells of, one a line."""
    found = (re.match(r"camera porch: (\w+)", record.getMessage()) for record in log.records)
    return [match[1] for match in found if match and match[1] != "driver"]


def streams(camera: Camera) -> Callable[[], bool]:
    return lambda: camera.state is CameraState.STREAMING


def restarted(camera: Camera) -> dict[str, int]:
    return {reason.value: count for reason, count in camera.restarts.items() if count}


def flows_again(camera: Camera, mailbox: Mailbox, frames: int = 10) -> bool:
    before = mailbox.sequence
    return wait_until(lambda: streams(camera)() and mailbox.sequence > before + frames, 60)


# A stream that freezes on one picture


@servers
@needs_gstreamer
def test_a_stream_that_freezes_is_started_anew(log: pytest.LogCaptureFixture) -> None:
    port = free_port()
    request = CaptureRequest(url(port), frozen_after_seconds=2)
    with (
        serving(port, "--pattern", "snow") as server,
        running(request, wanted=128, limits=LIMITS) as (camera, mailbox),
    ):
        assert wait_until(streams(camera), 60)
        live = mailbox.sequence
        assert wait_until(lambda: mailbox.sequence > live + 100)
        assert restarted(camera) == {}  # a live scene is not frozen
        send_line(server, "pattern smpte75")
        assert wait_until(lambda: restarted(camera) == {"frozen": 1}, 60)
        assert camera.last_error is not None
        assert "the picture has not changed for 2 s" in camera.last_error
        assert "***" not in camera.last_error
        assert flows_again(camera, mailbox)  # the server begins anew with each session
    assert states(log)[:5] == ["starting", "streaming", "stalled", "backoff", "streaming"]


def test_a_camera_that_stays_frozen_is_tried_less_and_less_often(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "still.jpg").write_bytes(encoded(48, 64))
    request = CaptureRequest(str(tmp_path), fps=100.0, loop=True, frozen_after_seconds=1)
    limits = TimeLimits(pause=0.1, good_frames=20)
    with running(request, limits=limits) as (camera, _):
        assert wait_until(lambda: camera.restarts[Failure.FROZEN] == 4, 60)
        assert restarted(camera) == {"frozen": 4}
    pauses = [float(text) for text in re.findall(r"next try in ([\d.]+) s", log.text)]
    assert pauses[3] > 0.35 > pauses[0]
    assert states(log)[1:] == 4 * ["streaming", "stalled", "backoff"]


# What comes over the network


@servers
@needs_gstreamer
def test_an_rtsp_server_that_is_started_anew_ten_times(log: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with running(CaptureRequest(url(port)), wanted=128, limits=LIMITS) as (camera, mailbox):
        for _ in range(10):
            with serving(port):
                assert flows_again(camera, mailbox, 5)
            assert wait_until(lambda: camera.state is CameraState.BACKOFF)
            # Its streams end with the server; connections are refused while there is none.
            assert restarted(camera).keys() <= {"read_failed", "open_failed"}
    assert states(log).count("streaming") == 10


@servers
@needs_gstreamer
def test_the_size_may_change_under_way() -> None:
    port = free_port()
    with (
        serving(port, "--gop", "10") as server,
        running(CaptureRequest(url(port), square=False)) as (camera, mailbox),
    ):
        for size, shape in (
            ("640x360", (360, 640, 3)),
            ("320x240", (240, 320, 3)),
            ("360x640", (640, 360, 3)),
            ("160x120", (120, 160, 3)),
        ):
            send_line(server, f"size {size}") if size != "640x360" else None
            assert wait_until(lambda shape=shape: next_frame(mailbox, 60).pixels.shape == shape, 60)
        assert mailbox.latest is not None
        assert np.all(mailbox.latest.pixels[60, 80] > (230, -1, -1))
        assert restarted(camera) == {}


@servers
@needs_gstreamer
def test_a_network_that_stalls_cuts_and_spoils(log: pytest.LogCaptureFixture) -> None:
    port = free_port()
    dice = random.Random(0)

    def spoiled(piece: bytes) -> bytes:
        spoilt = bytearray(piece)
        for _ in range(len(piece) // 500):
            spoilt[dice.randrange(len(piece))] = dice.randrange(256)
        return bytes(spoilt)

    with (
        serving(port, "--pattern", "snow", "--gop", "10"),
        BadNetwork(port) as network,
        running(CaptureRequest(url(network.port)), wanted=128, limits=LIMITS) as (
            camera,
            mailbox,
        ),
    ):
        assert flows_again(camera, mailbox)
        network.cut()
        assert wait_until(lambda: restarted(camera) == {"read_failed": 1})
        assert flows_again(camera, mailbox, 50)  # until it is known how its pictures come
        network.stall()
        assert wait_until(lambda: camera.restarts[Failure.STALLED] == 1)
        network.resume()
        assert flows_again(camera, mailbox)
        assert states(log)[:7] == [
            *("starting", "streaming", "backoff"),
            *("streaming", "stalled", "backoff", "streaming"),
        ]
        network.spoil = spoiled
        before = (sum(camera.restarts.values()), mailbox.broken)
        assert wait_until(
            lambda: sum(camera.restarts.values()) > before[0] or mailbox.broken > before[1] + 5, 60
        )
        network.spoil = None
        assert flows_again(camera, mailbox)
        assert camera.restarts[Failure.KILLED] == 0  # no decoder crashed


def test_the_size_of_mjpeg_may_change_under_way() -> None:
    sizes = [(120, 160), (48, 64), (333, 77), (16, 16), (480, 640)]

    def script(server: HttpCamera, write: Callable[[bytes], object]) -> None:
        while not server.gone.is_set():
            for height, width in sizes:
                write(part(encoded(height, width)))
                server.gone.wait(0.05)

    with (
        HttpCamera(script) as server,
        running(CaptureRequest(server.url(), square=False)) as (camera, mailbox),
    ):
        seen: set[tuple[int, ...]] = set()

        def all_seen() -> bool:
            seen.add(next_frame(mailbox).pixels.shape[:2])
            return seen == set(sizes)

        assert wait_until(all_seen, 60)
        assert restarted(camera) == {}
        assert mailbox.broken == 0


def test_half_pictures_are_counted_and_never_shown() -> None:
    def script(server: HttpCamera, write: Callable[[bytes], object]) -> None:
        whole, half = encoded(120, 160, RED), encoded(120, 160, BLUE)
        half = half[: len(half) // 2]
        while not server.gone.wait(0.02):
            write(part(whole))
            server.gone.wait(0.02)
            write(part(half))

    with HttpCamera(script) as server, running(CaptureRequest(server.url())) as (camera, mailbox):
        for _ in range(10):
            assert np.all(next_frame(mailbox).pixels > (240, -1, -1))
        assert wait_until(lambda: mailbox.broken >= 10)
        assert restarted(camera) == {}


def test_a_camera_that_opens_but_gives_nothing(log: pytest.LogCaptureFixture) -> None:
    limits = TimeLimits(open=0.5, first_frame=0.5, pause=0.2, pause_longest=0.4)
    with (
        HttpCamera(lambda server, _: bool(server.gone.wait(60)) and None) as server,
        running(CaptureRequest(server.url()), limits=limits) as (camera, mailbox),
    ):
        assert wait_until(lambda: camera.restarts[Failure.STALLED] >= 3, 60)
        assert restarted(camera).keys() == {"stalled"}
        assert mailbox.captured == 0
    assert states(log) == ["starting", "stalled", "backoff"]  # the same again is said once


def test_a_stream_that_ends_at_once_is_no_busy_loop(log: pytest.LogCaptureFixture) -> None:
    def script(server: HttpCamera, write: Callable[[bytes], object]) -> None:
        write(part(encoded(48, 64)))

    with (
        HttpCamera(script) as server,
        running(CaptureRequest(server.url()), limits=TimeLimits(pause=0.2)) as (camera, _),
    ):
        begun = time.monotonic()
        assert wait_until(lambda: camera.restarts[Failure.READ_FAILED] == 5, 60)
        # Pauses of at least 0.1, 0.2, 0.4 and 0.8 s lie between.
        assert time.monotonic() - begun > 1.5
        assert server.asked == 5


@servers
@needs_gstreamer
def test_a_wrong_password_is_tried_once(log: pytest.LogCaptureFixture) -> None:
    port = free_port()
    with (
        serving(port, "--password", "secret"),
        BadNetwork(port) as network,
        running(CaptureRequest(url(network.port, "viewer:hunter2@"))) as (camera, _),
    ):
        assert wait_until(lambda: camera.state is CameraState.BACKOFF, 60)
        tried = network.connections
        time.sleep(3)  # five pauses of any other failure
        assert network.connections == tried
        assert restarted(camera) == {"unauthorized": 1}
        assert camera.last_error is not None
        assert "refused the login" in camera.last_error
    assert "hunter2" not in log.text
    assert states(log) == ["starting", "backoff"]


# What happens to the process


def test_a_killed_process_is_replaced_each_time(log: pytest.LogCaptureFixture) -> None:
    request = CaptureRequest("synthetic:320x240@50")
    with running(request, limits=LIMITS) as (camera, mailbox):
        for _ in range(5):
            assert flows_again(camera, mailbox, 5)
            os.kill(only_worker(), signal.SIGKILL)
            assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        assert restarted(camera) == {"killed": 5}
    assert states(log) == ["starting"] + 5 * ["streaming", "backoff"]


def test_a_process_without_memory_is_replaced(log: pytest.LogCaptureFixture) -> None:
    starts = []

    def start(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        """The first two get 64 MB, in which Python starts but its libraries do not fit."""
        starts.append(memfd)
        if len(starts) > 2:
            return start_worker(memfd, wake_fd)
        limited = 'ulimit -v 65536; exec "$0" -m edged.capture.worker "$@"'
        return subprocess.Popen(
            ["/bin/sh", "-c", limited, sys.executable, str(memfd), str(wake_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(memfd, wake_fd),
        )

    request = CaptureRequest("synthetic:320x240@50")
    with running(request, limits=LIMITS, starter=start) as (camera, mailbox):
        assert flows_again(camera, mailbox)
        assert sum(restarted(camera).values()) == 2
        assert restarted(camera).keys() <= {"exited", "killed"}
        assert camera.last_error is not None
    assert states(log)[:2] == ["starting", "backoff"]
    assert states(log)[-1] == "streaming"


# True time: a source that delivers late shows by how much


@pytest.mark.alone
@servers
@needs_gstreamer
def test_a_stream_that_comes_late_shows_that_age() -> None:
    port = free_port()
    delay_ms = 600
    with serving(port, "--gop", "10"), BadNetwork(port) as network:
        source = StreamSource(CaptureRequest(url(network.port)), Notes().admission)
        source.open()
        try:
            ages_ms = []
            for n in range(60):
                if n == 40:
                    network.delay_seconds = delay_ms / 1000
                picture = source.read(64)
                assert picture is not None
                ages_ms.append((picture.received_ns - picture.captured_ns) / 1e6)
        finally:
            source.close()
    prompt, late = ages_ms[20:40], ages_ms[45:]
    assert min(late) - min(prompt) == pytest.approx(delay_ms, abs=100)


def test_mjpeg_whose_pictures_take_long_shows_that_age() -> None:
    """A reader that itself comes late sees a picture whole; the others show when it began."""
    delay_seconds = 0.4

    def script(server: HttpCamera, write: Callable[[bytes], object]) -> None:
        for n in itertools.count():
            late = n % 10 >= 5
            jpeg = encoded(48, 64, BLUE if late else RED)
            write(part(jpeg)[:-10])
            server.gone.wait(delay_seconds if late else 0)
            write(part(jpeg)[-10:])
            if server.gone.wait(0.05):
                return

    ages: dict[bool, list[float]] = {False: [], True: []}

    def shown() -> bool:
        frame = next_frame(mailbox)
        late = bool(frame.pixels[5, 5, 2] > 128)
        ages[late].append((frame.received_ns - frame.captured_ns) / 1e9)
        late_enough = [age for age in ages[True] if age > delay_seconds * 0.99]
        return len(late_enough) >= 5 and min(ages[False], default=1.0) < delay_seconds / 2

    with HttpCamera(script) as server, running(CaptureRequest(server.url())) as (_, mailbox):
        assert wait_until(shown, 60), ages
