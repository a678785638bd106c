"""What fails while the daemon runs is set aside or tried again; only a person's mistake ends it
with status 2. The kernel's own errors come through strace.
"""

from __future__ import annotations

import json
import os
import resource
import shutil
import signal
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
from onnx import TensorProto, helper

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.clock import monotonic_ns
from edged.control.profile import Timing
from edged.control.profiler import Profiler
from edged.control.setbacks import FIRST_REST_SECONDS
from edged.errors import EdgedError, InputError
from edged.variants.family import Fit, Network, write_family
from edged.variants.runtime import RunError, Runner
from edged.variants.variant import Choice, Variant
from tests.rig.daemon import RunningDaemon
from tests.rig.families import ALPHAS, LABELS, RESOLUTIONS, make_family
from tests.rig.pipeline import LARGE, SMALL, Device, Feed, Recorder, make, running
from tests.rig.waiting import eventually

CONFIG = """
model: {model}
latency_budget_ms: 200
cameras: {{door: {{source: synthetic}}}}
http: {{listen: 127.0.0.1:0}}
results: {{jsonl: "-"}}
"""
needs_strace = pytest.mark.skipif(
    shutil.which("strace") is None
    or subprocess.run(["strace", "-o", os.devnull, "true"], check=False).returncode != 0,
    reason="needs strace, and the right to trace",
)


def with_io_error(path: Path, *command: str) -> subprocess.CompletedProcess[str]:
    """edged, whose reads of `path` end with EIO."""
    fault = ["strace", "-f", "-o", os.devnull, "-P", str(path)]
    fault += ["-e", "trace=read", "-e", "inject=read:error=EIO"]
    return subprocess.run(
        [*fault, sys.executable, "-m", "edged", *command],
        capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip


@pytest.mark.servers
@needs_strace
@pytest.mark.parametrize("file", ["edged.yaml", "animals/family.yaml", "animals/labels.txt"])
def test_an_io_error_at_the_start_is_no_mistake_in_the_file(tmp_path: Path, file: str) -> None:
    make_family(tmp_path / "animals")
    config = tmp_path / "edged.yaml"
    config.write_text(CONFIG.format(model="animals"))
    done = with_io_error(tmp_path / file, "run", "-c", str(config), "--frames", "3")
    assert done.returncode == 1  # systemd starts it again, which it does not do after status 2
    assert f"{tmp_path / file}: cannot be read: Input/output error" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.servers
@needs_strace
def test_a_network_with_an_io_error_is_left_out(tmp_path: Path) -> None:
    family = make_family(tmp_path / "animals")
    config = tmp_path / "edged.yaml"
    config.write_text(CONFIG.format(model="animals"))
    broken = family.networks[1].path
    done = with_io_error(broken, "run", "-c", str(config), "--frames", "3")
    assert done.returncode == 0
    assert (
        f"continuing without one of the networks in onnxruntime: {broken}: cannot be read"
        in done.stderr
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 3
    assert {result["variant"].rsplit("_", 1)[0] for result in results} == {
        f"mobilenet_v1_{ALPHAS[0]}"
    }


class FailingDevice(Device):
    """fails: of these variants each run fails."""

    def __init__(self, *fails: Variant) -> None:
        super().__init__()
        self.fails = set(fails)

    def infer(
        self, choice: Choice, pixels: np.ndarray, fit: Fit = Fit.CROP, *, features: bool = False
    ) -> tuple[np.ndarray, int, int]:
        if choice.variant in self.fails:
            raise RunError(choice, MemoryError("std::bad_alloc"))
        return super().infer(choice, pixels, fit, features=features)


def test_a_variant_that_fails_on_a_picture_rests_and_the_frame_goes_to_another(
    caplog: pytest.LogCaptureFixture,
) -> None:
    device, feed, recorder = FailingDevice(), Feed("door", 500), Recorder()
    behind_ns = [int(FIRST_REST_SECONDS * 1e9)]

    def clock() -> int:
        return monotonic_ns() - behind_ns[0]

    profile = {Choice(SMALL, 1): timing(1), Choice(LARGE, 1): timing(12)}
    top1 = {Choice(SMALL, 1): 0.4, Choice(LARGE, 1): 0.7}
    profiler = Profiler(top1, {"door": top1}, {SMALL: 10, LARGE: 100}, known=profile)
    pipeline = make([feed], recorder, device=device, profiler=profiler, clock=clock)
    with running(pipeline):
        feed.send()
        eventually(lambda: len(recorder.results) == 1)
        device.fails = {LARGE}
        feed.send()
        eventually(lambda: len(recorder.results) == 2)  # the same frame, by the other variant
        device.fails = set()
        feed.send()
        eventually(lambda: len(recorder.results) == 3)
        behind_ns[0] = 0
        feed.send()
        eventually(lambda: len(recorder.results) == 4)
    assert [result.variant for result in recorder.results] == [LARGE, SMALL, SMALL, LARGE]
    assert [result.sequence for result in recorder.results] == [1, 2, 3, 4]
    assert pipeline.setbacks.failures == {Choice(LARGE, 1): 1}
    (told,) = [each.getMessage() for each in caplog.records if "failed" in each.getMessage()]
    assert told == (
        "mobilenet_v1_1.0_224 x1 onnxruntime failed on a picture: std::bad_alloc; other variants "
        "continue, retrying this one in 60 s"
    )


def test_with_no_variant_left_the_pipeline_ends_with_what_failed() -> None:
    feed = Feed("door", 500)
    pipeline = make([feed], Recorder(), device=FailingDevice(SMALL, LARGE))
    with pytest.raises(RunError, match="failed on a picture"):
        pipeline.run()
    assert RunError(Choice(SMALL, 1), MemoryError()).exit_status == 1


def test_a_variant_that_fails_while_it_is_measured_rests() -> None:
    feed, recorder = Feed("door", 500), Recorder()
    pipeline = make([feed], recorder, device=FailingDevice(SMALL))
    with running(pipeline):  # the cheapest is measured first
        feed.send()
        eventually(lambda: recorder.results)
    assert recorder.results[0].variant == LARGE


def timing(milliseconds: float) -> Timing:
    return Timing.of([(0.0, milliseconds)] * 45)


class OutOfMemory(OrtBackend):
    """Has no memory for networks of these widths."""

    def __init__(self, *alphas: float) -> None:
        super().__init__()
        self.alphas = alphas

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        if network.alpha in self.alphas:
            raise EdgedError("not enough memory to load the network", where=network.path)
        return super().load(network, model, threads)


def test_networks_that_memory_does_not_suffice_for_are_left_out(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    loaded = LoadedNetworks([family], [OutOfMemory(ALPHAS[1])])
    assert loaded.choices == {family.choice(Variant(ALPHAS[0], side)) for side in RESOLUTIONS}
    with pytest.raises(EdgedError, match="not enough memory") as refused:
        LoadedNetworks([family], [OutOfMemory(*ALPHAS)])
    assert refused.value.exit_status == 1


def test_what_the_runtime_says_of_memory_is_not_the_files_fault(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    network = family.networks[0]
    backend = OrtBackend()

    class Runtime:
        def __getattr__(self, name: str) -> object:
            return getattr(onnxruntime, name)

        def InferenceSession(self, *_: object, **__: object) -> object:  # noqa: N802
            raise RuntimeError("std::bad_alloc")

    backend._runtime = Runtime()
    with pytest.raises(EdgedError, match="not enough memory to load the network") as refused:
        backend.load(network, network.read(), 1)
    assert not isinstance(refused.value, InputError)


def endless_network(classes: int) -> bytes:
    """A network of the contract's form that computes for longer than anybody waits."""
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "h", "w", 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, classes])
    state = helper.make_tensor_value_info("before", TensorProto.FLOAT, [1, classes])
    after = helper.make_tensor_value_info("after", TensorProto.FLOAT, [1, classes])
    turn = helper.make_tensor_value_info("turn", TensorProto.INT64, [])
    goes_on = helper.make_tensor_value_info("goes_on", TensorProto.BOOL, [])
    still = helper.make_tensor_value_info("still", TensorProto.BOOL, [])
    body = helper.make_graph(
        [
            helper.make_node("Identity", ["goes_on"], ["still"]),
            helper.make_node("Sin", ["before"], ["after"]),
        ],
        "body",
        [turn, goes_on, state],
        [still, after],
    )
    graph = helper.make_graph(
        [
            helper.make_node("Cast", ["image"], ["numbers"], to=TensorProto.FLOAT),
            helper.make_node("ReduceMean", ["numbers"], ["mean"], axes=[1, 2, 3], keepdims=0),
            helper.make_node("Mul", ["mean", "zeros"], ["start"]),
            helper.make_node("Loop", ["turns", "true", "start"], ["scores"], body=body),
        ],
        "endless",
        [image],
        [scores],
        [
            helper.make_tensor("turns", TensorProto.INT64, [], [2**62]),
            helper.make_tensor("true", TensorProto.BOOL, [], [True]),
            helper.make_tensor("zeros", TensorProto.FLOAT, [1, classes], [0.0] * classes),
        ],
    )
    opset = [helper.make_opsetid("", 13)]
    content: bytes = helper.make_model(graph, opset_imports=opset, ir_version=8).SerializeToString()
    return content


def test_a_network_that_never_answers_does_not_keep_the_daemon_from_ending(tmp_path: Path) -> None:
    family = make_family(tmp_path / "animals")
    first = family.networks[0]
    content = endless_network(len(LABELS))
    network = Network.of(first.path, content, first.alpha, RESOLUTIONS)
    network = replace(network, golden=first.golden)
    write_family(replace(family, networks=(network,)), {first.path.name: content})
    with RunningDaemon(tmp_path, CONFIG.format(model="animals")) as daemon:
        daemon.wait_for(lambda: "streaming" in daemon.text)
        assert daemon.stop(signal.SIGTERM)[0] == 0
        assert "Traceback" not in daemon.text


def test_a_pipe_in_place_of_the_profile_is_not_waited_for(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    config = CONFIG.format(model="animals")
    with RunningDaemon(tmp_path, config, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
    (profile,) = (tmp_path / "state").glob("profile-*.json")
    profile.unlink()
    os.mkfifo(profile)
    with RunningDaemon(tmp_path, config, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
        assert f"{profile}: not a regular file; measuring everything again" in daemon.text


def test_without_memory_for_a_thread_the_daemon_ends_when_told(tmp_path: Path) -> None:
    config = CONFIG.format(model="imagenette").replace(
        "{door: {source: synthetic}}", "{door: {source: synthetic}, yard: {source: synthetic}}"
    )
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for_results(10)
        status = Path(f"/proc/{daemon.process.pid}/status").read_text()
        bound = 1024 * int(status.partition("VmSize:")[2].split()[0])
        resource.prlimit(daemon.process.pid, resource.RLIMIT_AS, (bound, bound))
        assert daemon.stop(signal.SIGTERM)[0] == 0
        assert "Traceback" not in daemon.text
