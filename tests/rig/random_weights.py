"""Weights of any architecture, as training would begin with them."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from edged.variants.mobilenet import Architecture
from edged.variants.weights.onnx_builder import Weights, expected_shapes


def random_weights(architecture: Architecture, seed: int) -> Weights:
    """He et al.'s initialisation (arXiv 1502.01852): variance 2 / fan-in, biases zero.

    Good for what does not depend on values, such as times and costs.
    """
    generator = np.random.default_rng(seed)
    weights: dict[str, NDArray[np.float32]] = {}
    for name, shape in expected_shapes(architecture).items():
        if name.endswith(".bias"):
            weights[name] = np.zeros(shape, np.float32)
        else:
            deviation = np.sqrt(2 / np.prod(shape[1:]))
            weights[name] = (generator.standard_normal(shape) * deviation).astype(np.float32)
    return weights
