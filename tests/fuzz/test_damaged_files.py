"""Clips and model files with damage anywhere: pictures, a network, or one clear error.

`make fuzz` tries many more.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.capture.source import SourceError
from edged.errors import EdgedError, InputError
from edged.variants.family import Network
from edged.variants.weights.importing import read_weights
from tests.rig.clips import write_clip
from tests.rig.damage import MANY, damaged
from tests.rig.families import model
from tests.rig.keras_files import keras_file
from tests.rig.player import Player
from tests.rig.tflite_files import FLOAT32, INT8, UINT8, tflite_file
from tests.rig.weights import TINY, lively_weights

CLIPS = max(12, MANY // 20)
MODELS = max(40, MANY // 10)
pytestmark = pytest.mark.timeout(1800 if MANY else 120)
FRAMES = 40


CONTAINERS = ("mp4", "mkv", "avi", "ts", "h264")


def test_a_damaged_clip_gives_pictures_or_a_reason(tmp_path: Path) -> None:
    wholes = {
        suffix: write_clip(tmp_path / f"whole.{suffix}", frames=FRAMES, codec="h264").read_bytes()
        for suffix in CONTAINERS
    }
    dice = random.Random(0)
    outcomes: Counter[str] = Counter()
    for number in range(CLIPS):
        suffix = CONTAINERS[number % len(CONTAINERS)]
        clip = tmp_path / f"clip.{suffix}"
        clip.write_bytes(damaged(wholes[suffix], dice))
        try:
            player = Player(clip)
            pictures = player.pictures()
            player.source.close()
        except SourceError as error:
            assert str(clip) in str(error)
            outcomes["refused"] += 1
            continue
        outcomes["played"] += 1
        counts = player.counts
        assert 0 < len(pictures) < 1000
        assert counts.captured == len(pictures) + counts.overwritten + counts.broken
        assert all(picture.pixels.shape[2] == 3 for picture in pictures)
    assert outcomes["played"] > CLIPS / 3


WEIGHTS = lively_weights(TINY)


def keras(path: Path, layout: str) -> bytes:
    keras_file(path, TINY, layout=layout)
    return path.read_bytes()


WEIGHT_FILES: dict[str, Callable[[Path], bytes]] = {
    "float.tflite": lambda _: tflite_file(TINY, WEIGHTS, FLOAT32),
    "uint8.tflite": lambda _: tflite_file(TINY, WEIGHTS, UINT8),
    "int8.tflite": lambda _: tflite_file(TINY, WEIGHTS, INT8),
    "model.h5": lambda path: keras(path, "model"),
    "model.keras": lambda path: keras(path, "archive"),
}


def test_damaged_weights_are_weights_or_one_clear_error(tmp_path: Path) -> None:
    wholes = {name: make(tmp_path / name) for name, make in WEIGHT_FILES.items()}
    dice = random.Random(0)
    outcomes: Counter[str] = Counter()
    for number in range(MODELS * len(wholes) // (len(wholes) + 1)):
        name = list(wholes)[number % len(wholes)]
        path = tmp_path / name
        path.write_bytes(damaged(wholes[name], dice))
        try:
            read_weights(path)
            outcomes["read"] += 1
        except InputError as error:
            assert str(error).startswith(str(path))
            outcomes["refused"] += 1
    assert outcomes["refused"] > MODELS / 8


def test_a_damaged_network_runs_or_is_one_clear_error() -> None:
    whole = model(0.03)
    picture = np.zeros((1, 64, 64, 3), np.uint8)
    dice = random.Random(0)
    outcomes: Counter[str] = Counter()
    for _ in range(MODELS // 6 + 1):
        content = damaged(whole, dice)
        network = Network.of(Path("some/file.onnx"), content, 0.03, (64,))
        try:
            scores = OrtBackend().load(network, content, 1).run(picture)
            outcomes["ran"] += 1
            assert scores.dtype == np.float32
        except EdgedError as error:
            assert "some/file.onnx" in str(error)
            outcomes["refused"] += 1
    assert outcomes["refused"] > MODELS / 30
