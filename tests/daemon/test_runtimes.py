"""Both runtimes of the CPU in a running daemon."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.profiles import profile_files

pytest.importorskip("ncnn")

CAMERA = "{source: synthetic, size: 320x240, fps: 15}"


def test_both_are_measured_and_what_ran_is_told_everywhere(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    config = quick_config({"door": CAMERA})
    with RunningDaemon(tmp_path, config, "--trace", str(trace)) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 300)
        results = daemon.more_results("door")
        status = json.loads(daemon.get("/api/v1/status")[1])
        _, metrics = daemon.get("/metrics")
        daemon.reload()
        assert daemon.stop()[0] == 0
    assert status["runtimes"] == ["onnxruntime", "ncnn"]
    runtime = results[-1]["runtime"]  # whichever is faster here
    assert status["cameras"]["door"]["last"]["runtime"] == runtime
    run = f'edged_variant_run_seconds{{family="imagenette",runtime="{runtime}",variant='
    assert f'{run}"mobilenet_v1_0.25_128"}}' in metrics
    for name in status["runtimes"]:
        assert f'edged_backend_info{{arithmetic="float32",backend="{name}"' in metrics or (
            f'edged_backend_info{{backend="{name}"' in metrics
        )
    keys = [json.loads(path.read_text())["key"] for path in profile_files(tmp_path / "state")]
    assert {key["backend"] for key in keys} == {"onnxruntime", "ncnn"}
    assert all(json.loads(p.read_text())["variants"] for p in profile_files(tmp_path / "state"))
    lines = [json.loads(line) for line in trace.read_text().splitlines()]
    (ladder,) = next(line["ladders"] for line in lines if "ladders" in line)
    assert {rung["runtime"] for rung in ladder} <= {"onnxruntime", "ncnn"}
    assert {line["runtime"] for line in lines if "variant" in line} >= {runtime}


def test_one_by_name_is_the_only_one(tmp_path: Path) -> None:
    config = quick_config({"door": CAMERA}, backend="ncnn")
    with RunningDaemon(tmp_path, config, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
    assert {result["runtime"] for result in daemon.results} == {"ncnn"}
    assert "no profile of this device with ncnn yet" in daemon.text
    assert "onnxruntime" not in daemon.text
