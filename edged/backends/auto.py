"""Selects the runtime from the table BACKENDS."""

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


def _ncnn(background: bool) -> Backend:
    from edged.backends.ncnn.ncnn import NcnnBackend

    return NcnnBackend()


BACKENDS: Mapping[str, Callable[[bool], Backend]] = {
    "onnxruntime": _onnxruntime,
    "ncnn": _ncnn,
    "tensorrt": _tensorrt,
    "tensorrt-fp32": _tensorrt_fp32,
}

_made: dict[tuple[str, bool], Backend] = {}
"""One of each per process: a reload keeps the engines and their builds."""


def load_backend(name: str, *, background: bool = False) -> tuple[Backend, str]:
    """The named backend, or for `auto` the best of this device; and why it was chosen.

    background: build engines in the background, while networks already run on the CPU.
    Raises InputError for an unknown name, EdgedError when the runtime is not usable.
    """
    if name == "auto":
        try:
            return _backend("tensorrt", background), "TensorRT and a GPU are available"
        except EdgedError as error:
            return _backend("onnxruntime", background), error.what
    if name not in BACKENDS:
        raise InputError(
            "no such backend", got=repr(name), fix="write auto or " + ", ".join(BACKENDS)
        )
    return _backend(name, background), "the configuration names it"


def _backend(name: str, background: bool) -> Backend:
    key = (name, background)
    if key not in _made:
        _made[key] = BACKENDS[name](background)
    return _made[key]
