"""Memory and descriptors of a daemon with three cameras over a long time: do they grow?

    python tests/benchmarks/soak.py --minutes 30

The cameras are an H.264 stream from a real RTSP server (see tests/rig/rtsp_server.py for what it
needs), MJPEG over HTTP served by this program, and a drawn scene; the whole shipped family runs.
Every 10 s PSS and open descriptors of the daemon and of its capture processes are taken. Writes
tests/benchmarks/soak.md and soak.png. PSS counts a shared page once among its users.
"""

from __future__ import annotations

import argparse
import subprocess
import tempfile
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from statistics import median

import cv2
import numpy as np

from edged.commands.plots.plot import new_figure, write_figure
from tests.rig.daemon import RunningDaemon
from tests.rig.ports import free_port
from tests.rig.rtsp import serving

FPS = 5
SAMPLE_SECONDS = 10
SETTLING_SECONDS = 300
"""Left out of every figure: the profile is measured, caches fill."""
HERE = Path(__file__).parent

CAMERAS = ("rtsp", "mjpeg", "drawn")
CONFIG = """
latency_budget_ms: 33
cameras:
  rtsp: {{source: "rtsp://127.0.0.1:{rtsp}/camera", frozen_after_seconds: 60}}
  mjpeg: {{source: "http://127.0.0.1:{http}/stream", frozen_after_seconds: 60}}
  drawn: {{source: "synthetic:640x480@{fps}"}}
http: {{listen: 127.0.0.1:0}}
"""


@dataclass(frozen=True, slots=True)
class Sample:
    """Of one moment: by process (daemon, then the cameras'), memory and number of descriptors."""

    seconds: float
    pss_mb: tuple[float, ...]
    anonymous_mb: tuple[float, ...]
    descriptors: tuple[int, ...]


class MjpegCamera(BaseHTTPRequestHandler):
    """Delivers noisy 720p pictures in turn, more than are remembered to find a frozen one."""

    pictures: Sequence[bytes] = ()

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=frame")
        self.end_headers()
        head = b"--frame\r\nContent-Type: image/jpeg\r\nContent-Length: %d\r\n\r\n"
        try:
            while True:
                for picture in self.pictures:
                    self.wfile.write(head % len(picture) + picture + b"\r\n")
                    time.sleep(1 / FPS)
        except OSError:
            pass  # the reader has gone

    def log_message(self, format: str, *args: object) -> None:
        pass


def serve_mjpeg() -> int:
    """The port."""
    noise = np.random.default_rng(0)
    scene = cv2.resize(noise.integers(0, 256, (9, 16, 3), dtype=np.uint8), (1280, 720))
    MjpegCamera.pictures = [
        cv2.imencode(".jpg", cv2.add(scene, noise.integers(0, 9, scene.shape, dtype=np.uint8)))[
            1
        ].tobytes()
        for _ in range(300)
    ]
    server = ThreadingHTTPServer(("127.0.0.1", 0), MjpegCamera)
    server.daemon_threads = True
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server.server_port


def processes(daemon: RunningDaemon) -> tuple[int, ...]:
    """The daemon's id, then those of its capture processes in the order of their cameras.

    Each was started by its camera's thread, and those were started in order.
    """
    captures = set(daemon.capture_processes())
    threads = sorted(
        Path(f"/proc/{daemon.process.pid}/task").iterdir(), key=lambda task: int(task.name)
    )
    children = [int(pid) for task in threads for pid in (task / "children").read_text().split()]
    return (daemon.process.pid, *(pid for pid in children if pid in captures))


def memory_mb(pid: int, line: str) -> float:
    """A figure of /proc/PID/smaps_rollup; Pss_Anon is there since Linux 5.4."""
    for found in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
        if found.startswith(f"{line}:"):
            return int(found.split()[1]) / 1024
    raise ValueError(f"no {line} of process {pid}")


def sample(daemon: RunningDaemon, begun: float) -> Sample | None:
    """None while a capture process is being replaced."""
    pids = processes(daemon)
    if len(pids) != 1 + len(CAMERAS):
        return None
    return Sample(
        time.monotonic() - begun,
        tuple(memory_mb(pid, "Pss") for pid in pids),
        tuple(memory_mb(pid, "Pss_Anon") for pid in pids),
        tuple(len(list(Path(f"/proc/{pid}/fd").iterdir())) for pid in pids),
    )


def soak(minutes: float, folder: Path) -> tuple[list[Sample], str]:
    """(samples, what the daemon did meanwhile)."""
    port = free_port()
    text = CONFIG.format(rtsp=port, http=serve_mjpeg(), fps=FPS)
    samples: list[Sample] = []
    with (
        serving(port, "--pattern", "smpte", "--fps", str(FPS), "--gop", str(2 * FPS)),
        RunningDaemon(folder, text) as daemon,
    ):
        daemon.wait_for_results(50, 120)
        begun = time.monotonic()
        while time.monotonic() - begun < 60 * minutes:
            taken = sample(daemon, begun)
            if taken is not None:
                samples.append(taken)
            daemon.results.clear()
            try:
                daemon.process.wait(SAMPLE_SECONDS)
                raise SystemExit(f"the daemon ended:\n{daemon.text}")
            except subprocess.TimeoutExpired:
                pass
        results = sum(daemon.metric(f'edged_results_total{{camera="{name}"}}') for name in CAMERAS)
        _, metrics = daemon.get("/metrics")
        restarts = sum(
            float(line.split()[-1])
            for line in metrics.splitlines()
            if line.startswith("edged_source_restarts_total{")
        )
        daemon.stop()
    return samples, f"{results:.0f} results, {restarts:.0f} restarts of capture processes"


def slope_per_hour(seconds: Sequence[float], values: Sequence[float]) -> float:
    """Of the straight line with the least squares."""
    return float(np.polyfit(np.array(seconds) / 3600, np.array(values), 1)[0])


def report(samples: Sequence[Sample], done: str) -> str:
    settled = [each for each in samples if each.seconds >= SETTLING_SECONDS]
    seconds = [each.seconds for each in settled]
    minutes = samples[-1].seconds / 60
    lines = [
        "# Memory and descriptors over a long time",
        "",
        f"Made by `python tests/benchmarks/soak.py --minutes {minutes:.0f}`: three cameras of",
        f"{FPS} frames a second, the whole shipped family, budget 33 ms. PSS in MB, a sample every",
        f"{SAMPLE_SECONDS} s; the first {SETTLING_SECONDS / 60:.0f} minutes are left out. *first*",
        "and *last* are medians of the first and the last tenth, *slope* is that of a straight",
        "line in MB per hour. *anonymous* is the part that is in no file: other processes on the",
        "machine that share libraries do not move it.",
        "",
        f"Meanwhile: {done}.",
        "",
        "| process | PSS first | last | slope | anonymous first | last | slope | descriptors |",
        "|---|---|---|---|---|---|---|---|",
    ]
    rows = [("daemon", 0), *((f"capture process {name}", n) for n, name in enumerate(CAMERAS, 1))]
    for name, n in rows:
        pss = [each.pss_mb[n] for each in settled]
        anonymous = [each.anonymous_mb[n] for each in settled]
        counts = sorted({each.descriptors[n] for each in settled})
        found = " to ".join(str(count) for count in sorted({counts[0], counts[-1]}))
        lines.append(f"| {name} | {_row(seconds, pss)} | {_row(seconds, anonymous)} | {found} |")
    pss = [sum(each.pss_mb) for each in settled]
    anonymous = [sum(each.anonymous_mb) for each in settled]
    lines.append(f"| together | {_row(seconds, pss)} | {_row(seconds, anonymous)} | |")
    return "\n".join(lines) + "\n"


def _row(seconds: Sequence[float], values: Sequence[float]) -> str:
    tenth = max(1, len(values) // 10)
    first, last = median(values[:tenth]), median(values[-tenth:])
    return f"{first:.1f} | {last:.1f} | {slope_per_hour(seconds, values):+.2f}"


def draw(samples: Sequence[Sample], path: Path) -> None:
    figure = new_figure(9, 6)
    memory, descriptors = figure.subplots(2, sharex=True, gridspec_kw={"height_ratios": (2, 1)})
    minutes = [each.seconds / 60 for each in samples]
    for n, name in enumerate(("daemon", *CAMERAS)):
        memory.plot(minutes, [each.pss_mb[n] for each in samples], label=name, color=f"C{n}")
        anonymous = [each.anonymous_mb[n] for each in samples]
        memory.plot(minutes, anonymous, color=f"C{n}", linestyle=":", linewidth=1)
        descriptors.plot(minutes, [each.descriptors[n] for each in samples])
    memory.set_ylabel("PSS, MB (dotted: anonymous)")
    descriptors.set_ylabel("open descriptors")
    descriptors.set_xlabel("minutes")
    for axes in (memory, descriptors):
        axes.set_ylim(bottom=0)
        axes.grid(alpha=0.3)
        axes.axvspan(0, SETTLING_SECONDS / 60, color="0.93")
    memory.legend(loc="center right")
    memory.set_title(
        "A daemon and its three capture processes; the grey part is left out of the table"
    )
    write_figure(figure, path)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--minutes", type=float, default=30)
    options = parser.parse_args()
    if 60 * options.minutes <= 2 * SETTLING_SECONDS:
        raise SystemExit(f"at least {2 * SETTLING_SECONDS / 60:g} minutes tell anything")
    with tempfile.TemporaryDirectory() as folder:
        samples, done = soak(options.minutes, Path(folder))
    text = report(samples, done)
    (HERE / "soak.md").write_text(text)
    draw(samples, HERE / "soak.png")
    print(text)


if __name__ == "__main__":
    main()
