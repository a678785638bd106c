"""The checks that run on a Jetson, over the stand-in: that they pass, and that they can fail."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pytest

from edged.variants.family import Family
from tests.jetson.__main__ import _table
from tests.jetson.checks import accuracy, drawn_pictures, latency, parsed_ms, soak
from tests.rig.gpu_stand_in import Device, Error
from tests.rig.tensorrt_backend import Bench

TRTEXEC = """
import pathlib, sys
if "--help" in sys.argv:
    print("--optProfile=N")
    sys.exit()
path = next(each for each in sys.argv if each.startswith("--loadEngine=")).split("=")[1]
assert pathlib.Path(path).read_bytes().startswith(b"plan")
assert "--useCudaGraph" in sys.argv
print("[I] Throughput: 500 qps")
print("[I] Latency: min = 0.4 ms, max = 1.2 ms, mean = 0.5 ms, median = {median} ms")
print("[I] Enqueue Time: min = 0.1 ms, max = 1 ms, mean = 0.1 ms, median = 0.11 ms")
"""


def test_accuracy_compares_both_on_the_same_pictures(tmp_path: Path, family: Family) -> None:
    pictures = drawn_pictures()[:5]
    rows = accuracy(family, Bench(tmp_path).backend, pictures)
    assert [row.name for row in rows] == [variant.name for variant in family.variants()]
    assert all(row.good for row in rows)
    assert rows[0].values["same class %"] == 100
    labelled = [(picture, 0) for picture, _ in pictures]
    for row in accuracy(family, Bench(tmp_path).backend, labelled):
        assert row.values["top-1 GPU"] == row.values["top-1 CPU"]


def test_accuracy_that_differs_is_not_good(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    load = bench.backend.load

    class Other:
        name, version, fp16, engines = "other", "1", False, bench.backend.engines

        def load(self, network: Any, model: bytes, threads: int) -> Any:
            runner = load(network, model, threads)

            class Turned:
                calls = 0

                def run(self, image: Any) -> Any:
                    self.calls += 1
                    scores = runner.run(image)
                    return scores if self.calls <= 2 else scores[::-1].copy()  # past the golden one

            return Turned()

    rows = accuracy(family, Other(), drawn_pictures()[:5])  # type: ignore[arg-type]
    assert not all(row.good for row in rows)


@pytest.mark.parametrize(("median", "good"), [(100_000.0, True), (0.000_1, False)])
def test_latency_is_a_ratio_to_trtexec(
    tmp_path: Path, family: Family, median: float, good: bool
) -> None:
    program = tmp_path / "trtexec.py"
    program.write_text(TRTEXEC.replace("{median}", f"{median:.4f}"))
    rows = latency(family, Bench(tmp_path).backend, [sys.executable, str(program)], runs=3)
    assert [row.name for row in rows] == [variant.name for variant in family.variants()]
    assert {row.good for row in rows} == {good}


def test_latency_without_figures_says_what_trtexec_said() -> None:
    with pytest.raises(SystemExit, match="trtexec tells no latency:\nno device"):
        parsed_ms("no device")


def test_a_soak_counts_failures_of_the_gpu(tmp_path: Path, family: Family) -> None:
    for failing in (False, True):
        bench = Bench(tmp_path)
        device: Device = bench.device
        for network in family.networks:
            bench.backend.load(network, network.read(), 1)
        if failing:
            device.failing["cudaGraphLaunch"] = Error.cudaErrorDeviceUnavailable
        (row,) = soak(family, bench.backend, 0.0)
        assert row.good is not failing
        assert row.values["runs"] == len(family.variants())
        assert "| **no** |" in list(_table([row]))[2] or not failing
