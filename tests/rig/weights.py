"""Weights of known values for small networks, with which scores tell classes apart."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import cv2
import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edged.variants.golden import golden_picture
from edged.variants.mobilenet import Architecture
from edged.variants.weights.onnx_builder import Weights, build_network
from tests.rig.random_weights import random_weights

Array = NDArray[Any]
TINY = Architecture(0.03, 5)
"""8 to 30 channels a layer."""


def lively_weights(architecture: Architecture, seed: int = 0) -> dict[str, NDArray[np.float32]]:
    """Random, with biases, and scores that depend much on the picture."""
    generator = np.random.default_rng(seed)
    weights = dict(random_weights(architecture, seed))
    for name, values in weights.items():
        if name.endswith(".bias"):
            weights[name] = generator.normal(0.1, 0.2, values.shape).astype(np.float32)
    return {**weights, **lively_classifier(architecture, weights, seed)}


def lively_classifier(
    architecture: Architecture, body: Weights, seed: int
) -> dict[str, NDArray[np.float32]]:
    """A classifier that tells pictures apart: what all have in common is taken off by its bias.

    The features come out of a network whose classifier is the identity, as the logarithm of its
    scores: but for a constant, which rows that sum to zero take no notice of.
    """
    generator = np.random.default_rng(seed)
    size = architecture.features
    identity = {
        "classifier.weight": np.eye(size, dtype=np.float32),
        "classifier.bias": np.zeros(size, np.float32),
    }
    body = {name: values for name, values in body.items() if not name.startswith("classifier")}
    model = build_network(
        replace(architecture, classes=size), {**body, **identity}, scale=1 / 127.5, offset=-1.0
    )
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    by_side = []
    for side in (64, 96, 128):
        pictures = (cv2.resize(golden_picture(seed), (side, side)) for seed in range(900, 906))
        scores = [session.run(None, {"image": picture[np.newaxis]})[0][0] for picture in pictures]
        by_side.append(np.log(np.maximum(np.array(scores, np.float64), 1e-12)))
    means = [features.mean(axis=0) for features in by_side]
    # Nor may the side of the picture decide: blind to it as to the constant.
    blind = np.stack([np.ones(size), means[1] - means[0], means[2] - means[0]], axis=1)
    blind, _ = np.linalg.qr(blind)
    weight = generator.standard_normal((architecture.classes, size))
    weight -= weight @ blind @ blind.T
    spread = np.concatenate(by_side) - np.repeat(means, 6, axis=0)
    weight *= 1.5 / (spread @ weight.T).std(axis=0).mean()
    bias = -weight @ means[0]
    return {
        "classifier.weight": weight.astype(np.float32),
        "classifier.bias": bias.astype(np.float32),
    }
