"""Picks the runtime. One line of the table is one runtime."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from edged.backends import Backend
from edged.errors import InputError


def _onnxruntime() -> Backend:
    from edged.backends.ort import OrtBackend

    return OrtBackend()


BACKENDS: Mapping[str, Callable[[], Backend]] = {
    "onnxruntime": _onnxruntime,
}


def load_backend(name: str) -> tuple[Backend, str]:
    """The backend of that name, or the best of this device for `auto`; and why it was chosen.

    Raises InputError for an unknown name, EdgedError when the runtime is not usable.
    """
    if name == "auto":
        return BACKENDS["onnxruntime"](), "it runs on every 64-bit processor"
    if name not in BACKENDS:
        raise InputError(
            "there is no such backend", got=repr(name), fix="write auto or " + ", ".join(BACKENDS)
        )
    return BACKENDS[name](), "the configuration names it"
