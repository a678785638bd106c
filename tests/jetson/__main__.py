"""`make test-jetson`: runs the checks on this Jetson and writes a report."""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import edged
from edged.backends.tensorrt.onnx_forms import EnginePrecision
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.device import device_facts
from edged.errors import EdgedError
from edged.variants.family import load_family
from tests.jetson.checks import Row, accuracy, drawn_pictures, labelled, latency, soak

FACTS = (["nvpmodel", "-q"], ["jetson_clocks", "--show"])
RELEASE = Path("/etc/nv_tegra_release")


def main(arguments: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.jetson", description=__doc__)
    parser.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    parser.add_argument("--fp32", action="store_true", help="float networks in FP32")
    parser.add_argument("--photos", type=Path, help="labelled, a folder for each class, or a tar")
    parser.add_argument("--soak-seconds", type=float, default=3600)
    parser.add_argument("--trtexec", default="/usr/src/tensorrt/bin/trtexec")
    parser.add_argument("--report", type=Path, default=Path("jetson-report.md"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data = os.environ.get("EDGED_DATA")
    if options.photos is None and data and options.model == "imagenette":
        options.photos = Path(data) / "photos/imagenette-val.tar"
    try:
        family = load_family(options.model, Path.cwd())
        gpu = TensorRtBackend(EnginePrecision.FP32 if options.fp32 else EnginePrecision.FP16)
        lines = [f"# edged {edged.__version__} on a Jetson", ""]
        facts = {**device_facts(), **gpu.describe(), "family": family.name}
        lines += [f"- {name}: {value}" for name, value in facts.items()]
        lines += [f"- {line}" for line in _system()]
        shown = drawn_pictures() if options.photos is None else labelled(options.photos, family)
        parts = {"Accuracy against the CPU": accuracy(family, gpu, shown)}
        if shutil.which(options.trtexec):
            parts["Latency against trtexec"] = latency(family, gpu, [options.trtexec])
        else:
            lines.append(f"- no {options.trtexec}: latency was not compared")
        parts["Soak"] = soak(family, gpu, options.soak_seconds)
    except EdgedError as error:
        print(f"edged: {error}", file=sys.stderr)  # noqa: T201
        return 1
    good = all(row.good for rows in parts.values() for row in rows)
    for head, rows in parts.items():
        lines += ["", f"## {head}", "", *_table(rows)]
    lines += ["", "Everything is as it should be." if good else "**Not everything is.**"]
    options.report.write_text("\n".join(lines) + "\n")
    print(f"{options.report}: {lines[-1]}")  # noqa: T201
    return 0 if good else 1


def _table(rows: Sequence[Row]) -> Iterator[str]:
    heads = list(dict.fromkeys(name for row in rows for name in row.values))
    yield "| | " + " | ".join([*heads, "good"]) + " |"
    yield "|---" * (len(heads) + 2) + "|"
    for row in rows:
        cells = [str(row.values.get(head, "")) for head in heads]
        yield f"| {row.name} | " + " | ".join([*cells, "yes" if row.good else "**no**"]) + " |"


def _system() -> Iterator[str]:
    if RELEASE.exists():
        yield RELEASE.read_text().splitlines()[0].lstrip("# ")
    for command in FACTS:
        if shutil.which(command[0]):
            done = subprocess.run(command, capture_output=True, text=True)
            yield f"{' '.join(command)}: " + "; ".join(done.stdout.split("\n")[:6])


if __name__ == "__main__":
    sys.exit(main())
