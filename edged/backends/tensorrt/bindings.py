"""Imports TensorRT's Python module, or explains why it is unusable.

TensorRT-RTX, for GeForce and RTX GPUs, has the same API under another name, and versions of its
own. What differs is looked up by name where it is used.
"""

from __future__ import annotations

import importlib
import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from edged.errors import EdgedError

LEAST_VERSION = (8, 6)
_INSTALL = (
    "sudo apt install nvidia-jetpack (or its parts: tensorrt python3-libnvinfer), or with a "
    "GeForce or RTX GPU: pip install tensorrt-rtx"
)
_ABI = re.compile(r"NumPy 1|_ARRAY_API|numpy.core.multiarray|API version|dtype size changed")


def import_tensorrt() -> Any:
    """TensorRT, or TensorRT-RTX where that is missing."""
    try:
        return importlib.import_module("tensorrt")
    except ModuleNotFoundError as missing:
        if missing.name != "tensorrt":
            raise
        with suppress(ModuleNotFoundError):
            return importlib.import_module("tensorrt_rtx")
        raise


def is_rtx(trt: Any) -> bool:
    return hasattr(trt, "ComputeCapability")


def checked_tensorrt(load: Callable[[], Any]) -> Any:
    """The module. Raises EdgedError with a fix if it is missing, broken or too old."""
    try:
        trt = load()
    except ModuleNotFoundError as error:
        if error.name != "tensorrt":
            raise EdgedError(f"TensorRT cannot be imported: {error}", fix=_INSTALL) from None
        raise EdgedError(
            "TensorRT is not installed for this Python",
            fix=f"{_INSTALL}; JetPack's needs a virtual environment of the system's Python, made "
            "with --system-site-packages",
        ) from None
    except Exception as error:  # an extension module may raise anything when it is loaded
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        if _ABI.search(str(error)):
            raise EdgedError(
                "TensorRT's bindings need NumPy 1, but NumPy 2 is installed",
                got=reason,
                fix="pip install 'numpy<2'",
            ) from None
        if "libnv" in reason:
            raise EdgedError("a TensorRT library is missing", got=reason, fix=_INSTALL) from None
        raise EdgedError("TensorRT cannot be imported", got=reason, fix=_INSTALL) from None
    version = str(getattr(trt, "__version__", "unknown"))
    numbers = tuple(int(part) for part in re.findall(r"\d+", version)[:2])
    if numbers < LEAST_VERSION and not is_rtx(trt):
        raise EdgedError(
            "TensorRT is too old: edged needs 8.6 or later",
            got=version,
            fix="flash JetPack 6 or later",
        )
    return trt
