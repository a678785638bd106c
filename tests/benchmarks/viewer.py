"""What somebody who watches the page costs the daemon, in processor time of its process.

    python -m tests.benchmarks.viewer [SECONDS]    # four minutes by default

A daemon with four cameras (tests/rig/four_cameras.py), and in turn nobody, and one viewer in
Chromium: at a desk, where all four are in sight, and on a phone. Chromium does not count.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from pathlib import Path

from tests.rig.browser import Browser
from tests.rig.daemon import RunningDaemon
from tests.rig.four_cameras import config, write_a_day

TURNS = 4
_TICKS = os.sysconf("SC_CLK_TCK")


def spent_seconds(pid: int) -> float:
    """User and system time of all its threads."""
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / _TICKS


def percent_of_a_core(pid: int, seconds: float) -> float:
    before, begun = spent_seconds(pid), time.monotonic()
    time.sleep(seconds)
    return 100 * (spent_seconds(pid) - before) / (time.monotonic() - begun)


def main(seconds: float) -> None:
    with tempfile.TemporaryDirectory() as name:
        write_a_day(Path(name) / "state")
        text = config(more="variants: [mobilenet_v1_0.25_128]")
        with RunningDaemon(Path(name), text) as daemon, Browser() as browser:
            url = f"http://127.0.0.1:{daemon.port}/"
            time.sleep(20)  # until it has measured its variant
            for turn in range(TURNS):
                alone = percent_of_a_core(daemon.process.pid, seconds)
                width, height = ((1600, 2400), (390, 844))[turn % 2]
                browser.size(width, height, 1)
                browser.open(url)
                browser.wait_for("typeof cameras != 'undefined' && cameras.size == 4")
                browser.value(
                    "window.pictures = 0; const real = window.fetch;"
                    "window.fetch = (url, ...rest) => {"
                    "  pictures += /snapshot/.test(String(url)); return real(url, ...rest); }; 0"
                )
                time.sleep(5)
                first = browser.value("pictures")
                watched = percent_of_a_core(daemon.process.pid, seconds)
                rate = (browser.value("pictures") - first) / seconds
                print(
                    f"{width} pixels wide: {alone:.1f} % of a core without, {watched:.1f} % with a "
                    f"viewer: {watched - alone:+.1f} %, {rate:.1f} pictures a second"
                )
                browser.open("about:blank")
                time.sleep(5)


if __name__ == "__main__":
    main(float(sys.argv[1]) / (2 * TURNS) if len(sys.argv) > 1 else 30)
