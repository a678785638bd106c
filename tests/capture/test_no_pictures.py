"""Cameras that answer without pictures, each in its way, beside one that works: what a running
daemon says of it, and that all is well with the first try after it is over.
"""

from __future__ import annotations

import json
import threading
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np

from tests.rig.daemon import RunningDaemon
from tests.rig.http_camera import MIXED, Asked, ScriptedCamera, answer, part, scripted
from tests.rig.pictures import encoded

Write = Callable[[bytes], None]
RED, BLUE = encoded(48, 64), encoded(48, 64, (0, 0, 255))
UNDECODABLE = RED[:300] + RED[-2:]
PAGE = b"<html>your session has expired</html>"
PNG = cv2.imencode(".png", np.zeros((48, 64, 3), np.uint8))[1].tobytes()
LARGE = RED[:-2] + bytes(17_000_000) + RED[-2:]

PICTURES = {
    "expired": (answer(PAGE, "text/html"), "Content-Type 'text/html'"),
    "undecodable": (answer(UNDECODABLE), "JPEG data that cannot be decoded"),
    "png": (answer(PNG, "image/png"), "Content-Type 'image/png' without JPEG data"),
}
STREAMS = {
    "ended": (b"", "Content-Type 'text/html'"),
    "text": (part(PAGE, "text/html"), "Content-Type 'text/html'"),
    "spoilt": (part(UNDECODABLE), "JPEG data that cannot be decoded"),
    "large": (part(LARGE), "a picture of more than 16777216 bytes"),
}
KINDS = {**PICTURES, **STREAMS}


class Yard:
    """All of them behind one address. Broken, a stream goes on with what is no picture, or ends."""

    def __init__(self) -> None:
        self.broken = threading.Event()
        self.camera: ScriptedCamera

    def script(self, asked: Asked, write: Write) -> None:
        name = asked.path.strip("/")
        if name in PICTURES:
            turns = RED if asked.number % 2 else BLUE
            write(PICTURES[name][0] if self.broken.is_set() else answer(turns))
            return
        if name == "ended" and self.broken.is_set():
            write(answer(PAGE, "text/html"))
            return
        write(answer(b"", MIXED, length=None))
        while not self.camera.gone.is_set():
            if not self.broken.is_set():
                write(part(RED))
                self.camera.wait(0.2)
            elif name == "ended":
                return
            else:
                write(STREAMS[name][0])
                self.camera.wait(1.7 if name == "large" else 0.03)


def test_a_camera_that_answers_without_pictures_is_not_healthy(tmp_path: Path) -> None:
    yard = Yard()
    with scripted(yard.script) as yard.camera:
        lines = "".join(
            f"  {name}: {{source: '{yard.camera.url(f'/{name}')}', fps: 10}}\n" for name in KINDS
        )
        config = (
            "model: imagenette\nvariants: [mobilenet_v1_0.25_128]\nlatency_budget_ms: 500\n"
            "http: {listen: 127.0.0.1:0}\n"
            "cameras:\n  good: {source: synthetic, size: 64x48, fps: 5}\n" + lines
        )
        with RunningDaemon(tmp_path, config) as daemon:
            daemon.wait_for(lambda: daemon.get("/readyz")[0] == 200, 60)

            def restarts(name: str, reason: str = "no_pictures") -> float:
                labels = f'camera="{name}",reason="{reason}"'
                return daemon.metric(f"edged_source_restarts_total{{{labels}}}")

            yard.broken.set()
            tried = {name: 2 if name in {*PICTURES, "ended"} else 1 for name in KINDS}
            daemon.wait_for(lambda: all(restarts(name) >= tried[name] for name in KINDS), 70)
            status, body = daemon.get("/readyz")
            said = json.loads(body)["cameras"]
            assert status == 503
            for name, (_, got) in KINDS.items():
                assert said[name]["ready"] is False
                assert f"the camera sends no pictures (got {got})" in said[name]["last_error"]
            assert said["good"] == {"state": "streaming", "ready": True, "last_error": None}
            yard.broken.clear()
            daemon.wait_for(lambda: daemon.get("/readyz")[0] == 200, 60)
            tries = {name: restarts(name) for name in KINDS}
            daemon.wait_for_results(len(daemon.results) + 30)
            assert {name: restarts(name) for name in KINDS} == tries  # the first one was enough
            assert restarts("ended", "read_failed") == 1
            assert daemon.metric('edged_frames_dropped_total{camera="good",reason="broken"}') == 0
            for reason in ("no_pictures", "read_failed", "stalled", "exited", "killed"):
                assert restarts("good", reason) == 0
            assert daemon.stop()[0] == 0
    for name in KINDS:
        told = [
            line for line in daemon.log if f"camera {name}: " in line and "pictures (got" in line
        ]
        assert len(told) == 1, told
    numbers = [result["sequence"] for result in daemon.results if result["camera"] == "good"]
    assert numbers == sorted(set(numbers))
