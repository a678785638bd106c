from __future__ import annotations

import errno
import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import onnxruntime
import pytest
import yaml
from numpy.typing import NDArray

from edged.backends.loaded import LoadedFamily
from edged.backends.ort import OrtBackend
from edged.errors import EdgedError, InputError
from edged.variants.family import Fit, load_family
from edged.variants.importing import import_weights
from edged.variants.mobilenet import Architecture
from edged.variants.variant import Precision
from tests.weight_files import FLOAT32, TINY, UINT8, keras_file, lively_weights, tflite_file

LABELS = ("ant", "bee", "cat", "dog", "elk")


@pytest.fixture
def into(tmp_path: Path) -> Path:
    return tmp_path / "family"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    return write_labels(tmp_path / "labels.txt", LABELS)


@pytest.fixture
def weights(tmp_path: Path) -> Path:
    return write_tflite(tmp_path / "tiny.tflite", TINY)


def write_labels(path: Path, labels: Sequence[str]) -> Path:
    path.write_text("".join(f"{label}\n" for label in labels), encoding="utf-8")
    return path


def write_tflite(path: Path, architecture: Architecture, seed: int = 0) -> Path:
    path.write_bytes(tflite_file(architecture, lively_weights(architecture, seed)))
    return path


def scores_of(model: bytes, side: int = 64) -> NDArray[np.float32]:
    rows, columns = np.mgrid[0:side, 0:side]
    planes = (rows * 3, columns * 2, rows + columns)
    picture = (np.stack(planes, axis=-1) % 256).astype(np.uint8)[np.newaxis]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    return np.asarray(session.run(None, {"image": picture})[0][0])


def content_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


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
    loaded = LoadedFamily(family, OrtBackend())  # checks sha256 and golden scores
    scores, *_ = loaded.infer(family.variants()[0], 1, np.zeros((80, 100, 3), np.uint8))
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
    with pytest.raises(InputError, match="nothing belongs behind it"):
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


def test_the_input_range_may_be_overridden(weights: Path, labels: Path, tmp_path: Path) -> None:
    ranges: dict[str, tuple[float | None, float | None]] = {
        "stated": (None, None),
        "unit": (1 / 255, 0.0),
    }
    stated, unit = (
        import_weights(
            weights,
            None,
            alpha=0.03,
            resolutions=(64,),
            labels=labels,
            into=tmp_path / name,
            scale=scale,
            offset=offset,
        ).read()
        for name, (scale, offset) in ranges.items()
    )
    assert np.abs(scores_of(stated) - scores_of(unit)).max() > 1e-3


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
    LoadedFamily(family, OrtBackend())


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
    LoadedFamily(family, OrtBackend())


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
    with pytest.raises(InputError, match=r"fits pictures by squash .*got crop"):
        import_weights(
            weights, None, alpha=0.03, resolutions=(96,), labels=labels, into=into, fit=Fit.CROP
        )
    import_weights(weights, None, alpha=0.03, resolutions=(96,), labels=labels, into=into)
    family = load_family(str(into), Path())
    assert family.input.fit is Fit.SQUASH
    assert len(family.networks) == 2


# ------------------------------------------------------------------------------- background


def test_background_is_dropped_and_labels_keep_their_classes(tmp_path: Path) -> None:
    six = Architecture(0.03, 6)
    values = lively_weights(six)
    with_background, without = tmp_path / "six.tflite", tmp_path / "five.tflite"
    with_background.write_bytes(tflite_file(six, values))
    for name in ("classifier.weight", "classifier.bias"):
        values[name] = values[name][1:]
    without.write_bytes(tflite_file(TINY, values))
    labels = write_labels(tmp_path / "labels.txt", ("Background", *LABELS))

    dropped = import_weights(
        with_background, None, alpha=0.03, resolutions=(64,), labels=labels, into=tmp_path / "a"
    )
    family = load_family(str(tmp_path / "a"), Path())
    assert family.labels == LABELS
    # The same label file serves a network that never had the class, even in the same family.
    joined = import_weights(
        without, None, alpha=0.03, resolutions=(96,), labels=labels, into=tmp_path / "a"
    )
    assert joined.sha256 == dropped.sha256
    assert scores_of(dropped.read()).sum() == pytest.approx(1, abs=1e-5)


def test_dropping_the_background_keeps_the_odds_of_the_others(tmp_path: Path) -> None:
    six = Architecture(0.03, 6)
    path = write_tflite(tmp_path / "six.tflite", six)
    kept = import_weights(
        path,
        None,
        alpha=0.03,
        resolutions=(64,),
        labels=write_labels(tmp_path / "six.txt", ("void", *LABELS)),
        into=tmp_path / "kept",
    )
    dropped = import_weights(
        path,
        None,
        alpha=0.03,
        resolutions=(64,),
        labels=write_labels(tmp_path / "bg.txt", ("background", *LABELS)),
        into=tmp_path / "dropped",
    )
    whole, rest = scores_of(kept.read()), scores_of(dropped.read())
    assert (whole.shape, rest.shape) == ((6,), (5,))
    np.testing.assert_allclose(rest, whole[1:] / whole[1:].sum(), rtol=1e-4, atol=1e-7)


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


# ------------------------------------------------------------------------------- bad input


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "no labels"),
        (b"\n\n", "no labels"),
        (b"ant\n\ncat\ndog\nelk\n", r"labels\.txt:2: an empty label"),
        (b"ant\nb\xe9e\ncat\ndog\nelk\n", "not UTF-8"),
    ],
)
def test_bad_labels_are_refused(
    weights: Path, into: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes(content)
    with pytest.raises(InputError, match=message):
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert not into.exists()


def test_labels_may_have_a_byte_order_mark_and_foreign_line_ends(
    weights: Path, into: Path, tmp_path: Path
) -> None:
    labels = tmp_path / "labels.txt"
    labels.write_bytes("\ufeffant\r\nbee\r\ncat \r\ndog\r\nélan\r\n\r\n".encode())
    import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert load_family(str(into), Path()).labels == ("ant", "bee", "cat", "dog", "élan")


def test_another_alpha_than_the_files_is_refused(weights: Path, labels: Path, into: Path) -> None:
    with pytest.raises(InputError, match=r"are of alpha 0\.03 \(got --alpha 0\.5\)"):
        import_weights(weights, None, alpha=0.5, resolutions=(64,), labels=labels, into=into)
    with pytest.raises(InputError, match="alpha must be above 0"):
        import_weights(weights, None, alpha=0, resolutions=(64,), labels=labels, into=into)
    assert not into.exists()


def test_a_resolution_that_is_too_small_is_refused(weights: Path, labels: Path, into: Path) -> None:
    with pytest.raises(InputError, match=r"from 32 to 512 \(got 16\)"):
        import_weights(weights, None, alpha=0.03, resolutions=(64, 16), labels=labels, into=into)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "an empty file"),
        (b"ant\nbee\n", r"it begins b'ant"),
        (b"\x1f\x8b\x08\x00", r"gzip archive\); unpack it"),
        (b"PK\x03\x04\x14\x00", r"zip archive\); write a Keras model"),
        (b"\x08\x08\x12\x07pytorch", r"ONNX network\); name the weights"),
        (bytes(4096), r"it begins b'\\x00"),
    ],
)
def test_foreign_files_are_refused(
    labels: Path, into: Path, tmp_path: Path, content: bytes, message: str
) -> None:
    path = tmp_path / "mobilenet.tflite"
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"mobilenet\.tflite: neither .*{message}"):
        import_weights(path, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert not into.exists()


def test_absent_files_are_named(weights: Path, labels: Path, into: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        import_weights(absent, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=absent, into=into)
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        import_weights(weights, absent, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    with pytest.raises(InputError, match=r"tiny\.tflite: a family is a folder"):
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=weights)


@pytest.mark.parametrize("layer", ["block4.pointwise.weight", "classifier.weight"])
@pytest.mark.parametrize(("value", "message"), [(0, "same number"), (np.nan, "not finite")])
def test_a_layer_without_content_is_refused(
    labels: Path, into: Path, tmp_path: Path, layer: str, value: float, message: str
) -> None:
    values = lively_weights(TINY)
    values[layer] = np.full_like(values[layer], value)
    path = tmp_path / "empty.tflite"
    path.write_bytes(tflite_file(TINY, values, FLOAT32))
    with pytest.raises(InputError, match=rf"empty\.tflite, {layer}: .*{message}"):
        import_weights(path, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert not into.exists()


def test_a_damaged_family_is_named_and_left_alone(weights: Path, labels: Path, into: Path) -> None:
    network = import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    network.path.write_bytes(network.path.read_bytes()[:-1])
    before = content_of(into)
    with pytest.raises(InputError, match=r"mobilenet_v1_0\.03_64\.onnx: the file is truncated"):
        import_weights(weights, None, alpha=0.03, resolutions=(96,), labels=labels, into=into)
    assert content_of(into) == before


def test_an_import_that_cannot_be_written_leaves_the_family_whole(
    weights: Path, labels: Path, into: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    before = content_of(into)
    second = write_tflite(tmp_path / "second.tflite", TINY, seed=1)

    def full(descriptor: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(EdgedError, match="No space left"):
        import_weights(second, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    assert content_of(into) == before
    LoadedFamily(load_family(str(into), Path()), OrtBackend())


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
    LoadedFamily(family, OrtBackend())
    manifest = yaml.safe_load((into / "family.yaml").read_text())
    assert manifest["input"] == {"fit": "crop", "crop_fraction": 0.875}
