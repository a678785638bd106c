"""`make test-gpu` without a GPU: its checks over the stand-in, and the command as a process where
there is no driver, a GPU that TensorRT-RTX does not support, and one that it supports."""

from __future__ import annotations

import ctypes
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edged.backends.tensorrt.cuda import Cuda
from edged.variants.family import Family
from tests.jetson.__main__ import BAD, GOOD, RTX_CAPABILITIES, SKIPPED, main
from tests.jetson.checks import MEMORY_MB, Row
from tests.jetson.cuda_checks import cuda_checks
from tests.jetson.engine_checks import engines
from tests.rig.families import make_family
from tests.rig.gpu_stand_in import Device, Error, fake_tensorrt
from tests.rig.paths import PROJECT
from tests.rig.tensorrt import CUDA, RTX, unpacked
from tests.rig.tensorrt_backend import Bench

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

CHECKS = 6
RUNTIME = """
from tests.rig.gpu_stand_in import DEVICE_OF_THE_PROCESS as device
device.name, device.count, device.capability, device.shares_memory = {name!r}, {count}, {capability}, False
globals().update(vars(device.cudart()))
"""  # noqa: E501
TENSORRT_RTX = """
import os
os.environ["EDGED_CACHE"] = {cache!r}  # which edged does not pass on to its builder
from tests.rig.gpu_stand_in import DEVICE_OF_THE_PROCESS
from tests.rig.tensorrt import real_builder
globals().update(vars(real_builder(DEVICE_OF_THE_PROCESS)))
__name__ = "tensorrt_rtx"
"""


def rows(device: Device) -> dict[str, Row]:
    return {row.name: row for row in cuda_checks(device.cudart())}


@pytest.mark.parametrize("shares_memory", [True, False])
def test_cuda_is_proved_without_an_engine(shares_memory: bool) -> None:
    device = Device(shares_memory=shares_memory)
    found = rows(device)
    assert len(found) == CHECKS
    assert all(row.good for row in found.values()), found
    assert not device.owned


@pytest.mark.parametrize(
    ("function", "names"),
    [
        ("cudaHostGetDevicePointer", {"mapped memory", "memory given back"}),
        ("cudaGraphLaunch", {"a recorded graph", "allocating while another thread records"}),
        (
            "cudaGraphInstantiate",
            {"a recorded graph", "allocating while another thread records"},
        ),
    ],
)
def test_what_the_gpu_refuses_is_not_good(function: str, names: set[str]) -> None:
    device = Device()
    device.failing[function] = Error.cudaErrorDeviceUnavailable
    bad = {name: row for name, row in rows(device).items() if not row.good}
    assert set(bad) == names
    assert all(
        f"the GPU refused {function} (got cudaErrorDeviceUnavailable)" in str(row.values["figure"])
        for row in bad.values()
    )


def test_wrong_bytes_are_not_good() -> None:
    class Forgetful(Device):
        """Each copy lacks its last byte."""

        def _do_cudaMemcpyAsync(  # noqa: N802
            self, to: int, source: int, size: int, kind: Any, stream: int
        ) -> None:
            self.submit(stream, lambda: ctypes.memmove(to, source, size - 1))

    found = rows(Forgetful())
    assert not found["copies on several streams"].good
    assert not found["mapped memory"].good
    assert not found["a recorded graph"].good
    assert "1 of 150528 bytes are wrong" in str(found["a recorded graph"].values["figure"])


def test_memory_that_is_not_given_back_is_not_good(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Cuda, "free", lambda self, buffer: None)
    for shares_memory in (True, False):  # what is shared belongs to other programs too
        row = rows(Device(shares_memory=shares_memory))["memory given back"]
        assert row.good is shares_memory, row
        missing = re.search(r"[\d.]+(?= MB (?:less|are missing))", str(row.values["figure"]))
        assert missing is not None, row
        assert float(missing[0]) > MEMORY_MB


def test_a_stream_that_may_be_waited_for_while_it_records_is_not_good() -> None:
    class Lax(Device):
        def _do_cudaStreamBeginCapture(self, stream: int, mode: Any) -> None:  # noqa: N802
            """Nothing is recorded."""

    row = rows(Lax())["a recording that fails"]
    assert not row.good
    assert "a stream that records could be waited for" in str(row.values["figure"])


def test_each_network_has_its_row(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path, Device(shares_memory=False))
    trt = fake_tensorrt(bench.device)
    found = engines(family, bench.backend, trt, bench.device.cudart())
    assert [row.name for row in found] == [network.path.name for network in family.networks]
    for row, network in zip(found, family.networks, strict=True):
        many = len(network.resolutions)
        assert row.good, row
        assert row.values["graphs"] == f"{many} of {many}"
        assert row.values["built"] != "earlier"
    (again, *_) = engines(family, bench.backend, trt, bench.device.cudart())
    assert again.values["built"] != "earlier"  # by this process
    other = Bench(tmp_path, bench.device, cache=bench.cache)
    (later, *_) = engines(family, other.backend, trt, bench.device.cudart())
    assert later.values["built"] == "earlier"


@pytest.mark.parametrize("function", ["cudaStreamEndCapture", "cudaGraphInstantiate"])
def test_a_network_without_graphs_is_not_good(
    tmp_path: Path, family: Family, function: str
) -> None:
    bench = Bench(tmp_path)
    bench.device.failing[function] = Error.cudaErrorStreamCaptureUnsupported
    trt = fake_tensorrt(bench.device)
    (row, *_) = engines(family, bench.backend, trt, bench.device.cudart())
    assert not row.good
    assert str(row.values["graphs"]).startswith("0 of ")


def test_a_network_without_an_engine_is_not_good(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    bench.device.failing["cudaHostAlloc"] = Error.cudaErrorMemoryAllocation
    trt = fake_tensorrt(bench.device)
    (row, *_) = engines(family, bench.backend, trt, bench.device.cudart())
    assert not row.good
    assert "failed: the GPU refused cudaHostAlloc" in str(row.values["graphs"])


def command(folder: Path, *path: Path, options: tuple[str, ...] = ()) -> tuple[int, str, str]:
    """(status, everything it said, the report) of `python -m tests.jetson` with these folders
    before the installed packages."""
    report = folder / "report.md"
    environment = {name: text for name, text in os.environ.items() if name != "EDGED_DATA"}
    environment["PYTHONPATH"] = os.pathsep.join(map(str, [*path, PROJECT]))
    environment["CACHE_DIRECTORY"] = str(folder / "cache")
    done = subprocess.run(
        [sys.executable, "-m", "tests.jetson", "--soak-seconds", "0", "--report", report, *options],
        env=environment,
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    said = done.stderr + done.stdout
    assert "Traceback" not in said, said
    return done.returncode, said, report.read_text() if report.exists() else ""


def stand_in(folder: Path, name: str, capability: tuple[int, int], count: int = 1) -> Path:
    """`cuda.bindings.runtime` of such a GPU."""
    bindings = folder / "modules/cuda/bindings"
    bindings.mkdir(parents=True)
    for package in (bindings.parent, bindings):
        (package / "__init__.py").write_text("")
    text = RUNTIME.format(name=name, count=count, capability=capability)
    (bindings / "runtime.py").write_text(text)
    return folder / "modules"


@pytest.mark.tensorrt
@pytest.mark.skipif(any(Path("/dev").glob("nvidia[0-9]*")), reason="there is an NVIDIA GPU")
@pytest.mark.parametrize("version", CUDA)
def test_without_a_driver_it_is_skipped(tmp_path: Path, version: str) -> None:
    """With NVIDIA's own bindings."""
    status, said, report = command(tmp_path, unpacked(*CUDA[version]))
    assert (status, report) == (SKIPPED, "")
    assert said.startswith("skipped, nothing was checked: no usable GPU (got ")


def test_a_gpu_that_cannot_be_used_is_not_skipped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Its driver is too old, perhaps."""
    device = Device()
    device.failing["cudaGetDeviceCount"] = Error.cudaErrorInsufficientDriver
    monkeypatch.setattr("tests.jetson.__main__.import_cuda", device.cudart)
    assert main([], devices=tmp_path) == SKIPPED
    assert "no usable GPU (got cudaErrorInsufficientDriver)" in capsys.readouterr().out
    (tmp_path / "nvidia0").touch()
    assert main([], devices=tmp_path) == BAD
    assert "no usable GPU (got cudaErrorInsufficientDriver)" in capsys.readouterr().err


def test_without_the_cuda_bindings_it_says_what_to_install(tmp_path: Path) -> None:
    (tmp_path / "cuda.py").write_text("raise ImportError('no cuda here')\n")
    status, said, report = command(tmp_path, tmp_path)
    assert (status, report) == (BAD, "")
    assert "the CUDA bindings for Python are not installed" in said


def test_on_another_gpu_engines_are_not_run(tmp_path: Path) -> None:
    modules = stand_in(tmp_path, "NVIDIA H200", (9, 0))
    (modules / "tensorrt_rtx.py").write_text("ComputeCapability, __version__ = None, '1.7.1.116'\n")
    status, said, report = command(tmp_path, modules)
    why = (
        f"engines were not run: TensorRT-RTX supports compute capability "
        f"{', '.join(RTX_CAPABILITIES)}, and NVIDIA H200 has 9.0"
    )
    assert status == GOOD, said
    assert why in report
    assert report.count("| yes |") == CHECKS
    assert "| **no** |" not in report
    assert said.splitlines()[-1].endswith("Everything is as it should be; engines were not run.")


def test_a_supported_gpu_without_tensorrt_is_an_error(tmp_path: Path) -> None:
    modules = stand_in(tmp_path, "NVIDIA RTX 4090", (8, 9))
    (modules / "tensorrt.py").write_text(
        "raise ModuleNotFoundError(\"No module named 'tensorrt'\", name='tensorrt')\n"
    )
    status, said, _ = command(tmp_path, modules)
    assert status == BAD
    assert "TensorRT is not installed for this Python" in said
    assert "pip install tensorrt-rtx" in said


@pytest.mark.tensorrt
def test_on_a_supported_gpu_engines_are_run(tmp_path: Path) -> None:
    """Parser, builder and plan are TensorRT-RTX's own; the plan runs on the stand-in."""
    cache = unpacked(*RTX).parent
    make_family(tmp_path / "family")
    modules = stand_in(tmp_path, "NVIDIA RTX 4090", (8, 9))
    (modules / "tensorrt_rtx.py").write_text(TENSORRT_RTX.format(cache=str(cache)))
    model = ("--model", str(tmp_path / "family"))
    status, said, report = command(tmp_path, modules, options=model)
    assert status == GOOD, said + report
    for part in ("CUDA without", "Engines, their graphs", "Accuracy against the CPU", "Soak"):
        assert f"## {part}" in report
    assert "- version: 1.7.1.116" in report
    assert "- compute_capability: 8.9" in report
    assert "NVIDIA RTX 4090" in report
    assert said.splitlines()[-1].endswith("Everything is as it should be.")
