"""What release 0.1.0 has written is read. The files in tests/rig/release_0_1_0 are its own."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest

from edged.backends.tensorrt.cache import EngineCache, EngineKey
from edged.cli import main
from edged.config.config import load_config
from edged.control.profile_store import ProfileStore
from edged.variants.family import load_family
from edged.variants.variant import Choice, Variant
from tests.rig.paths import PROJECT

WRITTEN = PROJECT / "tests/rig/release_0_1_0"
SMALL, MEDIUM = Variant(0.25, 128), Variant(0.5, 160)


def test_its_configuration() -> None:
    config = load_config(WRITTEN / "edged.yaml", {})
    assert [camera.name for camera in config.cameras] == ["door", "bench"]
    assert [camera.latency_budget_ms for camera in config.cameras] == [50, 33]
    assert [event.name for event in config.events] == ["visitor"]


def test_its_profile(tmp_path: Path) -> None:
    (file,) = WRITTEN.glob("profile-*.json")
    shutil.copy(file, tmp_path)
    key = json.loads(file.read_text())["key"]
    profile = ProfileStore(tmp_path, [(key, [SMALL, MEDIUM])]).load()
    assert {choice: timing.runs for choice, timing in profile.items()} == {
        Choice(SMALL, 1): 30,
        Choice(MEDIUM, 1): 30,
    }


def test_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(WRITTEN / "trace.jsonl"), "--budget", "25"]) == 0
    frames = dict(re.findall(r"^(bench|door) +(\d+) ", capsys.readouterr().out, re.MULTILINE))
    assert frames == {"bench": "8", "door": "15"}


def test_its_family() -> None:
    """The shipped one; profiles are keyed by its fingerprint."""
    (file,) = WRITTEN.glob("profile-*.json")
    family = load_family("imagenette", PROJECT)
    assert family.fingerprint == json.loads(file.read_text())["key"]["family"]


def test_its_engines(tmp_path: Path) -> None:
    shutil.copytree(WRITTEN / "engines", tmp_path, dirs_exist_ok=True)
    key = EngineKey(
        files=("a" * 64,),
        tensorrt="10.3.0",
        gpu="Orin",
        capability="8.7",
        precision="fp16",
        sides=(128, 224),
        flags=("FP16",),
    )
    cache = EngineCache(tmp_path)
    assert cache.load(key) == b"a plan"
    assert cache.timing(key) == b"what the builder learnt"
