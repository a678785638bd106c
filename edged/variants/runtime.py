"""Runtimes behind one small protocol; edged/backends/auto.py selects them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Protocol

from edged.errors import EdgedError, InputError
from edged.variants.variant import Choice, Precision, Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.variants.network import Network


@dataclass(slots=True)
class Engines:
    """What a backend tells of the engines that it builds; one that builds none leaves it as it is.

    building: networks that run on the CPU until their engine is there, one of which is built now;
    of: how many those were when the building began. takeovers: how often one has taken over.
    failures: runs that the GPU did not do, and the CPU did. build_seconds: how
    long the building took in this process, by the network's file.
    """

    building: int = 0
    of: int = 0
    takeovers: int = 0
    failures: int = 0
    build_seconds: dict[str, float] = field(default_factory=dict)


class UnsupportedNetworkError(InputError):
    """The runtime cannot run a network of this form, which another runtime can."""


class RunError(EdgedError):
    """A variant did not run on a picture; the next one may be another matter."""

    def __init__(self, choice: Choice, error: Exception) -> None:
        self.choice = choice
        reason = str(error) or type(error).__name__
        super().__init__(f"{choice} failed on a picture: {reason}")


class Runner(Protocol):
    """One network file, loaded; it serves every resolution of the network."""

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores, shape (classes,), of an RGB picture, shape (1, resolution, resolution, 3).

        Raises EdgedError when the runtime fails on it.
        """

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """The pooled features, shape (channels,), of such a picture, in place of scores.

        Raises InputError if the network has none.
        """


class Backend(Protocol):
    name: str
    """The metric label: `onnxruntime`."""
    version: str
    fp16: bool
    """It computes float networks in float16 and calls their variants so."""
    engines: Engines

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        """Make a session of the verified ONNX bytes.

        It is warm once it has answered its golden picture, which runs it at each of its
        resolutions before any frame does. Raises InputError when the runtime refuses the file, or
        when its input or output is not that of a network of a family; EdgedError when memory does
        not suffice now.
        """

    def describe(self) -> Mapping[str, str]:
        """Facts that decide how fast it runs: part of the profile's key."""


def variants_run_by(backend: Backend, variants: Iterable[Variant]) -> tuple[Variant, ...]:
    """What the variants of a network or family are when the backend runs them."""
    if backend.fp16:
        return tuple(each.fp16 for each in variants if each.precision is Precision.FLOAT)
    return tuple(variants)
