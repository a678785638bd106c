"""Cameras that take their time are waited for; one key says for how long."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import ExitStack

import pytest

from edged.capture.source import CaptureRequest, SourceError
from tests.rig.camera import running, wait_until
from tests.rig.http_camera import MIXED, Asked, Opened, answer, part, scripted
from tests.rig.pictures import encoded

COLOURS = (255, 0, 0), (0, 255, 0), (0, 0, 255)
PICTURES = [encoded(48, 64, colour) for colour in COLOURS]
Write = Callable[[bytes], None]


def test_a_picture_in_6_s_and_one_in_12_s_of_a_stream_are_waited_for() -> None:
    def script(asked: Asked, write: Write) -> None:
        picture = PICTURES[asked.number % 3]
        if asked.path == "/picture":
            camera.wait(6)
            write(answer(picture))
            return
        write(answer(b"", MIXED, length=None))
        for each in PICTURES:
            write(part(each))
            camera.wait(12)

    with scripted(script) as camera, ExitStack() as stack:
        begun = time.monotonic()
        cameras = [
            stack.enter_context(running(CaptureRequest(camera.url(path), fps=10)))
            for path in ("/picture", "/stream")
        ]
        (_, pictures), (_, stream) = cameras
        assert wait_until(lambda: pictures.captured >= 2 and stream.captured >= 2, 40)
        assert 12 <= time.monotonic() - begun < 30
        for each, _ in cameras:
            assert each.last_error is None
            assert not any(each.restarts.values())


def test_the_users_own_limit_reaches_http_cameras() -> None:
    def script(asked: Asked, write: Write) -> None:
        camera.wait(0.8)
        write(answer(PICTURES[0]))

    with scripted(script) as camera:
        with Opened(camera.url()) as opened:
            assert opened.colours(1) == "r"
        with pytest.raises(SourceError, match=r"no response within 0\.2 s"):
            Opened(camera.url(), stalled_after_seconds=0.2).__enter__()
