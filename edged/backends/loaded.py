"""Networks in memory, loaded and checked: a picture goes in, scores or features come out."""

from __future__ import annotations

import logging
import threading
from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence, Set
from dataclasses import replace
from functools import cache

import numpy as np
from numpy.typing import NDArray

from edged.clock import Clock, monotonic_ns
from edged.control.energy import Use
from edged.errors import EdgedError, InputError
from edged.variants.family import Family, Fit, InputContract, Network
from edged.variants.golden import check_golden
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import (
    Backend,
    RunError,
    Runner,
    UnsupportedNetworkError,
    variants_run_by,
)
from edged.variants.taught import check_head
from edged.variants.variant import Choice, Variant

log = logging.getLogger("edged")


class LoadedNetworks:
    """One session per network file, thread count and runtime, shared by the file's resolutions and
    by all families that have the file at the same ones, whatever its name.

    before: loaded networks of the same backends, whose sessions are used again. wanted: what
    will run, None for all; other sessions are not created, and files without a session are not
    read. models: what each model may run. progress: called before each file with its number and
    the count.
    A network that fails to load because of memory or an I/O error is skipped if others of each
    model load, and so is one that a runtime does not support or, if it is not the first, computes
    wrongly.
    Raises InputError for a file that is damaged, not one of edged's, or gives wrong golden scores
    in the first runtime, and for a head that does not take its network's features.
    """

    def __init__(
        self,
        families: Iterable[Family],
        backends: Sequence[Backend],
        threads: Sequence[int] = (1,),
        *,
        before: LoadedNetworks | None = None,
        wanted: Set[Choice] | None = None,
        models: Iterable[Collection[Choice]] = (),
        progress: Callable[[int, int], None] = lambda number, of: None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.backends = tuple(backends)
        self.threads = tuple(threads)
        self._clock = clock
        self._used: dict[Choice, Use] = defaultdict(Use) if before is None else before._used
        self._using: threading.Lock = threading.Lock() if before is None else before._using
        self._golden_picture = cache(Family.golden_picture)
        self._runners: dict[Choice, Runner] = {}
        self._before = {} if before is None else before._runners
        self._beside: tuple[dict[Choice, Runner], Set[Choice]] | None = None
        families = tuple(families)
        networks = once_each(families)
        self._taught = [family for family in families if family.backbone is not None]
        failed: dict[str, EdgedError] = {}
        for number, (family, network) in enumerate(networks, 1):
            progress(number, len(networks))
            for backend in self.backends:
                found = self._create(family, network, backend, wanted)
                if isinstance(found, EdgedError):
                    failed.setdefault(network.sha256, found)
                else:
                    self._runners |= found
        if failed and not self._runners:
            raise next(iter(failed.values()))
        for model in models:
            if self._runners.keys().isdisjoint(model):
                raise next(failed[each.network] for each in model if each.network in failed)
        self._before = {}
        self._preprocessors = _Preprocessors()

    def _create(
        self,
        family: Family,
        network: Network,
        backend: Backend,
        wanted: Set[Choice] | None,
    ) -> dict[Choice, Runner] | EdgedError:
        """The network's sessions in one runtime, or the error that leaves it without."""
        runners: dict[Choice, Runner] = {}
        model: bytes | None = None
        try:
            for choices in choices_of(network, backend, self.threads):
                if wanted is not None and wanted.isdisjoint(choices):
                    continue
                runner = self._present(choices)
                if runner is None:
                    model = network.read() if model is None else model
                    runner = backend.load(network, model, choices[0].threads)
                    check_golden(runner, family, network, self._golden_picture(family.base))
                for taught in self._taught:
                    if any(each.sha256 == network.sha256 for each in taught.networks):
                        check_head(runner, taught, network)
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

    def _present(self, choices: Iterable[Choice]) -> Runner | None:
        """The present session that serves all of them."""
        found = {id(runner): runner for runner in map(self._before.get, choices)}
        return next(iter(found.values())) if len(found) == 1 else None

    def load_beside(
        self, family: Family, network: Network, backend: Backend, wanted: Set[Choice]
    ) -> None:
        """Create further sessions in a thread beside the one that runs frames, which gets them by
        `adopt`. An error is only logged."""
        try:
            found = self._create(family, network, backend, wanted)
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
        self,
        choice: Choice,
        pixels: NDArray[np.uint8],
        fit: Fit = Fit.CROP,
        *,
        features: bool = False,
    ) -> tuple[NDArray[np.float32], int, int]:
        """Scores (classes,) of an RGB picture (height, width, 3), or its pooled features
        (channels,), and the times (ns) after preprocessing and after inference. Several threads may
        call it at once. Raises RunError if the variant fails on the picture."""
        runner, begun_ns = self._runners[choice], self._clock()
        try:
            image = self._preprocessors.of(fit, choice.variant.resolution)(pixels)
            preprocessed_ns = self._clock()
            values = runner.features(image) if features else runner.run(image)
        except Exception as error:  # of OpenCV and the runtimes, for example out of memory
            raise RunError(choice, error) from error
        inferred_ns = self._clock()
        with self._using:
            use = self._used[choice]
            use.seconds += (inferred_ns - begun_ns) / 1e9
            use.runs += 1
        return values, preprocessed_ns, inferred_ns

    def used(self) -> Mapping[Choice, Use]:
        """What has run, on frames or otherwise, and in the sessions of `before`."""
        with self._using:
            return {choice: replace(use) for choice, use in self._used.items()}


class _Preprocessors(threading.local):
    """One set per thread: each writes into an array that it reuses."""

    def __init__(self) -> None:
        self.of = cache(lambda fit, resolution: Preprocessor(InputContract(fit), resolution))


def once_each(families: Iterable[Family]) -> list[tuple[Family, Network]]:
    """Each network file once for the resolutions that it runs at, with the first family that has
    it: what it computes is proved with that family's golden picture."""
    found: dict[tuple[str, Set[Variant]], tuple[Family, Network]] = {}
    for family in families:
        for network in family.networks:
            key = network.sha256, frozenset(network.variants())
            found.setdefault(key, (family, network))
    return list(found.values())


def choices_of(
    network: Network, backend: Backend, threads: Iterable[int]
) -> Iterator[tuple[Choice, ...]]:
    """For each thread count what a session of the network runs."""
    variants = variants_run_by(backend, network.variants())
    for count in threads:
        made = tuple(Choice(each, count, backend.name, network.sha256) for each in variants)
        if made:
            yield made
