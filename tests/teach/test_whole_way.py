"""The whole way from the command line: a gate is shown, taught, deployed and taken back."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.variants.family import load_family
from tests.rig.daemon import RunningDaemon, without_a_gap
from tests.rig.gate import CLOSED, LABELS, OPEN, GateCamera
from tests.rig.yard import Yard, config_for, teach

pytestmark = pytest.mark.timeout(600)


@pytest.fixture(scope="module")
def camera() -> Iterator[GateCamera]:
    with GateCamera() as camera:
        yield camera


@pytest.fixture
def yard(tmp_path: Path, camera: GateCamera) -> Iterator[Yard]:
    with RunningDaemon(tmp_path, config_for(tmp_path, camera)) as daemon:
        daemon.wait_for_results(2, 90)
        yield Yard(tmp_path, camera, daemon)


@pytest.mark.alone
def test_a_gate_is_shown_taught_deployed_and_taken_back(yard: Yard) -> None:
    daemon = yard.daemon
    yard.teach("gate", "--view", "door", "--classes", "open,closed")
    yard.follows("camera door: to be taught")
    daemon.more_results("door", 3)
    begun = len(daemon.results)
    yard.show(*LABELS * 3)
    assert "gate" not in {each["top"][0]["label"] for each in daemon.results_of("door")}
    said = yard.teach("gate", "train")
    assert "6 moments" in said
    yard.teach("gate", "deploy")
    yard.follows("camera door: version 1 of gate")
    assert (yard.says(OPEN), yard.says(CLOSED), yard.says(OPEN)) == (OPEN, CLOSED, OPEN)

    yard.show(*LABELS)
    yard.teach("gate", "train")
    yard.teach("gate", "deploy", "--anyway")
    yard.follows("camera door: version 2 of gate")
    assert yard.says(CLOSED) == CLOSED
    profiles = [*(yard.folder / "state").glob("profile-*.json")]
    networks = {
        network.sha256 for network in load_family(str(yard.folder / "few"), Path()).networks
    }
    assert profiles  # of the backbone, whatever is taught on it
    for each in profiles:
        assert set(re.findall(r"[0-9a-f]{64}", each.read_text())) <= networks

    yard.teach("gate", "back")
    daemon.wait_for(lambda: daemon.text.count("version 1 of gate") == 2, 60)
    assert yard.says(OPEN) == OPEN
    yard.teach("gate", "back")
    yard.follows("camera door: few")
    assert yard.says(OPEN) not in LABELS
    assert without_a_gap([each["sequence"] for each in daemon.results[begun:]])
    assert len(daemon.capture_processes()) == 1
    assert daemon.text.count("camera door: starting") == 1


def test_a_view_that_names_what_is_not_taught_yet_collects_and_gives_no_result(
    tmp_path: Path, camera: GateCamera
) -> None:
    own = ", model: gate"
    text = config_for(tmp_path, camera, own)
    (tmp_path / "edged.yaml").write_text(text)
    teach(
        tmp_path,
        *("gate", "--view", "door", "--classes", "open,closed"),
        *("--backbone", str(tmp_path / "few")),
    )
    check = [sys.executable, "-m", "edged", "check", str(tmp_path / "edged.yaml")]
    environ = {**os.environ, "STATE_DIRECTORY": str(tmp_path / "state")}
    checked = subprocess.run(check, capture_output=True, text=True, env=environ)
    assert checked.returncode == 0
    assert "no version of gate is deployed yet: edged teach gate" in checked.stderr

    with RunningDaemon(tmp_path, text) as daemon:
        yard = Yard(tmp_path, camera, daemon)

        def told() -> dict[str, object]:
            found: dict[str, object] = json.loads(daemon.get("/api/v1/status")[1])["cameras"][
                "door"
            ]
            return found

        daemon.wait_for(lambda: told()["last"] is not None)
        assert told()["to_teach"] == "no version of gate is deployed yet: edged teach gate"
        yard.show(*LABELS * 2)
        described = json.loads(daemon.get("/api/v1/teach/gate")[1])
        assert described["answer"]["by"] == "means"
        assert not daemon.results
        yard.teach("gate", "train")
        yard.teach("gate", "deploy")
        yard.follows("camera door: version 1 of gate")
        assert yard.says(CLOSED) == CLOSED
        assert told()["to_teach"] is None


def test_a_model_of_its_own_overrules_what_is_deployed(tmp_path: Path, camera: GateCamera) -> None:
    text = config_for(tmp_path, camera, ", model: imagenette")
    (tmp_path / "edged.yaml").write_text(text)
    few = str(tmp_path / "few")
    named = ("gate", "--view", "door", "--classes", "open,closed", "--backbone", few)
    teach(tmp_path, *named)
    for scene in LABELS:
        folder = tmp_path / scene
        folder.mkdir()
        for number in range(4):
            (folder / f"{number}.jpg").write_bytes(camera.jpeg(scene))
        teach(tmp_path, "gate", "add", scene, str(folder))
    teach(tmp_path, "gate", "train")
    said = teach(tmp_path, "gate", "deploy")
    assert f"{tmp_path}/edged.yaml:7" in said
    assert "write `model: gate` there, or remove that line" in said
    with RunningDaemon(tmp_path, text) as daemon:
        daemon.wait_for_results(2, 90)
        assert daemon.results[-1]["top"][0]["label"] not in LABELS
        daemon.reload(text.replace(", model: imagenette", ""))
        assert Yard(tmp_path, camera, daemon).says(OPEN) == OPEN
