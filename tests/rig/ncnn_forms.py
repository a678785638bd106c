"""Networks in which both of ncnn's forms are tested."""

from __future__ import annotations

from typing import Any

from edged.variants.mobilenet import Architecture, Body
from edged.variants.weights.onnx_builder import Activation

FORMS: list[tuple[Architecture, dict[str, Any]]] = [
    (Architecture(0.03, 6), {}),
    (Architecture(0.37, 3), {"activation": Activation.RELU}),
    (Architecture(0.25, 1), {"independent": True}),
    (Architecture(0.25, 5, hidden=(12, 7)), {}),
    (Architecture(0.25, 5, hidden=(9,)), {"hidden_activation": Activation.RELU6}),
    (Architecture(0.25, 5), {"scale": 1 / 64, "offset": (-1.8, -2.0, -1.6)}),
    (Architecture(0.25, 5, Body.SHALLOW), {}),
    (Architecture(0.12, 5, Body.STANDARD), {}),
]
"""With what the network is built with."""
