"""A family in memory, loaded and checked: a picture goes in, scores come out."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Collection, Sequence, Set

import numpy as np
from numpy.typing import NDArray

from edged.clock import Clock, monotonic_ns
from edged.errors import EdgedError, InputError
from edged.variants.family import Family
from edged.variants.golden import check_golden
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Backend, RunError, Runner, UnsupportedNetworkError
from edged.variants.variant import Variant

log = logging.getLogger("edged")


class LoadedFamily:
    """One session per network file and thread count, shared by the file's resolutions.

    left_out: choices that will not run; sessions that serve nothing else are not created, and
    files without a session are not read. progress: called before each file with its number and the
    count.
    A network that fails to load because of memory or an I/O error is skipped if others load.
    Raises InputError for a file that is damaged, not one of edged's, or gives wrong golden scores.
    """

    def __init__(
        self,
        family: Family,
        backend: Backend,
        threads: Sequence[int] = (1,),
        *,
        left_out: Collection[tuple[Variant, int]] = (),
        progress: Callable[[int, int], None] = lambda number, of: None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.family = family
        self.backend = backend
        self.threads = tuple(threads)
        self._clock = clock
        self._runners: dict[tuple[Variant, int], Runner] = {}
        failed: list[EdgedError] = []
        picture = family.golden_picture()
        for number, network in enumerate(family.networks, 1):
            progress(number, len(family.networks))
            variants = network.variants()
            counts = [
                count
                for count in self.threads
                if any((variant, count) not in left_out for variant in variants)
            ]
            if not counts:
                continue
            try:
                model = network.read()
                for count in counts:
                    runner = backend.load(network, model, count)
                    check_golden(runner, family, network, picture)
                    self._runners |= {(variant, count): runner for variant in variants}
            except UnsupportedNetworkError as error:
                log.info("left out: %s", error)
                failed.append(error)
            except InputError:
                raise
            except EdgedError as error:
                log.error("continuing without one of the networks: %s", error)
                failed.append(error)
        if failed and not self._runners:
            raise failed[0]
        self._preprocessors = _Preprocessors(family)

    @property
    def choices(self) -> Set[tuple[Variant, int]]:
        """Variants x threads that can run."""
        return self._runners.keys()

    def keep(self, wanted: Collection[tuple[Variant, int]]) -> None:
        """Drop the sessions that serve none of `wanted`.

        Not while engines are built: a variant dominated on the CPU may be useful on the GPU.
        """
        if self.backend.engines.building:
            return
        needed = {id(self._runners[choice]) for choice in wanted}
        self._runners = {
            choice: runner for choice, runner in self._runners.items() if id(runner) in needed
        }

    def infer(
        self, variant: Variant, threads: int, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], int, int]:
        """Scores (classes,) of an RGB picture (height, width, 3), and the times
        (ns) after preprocessing and after inference. Several threads may call it at once. Raises
        RunError if the variant fails on the picture."""
        runner = self._runners[variant, threads]
        try:
            image = self._preprocessors.by_resolution[variant.resolution](pixels)
            preprocessed_ns = self._clock()
            scores = runner.run(image)
        except Exception as error:  # of OpenCV and the runtimes, for example out of memory
            raise RunError((variant, threads), error) from error
        return scores, preprocessed_ns, self._clock()


class _Preprocessors(threading.local):
    """One set per thread: each writes into an array that it reuses."""

    def __init__(self, family: Family) -> None:
        self.by_resolution = {
            resolution: Preprocessor(family.input, resolution)
            for resolution in {variant.resolution for variant in family.variants()}
        }
