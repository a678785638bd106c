"""TensorRT without a GPU: the real bindings over stub libraries, and the real builder of
TensorRT-RTX in front of a stand-in for the device.

Where the real thing ends: with `real_builder`, parser, builder, profiles, timing cache and plan are
NVIDIA's own (TensorRT-RTX, the same API). From `Runtime.deserialize_cuda_engine` on, which needs a
device, everything is the stand-in's (tests/rig/gpu_stand_in.py): it takes the ONNX file that
`Builder` puts behind the plan, and computes it with ONNX Runtime. With its `fake_tensorrt` the
builder is a stand-in as well, so that the tests of cache, take-over and failures need no downloads.
"""

from __future__ import annotations

import importlib
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from edged.backends.tensorrt.build_worker import child
from tests.rig.gpu_stand_in import Device, Runtime, fake_tensorrt, with_network
from tests.rig.paths import PROJECT
from tests.rig.wheels import unpacked

RTX = ("tensorrt-rtx-cu12-bindings==1.7.1.116", "tensorrt-rtx-cu12-libs==1.7.1.116")
BINDINGS = {
    "8.6.1": "tensorrt-bindings==8.6.1",
    "10.3.0": "tensorrt-cu12-bindings==10.3.0",
    "10.13.3.9": "tensorrt-cu12-bindings==10.13.3.9",
    "11.4.0.106": "tensorrt-cu12-bindings==11.4.0.106",
}
CUDA = {
    "12.2 (cuda.cudart)": ("cuda-python==12.2.1",),
    "12.9 (both layouts)": ("cuda-bindings==12.9.4", "cuda-pathfinder==1.9.0"),
    "13.0": ("cuda-bindings==13.0.3", "cuda-pathfinder==1.9.0"),
}


def stubbed(version: str) -> Path:
    """The bindings of that version, importable as `tensorrt_bindings` with LD_LIBRARY_PATH set to
    `stub` in the folder: every symbol that they take from NVIDIA's libraries is there, empty."""
    for tool in ("gcc", "nm", "readelf"):
        if shutil.which(tool) is None:
            pytest.skip(f"stub libraries are made with {tool}: apt-get install gcc binutils")
    folder = unpacked(BINDINGS[version])
    stub = folder / "stub"
    if stub.is_dir():
        return folder
    module = next(folder.glob("*/tensorrt.so"))
    wanted = re.findall(r"NEEDED.*\[(libnv\S+)\]", _said("readelf", "-d", str(module)))
    symbols = {
        symbol
        for line in _said("nm", "-D", "--undefined-only", str(module)).splitlines()
        if (symbol := line.split()[-1])
        and "@" not in symbol
        and not symbol.startswith(("Py", "_Py"))
    } - _standard_symbols()
    partial = folder / f"stub.{os.getpid()}"
    partial.mkdir()
    source = partial / "stub.c"
    source.write_text(
        "".join(
            f"long {symbol}[64];\n"
            if symbol.startswith(("_ZTI", "_ZTV"))
            else f"long {symbol}() {{ return 0; }}\n"
            for symbol in sorted(symbols)
        )
    )
    for number, library in enumerate(wanted):
        content = [str(source)] if number == 0 else ["-x", "c", os.devnull]
        _said("gcc", "-shared", "-fPIC", "-w", f"-Wl,-soname,{library}",
              "-o", str(partial / library), *content)  # fmt: skip
    try:
        partial.rename(stub)
    except OSError:  # another test run was faster
        shutil.rmtree(partial)
    return folder


def _standard_symbols() -> set[str]:
    found: set[str] = set()
    for library in ("libstdc++.so.6", "libm.so.6", "libgcc_s.so.1", "libc.so.6"):
        path = _said("gcc", f"-print-file-name={library}").strip()
        for line in _said("nm", "-D", "--defined-only", path).splitlines():
            found.add(line.split()[-1].split("@")[0])
    return found


def _said(*command: str) -> str:
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def rtx() -> Any:
    """The module of TensorRT-RTX."""
    folder = str(unpacked(*RTX))
    if folder not in sys.path:
        sys.path.append(folder)
    return importlib.import_module("tensorrt_rtx_bindings")


def real_builder(device: Device | None = None) -> Any:
    """TensorRT-RTX, whose plans carry their network for the stand-in."""
    real = rtx()
    sides: list[int] = []
    models: list[bytes] = []

    class Parser(real.OnnxParser):  # type: ignore[misc]
        def parse(self, model: bytes) -> bool:
            models[:] = [model]
            return bool(super().parse(model))

    class Builder(real.Builder):  # type: ignore[misc]
        def create_optimization_profile(self) -> Any:
            profile = super().create_optimization_profile()
            profiles.append(profile)
            return profile

        def build_serialized_network(self, network: Any, config: Any) -> bytes | None:
            plan = super().build_serialized_network(network, config)
            sides[:] = [tuple(profile.get_shape("image")[0])[1] for profile in profiles]
            return None if plan is None else with_network(bytes(plan), sides, models[0])

    profiles: list[Any] = []
    trt: Any = SimpleNamespace(**{name: getattr(real, name) for name in dir(real)})
    trt.OnnxParser, trt.Builder = Parser, Builder
    trt.Runtime = lambda logger: Runtime(trt, device or Device())
    return trt


def starter(kind: str) -> Callable[[], subprocess.Popen[bytes]]:
    """Starts a builder of that kind in place of the real one; see `_KINDS`."""

    def start() -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-m", "tests.rig.tensorrt", kind],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            cwd=PROJECT,
        )

    return start


def _killed() -> Any:
    os.kill(os.getpid(), 9)


def _hungry() -> Any:
    while True:
        time.sleep(60)


def _waiting() -> Any:
    """Begins to build, and goes on for ever."""
    trt = fake_tensorrt()
    made = trt.Builder

    def builder(logger: Any) -> Any:
        builder = made(logger)

        def build(network: Any, config: Any) -> bytes:
            config.progress_monitor.phase_start("build", None, 10)
            config.progress_monitor.step_complete("build", 0)
            while True:
                time.sleep(60)

        builder.build_serialized_network = build
        return builder

    trt.Builder = builder
    return trt


def _broken() -> Any:
    raise OSError("libnvinfer.so.10: cannot open shared object file")


_KINDS: dict[str, Callable[[], Any]] = {
    "fake": fake_tensorrt,
    "real": real_builder,
    "killed": _killed,
    "hungry": _hungry,
    "waiting": _waiting,
    "broken": _broken,
}

if __name__ == "__main__":
    child(_KINDS[sys.argv[1]])
