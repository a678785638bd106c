"""Picks the runtime. One line of the table is one runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edged.errors import EdgedError, InputError
from edged.variants.runtime import Backend


def _onnxruntime(background: bool) -> Backend:
    from edged.backends.onnxruntime import OrtBackend

    return OrtBackend()


def _tensorrt(background: bool) -> Backend:
    from edged.backends.tensorrt.tensorrt import TensorRtBackend

    return TensorRtBackend(background=background)


def _tensorrt_fp32(background: bool) -> Backend:
    from edged.backends.tensorrt.onnx_forms import EnginePrecision
    from edged.backends.tensorrt.tensorrt import TensorRtBackend

    return TensorRtBackend(EnginePrecision.FP32, background=background)


BACKENDS: Mapping[str, Callable[[bool], Backend]] = {
    "onnxruntime": _onnxruntime,
    "tensorrt": _tensorrt,
    "tensorrt-fp32": _tensorrt_fp32,
}

_made: dict[tuple[str, bool], Backend] = {}
"""One of each for the process: a reload goes on with the engines, and with their building."""


def load_backend(name: str, *, background: bool = False) -> tuple[Backend, str]:
    """The backend of that name, or the best of this device for `auto`; and why it was chosen.

    background: what has to be built is built beside, while networks already serve.
    Raises InputError for an unknown name, EdgedError when the runtime is not usable.
    """
    if name == "auto":
        try:
            return _backend("tensorrt", background), "there is a GPU, and TensorRT for it"
        except EdgedError as error:
            why = f"it runs on every 64-bit processor; {error.what}"
            return _backend("onnxruntime", background), why
    if name not in BACKENDS:
        raise InputError(
            "there is no such backend", got=repr(name), fix="write auto or " + ", ".join(BACKENDS)
        )
    return _backend(name, background), "the configuration names it"


def _backend(name: str, background: bool) -> Backend:
    key = (name, background)
    if key not in _made:
        _made[key] = BACKENDS[name](background)
    return _made[key]
