"""RTSP streams of a real server: GStreamer's, run by the distribution's own Python."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from edged.capture.source import CaptureRequest
from edged.capture.sources.rtsp.stream import StreamSource
from tests.rig.camera import Notes
from tests.rig.paths import PROJECT

PYTHON = "/usr/bin/python3"
SERVER = PROJECT / "tests" / "rig" / "rtsp_server.py"


def _gstreamer_is_there() -> bool:
    needs = "import gi; gi.require_version('GstRtspServer', '1.0')"
    try:
        return subprocess.run([PYTHON, "-c", needs], capture_output=True).returncode == 0
    except OSError:
        return False


servers = pytest.mark.servers


needs_gstreamer = pytest.mark.skipif(
    not _gstreamer_is_there(),
    reason="needs a real RTSP server: apt-get install gir1.2-gst-rtsp-server-1.0 gstreamer1.0-rtsp"
    " gstreamer1.0-plugins-base gstreamer1.0-plugins-good gstreamer1.0-plugins-ugly"
    " gstreamer1.0-plugins-bad python3-gi",
)


@contextmanager
def serving(port: int, *options: str) -> Iterator[subprocess.Popen[str]]:
    command = [PYTHON, str(SERVER), "--port", str(port), *options]
    server = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert server.stdin is not None
    assert server.stdout is not None
    try:
        assert server.stdout.readline() == "ready\n"
        yield server
    finally:
        server.kill()
        server.wait()
        server.stdin.close()
        server.stdout.close()


def send_line(server: subprocess.Popen[str], line: str) -> None:
    """Change the picture of a server that is at work."""
    assert server.stdin is not None
    server.stdin.write(line + "\n")
    server.stdin.flush()


def url(port: int, login: str = "", path: str = "/camera") -> str:
    return f"rtsp://{login}127.0.0.1:{port}{path}"


class Opened:
    """A source that is closed at the end."""

    def __init__(self, address: str, max_fps: float | None = None) -> None:
        self.notes = Notes(max_fps)
        self.counts = self.notes.counts
        self.source = StreamSource(CaptureRequest(address), self.notes.admission)

    def __enter__(self) -> Opened:
        self.granted = self.source.open()
        return self

    def __exit__(self, *_: object) -> None:
        self.source.close()
