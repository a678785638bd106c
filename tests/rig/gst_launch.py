"""GStreamer itself, where it is installed."""

from __future__ import annotations

import shutil
import subprocess

import pytest


def has_elements(*elements: str) -> bool:
    inspect = shutil.which("gst-inspect-1.0")
    return inspect is not None and all(
        subprocess.run([inspect, "--exists", name]).returncode == 0 for name in elements
    )


needs_gstreamer = pytest.mark.skipif(
    not has_elements("videotestsrc", "aspectratiocrop", "videoscale"),
    reason="needs the real thing: apt-get install gstreamer1.0-tools gstreamer1.0-plugins-base"
    " gstreamer1.0-plugins-good",
)
