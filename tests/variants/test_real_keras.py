"""Files that Keras 3 itself wrote get in with one command and answer as Keras does."""

from __future__ import annotations

import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from edged.cli import main
from edged.variants.weights.importing import read_weights
from edged.variants.weights.onnx_builder import Storage, build_network
from tests.rig.paths import PROJECT

pytestmark = [
    pytest.mark.long,
    pytest.mark.keras,
    pytest.mark.timeout(600),  # the models take 15 s to build on a quiet machine
    pytest.mark.skipif(
        find_spec("keras") is None or find_spec("torch") is None,
        reason="needs Keras 3 and PyTorch, which make test-long installs",
    ),
]

NAMES = (
    "guide", "guide_preprocess", "guide_normalization", "edge_0.1", "edge_0.2", "edge_0.25_grey",
)  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keras")
    script = PROJECT / "tests" / "rig" / "keras_models.py"
    subprocess.run(
        [sys.executable, str(script), str(folder)], check=True, capture_output=True, timeout=600
    )
    return folder


@pytest.mark.parametrize("kind", ["keras", "h5"])
@pytest.mark.parametrize("name", NAMES)
def test_scores_are_those_of_keras(folder: Path, name: str, kind: str) -> None:
    imported = read_weights(folder / f"{name}.{kind}")
    model = build_network(
        imported.architecture,
        imported.weights,
        scale=imported.scale,
        offset=imported.offset,
        activation=imported.activation,
        hidden_activation=imported.hidden_activation,
        independent=imported.independent,
        storage=Storage.FLOAT32,
    )
    known = np.load(folder / f"{name}.npz")
    pictures, expected = known["pictures"], known["scores"]
    if pictures.shape[-1] == 1:
        pictures = pictures.repeat(3, axis=-1)
    if expected.shape[1] == 1:
        expected = np.hstack([1 - expected, expected])
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    found = np.stack([session.run(None, {"image": each[np.newaxis]})[0][0] for each in pictures])
    assert np.ptp(expected, axis=0).max() > 0.3
    assert np.abs(found - expected).max() < 5e-4


@pytest.mark.parametrize(("name", "classes"), [("guide.keras", 3), ("edge_0.1.h5", 4)])
def test_one_command_makes_a_family(
    folder: Path, tmp_path: Path, name: str, classes: int, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("".join(f"{number} class {number}\n" for number in range(classes)))
    into = tmp_path / "mine"
    command = ["models", "import", str(folder / name), "--labels", str(labels)]
    assert main([*command, "--into", str(into)]) == 0
    told = capsys.readouterr().err
    assert "assuming 0 … 255, which its own layers scale" in told
    assert "numbers, from 0" in told
    assert main(["models", "verify", str(into)]) == 0
    assert main(["models", "list", str(into)]) == 0
    assert "unknown" in capsys.readouterr().out


@pytest.mark.parametrize("kind", ["keras", "h5"])
def test_a_mobilenet_v2_is_called_one(
    folder: Path, tmp_path: Path, kind: str, capsys: pytest.CaptureFixture[str]
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_text("a\nb\nc\n")
    command = ["models", "import", str(folder / f"version2.{kind}"), "--labels", str(labels)]
    assert main([*command, "--into", str(tmp_path / "mine")]) == 2
    told = capsys.readouterr().err
    assert "this is MobileNet v2; edged runs MobileNet v1" in told
    assert "train MobileNet v1 on your pictures instead" in told
