"""The backend: the way of a picture, the cache, and what is missing where it cannot run.

Real: the files, the child processes, the pictures and scores. Not real: the GPU, TensorRT's runtime
and (but for tests/backends/test_tensorrt_build.py) its builder; see tests/rig/gpu_stand_in.py.
"""

from __future__ import annotations

import gc
import importlib
import logging
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.backends.loaded import LoadedNetworks
from edged.backends.tensorrt.bindings import checked_tensorrt, import_tensorrt
from edged.backends.tensorrt.build_worker import logger_class
from edged.backends.tensorrt.cuda import Cuda, GpuError
from edged.backends.tensorrt.engine import Engine, PlanError
from edged.backends.tensorrt.onnx_forms import EnginePrecision, fp32_form
from edged.errors import EdgedError
from edged.variants.family import Family
from tests.rig.families import ALPHAS, RESOLUTIONS, model
from tests.rig.gpu_stand_in import Device, Error, fake_tensorrt, with_network
from tests.rig.tensorrt_backend import PICTURE, Bench, load, on_cpu

# the way of a picture


@pytest.mark.parametrize("shares_memory", [True, False])
def test_scores_come_from_the_engine_at_every_resolution(
    tmp_path: Path, family: Family, shares_memory: bool
) -> None:
    bench = Bench(tmp_path, Device(shares_memory=shares_memory))
    runner = load(bench, family)
    for side in RESOLUTIONS:
        for value in (0, 77, 255):
            image = np.full((1, side, side, 3), value, np.uint8)
            image[:, : side // 2] = 128
            np.testing.assert_allclose(runner.run(image), on_cpu(family, image), atol=1e-5)
    assert bench.device.calls["cudaGraphLaunch"] >= 5  # the first run of each is the recorded one
    assert ("cudaMemcpyAsync" in bench.device.calls) is not shares_memory
    assert bench.backend.engines.failures == 0


def test_nothing_is_allocated_after_the_first_runs(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    runner = load(bench, family)
    runner.run(PICTURE)
    allocating = (
        "cudaHostAlloc",
        "cudaMalloc",
        "cudaStreamCreateWithFlags",
        "cudaGraphInstantiate",
    )
    before = {name: bench.device.calls.get(name, 0) for name in allocating}
    for _ in range(20):
        runner.run(PICTURE)
    assert {name: bench.device.calls.get(name, 0) for name in allocating} == before


@pytest.mark.parametrize(
    "function", ["cudaStreamBeginCapture", "cudaStreamEndCapture", "cudaGraphInstantiate"]
)
def test_what_cannot_be_recorded_runs_without_a_graph(
    tmp_path: Path, family: Family, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    device = Device()
    device.failing[function] = Error.cudaErrorStreamCaptureUnsupported
    bench = Bench(tmp_path, device)
    runner = load(bench, family)
    for _ in range(3):
        np.testing.assert_allclose(runner.run(PICTURE), on_cpu(family), atol=1e-5)
    assert "cudaGraphLaunch" not in device.calls
    assert bench.backend.engines.failures == 0
    assert f"without a CUDA graph: the GPU refused {function}" in caplog.text


def test_several_threads_get_their_own_answers(tmp_path: Path, family: Family) -> None:
    runner = load(Bench(tmp_path), family)
    images = [np.full((1, side, side, 3), 40 * n, np.uint8) for n in range(3) for side in (64, 96)]
    expected = [on_cpu(family, image) for image in images]
    wrong: list[int] = []

    def ask(number: int) -> None:
        answers = [runner.run(images[number]) for _ in range(10)]
        wrong.extend(number for each in answers if not np.allclose(each, expected[number], 0, 1e-5))

    threads = [threading.Thread(target=ask, args=(number,)) for number in range(len(images))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []


def test_what_is_no_longer_used_gives_the_gpu_its_memory_back(
    tmp_path: Path, family: Family
) -> None:
    bench = Bench(tmp_path, Device(shares_memory=False))
    runner = load(bench, family)
    runner.run(PICTURE)
    assert bench.device.owned
    del runner
    gc.collect()
    assert not bench.device.owned


def test_all_thread_counts_of_a_network_share_an_engine(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    runners = [load(bench, family, threads) for threads in (1, 2)]
    assert bench.starts == 1
    for runner in runners:
        np.testing.assert_allclose(runner.run(PICTURE), on_cpu(family), atol=1e-5)


def test_a_whole_family_loads(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    loaded = LoadedNetworks([family], [bench.backend])
    for variant in family.variants():
        scores, _, _ = loaded.infer(family.choice(variant, 1, "tensorrt"), PICTURE[0])
        assert scores.shape == (len(family.labels),)
    assert sorted(bench.backend.engines.build_seconds) == [f"mobilenet_v1_{a}.onnx" for a in ALPHAS]


# cache


def test_a_second_start_builds_nothing(tmp_path: Path, family: Family) -> None:
    load(Bench(tmp_path), family)
    bench = Bench(tmp_path)
    np.testing.assert_allclose(load(bench, family).run(PICTURE), on_cpu(family), atol=1e-5)
    assert bench.starts == 0


def test_another_device_version_or_precision_has_engines_of_its_own(
    tmp_path: Path, family: Family
) -> None:
    load(Bench(tmp_path), family)
    for bench in (
        Bench(tmp_path, Device(name="Another")),
        Bench(tmp_path, precision=EnginePrecision.FP32),
    ):
        load(bench, family)
        assert bench.starts == 1
    bench = Bench(tmp_path)  # the old one is still there
    load(bench, family)
    assert bench.starts == 0


def spoiled_plans(plan: bytes) -> dict[str, bytes]:
    header, _, content = plan.partition(b"\n")
    return {
        "truncated": plan[:-100],
        "empty": b"",
        "other bytes": header + b"\n" + content[:-1] + bytes([content[-1] ^ 1]),
        "no header": content,
        "a header without end": b"x" * 100_000,
        "another key": plan.replace(b'"gpu": "Stand-in"', b'"gpu": "Strange!"'),
    }


@pytest.mark.parametrize("how", list(spoiled_plans(b"a\nb")))
def test_a_spoiled_file_is_built_anew(
    tmp_path: Path, family: Family, how: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(Bench(tmp_path), family)
    (path,) = (tmp_path / "engines").glob("*.engine")
    whole = path.read_bytes()
    path.write_bytes(spoiled_plans(whole)[how])
    bench = Bench(tmp_path)
    np.testing.assert_allclose(load(bench, family).run(PICTURE), on_cpu(family), atol=1e-5)
    assert bench.starts == 1
    assert "damaged, or for another device or version; building it again" in caplog.text
    assert path.read_bytes() == whole


def test_a_plan_that_tensorrt_does_not_take_is_built_anew(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    first = Bench(tmp_path)
    key = first.backend._key(family, family.networks[0])
    first.cache.store(key, b"of another version, though it says otherwise", b"")
    bench = Bench(tmp_path)
    np.testing.assert_allclose(load(bench, family).run(PICTURE), on_cpu(family), atol=1e-5)
    assert bench.starts == 1
    assert "building the stored engine again: TensorRT rejects the engine" in caplog.text


def test_a_stored_engine_that_answers_wrongly_is_built_anew(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    first = Bench(tmp_path)
    key = first.backend._key(family, family.networks[0])
    other = with_network(b"", list(RESOLUTIONS), fp32_form(model(ALPHAS[0], seed=5)))
    first.cache.store(key, other, b"")
    bench = Bench(tmp_path)
    np.testing.assert_allclose(load(bench, family).run(PICTURE), on_cpu(family), atol=1e-5)
    assert bench.starts == 1
    assert "gives wrong scores for the golden picture" in caplog.text


# what is missing


def importing(error: BaseException) -> Callable[[], Any]:
    def load() -> Any:
        raise error

    return load


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (
            ModuleNotFoundError("No module named 'tensorrt'", name="tensorrt"),
            r"for this Python; sudo apt install nvidia-jetpack.*: pip install tensorrt-rtx",
        ),
        (
            ImportError("libnvinfer.so.10: cannot open shared object file: No such file"),
            r"a TensorRT library is missing \(got libnvinfer.so.10.*sudo apt install nvidia-jet",
        ),
        (
            ImportError("numpy.core.multiarray failed to import"),
            r"need NumPy 1, but NumPy 2 is installed .*; pip install 'numpy<2'",
        ),
        (AttributeError("_ARRAY_API not found"), r"need NumPy 1, but NumPy 2 is installed"),
        (RuntimeError("odd"), r"TensorRT cannot be imported \(got odd\)"),
    ],
)
def test_an_import_that_fails_says_what_helps(error: BaseException, message: str) -> None:
    with pytest.raises(EdgedError, match=message):
        checked_tensorrt(importing(error))


GOOD = ("8.6.1", "10.3.0", "11.4")
BAD = ("8.5.2.2", "7.1", "")


@pytest.mark.parametrize(
    ("version", "good"), [*((each, True) for each in GOOD), *((each, False) for each in BAD)]
)
def test_versions_before_8_6_are_refused(version: str, good: bool) -> None:
    trt = fake_tensorrt(version=version)
    if good:
        assert checked_tensorrt(lambda: trt) is trt
    else:
        with pytest.raises(EdgedError, match=r"too old: edged needs 8.6 or later.*flash JetPack 6"):
            checked_tensorrt(lambda: trt)


def test_tensorrt_rtx_has_versions_of_its_own() -> None:
    trt = fake_tensorrt(version="1.7.1.116")
    trt.ComputeCapability = object()
    assert checked_tensorrt(lambda: trt) is trt


def test_tensorrt_comes_before_tensorrt_rtx(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("tensorrt", "tensorrt_rtx"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    absent = "raise ModuleNotFoundError(\"No module named 'tensorrt'\", name='tensorrt')\n"
    (tmp_path / "tensorrt.py").write_text(absent)
    (tmp_path / "tensorrt_rtx.py").write_text(absent)
    with pytest.raises(ModuleNotFoundError, match="'tensorrt'"):
        import_tensorrt()
    (tmp_path / "tensorrt_rtx.py").write_text("")
    importlib.invalidate_caches()
    assert import_tensorrt().__name__ == "tensorrt_rtx"
    (tmp_path / "tensorrt.py").write_text("")
    importlib.invalidate_caches()
    assert import_tensorrt().__name__ == "tensorrt"


def test_without_a_device_the_backend_says_so(tmp_path: Path) -> None:
    device = Device()
    device.failing["cudaGetDeviceCount"] = Error.cudaErrorInsufficientDriver
    with pytest.raises(GpuError, match=r"no usable GPU .got cudaErrorInsufficientDriver"):
        Bench(tmp_path, device)
    with pytest.raises(GpuError, match="no GPU"):
        Bench(tmp_path, Device(count=0))


def test_describe_has_what_decides_the_speed(tmp_path: Path) -> None:
    assert Bench(tmp_path, Device(name="Orin")).backend.describe() == {
        "backend": "tensorrt",
        "version": "10.3.0",
        "gpu": "Orin",
        "compute_capability": "8.7",
        "precision": "fp16",
    }


@pytest.mark.parametrize(
    ("sides", "found"), [((64,), "for 1 resolutions"), ((64, 128), "for 128 x 128")]
)
def test_a_plan_with_other_profiles_is_refused(sides: tuple[int, ...], found: str) -> None:
    device = Device()
    trt = fake_tensorrt(device)
    plan = with_network(b"", [64, 96], fp32_form(model(ALPHAS[0])))
    with pytest.raises(PlanError, match=found):
        Engine(trt, Cuda(device.cudart()), logger_class(trt)(), plan, sides)


@pytest.mark.parametrize("function", ["cudaHostAlloc", "cudaMalloc", "cudaStreamSynchronize"])
def test_an_engine_that_is_not_made_leaves_nothing_behind(function: str) -> None:
    device = Device(shares_memory=False)
    trt, plan = fake_tensorrt(device), with_network(b"", [64], fp32_form(model(ALPHAS[0])))
    device.failing[function] = Error.cudaErrorMemoryAllocation
    try:
        Engine(trt, Cuda(device.cudart()), logger_class(trt)(), plan, (64,))
    except GpuError as error:
        assert function in str(error)
    else:
        pytest.fail("it is made")
    assert device.calls["cudaStreamCreateWithFlags"] == 1
    gc.collect()
    assert not device.owned
