"""The class called background, and labels that do not count it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.errors import InputError
from edged.variants.family import load_family
from edged.variants.mobilenet import Architecture
from edged.variants.weights.onnx_builder import build_network
from tests.rig.families import import_weights
from tests.rig.imports import LABELS, scores_of, write_labels, write_tflite
from tests.rig.tflite_files import tflite_file
from tests.rig.weights import TINY, lively_weights

# ------------------------------------------------------------------------------- background


IMAGENET = tuple(f"class {i}" for i in range(1000))


def test_background_of_1001_classes_is_dropped_and_said(tmp_path: Path) -> None:
    """The same label file serves a network that never had the class, even in the same family."""
    slim = Architecture(0.03, 1001)
    values = lively_weights(slim)
    with_background, without = tmp_path / "slim.tflite", tmp_path / "keras.tflite"
    with_background.write_bytes(tflite_file(slim, values))
    whole = build_network(slim, values, scale=1 / 127.5, offset=-1.0)
    for name in ("classifier.weight", "classifier.bias"):
        values[name] = values[name][1:]
    without.write_bytes(tflite_file(Architecture(0.03, 1000), values))
    labels = write_labels(tmp_path / "labels.txt", ("Background", *IMAGENET))
    notes: list[str] = []
    dropped = import_weights(
        with_background, None, labels=labels, into=tmp_path / "a", note=notes.append
    )
    assert any("ImageNet's background" in note for note in notes)
    assert load_family(str(tmp_path / "a"), Path()).labels == IMAGENET
    joined = import_weights(
        without, None, resolutions=(96,), labels=labels, into=tmp_path / "a", note=notes.append
    )
    assert joined.sha256 == dropped.sha256
    rest, all_scores = scores_of(dropped.read()), scores_of(whole)[1:]
    np.testing.assert_allclose(rest, all_scores / all_scores.sum(), rtol=1e-3, atol=1e-7)


def test_background_is_a_class_like_any_other_elsewhere(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "own.tflite", TINY)
    labels = ("background", "bee", "cat", "dog", "elk")
    file = write_labels(tmp_path / "labels.txt", labels)
    import_weights(path, None, labels=file, into=tmp_path / "family")
    assert load_family(str(tmp_path / "family"), Path()).labels == labels
    file = write_labels(tmp_path / "labels.txt", ("background", *LABELS))
    with pytest.raises(InputError, match=r"has 5 classes \(got 6 labels"):
        import_weights(path, None, labels=file, into=tmp_path / "other")


def test_imagenets_thousand_labels_serve_a_network_of_1001(tmp_path: Path) -> None:
    path = write_tflite(tmp_path / "slim.tflite", Architecture(0.03, 1001))
    labels = write_labels(tmp_path / "labels.txt", [f"class {i}" for i in range(1000)])
    into = tmp_path / "family"
    import_weights(path, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert load_family(str(into), Path()).labels[0] == "class 0"


@pytest.mark.parametrize("count", [1, 4, 6, 7])
def test_labels_of_another_number_are_refused(
    weights: Path, into: Path, tmp_path: Path, count: int
) -> None:
    labels = write_labels(tmp_path / "labels.txt", [f"class {i}" for i in range(count)])
    with pytest.raises(InputError, match=rf"has 5 classes \(got {count} labels in .*labels\.txt"):
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert not into.exists()
