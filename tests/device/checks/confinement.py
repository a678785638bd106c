"""Arbitrary code in a capture process beside a camera: this kernel's Landlock and the filter."""

from __future__ import annotations

import os
import platform
from pathlib import Path

from edged.capture.confinement import landlock, syscall_filter
from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest
from tests.device.checks import vivid
from tests.device.checks.daemon import SLOW
from tests.device.checks.report import Report
from tests.rig.break_out import broken_into
from tests.rig.camera import next_frame, running
from tests.rig.hostile import SECRET


def run(report: Report) -> None:
    vivid.load()
    abi = landlock.kernel_abi()
    found = f"Linux {platform.release()}, Landlock ABI {abi}"
    report.check("this kernel confines", abi > 0 and syscall_filter.available(), found)
    os.environ["DOOR_PASSWORD"] = SECRET
    limits = TimeLimits(open=SLOW, first_frame=SLOW)
    with running(CaptureRequest(vivid.BY_PATH), limits=limits) as (_, mailbox):
        frame = next_frame(mailbox, SLOW)
        report.check("a camera gives pictures", frame.pixels.size > 0, str(frame.pixels.shape))
        for source, kind in ((__file__, "a file"), (vivid.BY_PATH, "a device")):
            reached = broken_into(CaptureRequest(source), seconds=SLOW)
            said = ", ".join(sorted(reached)) or "reached nothing"
            report.check(f"arbitrary code in the process of {kind}", not reached, said)
        later = next_frame(mailbox, SLOW)
        report.check("the camera beside it goes on", later.sequence > frame.sequence, "frames")
    clip = Path("/tmp/clip.bin")
    clip.write_bytes(b"a clip")
    os.environ["HOSTILE_FOLDERS"] = "/tmp"
    reached = broken_into(
        CaptureRequest(str(clip), confine=False), seconds=SLOW, report=Path("/tmp/report")
    )
    report.check("without confinement it reaches much", len(reached) > 30, f"{len(reached)} things")
