"""The daemon with a float and an INT8 network and two sources, a camera and a drawn scene."""

from __future__ import annotations

import tempfile
from pathlib import Path

from tests.device.checks import vivid
from tests.device.checks.daemon import SLOW, PatientDaemon, cameras, processes, pss_mb, results_of
from tests.device.checks.report import Report

RESULTS = 10
CONFIG = """
variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.25_128_int8]
latency_budget_ms: 10000
http: {listen: "127.0.0.1:0"}
"""


def run(report: Report) -> None:
    vivid.load()
    sources = {"camera": vivid.BY_PATH, "drawn": "synthetic"}
    with (
        tempfile.TemporaryDirectory() as folder,
        PatientDaemon(Path(folder), CONFIG + cameras(sources)) as daemon,
    ):
        for name in sources:
            results = results_of(daemon, name, RESULTS, 2 * SLOW)
            counted = daemon.metric(f'edged_results_total{{camera="{name}"}}')
            used = {each["variant"] for each in results}
            report.check(
                f"frames flow from {sources[name]}",
                counted >= RESULTS,
                f"{counted:.0f} results, of {', '.join(sorted(used))}",
            )
        pss = ", ".join(f"{pss_mb(pid):.0f}" for pid in processes(daemon))
        report.note(f"PSS of the daemon and its capture processes: {pss} MB")
        status, seconds = daemon.stop()
        report.check("it ends when told", status == 0, f"status {status} in {seconds:.1f} s")
        report.note(daemon.log[-1])
