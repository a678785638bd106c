"""PSS of the daemon and its capture process with a whole family warm, beside the obvious script.

    python tests/benchmarks/memory.py imagenette --further clip.mp4

The source is 1080p MJPEG over HTTP, served by this program. The family runs with one thread, and no
profile is known that would leave some of it out; counted is the most that there was after its first
seconds. The obvious script holds the same networks as the libraries come: a session per variant
with ONNX Runtime's defaults, each run once, and cv2.VideoCapture on the same stream. PSS counts a
shared page once among its users, so the figures of several processes add up. What a further camera
takes (the same stream again, or a clip) is what the capture processes of both take together beyond
what the first does alone; the daemon's share of its mailbox, less than 1 MB, is not in it.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from edged.variants.family import load_family
from tests.rig.daemon import RunningDaemon, pss_mb

FPS = 30
FIRST_RESULTS, SETTLED_RESULTS = 60, 300

CONFIG = """
model: {model}
threads: [1]
latency_budget_ms: 100
cameras:
{cameras}
http: {{listen: 127.0.0.1:0}}
"""

# In a process of its own: libraries loaded here would share their pages with what is measured.
PICTURE = """
import sys
import cv2, numpy as np
coarse = np.random.default_rng(0).integers(0, 256, (45, 80, 3), dtype=np.uint8)
picture = cv2.resize(coarse, (1920, 1080), interpolation=cv2.INTER_CUBIC)
sys.stdout.buffer.write(cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, 60])[1].tobytes())
"""

OBVIOUS = """
import sys, time
import cv2, numpy as np, onnxruntime
sessions = []
for entry in sys.argv[2:]:
    path, resolution = entry.rsplit("@", 1)
    session = onnxruntime.InferenceSession(path)
    image = np.zeros((1, int(resolution), int(resolution), 3), np.uint8)
    session.run(None, {"image": image})
    sessions.append(session)
capture = cv2.VideoCapture(sys.argv[1])
for _ in range(60):
    _, picture = capture.read()
    cv2.resize(picture, (224, 224))
print("ready", flush=True)
time.sleep(600)
"""


@dataclass(frozen=True, slots=True)
class Memory:
    """further: what a second camera takes, the same stream again or a clip."""

    daemon_mb: float
    capture_mb: float
    further_mb: float
    further_clip_mb: float | None

    @property
    def whole_mb(self) -> float:
        return self.daemon_mb + self.capture_mb


class Camera(BaseHTTPRequestHandler):
    """An MJPEG camera with one picture."""

    picture = b""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        try:
            while True:
                self.wfile.write(head % len(self.picture) + self.picture + b"\r\n")
                time.sleep(1 / FPS)
        except OSError:
            pass  # the reader has gone

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve() -> str:
    Camera.picture = subprocess.run(
        [sys.executable, "-c", PICTURE], check=True, stdout=subprocess.PIPE
    ).stdout
    server = ThreadingHTTPServer(("127.0.0.1", 0), Camera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_port}/stream.mjpg"


def measure_edged(model: Path, sources: Sequence[str]) -> tuple[float, float]:
    """(daemon, its capture processes together), MB."""
    cameras = "\n".join(
        f"  camera{number}: {{source: '{source}', loop: {'false' if '://' in source else 'true'}}}"
        for number, source in enumerate(sources)
    )
    with tempfile.TemporaryDirectory() as folder:
        config = CONFIG.format(model=model, cameras=cameras)
        with RunningDaemon(Path(folder), config) as daemon:
            daemon.wait_for_results(len(sources) * FIRST_RESULTS, 60)
            most = 0.0, 0.0
            while len(daemon.results) < len(sources) * SETTLED_RESULTS:
                children = daemon.capture_processes()
                found = pss_mb(daemon.process.pid), sum(pss_mb(child) for child in children)
                most = max(most, found, key=sum)
                time.sleep(0.5)
            daemon.stop()
    return most


def measure_cameras(model: Path, source: str, clip: Path | None) -> Memory:
    daemon, capture = measure_edged(model, [source])

    def further_mb(other: str) -> float:
        _, both = measure_edged(model, [source, other])
        return both - capture

    from_clip = further_mb(str(clip.absolute())) if clip is not None else None
    return Memory(daemon, capture, further_mb(source), from_clip)


def measure_obvious(model: Path, source: str) -> float:
    family = load_family(str(model), Path.cwd())
    networks = [
        f"{network.path}@{resolution}"
        for network in family.networks
        for resolution in network.resolutions
    ]
    script = subprocess.Popen(
        [sys.executable, "-c", OBVIOUS, source, *networks], stdout=subprocess.PIPE, text=True
    )
    assert script.stdout is not None
    try:
        if script.stdout.readline() != "ready\n":
            raise SystemExit("the obvious script failed")
        return pss_mb(script.pid)
    finally:
        script.kill()
        script.wait()
        script.stdout.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("model", nargs="?", default="imagenette", help="a family's name or folder")
    parser.add_argument("--further", type=Path, help="a clip that is a second camera")
    options = parser.parse_args()
    model = load_family(options.model, Path.cwd()).directory.absolute()
    source = serve()
    edged = measure_cameras(model, source, options.further)
    obvious = measure_obvious(model, source)
    print(f"1080p MJPEG of {len(Camera.picture) / 1000:.0f} KB a frame, family {model.name}")
    print(
        f"edged: daemon {edged.daemon_mb:.0f} MB + capture process {edged.capture_mb:.0f} MB = "
        f"{edged.whole_mb:.0f} MB; a second camera takes {edged.further_mb:.0f} MB"
    )
    if edged.further_clip_mb is not None:
        print(f"a second camera that is {options.further} takes {edged.further_clip_mb:.0f} MB")
    print(f"obvious script: {obvious:.0f} MB; ratio {edged.whole_mb / obvious:.2f}")


if __name__ == "__main__":
    main()
