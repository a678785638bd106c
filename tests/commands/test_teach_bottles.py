"""`edged teach` on a real clip and the smallest network of ImageNet, without a camera."""

from __future__ import annotations

import csv
import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.teach.store import TeachStore
from edged.teach.training.features import Extraction
from edged.variants.taught import head_matrices
from tests.rig.classifiers import with_none_photos
from tests.rig.command_line import edged
from tests.rig.families import import_weights

pytestmark = pytest.mark.data
CLASSES = ("complete", "missing")
A_MOMENT = 6
"""Pictures that are taught of each."""
ASKED = 4
"""Of the later frames, which are not taught, every fourth is asked."""

Frame = NDArray[np.uint8]


def frames(data: Path) -> Iterator[tuple[dict[str, str], Frame]]:
    """(row of the labels, RGB)"""
    with (data / "teach/bottle.csv").open() as file:
        rows = {int(row["frame"]): row for row in csv.DictReader(file)}
    with av.open(str(data / "video/bottle-detection.mp4")) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if rows.get(number, {}).get("label") in CLASSES:
                yield rows[number], frame.to_ndarray(format="rgb24")


@pytest.fixture
def teach(tmp_path: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, list[Frame]]:
    """A classifier with the moments of the first part of the clip; the pictures of the second part
    by class. ImageNet's network is where `edged models pull … --teach` puts it."""
    monkeypatch.setenv("STATE_DIRECTORY", str(tmp_path / "state"))
    monkeypatch.chdir(tmp_path)
    import_weights(
        data / "weights/mobilenet_v1_0.25_128_quant.tflite",
        None,
        labels=data / "weights/imagenet_labels.txt",
        into=tmp_path / "state/imagenet",
        resolutions=(128, 160),
    )
    with_none_photos(tmp_path / "state/teach", 40)
    moments = defaultdict(list)
    later = defaultdict(list)
    for row, frame in frames(data):
        if row["split"] == "pool":
            moments[row["label"], row["moment"]].append(frame)
        else:
            later[row["label"]].append(frame)
    assert edged("teach", "bottle", "--view", "belt", "--classes", ",".join(CLASSES)) == 0
    for (label, moment), shots in moments.items():
        folder = tmp_path / f"{label}-{moment}"
        folder.mkdir()
        for number in np.linspace(0, len(shots) - 1, A_MOMENT).astype(int):
            cv2.imwrite(str(folder / f"{number:04}.jpg"), shots[number][:, :, ::-1])
        assert edged("teach", "bottle", "add", label, folder, "--one-moment") == 0
    return {label: shots[::ASKED] for label, shots in later.items()}


def test_bottles_are_known_in_the_later_part_of_the_clip(
    teach: dict[str, list[Frame]], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    capsys.readouterr()
    assert edged("teach", "bottle", "train", "--json") == 0
    out, err = capsys.readouterr()
    report = json.loads(out)
    assert "ImageNet" not in err  # which is what it is taught on
    estimate = report["estimate"]
    assert estimate["judged"]
    assert edged("teach", "bottle", "deploy") == 0
    classifier = TeachStore(tmp_path / "state/teach").open("bottle")
    family = classifier.family(1)
    matrices = head_matrices(family)
    assert matrices is not None
    (network,) = family.networks
    extraction = Extraction(OrtBackend(), network)
    shares = []
    for label, name in enumerate(CLASSES):
        right = []
        for frame in teach[name]:
            height, width = frame.shape[:2]
            small = cv2.resize(frame, (256 * width // height, 256), interpolation=cv2.INTER_AREA)
            shots = extraction.features(small, copies=1)[0].astype(np.float32)
            right += [matrices[network.sha256].scores(shot).argmax() == label for shot in shots]
        assert len(right) > 20
        shares.append(np.mean(right))
    truth = float(np.mean(shares))
    assert truth > 0.85
    for each in estimate["variants"].values():
        assert each["low"] - 0.02 <= truth <= each["high"] + 0.02
