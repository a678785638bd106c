"""Several views of one camera, which only one process may open; and a reload that adds one."""

from __future__ import annotations

import tempfile
import urllib.error
import urllib.request
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from tests.device.checks import bars, vivid
from tests.device.checks.daemon import CONFIG, SLOW, PatientDaemon, results_of
from tests.device.checks.report import Report

RESULTS = 3
TOLERANCE = 24
"""Of 255, in any channel: 4:2:0 and JPEG leave their marks."""
LEFT, RIGHT, MIDDLE = ("left", 0), ("right", 6), ("middle", 3)
"""Views by name, with the first of the two bars that each sees."""


def run(report: Report) -> None:
    vivid.load()
    with (
        tempfile.TemporaryDirectory() as folder,
        PatientDaemon(Path(folder), config(LEFT, RIGHT)) as daemon,
    ):
        for view in (LEFT, RIGHT):
            answers(report, daemon, *view)
        daemon.wait_for(lambda: picture(daemon, "") is not None, SLOW)
        whole = picture(daemon, "")
        assert whole is not None
        off = bars.furthest(bars.seen(whole))
        report.check("the camera's picture shows all", off <= TOLERANCE, f"off by {off:.0f} of 255")
        captures = daemon.capture_processes()
        report.check("one process reads the camera", len(captures) == 1, f"{len(captures)}")
        said = daemon.reload(config(LEFT, RIGHT, MIDDLE), SLOW)
        report.check("a reload adds a view", said.endswith("view door/middle added"), said)
        answers(report, daemon, *MIDDLE)
        for name, _ in (LEFT, RIGHT):
            before = len(results_of(daemon, f"door/{name}", 1, SLOW))
            more = len(results_of(daemon, f"door/{name}", before + RESULTS, SLOW)) - before
            report.check(f"the view {name} goes on", more >= RESULTS, f"{more} more results")
        goes_on = daemon.capture_processes() == captures
        report.check("its process goes on", goes_on, f"process {captures}")
        status, seconds = daemon.stop()
        report.check("it ends when told", status == 0, f"status {status} in {seconds:.1f} s")


def config(*views: tuple[str, int]) -> str:
    """Of vivid, each view with two of its bars."""
    count = len(bars.COLOURS)
    own = ", ".join(f"{name}: {{roi: [{bar / count}, 0, {2 / count}, 1]}}" for name, bar in views)
    return CONFIG + f"cameras:\n  door: {{source: {vivid.BY_PATH}, views: {{{own}}}}}\n"


def answers(report: Report, daemon: PatientDaemon, name: str, bar: int) -> None:
    results = results_of(daemon, f"door/{name}", RESULTS, SLOW)
    counted = daemon.metric(f'edged_results_total{{camera="door",view="{name}"}}')
    report.check(
        f"the view {name} gives results",
        counted >= RESULTS,
        f"{len(results)}, {counted:.0f} counted",
    )
    pixels = picture(daemon, f"/views/{name}")
    assert pixels is not None
    off = furthest(pixels, bar)
    report.check(f"the view {name} has its region", off <= TOLERANCE, f"off by {off:.0f} of 255")


def picture(daemon: PatientDaemon, path: str) -> NDArray[np.uint8] | None:
    """The snapshot, RGB; None if there is none yet."""
    url = f"http://127.0.0.1:{daemon.port}/api/v1/cameras/door{path}/snapshot.jpg"
    try:
        with urllib.request.urlopen(url, timeout=30) as answer:
            pixels = cv2.imdecode(np.frombuffer(answer.read(), np.uint8), cv2.IMREAD_COLOR)
    except urllib.error.HTTPError as error:
        error.close()
        return None
    return None if pixels is None else pixels[:, :, ::-1]


def furthest(pixels: NDArray[np.uint8], bar: int) -> float:
    """Largest difference in any channel, around the middles of two bars side by side."""
    height, width, _ = pixels.shape
    middle = pixels[height // 3 : 2 * height // 3].astype(float)
    found = [middle[:, width * part // 16 : width * (part + 2) // 16] for part in (3, 11)]
    expected = bars.COLOURS[bar : bar + 2]
    return max(
        float(np.abs(each.mean(axis=(0, 1)) - colour).max())
        for each, colour in zip(found, expected, strict=True)
    )
