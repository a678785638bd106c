"""A family in memory, loaded and checked: a picture goes in, scores come out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from edged.clock import Clock, monotonic_ns
from edged.errors import EdgedError, InputError
from edged.variants.family import Family, Network
from edged.variants.golden import check_golden
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import (
    Backend,
    RunError,
    Runner,
    UnsupportedNetworkError,
    variants_run_by,
)
from edged.variants.variant import Choice

log = logging.getLogger("edged")


class LoadedFamily:
    """One session per network file, thread count and runtime, shared by the file's resolutions.

    left_out: choices that will not run; sessions that serve nothing else are not created, and
    files without a session are not read. progress: called before each file with its number and the
    count.
    A network that fails to load because of memory or an I/O error is skipped if others load, and
    so is one that a runtime does not support or, if it is not the first, computes wrongly.
    Raises InputError for a file that is damaged, not one of edged's, or gives wrong golden scores
    in the first runtime.
    """

    def __init__(
        self,
        family: Family,
        backends: Sequence[Backend],
        threads: Sequence[int] = (1,),
        *,
        left_out: Collection[Choice] = (),
        progress: Callable[[int, int], None] = lambda number, of: None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.family = family
        self.backends = tuple(backends)
        self.threads = tuple(threads)
        self._clock = clock
        self._runners: dict[Choice, Runner] = {}
        self._picture = family.golden_picture()
        failed: list[EdgedError] = []
        for number, network in enumerate(family.networks, 1):
            progress(number, len(family.networks))
            failed += self._load(network, left_out)
        if failed and not self._runners:
            raise failed[0]
        self._preprocessors = _Preprocessors(family)

    def _load(self, network: Network, left_out: Collection[Choice]) -> list[EdgedError]:
        """Create the network's sessions; errors that leave it without one of them."""
        failed: list[EdgedError] = []
        model: bytes | None = None
        for backend in self.backends:
            variants = variants_run_by(backend, network.variants())
            try:
                for count in self.threads:
                    choices = [Choice(variant, count, backend.name) for variant in variants]
                    if all(choice in left_out for choice in choices):
                        continue
                    model = network.read() if model is None else model
                    runner = backend.load(network, model, count)
                    check_golden(runner, self.family, network, self._picture)
                    self._runners |= dict.fromkeys(choices, runner)
            except UnsupportedNetworkError as error:
                if len(self.backends) == 1:
                    log.info("left out: %s", error)
                failed.append(error)
            except EdgedError as error:
                if isinstance(error, InputError) and backend is self.backends[0]:
                    raise
                log.error("continuing without a network in %s: %s", backend.name, error)
                failed.append(error)
        return failed

    @property
    def choices(self) -> Set[Choice]:
        """What can run."""
        return self._runners.keys()

    def keep(self, wanted: Collection[Choice]) -> None:
        """Drop the sessions that serve none of `wanted`.

        Not while engines are built: a variant dominated on the CPU may be useful on the GPU.
        """
        if any(backend.engines.building for backend in self.backends):
            return
        needed = {id(self._runners[choice]) for choice in wanted}
        self._runners = {
            choice: runner for choice, runner in self._runners.items() if id(runner) in needed
        }

    def infer(
        self, choice: Choice, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], int, int]:
        """Scores (classes,) of an RGB picture (height, width, 3), and the times
        (ns) after preprocessing and after inference. Several threads may call it at once. Raises
        RunError if the variant fails on the picture."""
        runner = self._runners[choice]
        try:
            image = self._preprocessors.by_resolution[choice.variant.resolution](pixels)
            preprocessed_ns = self._clock()
            scores = runner.run(image)
        except Exception as error:  # of OpenCV and the runtimes, for example out of memory
            raise RunError(choice, error) from error
        return scores, preprocessed_ns, self._clock()


class _Preprocessors(threading.local):
    """One set per thread: each writes into an array that it reuses."""

    def __init__(self, family: Family) -> None:
        self.by_resolution = {
            resolution: Preprocessor(family.input, resolution)
            for resolution in {variant.resolution for variant in family.variants()}
        }
