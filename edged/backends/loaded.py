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
        self._beside: tuple[dict[Choice, Runner], Set[Choice]] | None = None
        self._picture = family.golden_picture()
        failed: list[EdgedError] = []
        for number, network in enumerate(family.networks, 1):
            progress(number, len(family.networks))
            for backend in self.backends:
                found = self._create(network, backend, lambda choice: choice not in left_out)
                if isinstance(found, EdgedError):
                    failed.append(found)
                else:
                    self._runners |= found
        if failed and not self._runners:
            raise failed[0]
        self._preprocessors = _Preprocessors(family)

    def _create(
        self, network: Network, backend: Backend, wanted: Callable[[Choice], bool]
    ) -> dict[Choice, Runner] | EdgedError:
        """The network's sessions in one runtime, or the error that leaves it without."""
        variants = variants_run_by(backend, network.variants())
        runners: dict[Choice, Runner] = {}
        model: bytes | None = None
        try:
            for count in self.threads:
                choices = [Choice(variant, count, backend.name) for variant in variants]
                if not any(map(wanted, choices)):
                    continue
                model = network.read() if model is None else model
                runner = backend.load(network, model, count)
                check_golden(runner, self.family, network, self._picture)
                runners |= dict.fromkeys(choices, runner)
        except UnsupportedNetworkError as error:
            if len(self.backends) == 1:
                log.info("left out: %s", error)
            return error
        except EdgedError as error:
            if isinstance(error, InputError) and backend is self.backends[0]:
                raise
            log.error("continuing without one of the networks in %s: %s", backend.name, error)
            return error
        return runners

    def load_beside(self, network: Network, backend: Backend, wanted: Set[Choice]) -> None:
        """Create further sessions in a thread beside the one that runs frames, which gets them by
        `adopt`. An error is only logged."""
        try:
            found = self._create(network, backend, wanted.__contains__)
            if not isinstance(found, EdgedError):
                self._beside = found, wanted & found.keys()
        except Exception as error:  # the file has changed meanwhile, or memory does not suffice
            log.error("continuing without one of the networks in %s: %s", backend.name, error)

    @property
    def adoptable(self) -> bool:
        """`load_beside` has created what `adopt` has not yet taken over."""
        return self._beside is not None

    def adopt(self) -> Set[Choice]:
        """Take over the sessions that `load_beside` has created; what was wanted of them."""
        if self._beside is None:
            return frozenset()
        (runners, wanted), self._beside = self._beside, None
        self._runners = {**self._runners, **runners}
        return wanted

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
