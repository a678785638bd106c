from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
import yaml

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.errors import InputError
from edged.variants.family import Fit, load_family
from edged.variants.mobilenet import Architecture
from edged.variants.variant import Precision
from edged.variants.weights.importing import read_labels
from edged.variants.weights.onnx_builder import InputRange, build_network
from tests.rig.families import content_of, import_weights
from tests.rig.imports import LABELS, scores_of, write_labels, write_tflite
from tests.rig.keras_files import keras_file
from tests.rig.tflite_files import UINT8, tflite_file
from tests.rig.weights import TINY, lively_weights

# ------------------------------------------------------------------------------- a new family


def test_an_import_makes_a_family_that_loads_and_proves_itself(
    weights: Path, labels: Path, into: Path
) -> None:
    network = import_weights(
        weights, None, alpha=0.03, resolutions=(96, 64), labels=labels, into=into
    )
    assert network.path == into / "mobilenet_v1_0.03_64_96.onnx"
    assert (network.alpha, network.precision) == (0.03, Precision.FLOAT)
    assert network.resolutions == (64, 96)
    assert set(network.golden) == {64, 96}
    assert not network.accuracy

    family = load_family(str(into), Path())
    assert family.labels == LABELS
    assert family.input.fit is Fit.CROP
    assert family.networks == (network,)
    loaded = LoadedNetworks([family], [OrtBackend()])  # checks sha256 and golden scores
    scores, *_ = loaded.infer(
        family.choice(family.variants()[0], 1), np.zeros((80, 100, 3), np.uint8)
    )
    assert scores.shape == (5,)
    names = {"family.yaml", "golden.png", "labels.txt", "mobilenet_v1_0.03_64_96.onnx"}
    assert {path.name for path in into.iterdir()} == names


def test_the_same_import_gives_the_same_bytes(weights: Path, labels: Path, tmp_path: Path) -> None:
    folders = [tmp_path / "one" / "family", tmp_path / "two" / "family"]
    for into in folders:
        into.parent.mkdir()
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert content_of(folders[0]) == content_of(folders[1])


def test_two_chained_files_are_one_network(labels: Path, tmp_path: Path) -> None:
    values = lively_weights(TINY)
    paths = [tmp_path / "extractor.tflite", tmp_path / "head.tflite"]
    for path, part in zip(paths, ("extractor", "head"), strict=True):
        path.write_bytes(tflite_file(TINY, values, UINT8, part=part))
    whole = tmp_path / "whole.tflite"
    whole.write_bytes(tflite_file(TINY, values, UINT8))
    chained, alone = (
        import_weights(
            *files, alpha=0.03, resolutions=(64,), labels=labels, into=tmp_path / files[0].stem
        )
        for files in ((paths[0], paths[1]), (whole, None))
    )
    assert chained.sha256 == alone.sha256
    with pytest.raises(InputError, match="takes no second file"):
        keras = tmp_path / "tiny.h5"
        keras_file(keras, TINY)
        import_weights(
            keras, paths[1], alpha=0.03, resolutions=(64,), labels=labels, into=tmp_path / "k"
        )


def test_the_reader_follows_the_content_not_the_name(labels: Path, tmp_path: Path) -> None:
    misnamed = tmp_path / "weights.tflite"
    keras_file(misnamed, TINY)
    network = import_weights(
        misnamed, None, alpha=0.03, resolutions=(64,), labels=labels, into=tmp_path / "family"
    )
    assert network.path.exists()


def test_the_input_range_is_said_where_it_is_assumed(
    weights: Path, labels: Path, tmp_path: Path
) -> None:
    """Every range gives what a network with that normalisation gives."""
    notes: list[str] = []
    for given, scale, offset in (
        (None, 1 / 127.5, -1.0),
        (InputRange.SYMMETRIC, 1 / 127.5, -1.0),
        (InputRange.UNIT, 1 / 255, 0.0),
        (InputRange.PIXELS, 1.0, 0.0),
    ):
        into = tmp_path / str(given)
        notes.clear()
        network = import_weights(
            weights, None, labels=labels, into=into, input_range=given, note=notes.append
        )
        expected = build_network(TINY, lively_weights(TINY), scale=scale, offset=offset)
        np.testing.assert_allclose(scores_of(network.read()), scores_of(expected), atol=1e-5)
        told = [note for note in notes if "no input range" in note]
        assert len(told) == (given is None)
    import_weights(weights, None, labels=labels, into=tmp_path / "told", note=notes.append)
    (told,) = (note for note in notes if "no input range" in note)
    assert "assuming -1 … 1" in told
    assert "--input-range unit for 0 … 1 or --input-range pixels for 0 … 255" in told


def test_a_quantised_file_states_its_range(tmp_path: Path, labels: Path, into: Path) -> None:
    path = tmp_path / "quant.tflite"
    path.write_bytes(tflite_file(TINY, lively_weights(TINY), UINT8))
    notes: list[str] = []
    import_weights(path, None, labels=labels, into=into, note=notes.append)
    assert notes == []


@pytest.mark.parametrize(
    ("trained_on", "given", "fits"),
    [
        (InputRange.SYMMETRIC, InputRange.PIXELS, "symmetric or unit"),
        (InputRange.PIXELS, InputRange.SYMMETRIC, "pixels"),
        (InputRange.PIXELS, InputRange.PIXELS, None),
        (InputRange.UNIT, InputRange.UNIT, None),
    ],
)
def test_a_range_that_cannot_be_right_is_warned_of(
    tmp_path: Path,
    labels: Path,
    into: Path,
    trained_on: InputRange,
    given: InputRange,
    fits: str | None,
) -> None:
    values = lively_weights(TINY)
    values["conv.weight"] = values["conv.weight"] / (trained_on.scale * 127.5)
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_file(TINY, values))
    notes: list[str] = []
    with suppress(InputError):  # such a network may fail its golden picture, too
        import_weights(path, None, labels=labels, into=into, input_range=given, note=notes.append)
    warned = [note for note in notes if note.startswith("warning: wrong input range")]
    assert len(warned) == (fits is not None)
    assert fits is None or warned[0].endswith(f"--input-range {fits} fits")


def test_a_rescaling_that_a_converter_folded_is_seen(
    tmp_path: Path, labels: Path, into: Path
) -> None:
    values = lively_weights(TINY)
    path = tmp_path / "net.tflite"
    path.write_bytes(tflite_file(TINY, {**values, "conv.weight": values["conv.weight"] / 127.5}))
    notes: list[str] = []
    import_weights(path, None, labels=labels, into=into, note=notes.append)
    assert "the weights of its first layer do not fit -1 … 1 as input" in notes
    assert any("the file states no input range; assuming 0 … 255. If" in note for note in notes)
    assert not any(note.startswith("warning") for note in notes)


def test_alpha_and_resolution_come_from_the_file(weights: Path, labels: Path, into: Path) -> None:
    notes: list[str] = []
    network = import_weights(weights, None, labels=labels, into=into, note=notes.append)
    assert [each.name for each in network.variants()] == ["mobilenet_v1_0.03_64"]
    assert not any("made for" in note for note in notes)
    import_weights(weights, None, resolutions=(96,), labels=labels, into=into, note=notes.append)
    assert "the model was made for 64 pixels; at 96 its accuracy differs" in notes


def test_a_file_that_states_no_resolution_asks_for_one(
    tmp_path: Path, labels: Path, into: Path
) -> None:
    path = tmp_path / "weights.h5"
    keras_file(path, TINY)
    with pytest.raises(InputError, match=r"state its resolution; use --resolution"):
        import_weights(path, None, labels=labels, into=into)


def test_a_network_that_pads_by_hand_takes_multiples_of_32_only(
    tmp_path: Path, labels: Path, into: Path
) -> None:
    path = tmp_path / "padded.tflite"
    path.write_bytes(tflite_file(TINY, lively_weights(TINY), written_padding=True))
    with pytest.raises(InputError, match=r"multiples of 32 .*\(got 100 pixels\); .*resolution 96"):
        import_weights(path, None, resolutions=(100,), labels=labels, into=into)


@pytest.mark.parametrize(
    ("lines", "note"),
    [
        (("0 ant", "1 bee", "2 cat", "3 dog", "4 elk"), "numbers, from 0"),
        (("1: ant", "2: bee", "3: cat", "4: dog", "5: elk"), "numbers, from 1"),
        (("4,elk", "0,ant", "2,cat", "1,bee", "3,dog"), "numbers, from 0"),
    ],
)
def test_numbers_before_all_labels_are_taken_off(
    tmp_path: Path, lines: Sequence[str], note: str
) -> None:
    notes: list[str] = []
    assert read_labels(write_labels(tmp_path / "labels.txt", lines), notes.append) == LABELS
    assert len(notes) == 1 and note in notes[0]


@pytest.mark.parametrize(
    "lines", [("7 up", "cola"), ("0 ant", "2 bee"), ("0 ant", "1"), ("0 ant", "0 bee")]
)
def test_other_numbers_belong_to_the_labels(tmp_path: Path, lines: Sequence[str]) -> None:
    notes: list[str] = []
    assert read_labels(write_labels(tmp_path / "labels.txt", lines), notes.append) == lines
    assert notes == []


def test_the_folder_names_the_family(weights: Path, labels: Path, tmp_path: Path) -> None:
    into = tmp_path / ".my family"
    import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert load_family(str(into), Path()).name == "my_family"


# ------------------------------------------------------------------------------- more networks


def test_further_networks_join_and_serve_only_what_was_named(
    weights: Path, labels: Path, into: Path, tmp_path: Path
) -> None:
    other_seed = write_tflite(tmp_path / "second.tflite", TINY, seed=1)
    wide = tmp_path / "wide.h5"
    keras_file(wide, Architecture(0.05, 5))
    import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    import_weights(other_seed, None, alpha=0.03, resolutions=(96,), labels=labels, into=into)
    import_weights(wide, None, alpha=0.05, resolutions=(128,), labels=labels, into=into)
    family = load_family(str(into), Path())
    assert [(n.path.name, n.resolutions) for n in family.networks] == [
        ("mobilenet_v1_0.03_64.onnx", (64,)),
        ("mobilenet_v1_0.03_96.onnx", (96,)),
        ("mobilenet_v1_0.05_128.onnx", (128,)),
    ]
    assert [variant.resolution for variant in family.variants()] == [64, 96, 128]
    LoadedNetworks([family], [OrtBackend()])


def test_a_second_import_of_a_variant_replaces_the_first(
    weights: Path, labels: Path, into: Path, tmp_path: Path
) -> None:
    first = import_weights(
        weights, None, alpha=0.03, resolutions=(64, 96), labels=labels, into=into
    )
    second_file = write_tflite(tmp_path / "second.tflite", TINY, seed=1)
    second = import_weights(
        second_file, None, alpha=0.03, resolutions=(64,), labels=labels, into=into
    )
    family = load_family(str(into), Path())
    assert {n.resolutions: n.sha256 for n in family.networks} == {
        (96,): first.sha256,
        (64,): second.sha256,
    }
    third = import_weights(
        second_file, None, alpha=0.03, resolutions=(64, 96), labels=labels, into=into
    )
    family = load_family(str(into), Path())
    assert family.networks == (third,)
    assert third.sha256 == second.sha256
    assert sorted(path.suffix for path in into.iterdir()) == [".onnx", ".png", ".txt", ".yaml"]
    LoadedNetworks([family], [OrtBackend()])


def test_a_family_with_other_labels_is_left_alone(
    weights: Path, labels: Path, into: Path, tmp_path: Path
) -> None:
    import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    before = content_of(into)
    other = write_labels(tmp_path / "other.txt", ("ant", "bee", "cow", "dog", "elk"))
    with pytest.raises(InputError, match=r"other labels .*label 2 is 'cow', not 'cat'"):
        import_weights(weights, None, alpha=0.03, resolutions=(96,), labels=other, into=into)
    six = write_tflite(tmp_path / "six.tflite", Architecture(0.03, 6))
    more = write_labels(tmp_path / "more.txt", (*LABELS, "fox"))
    with pytest.raises(InputError, match=r"other labels .*6 labels, not 5"):
        import_weights(six, None, alpha=0.03, resolutions=(96,), labels=more, into=into)
    assert content_of(into) == before


def test_the_fit_is_the_familys(weights: Path, labels: Path, into: Path) -> None:
    import_weights(
        weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into, fit=Fit.SQUASH
    )
    with pytest.raises(InputError, match=r"uses fit squash .*got crop"):
        import_weights(
            weights, None, alpha=0.03, resolutions=(96,), labels=labels, into=into, fit=Fit.CROP
        )
    import_weights(weights, None, alpha=0.03, resolutions=(96,), labels=labels, into=into)
    family = load_family(str(into), Path())
    assert family.input.fit is Fit.SQUASH
    assert len(family.networks) == 2


# ------------------------------------------------------------------------------- real weights


@pytest.mark.data
def test_official_weights_of_three_kinds_share_one_family(data: Path, into: Path) -> None:
    folder = data / "weights"
    labels = folder / "imagenet_labels.txt"
    for names, alpha, resolution in (
        (("mobilenet_v1_0.25_128_quant.tflite", None), 0.25, 128),
        (("mobilenet_v1_0.25_224.h5", None), 0.25, 224),
        (
            (
                "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
                "mobilenet_quant_v1_224_head_layers.tflite",
            ),
            1.0,
            224,
        ),
    ):
        first, second = (None if name is None else folder / name for name in names)
        assert first is not None
        import_weights(
            first, second, alpha=alpha, resolutions=(resolution,), labels=labels, into=into
        )
    family = load_family(str(into), Path())
    assert (len(family.labels), family.labels[0]) == (1000, "tench, Tinca tinca")
    assert [network.path.name for network in family.networks] == [
        "mobilenet_v1_0.25_128.onnx",
        "mobilenet_v1_0.25_224.onnx",
        "mobilenet_v1_1.0_224.onnx",
    ]
    LoadedNetworks([family], [OrtBackend()])
    manifest = yaml.safe_load((into / "family.yaml").read_text())
    assert manifest["input"] == {"fit": "crop", "crop_fraction": 0.875}
