"""Commands on a taught family: those that measure it work, those that would change it refuse."""

from __future__ import annotations

import json
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.cli import main
from edged.variants.family import Family
from edged.variants.preprocess import Preprocessor
from edged.variants.taught import head_matrices, write_taught
from tests.rig.families import content_of
from tests.rig.imports import LABELS, write_labels, write_tflite
from tests.rig.photos import drawn_photos
from tests.rig.taught import GATE, heads, make_taught
from tests.rig.weights import TINY


@pytest.fixture
def taught(tmp_path: Path, family: Family) -> Family:
    return make_taught(tmp_path / "gate", family, top1=0.9)


def answers(family: Family, photos: Path) -> dict[str, list[tuple[str, int]]]:
    """The folder of each photo and its best row, by variant, computed step by step."""
    matrices, found = head_matrices(family), {}
    assert matrices is not None
    for variant in family.variants():
        network = family.network(variant)
        runner = OrtBackend().load(network, network.read(), 1)
        side, rows = variant.resolution, []
        for path in sorted(photos.rglob("*.png")):
            picture = cv2.cvtColor(cv2.imread(str(path)), cv2.COLOR_BGR2RGB)
            image = Preprocessor(family.input, side)(picture)  # the whole picture, squashed
            scores = matrices[network.sha256].scores(runner.features(image))
            rows.append((path.parent.name, int(np.argmax(scores))))
        found[variant.name] = rows
    return found


def telling(family: Family, photos: Path, folder: Path) -> Family:
    """With heads for which every row, that of none too, is the best one of some photos."""
    made: dict[str, NDArray[np.float32]] = heads(family, 3)
    blind = write_taught(folder, "gate", family, GATE, made, {}, True)
    for network in family.networks:
        runner = OrtBackend().load(network, network.read(), 1)
        side = network.resolutions[0]
        features = np.array(
            [
                runner.features(Preprocessor(blind.input, side)(cv2.imread(str(path))))
                for path in sorted(photos.rglob("*.png"))
            ]
        )
        matrix = made[network.sha256]
        matrix[:, -1] = -(matrix[:, :-1] @ np.median(features, axis=0))
    return write_taught(folder, "gate", family, GATE, made, {}, True)


def test_evaluate_asks_the_heads(
    tmp_path: Path, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = drawn_photos(tmp_path / "photos", GATE, 12)
    taught = telling(family, photos, tmp_path / "gate")
    assert (
        main(["models", "evaluate", str(taught.directory), "--photos", str(photos), "--json"]) == 0
    )
    found = {row["variant"]: row["top1"] for row in json.loads(capsys.readouterr().out)}
    rows = answers(taught, photos)
    assert found == {
        variant: pytest.approx(np.mean([GATE[row : row + 1] == (label,) for label, row in each]),
                               abs=1e-4)
        for variant, each in rows.items()
    }  # fmt: skip
    assert {row for each in rows.values() for _, row in each} == {0, 1, 2}
    assert any(0 < share < 1 for share in found.values())


def refused(capsys: pytest.CaptureFixture[str], *arguments: str) -> str:
    assert main(["models", *arguments]) == 2
    said = capsys.readouterr().err
    assert "Traceback" not in said
    return said


def test_photos_of_other_classes_are_refused(
    tmp_path: Path, taught: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = drawn_photos(tmp_path / "photos", ("open", "none"), 4)
    said = refused(capsys, "evaluate", str(taught.directory), "--photos", str(photos))
    assert "the photo's folder is not a label of the family gate (got 'none')" in said


def test_what_would_change_its_networks_is_refused(
    tmp_path: Path, taught: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    photos = str(drawn_photos(tmp_path / "photos", GATE, 4))
    folder, before = str(taught.directory), content_of(taught.directory)
    backbone = f"name its backbone instead: {taught.base.directory}"
    said = refused(capsys, "evaluate", folder, "--photos", photos, "--record", "photos")
    assert "those of its teaching" in said and "leave out --record" in said
    for into in ([], ["--into", str(tmp_path / "other")]):
        assert backbone in refused(capsys, "quantize", folder, "--photos", photos, *into)
    weights = str(write_tflite(tmp_path / "tiny.tflite", TINY))
    labels = str(write_labels(tmp_path / "labels.txt", LABELS))
    said = refused(capsys, "import", weights, "--labels", labels, "--into", folder)
    assert backbone in said
    assert backbone in refused(capsys, "pull", "mobilenet-v1-imagenet", "--into", folder)
    assert content_of(taught.directory) == before


def test_list_shows_its_figures_and_what_it_stands_on(
    taught: Family, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "list", str(taught.directory)]) == 0
    said = capsys.readouterr().out
    assert said.count("0.900 (0.850 to 0.950)  moments left out (40 photos)") == 4
    assert "gate knows 2 classes: open, closed\n" in said
    assert f"taught on the networks of animals, {family.directory}\n" in said
    make_taught(taught.directory, family)
    assert main(["models", "list", str(taught.directory)]) == 0
    said = capsys.readouterr().out
    assert said.count("unknown") == 4 and "measure it" not in said


def test_verify_proves_heads_and_backbone(
    taught: Family, family: Family, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["models", "verify", str(taught.directory)]) == 0
    assert capsys.readouterr().out == f"{taught.directory}: 2 networks and their heads verified\n"
    head = taught.heads[family.networks[1].sha256]
    head.path.write_bytes(b"damaged")
    said = refused(capsys, "verify", str(taught.directory))
    assert said.count("edged: ") == 1 and f"{head.path}: the file is damaged" in said


def test_bench_times_its_networks(taught: Family, capsys: pytest.CaptureFixture[str]) -> None:
    command = ["bench", "--model", str(taught.directory), "--runs", "1", "--json"]
    assert main([*command, "--backend", "onnxruntime"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["family"] == "gate"
    assert [row["top1"] for row in found["variants"]] == [0.9] * 4
