"""What release 0.1.0 has written (tests/rig/release_0_1_0): read, except profile and engines."""

from __future__ import annotations

import json
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edged.backends.tensorrt.cache import EngineCache, EngineKey
from edged.cli import main
from edged.config.config import load_config
from edged.control.profile_store import ProfileStore
from edged.variants.family import load_family
from tests.rig.paths import PROJECT

WRITTEN = PROJECT / "tests/rig/release_0_1_0"


def test_its_configuration() -> None:
    config = load_config(WRITTEN / "edged.yaml", {})
    assert [camera.name for camera in config.cameras] == ["door", "bench"]
    assert [(view.id, view.latency_budget_ms) for view in config.views] == [
        ("door", 50),
        ("bench", 33),
    ]
    assert all(camera.capture.views == () for camera in config.cameras)
    assert [event.name for event in config.events] == ["visitor"]


def test_its_profile_is_measured_anew(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """It is of a family: it does not tell which network file each time is of."""
    (file,) = WRITTEN.glob("profile-*.json")
    shutil.copy(file, tmp_path)
    key = json.loads(file.read_text())["key"]
    del key["format"], key["family"]
    with caplog.at_level("INFO"):
        assert ProfileStore(tmp_path, [key]).load() == {}
    (line,) = caplog.records
    assert line.levelname == "INFO"
    assert "measuring it now" in line.getMessage()
    assert (tmp_path / file.name).read_bytes() == file.read_bytes()  # for a way back to 0.1.0


def test_its_trace(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["replay", str(WRITTEN / "trace.jsonl")]) == 0
    assert "23 decisions replayed, 0 differ" in capsys.readouterr().out
    assert main(["replay", str(WRITTEN / "trace.jsonl"), "--budget", "25"]) == 0
    frames = dict(re.findall(r"^(bench|door) +(\d+) ", capsys.readouterr().out, re.MULTILINE))
    assert frames == {"bench": "8", "door": "15"}


def test_its_family() -> None:
    """The shipped one, which its traces name by its fingerprint."""
    header = json.loads((WRITTEN / "trace.jsonl").read_text().splitlines()[0])
    family = load_family("imagenette", PROJECT)
    assert (family.name, family.fingerprint) == (
        header["about"]["family"],
        header["about"]["hash"],
    )


def test_its_engines_are_built_once_more(tmp_path: Path) -> None:
    """They do not give features. What was timed for them is used."""
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
    assert cache.load(key) is None
    assert cache.load(replace(key, format=1)) == b"a plan"  # for a way back to 0.1.0
    assert cache.timing(key) == b"what the builder learnt"
