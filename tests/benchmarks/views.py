"""Eight views of one camera beside eight cameras with the same stream, and beside one view.

    python tests/benchmarks/views.py

Each camera is a clip of 1080p H.264 at 10 fps, made here, and each view sees a region of its own
with the family at 0.25@128; half of the views have a second family, whose network files are the
same and whose labels are not. CPU is that of the daemon and its capture processes between two
moments of the same run of results; PSS counts a shared page once among its users.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import shutil
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np

from edged.variants.family import load_family
from tests.rig.daemon import RunningDaemon, pss_mb

VIEWS = 8
FPS, SECONDS = 10, 20
SIZE = (1920, 1080)
SETTLED_RESULTS, COUNTED_RESULTS = 40, 200
"""Of each view."""
TICKS = os.sysconf("SC_CLK_TCK")

CONFIG = """
model: {first}
variants: [mobilenet_v1_0.25_128]
latency_budget_ms: 100
backend: onnxruntime
cameras:
{cameras}
http: {{listen: 127.0.0.1:0}}
"""


@dataclass(frozen=True, slots=True)
class Taken:
    """CPU for each result of a view, and PSS at the end, of all processes."""

    cpu_ms: float
    pss_mb: float


def clip(path: Path) -> None:
    """A scene that moves, coded as a camera would: a key frame every two seconds."""
    width, height = SIZE
    draw = np.random.default_rng(1)
    coarse = draw.integers(0, 256, (height // 40, width // 40 + FPS * SECONDS, 3), np.uint8)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.options = {"preset": "veryfast", "g": str(2 * FPS), "bf": "0"}
        for number in range(FPS * SECONDS):
            seen = coarse[:, number : number + width // 40].repeat(40, 0).repeat(40, 1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(seen, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def relabelled(family: Path, folder: Path) -> Path:
    """A family with the same network files and other labels."""
    shutil.copytree(family, folder)
    labels = folder / "labels.txt"
    before = labels.read_bytes()
    labels.write_bytes(b"".join(b"other " + line + b"\n" for line in before.splitlines()))
    manifest = folder / "family.yaml"
    digests = (hashlib.sha256(text).hexdigest() for text in (before, labels.read_bytes()))
    text = manifest.read_text().replace(*digests)
    head, _, rest = text.partition("photo_folders:")  # their labels are the former ones
    manifest.write_text(f"{head}networks:{rest.partition('networks:')[2]}")
    return folder


def regions() -> list[str]:
    """Eight parts of a quarter of the width and half of the height."""
    return [f"[{column / 4}, {row / 2}, 0.25, 0.5]" for row in (0, 1) for column in range(4)]


def as_views(source: Path, other: Path, count: int) -> str:
    lines = [f"  yard: {{source: {source}, loop: true, views: {{"]
    for number, roi in enumerate(regions()[:count]):
        model = f", model: {other}" if number % 2 else ""
        lines.append(f"    view{number}: {{roi: {roi}{model}}},")
    return "\n".join([*lines, "  }}"])


def as_cameras(source: Path, other: Path) -> str:
    return "\n".join(
        f"  camera{number}: {{source: {source}, loop: true, roi: {roi}"
        + (f", model: {other}}}" if number % 2 else "}")
        for number, roi in enumerate(regions())
    )


def cpu_ms(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) * 1000 / TICKS


def measure(first: Path, cameras: str, views: int) -> Taken:
    with tempfile.TemporaryDirectory() as folder:
        config = CONFIG.format(first=first, cameras=cameras)
        with RunningDaemon(Path(folder), config) as daemon:
            daemon.wait_for_results(views * SETTLED_RESULTS, 120)
            processes = [daemon.process.pid, *daemon.capture_processes()]
            begun, before = len(daemon.results), sum(map(cpu_ms, processes))
            daemon.wait_for_results(begun + views * COUNTED_RESULTS, 120)
            results, after = len(daemon.results), sum(map(cpu_ms, processes))
            memory = sum(map(pss_mb, processes))
            daemon.stop()
    return Taken((after - before) / (results - begun), memory)


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.parse_args()
    first = load_family("imagenette", Path.cwd()).directory.absolute()
    with tempfile.TemporaryDirectory() as folder:
        source = Path(folder) / "scene.mp4"
        clip(source)
        other = relabelled(first, Path(folder) / "other")
        one = measure(first, as_views(source, other, 1), 1)
        eight = measure(first, as_views(source, other, VIEWS), VIEWS)
        cameras = measure(first, as_cameras(source, other), VIEWS)
    print("| | CPU ms a result | PSS MB |")
    print("|---|---|---|")
    for name, taken in (("1 view", one), ("8 views", eight), ("8 cameras", cameras)):
        print(f"| {name} | {taken.cpu_ms:.2f} | {taken.pss_mb:.0f} |")
    ratio, more = eight.cpu_ms / cameras.cpu_ms, eight.pss_mb - one.pss_mb
    print(f"\n8 views take {ratio:.2f} of the CPU of 8 cameras, and {more:.0f} MB more than 1 view")
    sys.exit(ratio > 0.6 or more > 30)


if __name__ == "__main__":
    main()
