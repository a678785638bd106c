"""The backend: choice, cache, take-over, fall-back, the builder child and the ways it dies.

Real: the files, the child processes, the pictures and scores. Not real: the GPU, TensorRT's runtime
and (but for tests/backends/test_tensorrt_build.py) its builder; see tests/rig/gpu_stand_in.py.
"""

from __future__ import annotations

import gc
import json
import logging
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.backends.loaded import LoadedFamily
from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.bindings import checked_tensorrt
from edged.backends.tensorrt.build_process import (
    LEAST_AVAILABLE_BYTES,
    LEAST_WORKSPACE_BYTES,
    MOST_WORKSPACE_BYTES,
    OutOfMemory,
    available_bytes,
    build_in_child,
    start_builder,
    workspace_bytes,
)
from edged.backends.tensorrt.build_worker import Order, logger_class
from edged.backends.tensorrt.cache import EngineCache
from edged.backends.tensorrt.cuda import Cuda, GpuError
from edged.backends.tensorrt.engine import Engine, PlanError
from edged.backends.tensorrt.fallback import LONGEST_RETRY_SECONDS, RETRY_SECONDS
from edged.backends.tensorrt.onnx_forms import EnginePrecision, fp32_form
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.control.profile import Candidate
from edged.daemon.model import Model, Networks
from edged.errors import EdgedError, InputError
from edged.variants.family import Family
from tests.pipeline.test_pipeline import Feed, Measured, Recorder, make, running
from tests.rig.families import ALPHAS, RESOLUTIONS, make_family, model
from tests.rig.gpu_stand_in import Device, Error, fake_tensorrt, with_network
from tests.rig.paths import PROJECT
from tests.rig.tensorrt import starter

PICTURE = np.full((1, 64, 64, 3), 90, np.uint8)
PATIENCE_SECONDS = 60.0


class Bench:
    """A backend over the stand-in, with everything that a test may want to turn."""

    def __init__(self, folder: Path, device: Device | None = None, **choices: Any) -> None:
        self.device = device or Device()
        self.now_ns = 0
        self.starts = 0
        self.start = choices.pop("start", starter("fake"))
        self.cache = choices.pop("cache", None) or EngineCache(folder / "engines")
        self.backend = TensorRtBackend(
            import_tensorrt=lambda: fake_tensorrt(self.device),
            import_cudart=self.device.cudart,
            cache=self.cache,
            start=self._start,
            clock=lambda: self.now_ns,
            **choices,
        )

    def _start(self) -> subprocess.Popen[bytes]:
        self.starts += 1
        process: subprocess.Popen[bytes] = self.start()
        return process


def until(condition: Callable[[], bool]) -> None:
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        assert time.monotonic() < end, "it does not happen"
        time.sleep(0.01)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family(tmp_path / "family")


def on_cpu(family: Family, image: Any = PICTURE) -> Any:
    network = family.networks[0]
    return OrtBackend().load(network, network.read(), 1).run(image)


def load(bench: Bench, family: Family, threads: int = 1) -> Any:
    network = family.networks[0]
    return bench.backend.load(network, network.read(), threads)


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
    loaded = LoadedFamily(family, bench.backend)
    for variant in family.variants():
        scores, _, _ = loaded.infer(variant, 1, PICTURE[0])
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
    assert "damaged, or of another device or version; it is made anew" in caplog.text
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
    assert "built anew: TensorRT does not take the engine" in caplog.text


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
    assert "answers the golden picture wrongly" in caplog.text


# taking over


def test_the_cpu_serves_until_the_engine_is_there(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    go_on = threading.Event()

    def start() -> subprocess.Popen[bytes]:
        assert go_on.wait(PATIENCE_SECONDS)
        return starter("fake")()

    bench = Bench(tmp_path, start=start, background=True)
    loaded = LoadedFamily(family, bench.backend)
    engines = bench.backend.engines
    assert (engines.building, engines.takeovers) == (2, 0)
    loaded.infer(family.variants()[0], 1, PICTURE[0])
    assert "execute_async_v3" not in bench.device.calls
    assert not bench.device.owned
    go_on.set()
    until(lambda: engines.building == 0)
    assert engines.takeovers == 2
    synchronised = bench.device.calls["cudaStreamSynchronize"]
    scores, _, _ = loaded.infer(family.variants()[0], 1, PICTURE[0])
    assert bench.device.calls["cudaStreamSynchronize"] == synchronised + 1
    assert scores.sum() == pytest.approx(1.0, abs=1e-4)
    assert caplog.text.count("until then it runs on the CPU") == 2
    assert caplog.text.count("runs on its engine, built in") == 2


def test_the_engine_is_kept_warm_while_no_frame_comes(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    cheapest, dearest = family.variants()[0], family.variants()[-1]
    seen, profiler = Recorder(), Measured()
    profiler.ladder = (
        Candidate(dearest, 1, 0.8, 2.0, 2.0),
        Candidate(cheapest, 1, 0.6, 1.0, 1.0),
    )
    loaded = LoadedFamily(family, bench.backend)
    pipeline = make([Feed("door", 2000)], seen, device=loaded, profiler=profiler, keep_warm=True)
    slowdown, calls = pipeline.controller.slowdown.ratio, bench.device.calls
    waited = calls["cudaStreamSynchronize"]
    with running(pipeline):
        until(lambda: calls["cudaStreamSynchronize"] >= waited + 3)
        bench.device.failing["cudaStreamSynchronize"] = Error.cudaErrorDeviceUnavailable
        until(lambda: bench.backend.engines.failures > 0)  # before it can cost a frame its time
    assert (seen.results, seen.observed, pipeline.results) == ([], 0, 0)
    assert pipeline.controller.slowdown.ratio == slowdown


def test_what_the_cpu_took_is_forgotten_when_engines_take_over(
    tmp_path: Path, family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nothing of it is stored, no session is dropped for it, and all is measured again."""
    state = tmp_path / "state"
    monkeypatch.setenv("STATE_DIRECTORY", str(state))
    go_on = threading.Event()

    def start() -> subprocess.Popen[bytes]:
        assert go_on.wait(PATIENCE_SECONDS)
        return starter("fake")()

    bench = Bench(tmp_path, start=start, background=True)
    model = Model(family, family.variants(), (1,), "tensorrt", bench.backend, "a test")
    networks = Networks(model, None, lambda number, of: None)
    profiler = networks.profiler

    def measure(milliseconds: float) -> None:
        while not profiler.complete:
            profiler.use_gap(1e9, 1e9, lambda variant, threads: (0.0, milliseconds))

    profiler.measure_cheapest(lambda variant, threads: (0.0, 50.0))
    measure(50.0)
    networks.tick(1, dict)
    networks.store_profile(dict, PATIENCE_SECONDS)
    assert not list(state.glob("profile-*"))
    networks.loaded.keep([])
    assert len(networks.loaded.choices) == len(family.variants())

    go_on.set()
    until(lambda: bench.backend.engines.building == 0)
    networks.tick(2, dict)
    profiler.observe((family.variants()[0], 1), (0.0, 1.0))
    assert not profiler.complete
    networks.store_profile(dict, PATIENCE_SECONDS)
    assert not list(state.glob("profile-*"))
    measure(1.0)
    assert {timing.service.p50_ms for timing in profiler.profile.values()} == {1.0}
    networks.store_profile(dict, PATIENCE_SECONDS)
    assert len(list(state.glob("profile-*"))) == 1


class Wrong(Device):
    """Answers, but not as it should."""

    def view(self, address: int, shape: tuple[int, ...], kind: Any) -> Any:
        seen = super().view(address, shape, kind)
        return seen if kind is np.float32 else np.zeros_like(seen)


def test_an_engine_that_answers_wrongly_does_not_take_over(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    bench = Bench(tmp_path, Wrong(), background=True)
    runner = load(bench, family)
    until(lambda: bench.backend.engines.building == 0)
    assert bench.backend.engines.takeovers == 0
    np.testing.assert_array_equal(runner.run(PICTURE), on_cpu(family))
    assert "goes on running on the CPU" in caplog.text
    assert "answers the golden picture wrongly" in caplog.text
    assert not list((tmp_path / "engines").glob("*.engine"))


def test_in_the_foreground_a_failure_is_raised(tmp_path: Path, family: Family) -> None:
    with pytest.raises(InputError, match="answers the golden picture wrongly"):
        load(Bench(tmp_path, Wrong()), family)


def test_a_network_that_nobody_uses_any_more_is_not_built(tmp_path: Path, family: Family) -> None:
    go_on = threading.Event()

    def start() -> subprocess.Popen[bytes]:
        assert go_on.wait(PATIENCE_SECONDS)
        return starter("fake")()

    bench = Bench(tmp_path, start=start, background=True)
    first = load(bench, family)
    second = bench.backend.load(family.networks[1], family.networks[1].read(), 1)
    until(lambda: bench.starts == 1)
    del second
    gc.collect()
    go_on.set()
    until(lambda: bench.backend.engines.building == 0)
    assert bench.starts == 1
    del first


# failures of the GPU


def test_a_run_that_the_gpu_fails_is_made_on_the_cpu_and_the_gpu_tried_again(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    bench = Bench(tmp_path)
    runner = load(bench, family)
    device, engines = bench.device, bench.backend.engines
    device.failing["cudaGraphLaunch"] = Error.cudaErrorDeviceUnavailable
    pause_seconds = RETRY_SECONDS
    for failures in range(1, 12):
        for _ in range(3):
            np.testing.assert_array_equal(runner.run(PICTURE), on_cpu(family))
            assert engines.failures == failures
        bench.now_ns += int(pause_seconds * 1e9) - 1
        runner.run(PICTURE)
        assert engines.failures == failures
        bench.now_ns += 1
        pause_seconds = min(2 * pause_seconds, LONGEST_RETRY_SECONDS)
    assert caplog.text.count("the CPU takes over") == 1
    device.failing.clear()
    launched = device.calls["cudaGraphLaunch"]
    np.testing.assert_allclose(runner.run(PICTURE), on_cpu(family), atol=1e-5)
    assert device.calls["cudaGraphLaunch"] == launched + 1
    assert engines.failures == 11
    assert "the GPU works again" in caplog.text


@pytest.mark.parametrize("function", ["cudaStreamSynchronize", "execute_async_v3"])
def test_every_step_of_a_run_may_fail(tmp_path: Path, family: Family, function: str) -> None:
    device = Device()
    device.failing["cudaStreamBeginCapture"] = Error.cudaErrorStreamCaptureUnsupported
    bench = Bench(tmp_path, device)
    runner = load(bench, family)
    device.failing[function] = Error.cudaErrorDeviceUnavailable
    np.testing.assert_array_equal(runner.run(PICTURE), on_cpu(family))
    assert bench.backend.engines.failures == 1


@pytest.mark.parametrize(
    "function", ["cudaStreamCreateWithFlags", "cudaHostAlloc", "cudaHostGetDevicePointer"]
)
def test_no_memory_for_an_engine_leaves_the_network_on_the_cpu(
    tmp_path: Path, family: Family, function: str, caplog: pytest.LogCaptureFixture
) -> None:
    load(Bench(tmp_path), family)
    gc.collect()
    device = Device()
    device.failing[function] = Error.cudaErrorMemoryAllocation
    bench = Bench(tmp_path, device, background=True)
    runner = load(bench, family)
    np.testing.assert_array_equal(runner.run(PICTURE), on_cpu(family))
    message = f"runs on the CPU: the GPU refused {function} (got cudaErrorMemoryAllocation)"
    assert message in caplog.text
    assert len(list((tmp_path / "engines").glob("*.engine"))) == 1  # it is as good as before


def test_a_plan_that_the_gpu_has_no_memory_for_now_is_kept(tmp_path: Path, family: Family) -> None:
    device = Device()
    device.failing["cudaHostAlloc"] = Error.cudaErrorMemoryAllocation
    with pytest.raises(GpuError, match="refused cudaHostAlloc"):
        load(Bench(tmp_path, device), family)
    bench = Bench(tmp_path)
    load(bench, family)
    assert bench.starts == 0


# disks


def test_where_nothing_can_be_written_one_warning_says_so(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "file"
    file.touch()
    for place in (file / "engines", None):
        caplog.clear()
        bench = Bench(tmp_path, cache=EngineCache(place))
        LoadedFamily(family, bench.backend)
        assert bench.backend.engines.takeovers == 2
        assert caplog.text.count("engines are not kept, each start builds them anew") == 1


# the builder child


def order(workspace_bytes: int = 1 << 28, model_bytes: int = 5) -> Order:
    return Order("n.onnx", (64,), EnginePrecision.FP16, workspace_bytes, model_bytes, 0)


def test_a_build_tells_its_progress(tmp_path: Path) -> None:
    told: list[float] = []
    plan, timing = build_in_child(order(), b"model", b"", told.append, start=starter("fake"))
    assert plan == with_network(b"plan", [64], b"model")
    assert timing == b"+"
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_a_killed_build_says_what_helps() -> None:
    with pytest.raises(OutOfMemory) as caught:
        build_in_child(order(), b"model", b"", start=starter("killed"), available=lambda: 300 << 20)
    text = str(caught.value)
    assert text.startswith("n.onnx: the engine's build was killed, with 256 MB of workspace")
    assert "(got 300 MB of memory available); stop what else runs, or add swap" in text


def test_a_build_is_ended_before_memory_runs_out() -> None:
    left = iter([1 << 30, LEAST_AVAILABLE_BYTES - 1])
    with pytest.raises(OutOfMemory, match="was ended before memory ran out"):
        build_in_child(
            order(), b"model", b"", start=starter("hungry"), available=lambda: next(left, 0)
        )


def test_another_death_is_told_with_the_last_words() -> None:
    with pytest.raises(EdgedError, match=r"died with status 1 \(got OSError: libnvinfer.so.10"):
        build_in_child(order(), b"model", b"", start=starter("broken"))


def test_the_real_child_imports_tensorrt_and_builds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shim = (
        "from tests.rig.gpu_stand_in import fake_tensorrt\n"
        "globals().update(vars(fake_tensorrt()))\n"
    )
    (tmp_path / "tensorrt.py").write_text(shim + "print('noise on standard output')\n")
    here = PROJECT
    monkeypatch.setenv("PYTHONPATH", f"{tmp_path}{os.pathsep}{here}")
    plan, _ = build_in_child(order(), b"model", b"", start=start_builder)
    assert plan == with_network(b"plan", [64], b"model")
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: not there')")
    with pytest.raises(
        EdgedError, match=r"status 1 \(got ImportError: libnvinfer.so.10: not there"
    ):
        build_in_child(order(), b"model", b"", start=start_builder)


@pytest.mark.parametrize(
    "program",
    ["print('nonsense')", 'print(\'{"plan": 1000, "timing": 5}\')', "pass"],
)
def test_a_child_that_says_nonsense_is_an_error(program: str) -> None:
    def start() -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen([sys.executable, "-c", program], **pipes)

    with pytest.raises(EdgedError, match="the engine's builder died with status 0"):
        build_in_child(order(), b"model", b"", start=start)


def test_a_build_killed_for_memory_is_tried_with_less_workspace(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = iter(["killed", "fake"])
    bench = Bench(tmp_path, start=lambda: starter(next(kinds))(), available=lambda: 2 << 30)
    np.testing.assert_allclose(load(bench, family).run(PICTURE), on_cpu(family), atol=1e-5)
    assert bench.starts == 2
    assert "with 512 MB of workspace; once more with 128 MB of workspace" in caplog.text


def test_the_child_ends_with_its_parent_and_yields_to_everything() -> None:
    process = starter("hungry")()
    assert process.stdin and process.stdout and process.stderr
    state = Path(f"/proc/{process.pid}")
    until(lambda: (state / "oom_score_adj").read_text() == "1000\n")
    assert (state / "stat").read_text().rpartition(")")[2].split()[16] == "19"
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_a_child_whose_parent_is_gone_ends(tmp_path: Path) -> None:
    process = starter("waiting")()
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(order().to_json() + b"model")
    process.stdin.flush()
    assert json.loads(process.stdout.readline()) == {"progress": 0.1}  # it builds, and waits
    process.stdin.close()
    assert process.wait(PATIENCE_SECONDS) == 0
    process.stdout.close()
    process.stderr.close()


def test_the_workspace_follows_what_memory_there_is(tmp_path: Path) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/meminfo").write_text("MemTotal: 9 kB\nMemAvailable:    2048 kB\n")
    assert available_bytes(tmp_path) == 2048 * 1024
    assert available_bytes(tmp_path / "none") is None
    assert workspace_bytes(2 << 30) == 512 << 20
    assert workspace_bytes(100 << 30) == MOST_WORKSPACE_BYTES
    assert workspace_bytes(1) == LEAST_WORKSPACE_BYTES
    assert LEAST_WORKSPACE_BYTES < workspace_bytes(None) < MOST_WORKSPACE_BYTES


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
            r"TensorRT is not installed for this Python; sudo apt install nvidia-jetpack",
        ),
        (
            ImportError("libnvinfer.so.10: cannot open shared object file: No such file"),
            r"a library of TensorRT is missing \(got libnvinfer.so.10.*sudo apt install nvidia-jet",
        ),
        (
            ImportError("numpy.core.multiarray failed to import"),
            r"built for NumPy 1, and this is NumPy 2 .*; pip install 'numpy<2'",
        ),
        (AttributeError("_ARRAY_API not found"), r"built for NumPy 1, and this is NumPy 2"),
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
        with pytest.raises(EdgedError, match=r"too old: 8.6 is the first.*flash JetPack 6"):
            checked_tensorrt(lambda: trt)


def test_without_a_device_the_backend_says_so(tmp_path: Path) -> None:
    device = Device()
    device.failing["cudaGetDeviceCount"] = Error.cudaErrorInsufficientDriver
    with pytest.raises(GpuError, match=r"no GPU that can be used .got cudaErrorInsufficientDriver"):
        Bench(tmp_path, device)
    with pytest.raises(GpuError, match="there is no GPU"):
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
