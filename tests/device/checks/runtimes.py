"""`backend: auto` with both runtimes of the processor: both are measured, and it serves."""

from __future__ import annotations

import json
import tempfile
from collections import Counter
from pathlib import Path

from tests.device.checks.commands import edged
from tests.device.checks.daemon import SLOW, PatientDaemon, cameras, results_of
from tests.device.checks.report import Report

RUNTIMES = ("onnxruntime", "ncnn")
RESULTS = 10
SELDOM = "synthetic:320x240@0.5"
"""Runtimes are measured between two frames, and the emulated processor takes long for each."""
MEASURED = "profile measured, most accurate first: "
CONFIG = """
variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.25_160]
backend: auto
latency_budget_ms: 10000
http: {listen: "127.0.0.1:0"}
"""


def run(report: Report) -> None:
    installed(report)
    with (
        tempfile.TemporaryDirectory() as folder,
        PatientDaemon(Path(folder), CONFIG + cameras({"drawn": SELDOM})) as daemon,
    ):
        daemon.wait_for(lambda: MEASURED in daemon.text, 2 * SLOW)
        line = next(line for line in daemon.log if MEASURED in line)
        stored = [path.read_text() for path in (Path(folder) / "state").glob("profile-*.json")]
        seen = [name for name in RUNTIMES if any(name in text for text in (line, *stored))]
        report.check("both are measured", seen == list(RUNTIMES), line.split(MEASURED)[1])
        results = results_of(daemon, "drawn", RESULTS, 2 * SLOW)
        ran = Counter(each.get("runtime", "untold") for each in results)
        figure = ", ".join(f"{count} on {name}" for name, count in ran.items())
        report.check("results say which one ran", set(ran) <= set(RUNTIMES), figure)
        status, seconds = daemon.stop()
        report.check("it ends when told", status == 0, f"status {status} in {seconds:.1f} s")


def installed(report: Report) -> None:
    """As the doctor sees it: each is imported."""
    _, said = edged("doctor", "--json")
    found = {
        each["check"]: f"{each['severity']}: {each['what']}"
        for each in json.loads(said)["findings"]
    }
    for name in RUNTIMES:
        figure = found.get(f"runtime.{name}", "the doctor says nothing of it")
        report.check(f"{name} is installed", figure.startswith("ok"), figure)
