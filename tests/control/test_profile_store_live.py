"""A daemon that begins with the profile on disk, and writes into it what it measures."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from pathlib import Path

import pytest

from edged.control.profile import CONFIRMED_RUNS
from edged.control.profile_store import BAD
from edged.variants.family import load_family
from edged.variants.variant import Variant
from tests.rig.daemon import RunningDaemon
from tests.rig.families import make_family, sibling
from tests.rig.paths import PROJECT
from tests.rig.profiles import only_file, profile_files

FAMILY = load_family("imagenette", PROJECT)
SIDES = (128, 160, 192, 224)
CONFIG = """
model: imagenette
backend: onnxruntime
latency_budget_ms: 5000
cameras:
  door: {source: synthetic, size: 320x240, fps: 30}
http: {listen: none}
"""
FEW = CONFIG + f"variants: [{', '.join(f'mobilenet_v1_0.25_{side}' for side in SIDES)}]\n"
LONG_SECONDS = 300


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The state directory of a daemon that was stopped after its first round of measuring."""
    folder = tmp_path_factory.mktemp("measured")
    state = folder / "state"
    with RunningDaemon(folder, CONFIG) as daemon:
        daemon.wait_for(lambda: "no profile of this device" in daemon.text)
        daemon.wait_for(lambda: state.is_dir() and profile_files(state), LONG_SECONDS)
        assert daemon.stop()[0] == 0
    return state


@pytest.fixture
def state(measured: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(measured, tmp_path / "state"))


def _fill(path: Path, times_ms: Mapping[int, float], threads: int = 1, runs: int = 15) -> None:
    """Into the profile that is there: these figures of the narrowest network, by resolution, in
    place of the others of that thread count."""
    values = json.loads(path.read_text())
    network = FAMILY.network(Variant(0.25, 128)).sha256
    figures = {side: {"p50": time_ms, "p95": time_ms} for side, time_ms in times_ms.items()}
    values["variants"] = [row for row in values["variants"] if row["threads"] != threads] + [
        {
            "variant": f"mobilenet_v1_0.25_{side}",
            "threads": threads,
            "runs": runs,
            "network": network,
        }
        | dict.fromkeys(("service_ms", "preprocess_ms", "inference_ms"), figures[side])
        for side in figures
    ]
    path.write_text(json.dumps(values))


def test_the_daemon_keeps_what_it_measured(measured: Path) -> None:
    values = json.loads(only_file(measured).read_text())
    names = {row["variant"] for row in values["variants"]}
    # All of them, unless the machine is so busy that some do not fit beside the frames.
    assert "mobilenet_v1_0.25_128" in names
    assert names <= {variant.name for variant in FAMILY.variants()}
    assert all(
        row["network"] == FAMILY.network(Variant.parse(row["variant"])).sha256
        for row in values["variants"]
    )
    assert values["key"]["backend"] == "onnxruntime"
    assert set(values["decode_ms"]) == {"door"}


def test_the_next_start_begins_with_it_and_with_the_best_variant(
    tmp_path: Path, state: Path
) -> None:
    path = only_file(state)
    _fill(path, {side: side / 128 for side in SIDES})
    with RunningDaemon(tmp_path, CONFIG, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
    assert f"profile from {path}" in daemon.text
    assert "no profile of this" not in daemon.text
    assert daemon.results[0]["variant"] == "mobilenet_v1_0.25_224"  # others may be late


def test_it_is_measured_once_more_and_the_faster_figures_stay(tmp_path: Path, state: Path) -> None:
    path = only_file(state)
    _fill(path, dict.fromkeys(SIDES, 2000.0))
    with RunningDaemon(tmp_path, FEW) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, LONG_SECONDS)
        daemon.stop()
    rows = json.loads(path.read_text())["variants"]
    mended = [row for row in rows if row["runs"] > 15]
    assert mended
    assert all(row["service_ms"]["p50"] < 2000 for row in mended)


def test_a_thread_count_that_is_known_to_be_slower_is_not_loaded(
    tmp_path: Path, state: Path
) -> None:
    path = only_file(state)
    _fill(path, {side: side / 128 for side in SIDES})
    config = CONFIG + "threads: [1, 7]\n"
    threads = {}
    for runs in (CONFIRMED_RUNS, CONFIRMED_RUNS - 1):
        _fill(path, dict.fromkeys(SIDES, 9.0), threads=7, runs=runs)
        with RunningDaemon(tmp_path, config) as daemon:
            daemon.wait_for_results(1, 60)
            threads[runs] = len(list(Path(f"/proc/{daemon.process.pid}/task").iterdir()))
            daemon.process.kill()
    assert threads[CONFIRMED_RUNS - 1] == threads[CONFIRMED_RUNS] + 6


def test_networks_of_another_family_are_measured_beside_the_known_ones(
    tmp_path: Path, state: Path
) -> None:
    path = only_file(state)
    before = networks(path)
    mine = make_family(tmp_path / "mine")
    with RunningDaemon(tmp_path, CONFIG.replace("imagenette", "./mine")) as daemon:
        daemon.wait_for(lambda: f"profile from {path}" in daemon.text)
        daemon.wait_for_results(1, 60)
        assert daemon.stop()[0] == 0
    assert only_file(state) == path
    assert networks(path) > before
    assert networks(path) - before <= {network.sha256 for network in mine.networks}


def test_another_family_with_the_same_networks_begins_with_what_is_known(
    tmp_path: Path, state: Path
) -> None:
    sibling(FAMILY, tmp_path / "mine")
    _fill(only_file(state), {side: side / 128 for side in SIDES})
    config = CONFIG.replace("imagenette", "./mine")
    with RunningDaemon(tmp_path, config, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
    assert daemon.results[0]["variant"] == "mobilenet_v1_0.25_224"


def networks(path: Path) -> set[str]:
    return {row["network"] for row in json.loads(path.read_text())["variants"]}


def test_a_corrupt_profile_is_said_and_measured_anew(tmp_path: Path, state: Path) -> None:
    path = only_file(state)
    path.write_bytes(path.read_bytes()[:300])
    with RunningDaemon(tmp_path, CONFIG, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
    assert "not JSON" in daemon.text
    assert "measuring everything again" in daemon.text
    assert "Traceback" not in daemon.text
    assert (state / BAD).stat().st_size == 300
    assert only_file(state) == path  # what was measured until the end is kept


def test_without_a_place_to_write_it_works_and_warns_once(tmp_path: Path) -> None:
    (tmp_path / "state").write_text("in the way")
    with RunningDaemon(tmp_path, CONFIG, "--frames", "3") as daemon:
        assert daemon.process.wait(60) == 0
    assert len(daemon.results) == 3
    assert daemon.text.count("not kept for the next start") == 1
