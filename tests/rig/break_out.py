"""Runs hostile code in a capture process that is started as usual."""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path

from edged.capture.liveness import TimeLimits
from edged.capture.process import start_worker
from edged.capture.source import CaptureRequest
from tests.rig.camera import running, wait_until
from tests.rig.hostile import MARK

HOSTILE = Path(__file__).with_name("hostile.py")


def broken_into(
    request: CaptureRequest, abi: int = 99, *, seconds: float = 60.0, report: Path | None = None
) -> set[str]:
    """What the code reaches in a camera's child. abi: the highest Landlock ABI. report: a file for
    results too long for a message, if it is writable."""
    code = f"""import runpy, sys
sys.argv += ["--abi", "{abi}"]
runpy.run_path("{HOSTILE}", run_name="__main__")
"""
    os.environ.pop("HOSTILE_REPORT", None)
    if report is not None:
        os.environ["HOSTILE_REPORT"] = str(report)
    start = partial(start_worker, whole_environment=not request.confine, program=("-c", code))
    with running(request, limits=TimeLimits(open=seconds), starter=start) as (camera, _):
        assert wait_until(lambda: camera.last_error is not None, seconds)
        assert camera.last_error is not None
        assert MARK in camera.last_error, camera.last_error
        if report is not None:
            return set(report.read_text().split(", "))
        told = camera.last_error.partition(MARK)[2].partition(".;")[0]
        return set() if told == "nothing" else set(told.split(", "))
