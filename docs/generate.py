"""Write the reference pages from what the program itself says: `make docs`.

Below MARK, `configuration.md` lists every key of `edged schema`, and `metrics.md` every metric of
`/metrics`. What stands above it is written by hand and stays.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

from prometheus_client.metrics_core import Metric
from reference import sections

from edged.atomic_file import write_whole
from edged.capture.mailbox import ViewCounts
from edged.capture.supervisor import CameraState
from edged.control.agreement import Estimate
from edged.control.profile import Candidate
from edged.events.events import EventCount
from edged.pipeline.sent import SentPictures
from edged.sensors.sensors import Sensors
from edged.telemetry.metrics import Metrics
from edged.telemetry.subjects import Learnt, Subjects, ViewSubject
from edged.variants.runtime import Engines
from edged.variants.variant import Variant

DOCS = Path(__file__).parent
MARK = "<!-- Generated from here on: `make docs`. Change the program's own text instead. -->\n"
TOLD = ("outcome", "reason", "stage", "state", "when")
"""Labels whose values are the program's own, and so are listed."""


def pages() -> Iterator[tuple[Path, str]]:
    """Each page's file, and what it must hold."""
    for name, lines in (("configuration.md", configuration()), ("metrics.md", metrics())):
        by_hand, _, _ = (DOCS / name).read_text().partition(MARK)
        yield DOCS / name, by_hand + MARK + "\n" + "\n".join(lines).rstrip() + "\n"


def configuration() -> Iterator[str]:
    """A section for each object of the schema, its path as the heading."""
    command = [sys.executable, "-m", "edged", "schema"]
    schema = json.loads(subprocess.run(command, check=True, capture_output=True).stdout)
    for path, keys in sections(schema):
        yield from (f"## `{path}`" if path else "## The top level", "")
        for key in keys:
            yield f"- **`{key.name}`** ({key.facts})<br>"
            yield f"  {key.meaning}"
            if key.examples:
                yield f"  For example {', '.join(f'`{each}`' for each in key.examples)}."
        yield ""


def metrics() -> Iterator[str]:
    """A row for each metric, in the order of the exposition."""
    found = Metrics("", started_unix_seconds=0.0)
    found.follow(_everything())
    yield from ("| metric | type | labels | meaning |", "| --- | --- | --- | --- |")
    for metric in found.registry.collect():
        name = metric.name + {"counter": "_total", "info": "_info"}.get(metric.type, "")
        yield f"| `{name}` | {metric.type} | {_labels(metric)} | {metric.documentation} |"


def _labels(metric: Metric) -> str:
    values: dict[str, dict[str, None]] = {}
    for sample in metric.samples:
        for label, value in sample.labels.items():
            values.setdefault(label, {})[value] = None
    values.pop("le", None)
    return "; ".join(
        f"`{label}`" + (f" ({', '.join(known)})" if label in TOLD and all(known) else "")
        for label, known in values.items()
    )


def _everything() -> Subjects:
    """One of each thing that a metric may be about."""
    variant = Variant(0.25, 128)
    camera = SimpleNamespace(
        name="camera",
        state=CameraState.STARTING,
        last_error=None,
        restarts={},
        decoder="",
        mailbox=SimpleNamespace(captured=0, broken=0, counts=lambda view: ViewCounts(0, 0, 0, 0)),
    )
    view = ViewSubject(
        id="camera/view",
        camera=camera,  # type: ignore[arg-type]
        index=0,
        budget_ms=33,
        on_time=0.95,
        max_fps=None,
        roi=None,
        family="family",
        labels=(),
        variants=[variant],
        networks={variant: ""},
        top1={variant: 0.0},
        ladder=lambda: [Candidate(variant, 1, 0.0, 0.0, 0.0)],
        give_up=0.0,
        learnt=lambda: Learnt(
            reference=variant,
            estimates={variant: Estimate(0.0, 0.0, 0.0, 0.0, 0, 0.0)},
            score=0.0,
        ),
    )
    sink = SimpleNamespace(name="sink", delivered=0, dropped={"": 0}, observe_delivery=None)
    sensors = Sensors(Path("/nonexistent"))
    sensors.read()
    gauges = [
        each if each.values else replace(each, values={tuple("" for _ in each.labels): 0.0})
        for each in sensors.gauges
    ]
    return Subjects(
        views=[view],
        cameras=[camera],  # type: ignore[list-item]
        sinks=[sink],  # type: ignore[list-item]
        runtimes=[{"backend": "", "version": ""}],
        engines=lambda: Engines(build_seconds={"": 0.0}),
        max_temperature_c=75,
        max_power_w=10,
        joules=lambda choice: 0.0,
        sensors=lambda: gauges,
        classified=lambda: SentPictures().counts,
        events=lambda: [EventCount("camera/view", "event", 0, False)],
    )


if __name__ == "__main__":
    for page, text in pages():
        write_whole(page, text.encode())
