"""Selects the runtimes from the table BACKENDS."""

from __future__ import annotations

import logging
from collections.abc import Callable, Mapping

from edged.device import has_dot_product
from edged.errors import EdgedError, InputError, MissingPackageError
from edged.variants.runtime import Backend

log = logging.getLogger("edged")

Backends = tuple[Backend, ...]


def _onnxruntime(background: bool) -> Backends:
    from edged.backends.onnxruntime import OrtBackend

    return (OrtBackend(),)


def _tensorrt(background: bool) -> Backends:
    from edged.backends.tensorrt.tensorrt import TensorRtBackend

    return (TensorRtBackend(background=background),)


def _tensorrt_fp32(background: bool) -> Backends:
    from edged.backends.tensorrt.onnx_forms import EnginePrecision
    from edged.backends.tensorrt.tensorrt import TensorRtBackend

    return (TensorRtBackend(EnginePrecision.FP32, background=background),)


def _ncnn(background: bool) -> Backends:
    from edged.backends.ncnn.ncnn import NcnnBackend, computes_in_fp16

    plain = NcnnBackend(int8=bool(has_dot_product()))
    return (plain, NcnnBackend(fp16=True)) if computes_in_fp16() else (plain,)


def _cpu(background: bool) -> Backends:
    ncnn: Backends = ()
    try:
        ncnn = _backends("ncnn", background)
    except MissingPackageError:
        pass
    except EdgedError as error:
        log.warning("continuing without ncnn: %s", error)
    return _backends("onnxruntime", background) + ncnn


BACKENDS: Mapping[str, Callable[[bool], Backends]] = {
    "onnxruntime": _onnxruntime,
    "ncnn": _ncnn,
    "tensorrt": _tensorrt,
    "tensorrt-fp32": _tensorrt_fp32,
}

_made: dict[tuple[str, bool], Backends] = {}
"""One of each per process: a reload keeps the engines and their builds."""


def load_backends(name: str, *, background: bool = False) -> tuple[Backends, str]:
    """The named backend, or for `auto` the best of this device; and why it was chosen.

    On a CPU `auto` gives all its runtimes: the profile shows which is fastest for each variant.
    Computing in float16 counts as one of its own.

    background: build engines in the background, while networks already run on the CPU.
    Raises InputError for an unknown name, EdgedError when the runtime is not usable.
    """
    if name == "auto":
        try:
            return _backends("tensorrt", background), "TensorRT and a GPU are available"
        except EdgedError as error:
            return _cpu(background), error.what
    if name not in BACKENDS:
        raise InputError(
            "no such backend", got=repr(name), fix="write auto or " + ", ".join(BACKENDS)
        )
    return _backends(name, background), "the configuration names it"


def _backends(name: str, background: bool) -> Backends:
    key = (name, background)
    if key not in _made:
        _made[key] = BACKENDS[name](background)
    return _made[key]
