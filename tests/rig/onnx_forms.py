"""Runs a form for TensorRT (edged/backends/tensorrt/onnx_forms.py) with ONNX Runtime."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnxruntime
from numpy.typing import NDArray


def session(model: bytes) -> Any:
    """Exact with INT8 networks as well, which x86 without VNNI saturates otherwise. Has one thread:
    several wait for each other in a loop, for ever longer beside other programs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.add_session_config_entry("session.x64quantprecision", "1")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


class FormRunner:
    """Its first output is the scores; a form has its pooled features as second output."""

    def __init__(self, model: bytes) -> None:
        self._session = session(model)
        self.outputs = [(each.name, each.type, each.shape) for each in self._session.get_outputs()]

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._answer(image)[0][0]

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._answer(image)[1][0]

    def _answer(self, image: NDArray[np.uint8]) -> Any:
        return self._session.run(None, {"image": image})
