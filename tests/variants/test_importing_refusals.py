"""What an import refuses, in one sentence, and leaves the family as it was."""

from __future__ import annotations

import errno
import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError, InputError
from edged.variants.family import load_family
from tests.rig.families import content_of, import_weights
from tests.rig.imports import write_tflite
from tests.rig.tflite_files import FLOAT32, tflite_file
from tests.rig.weights import TINY, lively_weights

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
    with pytest.raises(InputError, match=r"have alpha 0\.03 \(got --alpha 0\.5\)"):
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
        (b"ant\nbee\n", r"first bytes b'ant"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0", r"LFS pointer.*git lfs pull"),
        (b"\x1f\x8b\x08\x00", r"gzip archive\); unpack it"),
        (b"PK\x03\x04\x14\x00", r"zip archive that is truncated"),
        (b"\x80\x02\x8a\nl\xfc\x9cF\xf9 j\xa8P", r"PyTorch file.*does not load"),
        (b"\x08\x08\x12\x07pytorch", r"ONNX network\); name the weights"),
        (b"<!DOCTYPE html><html>", r"web page\); download the file"),
        (bytes(4096), r"first bytes b'\\x00"),
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


@pytest.mark.parametrize(
    ("member", "message"),
    [
        ("model/data.pkl", r"PyTorch file.*does not load"),
        ("export/saved_model.pb", r"SavedModel\); save it as a file: tf\.keras\.models"),
        ("converted/model_unquant.tflite", r"with converted/model_unquant\.tflite\); unpack it"),
        ("model.json", r"zip archive\); unpack it"),
    ],
)
def test_archives_are_called_by_what_they_hold(
    labels: Path, into: Path, tmp_path: Path, member: str, message: str
) -> None:
    path = tmp_path / "download.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(member, b"content")
    with pytest.raises(InputError, match=rf"download\.zip: neither .*{message}"):
        import_weights(path, None, labels=labels, into=into)


def test_a_saved_model_folder_is_called_one(labels: Path, into: Path, tmp_path: Path) -> None:
    (tmp_path / "export").mkdir()
    (tmp_path / "export" / "saved_model.pb").write_bytes(b"\x08\x01")
    with pytest.raises(InputError, match=r"export: neither .*a TensorFlow SavedModel, which only"):
        import_weights(tmp_path / "export", None, labels=labels, into=into)


@pytest.mark.timeout(10)
def test_a_pipe_is_not_waited_for(weights: Path, labels: Path, into: Path, tmp_path: Path) -> None:
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    with pytest.raises(InputError, match=r"pipe: cannot be read: not a regular file"):
        import_weights(pipe, None, labels=labels, into=into)
    with pytest.raises(InputError, match=r"pipe: cannot be read: not a regular file"):
        import_weights(weights, pipe, labels=labels, into=into)
    with pytest.raises(InputError, match=r"pipe: cannot be read: not a regular file"):
        import_weights(weights, None, labels=pipe, into=into)
    network = import_weights(weights, None, labels=labels, into=into)
    network.path.unlink()
    os.mkfifo(network.path)
    with pytest.raises(InputError, match=r"cannot be read: not a regular file"):
        network.read()


def test_absent_files_are_named(weights: Path, labels: Path, into: Path, tmp_path: Path) -> None:
    absent = tmp_path / "absent"
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        import_weights(absent, None, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=absent, into=into)
    with pytest.raises(InputError, match=r"absent: cannot be read"):
        import_weights(weights, absent, alpha=0.03, resolutions=(64,), labels=labels, into=into)
    with pytest.raises(InputError, match=r"tiny\.tflite: a family must be a folder"):
        import_weights(weights, None, alpha=0.03, resolutions=(64,), labels=labels, into=weights)


@pytest.mark.parametrize("layer", ["block4.pointwise.weight", "classifier.weight"])
@pytest.mark.parametrize(("value", "message"), [(0, "are equal"), (np.nan, "not finite")])
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
    LoadedNetworks([load_family(str(into), Path())], [OrtBackend()])
