"""`make test-jetson` and `make test-gpu`: run the checks on this GPU and write a report.

Exit status: 0 if all is well, 1 if not, 77 (skipped) without a GPU.
"""

from __future__ import annotations

import argparse
import logging
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import edged
from edged.backends.tensorrt.bindings import checked_tensorrt, import_tensorrt, is_rtx
from edged.backends.tensorrt.cuda import Cuda, Gpu, GpuError, import_cuda
from edged.backends.tensorrt.onnx_forms import EnginePrecision
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.device import device_facts
from edged.errors import EdgedError
from edged.variants.family import load_family
from tests.jetson.checks import (
    Row,
    accuracy,
    drawn_pictures,
    free_bytes,
    labelled,
    latency,
    soak,
)
from tests.jetson.cuda_checks import cuda_checks
from tests.jetson.engine_checks import engines

GOOD, BAD, SKIPPED = 0, 1, 77
RTX_CAPABILITIES = ("7.5", "8.6", "8.9", "12.0", "12.1")
"""Of the GPUs that TensorRT-RTX 1.7 supports."""
NODES = ("nvidia[0-9]*", "nvhost-gpu", "nvgpu*", "dxg")
"""In /dev where there is an NVIDIA GPU with a driver: a PC's, a Jetson's, under WSL."""
FACTS = (
    ["nvidia-smi", "--query-gpu=driver_version,memory.total", "--format=csv,noheader"],
    ["nvpmodel", "-q"],
    ["jetson_clocks", "--show"],
)
RELEASE = Path("/etc/nv_tegra_release")
ENGINES = "Engines, their graphs and memory"
NOT_RUN = "engines were not run"


def main(arguments: Sequence[str] | None = None, devices: Path = Path("/dev")) -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.jetson", description=__doc__)
    parser.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    parser.add_argument("--fp32", action="store_true", help="float networks in FP32")
    parser.add_argument("--photos", type=Path, help="labelled, a folder for each class, or a tar")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="use every N-th photo")
    parser.add_argument("--soak-seconds", type=float, default=3600)
    parser.add_argument("--trtexec", default="/usr/src/tensorrt/bin/trtexec")
    parser.add_argument("--report", type=Path, default=Path("jetson-report.md"))
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    data = os.environ.get("EDGED_DATA")
    if options.photos is None and data and options.model == "imagenette":
        options.photos = Path(data) / "photos/imagenette-val.tar"
    try:
        cudart = import_cuda()
        try:
            gpu = Cuda(cudart).gpu
        except GpuError as error:
            if any(node for pattern in NODES for node in devices.glob(pattern)):
                raise
            print(f"skipped, nothing was checked: {error}")  # noqa: T201
            return SKIPPED
        lines = [f"# edged {edged.__version__} on {gpu.name}", ""]
        facts = {**device_facts(), "gpu": gpu.name, "compute_capability": gpu.capability}
        lines += [f"- {name}: {value}" for name, value in facts.items()]
        lines += [f"- {line}" for line in _system()]
        parts = {"CUDA without an engine": cuda_checks(cudart)}
        trt, why = _tensorrt(gpu)
        if trt is None:
            lines.append(f"- {NOT_RUN}: {why}")
        else:
            parts |= _with_engines(options, cudart, trt, lines)
    except EdgedError as error:
        print(f"edged: {error}", file=sys.stderr)  # noqa: T201
        return BAD
    good = all(row.good for rows in parts.values() for row in rows)
    for head, rows in parts.items():
        lines += ["", f"## {head}", "", *_table(rows)]
    verdict = "Everything is as it should be" if good else "**Not everything is as it should be**"
    lines += ["", f"{verdict}; {NOT_RUN}." if trt is None else f"{verdict}."]
    options.report.write_text("\n".join(lines) + "\n")
    print(f"{options.report}: {lines[-1]}")  # noqa: T201
    return GOOD if good else BAD


def _tensorrt(gpu: Gpu) -> tuple[Any, str]:
    """The module, or None and why it cannot be used on this GPU. Raises EdgedError where it should
    be usable."""
    supported = gpu.capability in RTX_CAPABILITIES
    only = f"TensorRT-RTX supports compute capability {', '.join(RTX_CAPABILITIES)}"
    try:
        trt = checked_tensorrt(import_tensorrt)
    except EdgedError as error:
        if supported or RELEASE.exists():
            raise
        return None, f"{error.what}; {only}, and {gpu.name} has {gpu.capability}"
    if is_rtx(trt) and not supported:
        return None, f"{only}, and {gpu.name} has {gpu.capability}"
    return trt, ""


def _with_engines(
    options: argparse.Namespace, cudart: Any, trt: Any, lines: list[str]
) -> dict[str, list[Row]]:
    family = load_family(options.model, Path.cwd())
    gpu = TensorRtBackend(EnginePrecision.FP32 if options.fp32 else EnginePrecision.FP16)
    known = ("gpu", "compute_capability")
    facts = {**gpu.describe(), "module": trt.__name__, "family": family.name}
    lines += [f"- {name}: {value}" for name, value in facts.items() if name not in known]
    parts = {ENGINES: engines(family, gpu, trt, cudart)}
    if any("plan MB" not in row.values for row in parts[ENGINES]):
        lines.append("- not every network has an engine: nothing further was checked")
        return parts
    shown = drawn_pictures()
    if options.photos is not None:
        shown = labelled(options.photos, family, options.every)
    parts["Accuracy against the CPU"] = accuracy(family, gpu, shown)
    if shutil.which(options.trtexec) and not is_rtx(trt):
        parts["Latency against trtexec"] = latency(family, gpu, [options.trtexec])
    else:
        lines.append("- no trtexec of this TensorRT: latency was not compared")
    shares = Cuda(cudart).gpu.shares_memory
    free = (lambda: 0) if shares else (lambda: free_bytes(cudart))
    parts["Soak"] = soak(family, gpu, options.soak_seconds, free)
    return parts


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
