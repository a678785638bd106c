"""Each pixel format: colours, the granted size and rate, true stamps, results of the daemon."""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from datetime import datetime
from pathlib import Path

from edged.capture.frame import Frame
from edged.capture.mailbox import Mailbox
from edged.capture.source import CaptureRequest
from tests.device.checks import bars, loopback, vivid
from tests.device.checks.daemon import CONFIG, SLOW, PatientDaemon, cameras, results_of
from tests.device.checks.patience import wait_for
from tests.device.checks.report import Report
from tests.rig.camera import next_frame, running

FRAMES = 5
TOLERANCE = 24
"""Of 255, in any channel: 4:2:0, JPEG and the limited range leave their marks."""


def run(report: Report) -> None:
    vivid.load()
    loopback.load()
    vivid_modes(report)
    with ExitStack() as stack:
        paths = {name: stack.enter_context(loopback.feeding(name)) for name in loopback.NODES}
        for fourcc, path in paths.items():
            picture(report, f"{fourcc} of v4l2loopback", path, fourcc)
        daemon(report, {"YUYV": vivid.BY_PATH, **paths})


def vivid_modes(report: Report) -> None:
    for fourcc in ("YUYV", "NV12", "GREY"):
        picture(report, f"{fourcc} of vivid", vivid.BY_PATH, fourcc, ask=fourcc)
    wish = CaptureRequest(vivid.BY_PATH, size=(640, 360), fps=15.0, square=False)
    with running(wish) as (camera, mailbox):
        patient_frame(mailbox)
        granted, driver = camera.granted, vivid.ask("--get-fmt-video", "--get-parm")
    assert granted is not None
    said = (f": {granted.width}/{granted.height}", f": {granted.fps:.3f} (")
    report.check(
        "size and rate are those of the driver",
        all(each in driver for each in said),
        f"asked 640x360 at 15 fps, granted {granted}",
    )


def picture(report: Report, name: str, path: str, fourcc: str, ask: str | None = None) -> None:
    """One capture process, the whole picture."""
    request = CaptureRequest(path, square=False, format=ask)
    begun_ns = time.monotonic_ns()
    with running(request, longest_side=2048) as (camera, mailbox):
        frames = [patient_frame(mailbox) for _ in range(FRAMES)]
        granted = camera.granted
        colours = bars.seen(frames[-1].pixels)
    off = bars.furthest(colours, grey=fourcc == "GREY")
    report.check(f"{name} is captured", granted is not None and granted.format == fourcc, granted)
    report.check(f"{name} has the right colours", off <= TOLERANCE, f"off by {off:.0f} of 255")
    waits = [(frame.received_ns - frame.captured_ns) / 1e6 for frame in frames]
    report.check(
        f"{name} has the driver's stamp",
        min(waits) > 0 and min(frame.captured_ns for frame in frames) > begun_ns,
        "stamp to hand-over " + ", ".join(f"{wait:.3f}" for wait in waits) + " ms",
    )


def patient_frame(mailbox: Mailbox) -> Frame:
    wait_for(lambda: mailbox.sequence > mailbox_seen(mailbox), SLOW)
    return next_frame(mailbox, 1)


def mailbox_seen(mailbox: Mailbox) -> int:
    return 0 if mailbox.latest is None else mailbox.latest.sequence


def daemon(report: Report, paths: dict[str, str]) -> None:
    """All of them at once, in the daemon as it is started by everybody."""
    sources = {fourcc.lower(): path for fourcc, path in paths.items()}
    with (
        tempfile.TemporaryDirectory() as folder,
        PatientDaemon(Path(folder), CONFIG + cameras(sources)) as daemon,
    ):
        begun = time.time()
        for fourcc, name in ((each, each.lower()) for each in paths):
            results = results_of(daemon, name, FRAMES, SLOW)
            counted = daemon.metric(f'edged_results_total{{camera="{name}"}}')
            ages = [each["latency_ms"] for each in results]
            report.check(
                f"the daemon answers for {fourcc}",
                counted >= FRAMES and fourcc in daemon.text,
                f"{len(results)} results, {counted:.0f} counted, "
                f"latency {min(ages):.0f} to {max(ages):.0f} ms",
            )
        latest = datetime.fromisoformat(daemon.results[-1]["captured_at"]).timestamp()
        late = time.time() - latest
        report.check("captured_at is now", begun < latest < time.time(), f"{late:.2f} s ago")
        report.check("/healthz is 200", daemon.get("/healthz")[0] == 200, daemon.get("/healthz")[1])
        status, seconds = daemon.stop()
        report.check("it ends when told", status == 0, f"status {status} in {seconds:.1f} s")
