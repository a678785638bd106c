"""From the CPU to the engine and back: taking over, failures of the GPU, no room for engines."""

from __future__ import annotations

import gc
import logging
import subprocess
import threading
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.backends.loaded import LoadedNetworks
from edged.backends.tensorrt.cache import EngineCache
from edged.backends.tensorrt.cuda import GpuError
from edged.backends.tensorrt.fallback import LONGEST_RETRY_SECONDS, RETRY_SECONDS
from edged.control.profile import Spread, timed
from edged.daemon.loaded_models import LoadedModels
from edged.daemon.models import Model, Models
from edged.errors import InputError
from edged.variants.family import Family
from tests.rig.gpu_stand_in import Device, Error
from tests.rig.pipeline import Feed, Measured, Recorder, make, running
from tests.rig.tensorrt import starter
from tests.rig.tensorrt_backend import PATIENCE_SECONDS, PICTURE, Bench, load, on_cpu
from tests.rig.waiting import eventually

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
    loaded = LoadedNetworks([family], [bench.backend])
    engines = bench.backend.engines
    assert (engines.building, engines.takeovers) == (2, 0)
    loaded.infer(family.choice(family.variants()[0], 1, "tensorrt"), PICTURE[0])
    assert "execute_async_v3" not in bench.device.calls
    assert not bench.device.owned
    go_on.set()
    eventually(lambda: engines.building == 0)
    assert engines.takeovers == 2
    synchronised = bench.device.calls["cudaStreamSynchronize"]
    scores, _, _ = loaded.infer(family.choice(family.variants()[0], 1, "tensorrt"), PICTURE[0])
    assert bench.device.calls["cudaStreamSynchronize"] == synchronised + 1
    assert scores.sum() == pytest.approx(1.0, abs=1e-4)
    assert caplog.text.count("until then it runs on the CPU") == 2
    assert caplog.text.count("runs on its engine, built in") == 2


def test_the_engine_is_kept_warm_while_no_frame_comes(tmp_path: Path, family: Family) -> None:
    bench = Bench(tmp_path)
    cheapest, dearest = family.variants()[0], family.variants()[-1]
    seen, profiler = Recorder(), Measured()
    profiler.ladders["door"] = tuple(
        timed(family.choice(variant, 1, "tensorrt"), top1, Spread(time_ms, time_ms))
        for variant, top1, time_ms in ((dearest, 0.8, 2.0), (cheapest, 0.6, 1.0))
    )
    loaded = LoadedNetworks([family], [bench.backend])
    pipeline = make([Feed("door", 2000)], seen, device=loaded, profiler=profiler, keep_warm=True)
    slowdown, calls = pipeline.controller.slowdown.ratio, bench.device.calls
    waited = calls["cudaStreamSynchronize"]
    with running(pipeline):
        eventually(lambda: calls["cudaStreamSynchronize"] >= waited + 3)
        bench.device.failing["cudaStreamSynchronize"] = Error.cudaErrorDeviceUnavailable
        eventually(
            lambda: bench.backend.engines.failures > 0
        )  # before it can cost a frame its time
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
    by_view = {"door": Model(family, family.variants())}
    models = Models(by_view, (1,), "tensorrt", (bench.backend,), "a test")
    networks = LoadedModels(models, None, lambda number, of: None)
    profiler = networks.profiler

    def measure(milliseconds: float) -> None:
        while not profiler.complete:
            profiler.use_gap(1e9, 1e9, lambda choice: (0.0, milliseconds))

    profiler.measure_cheapest(lambda choice: (0.0, 50.0))
    measure(50.0)
    networks.tick(1, dict)
    networks.store_profile(dict, PATIENCE_SECONDS)
    assert not list(state.glob("profile-*"))
    networks.loaded.keep([])
    assert len(networks.loaded.choices) == len(family.variants())

    go_on.set()
    eventually(lambda: bench.backend.engines.building == 0)
    networks.tick(2, dict)
    profiler.observe(family.choice(family.variants()[0], 1, "tensorrt"), (0.0, 1.0))
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
    eventually(lambda: bench.backend.engines.building == 0)
    assert bench.backend.engines.takeovers == 0
    np.testing.assert_array_equal(runner.run(PICTURE), on_cpu(family))
    assert "stays on the CPU" in caplog.text
    assert "gives wrong scores for the golden picture" in caplog.text
    assert not list((tmp_path / "engines").glob("*.engine"))


def test_in_the_foreground_a_failure_is_raised(tmp_path: Path, family: Family) -> None:
    with pytest.raises(InputError, match="gives wrong scores for the golden picture"):
        load(Bench(tmp_path, Wrong()), family)


def test_a_network_that_nobody_uses_any_more_is_not_built(tmp_path: Path, family: Family) -> None:
    go_on = threading.Event()

    def start() -> subprocess.Popen[bytes]:
        assert go_on.wait(PATIENCE_SECONDS)
        return starter("fake")()

    bench = Bench(tmp_path, start=start, background=True)
    first = load(bench, family)
    second = bench.backend.load(family.networks[1], family.networks[1].read(), 1)
    eventually(lambda: bench.starts == 1)
    del second
    gc.collect()
    go_on.set()
    eventually(lambda: bench.backend.engines.building == 0)
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
    assert caplog.text.count("GPU failed, using the CPU") == 1
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
        LoadedNetworks([family], [bench.backend])
        assert bench.backend.engines.takeovers == 2
        assert caplog.text.count("engines are not kept, each start builds them again") == 1
