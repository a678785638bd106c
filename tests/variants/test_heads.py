"""Heads: what they compute, and files that are none."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edged.errors import InputError
from edged.variants.family import Accuracy
from edged.variants.heads import Head, HeadMatrix, head_bytes
from tests.rig.taught import head

NETWORK = "0" * 64


def write(path: Path, content: bytes) -> Head:
    path.write_bytes(content)
    return Head(path, hashlib.sha256(content).hexdigest(), NETWORK)


def npy(values: Any, **choices: Any) -> bytes:
    file = io.BytesIO()
    np.save(file, values, **choices)
    return file.getvalue()


def test_scores_are_a_softmax_over_its_rows() -> None:
    matrix = head(channels=16, rows=4)
    features = np.random.default_rng(1).uniform(0, 6, 16).astype(np.float32)
    sums = matrix[:, :-1].astype(np.float64) @ features + matrix[:, -1]
    scores = HeadMatrix.of(matrix).scores(features)
    assert scores.dtype == np.float32
    np.testing.assert_allclose(scores, np.exp(sums) / np.exp(sums).sum(), rtol=1e-5)


def test_sums_of_any_size_give_scores() -> None:
    matrix = np.array([[1e4, 0], [0, -1e4], [-1e4, 50]], np.float32)
    scores = HeadMatrix.of(matrix).scores(np.array([10.0], np.float32))
    assert scores.tolist() == [1, 0, 0]
    unknown = HeadMatrix.of(matrix).scores(np.array([np.nan], np.float32))
    assert np.isnan(unknown).all()


def test_scores_leave_head_and_features_as_they_are() -> None:
    matrix = head(8, 3)
    read, features = HeadMatrix.of(matrix), np.ones(8, np.float32)
    first = read.scores(features)
    kept = first.copy()
    read.scores(features * 2)
    assert (first == kept).all() and (features == 1).all()
    assert (read.weight == matrix[:, :-1]).all() and read.bias == tuple(matrix[:, -1])


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    matrix = head(32, 3)
    read = write(tmp_path / "head.npy", head_bytes(matrix)).read()
    assert (read.rows, read.channels) == (3, 32)
    assert (read.weight == matrix[:, :-1]).all() and read.bias == tuple(matrix[:, -1])
    assert head_bytes(matrix) == head_bytes(matrix.copy(order="F"))


def test_heads_are_equal_by_their_hashes() -> None:
    one = Head(Path("a/1.npy"), "1" * 64, NETWORK)
    judged = replace(one, path=Path("b/1.npy"), accuracy={64: Accuracy(0.5, None, 1, "x")})
    assert one == judged and hash(one) == hash(judged)
    assert one != replace(one, sha256="2" * 64)
    assert one != replace(one, network="1" * 64)


def _bad(value: float) -> Callable[[], bytes]:
    def content() -> bytes:
        matrix = head(4, 2)
        matrix[1, 2] = value
        return npy(matrix)

    return content


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (lambda: npy(head(4, 2).astype(np.float64)), r"expected float32 .* got float64 \(2, 5\)"),
        (lambda: npy(head(4, 2).astype(np.float16)), "got float16"),
        (lambda: npy(head(4, 2).ravel()), r"got float32 \(10,\)"),
        (lambda: npy(head(4, 2)[:1]), r"got float32 \(1, 5\)"),
        (lambda: npy(head(4, 2)[:, :1]), r"got float32 \(2, 1\)"),
        (lambda: npy(np.empty((0, 5), np.float32)), r"got float32 \(0, 5\)"),
        (_bad(np.nan), "not finite"),
        (_bad(-np.inf), "not finite"),
        (lambda: npy(np.array([object()]), allow_pickle=True), "expected a NumPy file"),
        (lambda: npy(head(4, 2)) + b"more", "data after the array"),
        (lambda: npy(head(4, 2))[:-1], "expected a NumPy file"),
        (lambda: npy(head(4, 2)).replace(b"(2, 5)", b"(2**)5"), "expected a NumPy file"),
        (lambda: b"PK\x03\x04", "expected a NumPy file"),
        (lambda: b"", "expected a NumPy file"),
    ],
)
def test_what_is_no_head_is_refused(
    tmp_path: Path, content: Callable[[], bytes], complaint: str
) -> None:
    with pytest.raises(InputError, match=rf"head\.npy: not a head: .*{complaint}.*teach it again"):
        write(tmp_path / "head.npy", content()).read()


def test_a_damaged_file_is_told_by_its_hash(tmp_path: Path) -> None:
    known = write(tmp_path / "head.npy", head_bytes(head(4, 2)))
    known.path.write_bytes(head_bytes(head(4, 2, seed=1)))
    with pytest.raises(InputError, match=rf"damaged or changed: .*{known.sha256}"):
        known.read()
    known.path.unlink()
    with pytest.raises(InputError, match=r"head\.npy"):
        known.read()


def test_a_head_that_is_none_is_not_written() -> None:
    with pytest.raises(ValueError, match="not finite"):
        head_bytes(np.full((2, 3), np.nan, np.float32))
