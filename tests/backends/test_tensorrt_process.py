"""The process that builds engines: its progress, the memory it may use, and the ways it dies."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

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
from edged.backends.tensorrt.build_worker import BuildRequest
from edged.backends.tensorrt.onnx_forms import EnginePrecision
from edged.errors import EdgedError
from edged.variants.family import Family
from tests.rig.gpu_stand_in import with_network
from tests.rig.paths import PROJECT
from tests.rig.tensorrt import starter
from tests.rig.tensorrt_backend import PATIENCE_SECONDS, PICTURE, Bench, load, on_cpu
from tests.rig.waiting import eventually


def request(workspace_bytes: int = 1 << 28, model_bytes: int = 5) -> BuildRequest:
    return BuildRequest(
        "n.onnx", (64,), EnginePrecision.FP16, "8.7", workspace_bytes, model_bytes, 0
    )


def test_a_build_tells_its_progress(tmp_path: Path) -> None:
    told: list[float] = []
    plan, timing = build_in_child(request(), b"model", b"", told.append, start=starter("fake"))
    assert plan == with_network(b"plan", [64], b"model")
    assert timing == b"+"
    assert told == [0.25, 0.5, 0.75, 1.0]


def test_a_killed_build_says_what_helps() -> None:
    with pytest.raises(OutOfMemory) as caught:
        build_in_child(
            request(), b"model", b"", start=starter("killed"), available=lambda: 300 << 20
        )
    text = str(caught.value)
    assert text.startswith("n.onnx: the engine's build was killed, with 256 MB of workspace")
    assert "(got 300 MB of memory available); stop other programs, or add swap" in text


def test_a_build_is_ended_before_memory_runs_out() -> None:
    left = iter([1 << 30, LEAST_AVAILABLE_BYTES - 1])
    with pytest.raises(OutOfMemory, match="was stopped before memory ran out"):
        build_in_child(
            request(), b"model", b"", start=starter("hungry"), available=lambda: next(left, 0)
        )


def test_another_death_is_told_with_the_last_words() -> None:
    with pytest.raises(EdgedError, match=r"died with status 1 \(got OSError: libnvinfer.so.10"):
        build_in_child(request(), b"model", b"", start=starter("broken"))


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
    plan, _ = build_in_child(request(), b"model", b"", start=start_builder)
    assert plan == with_network(b"plan", [64], b"model")
    (tmp_path / "tensorrt.py").write_text("raise ImportError('libnvinfer.so.10: not there')")
    with pytest.raises(
        EdgedError, match=r"status 1 \(got ImportError: libnvinfer.so.10: not there"
    ):
        build_in_child(request(), b"model", b"", start=start_builder)


@pytest.mark.parametrize(
    "program",
    ["print('nonsense')", 'print(\'{"plan": 1000, "timing": 5}\')', "pass"],
)
def test_a_child_that_says_nonsense_is_an_error(program: str) -> None:
    def start() -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen([sys.executable, "-c", program], **pipes)

    with pytest.raises(EdgedError, match="the engine's builder died with status 0"):
        build_in_child(request(), b"model", b"", start=start)


def test_a_build_killed_for_memory_is_tried_with_less_workspace(
    tmp_path: Path, family: Family, caplog: pytest.LogCaptureFixture
) -> None:
    kinds = iter(["killed", "fake"])
    bench = Bench(tmp_path, start=lambda: starter(next(kinds))(), available=lambda: 2 << 30)
    np.testing.assert_allclose(load(bench, family).run(PICTURE), on_cpu(family), atol=1e-5)
    assert bench.starts == 2
    assert "with 512 MB of workspace; retrying with 128 MB of workspace" in caplog.text


def test_the_child_ends_with_its_parent_and_yields_to_everything() -> None:
    process = starter("hungry")()
    assert process.stdin and process.stdout and process.stderr
    state = Path(f"/proc/{process.pid}")
    eventually(lambda: (state / "oom_score_adj").read_text() == "1000\n")
    assert (state / "stat").read_text().rpartition(")")[2].split()[16] == "19"
    process.kill()
    process.wait()
    for pipe in (process.stdin, process.stdout, process.stderr):
        pipe.close()


def test_a_child_whose_parent_is_gone_ends(tmp_path: Path) -> None:
    process = starter("waiting")()
    assert process.stdin and process.stdout and process.stderr
    process.stdin.write(request().to_json() + b"model")
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
