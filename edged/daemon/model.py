"""The model of a configuration, loaded and checked, and its profile."""

from __future__ import annotations

import _thread
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass, field

from edged import __version__
from edged.backends.auto import Backends, load_backends
from edged.backends.loaded import LoadedFamily
from edged.clock import monotonic_ns
from edged.config.camera import CameraConfig
from edged.config.config import Config
from edged.config.family import family_of, model_errors
from edged.control.profile import candidates, dominated, ladder
from edged.control.profile_store import Decoding, ProfileStore, state_directory
from edged.control.profiler import Profiler
from edged.device import device_facts
from edged.errors import InputErrors
from edged.memory import return_free_heap, return_free_memory
from edged.variants.family import Family
from edged.variants.mobilenet import Architecture, cost
from edged.variants.network import Network
from edged.variants.runtime import Backend, Engines, variants_run_by
from edged.variants.variant import Choice, Variant

log = logging.getLogger("edged")

BESIDE_SECONDS = 60
"""How long to wait until a session that was loaded beside the cameras has been measured."""
STORE_SECONDS = 600
"""How often a changed profile is written after the measuring rounds, and free heap memory is
returned to the system."""


@dataclass(frozen=True, slots=True)
class Model:
    """What a configuration loads. Equal values mean the same files, compared by hash.

    variants: those that may run, as the backends run them. backend_name: as configured.
    """

    family: Family
    variants: tuple[Variant, ...]
    threads: tuple[int, ...]
    backend_name: str
    backends: Backends = field(compare=False)
    why: str = field(compare=False)

    @classmethod
    def of(cls, config: Config) -> Model:
        """Read the manifest. Raises InputError for a missing or unsuitable family, EdgedError for
        an unusable runtime."""
        family = family_of(config)
        if errors := list(model_errors(family, config)):
            raise InputErrors(errors)
        backends, why = load_backends(config.backend, background=True)
        run = {each for one in backends for each in variants_run_by(one, family.variants())}
        names = config.variants
        variants = tuple(each for each in sorted(run) if names is None or each.name in names)
        if not variants:
            what = "no runtime of this device computes in float16"
            raise config.error(what, "variants", got=", ".join(names or ()), fix="remove _fp16")
        return cls(family, variants, config.threads, config.backend, backends, why)

    @property
    def versions(self) -> dict[str, str]:
        """By runtime."""
        return {each.name: each.version for each in self.backends}

    @property
    def engines(self) -> Engines:
        """Only TensorRT builds them, and it runs alone."""
        return self.backends[0].engines

    def top1(self) -> dict[Variant, float]:
        return {variant: self.family.top1(variant) for variant in self.variants}

    def known_top1(self) -> dict[Variant, float]:
        """Top-1 of the variants whose accuracy is known."""
        found = {variant: self.family.accuracy(variant) for variant in self.variants}
        return {variant: each.top1 for variant, each in found.items() if each is not None}

    def report_hopeless(self, camera: CameraConfig) -> None:
        """Warn if no variant reaches the camera's min_top1."""
        best = max(self.variants, key=self.family.top1)
        if self.family.top1(best) < camera.min_top1:
            log.warning(
                "camera %s: no variant reaches min_top1 %g; using the most accurate, %s (%.3f)",
                *(camera.name, camera.min_top1, best, self.family.top1(best)),
            )


class LoadedModel:
    """The loaded family and its profiler; keeps the profile on disk.

    At the start a network is loaded for the runtimes that are on the known frontier, or else for
    the first; the others are loaded beside the running cameras, one at a time, measured, and
    released again where they are slower. So memory never holds the whole family twice.

    before: the present model, whose profile is reused if device, backend and family are the same.
    progress: called before each network with its number and the count; its exception cancels.
    Raises InputError for a network that is damaged, not one of edged's, or gives wrong scores.
    """

    def __init__(
        self, model: Model, before: LoadedModel | None, progress: Callable[[int, int], None]
    ) -> None:
        self.model = model
        family = model.family
        top1 = model.top1()
        facts = {**device_facts(), "family": family.fingerprint}
        self.keys = [{**facts, **backend.describe()} for backend in model.backends]
        run_by = [variants_run_by(backend, family.variants()) for backend in model.backends]
        same = before if before is not None and before.keys == self.keys else None
        self.store: ProfileStore = (
            ProfileStore(state_directory(os.environ), zip(self.keys, run_by, strict=True))
            if same is None
            else same.store
        )
        known = {**self.store.load(), **({} if same is None else same.profiler.profile)}
        unwanted = {
            Choice(variant, count, backend.name)
            for backend, variants in zip(model.backends, run_by, strict=True)
            for variant in variants
            for count in model.threads
            if variant not in model.variants
        }
        left_out = dominated(known, top1) | unwanted
        frontier = {each.choice for each in ladder(candidates(known, top1))}
        self._others = deque(_not_at_once(model, left_out, frontier))
        later = {choice for _, _, choices in self._others for choice in choices}
        self.loaded = LoadedFamily(
            family,
            model.backends,
            model.threads,
            left_out=left_out | later,
            progress=progress,
        )
        self.profiler: Profiler = Profiler(
            self.loaded.choices - unwanted,
            top1,
            {variant: _multiply_adds(variant, len(family.labels)) for variant in model.variants},
            known=known,
        )
        runtimes = ", ".join(f"{name} {version}" for name, version in model.versions.items())
        self.about: Mapping[str, str] = {
            **device_facts(),
            "backend": runtimes,
            "family": family.name,
            "hash": family.fingerprint,
        }
        """Header of a trace."""
        self._stored = self.profiler.profile
        """The profile as last written to its file."""
        self._stored_ns = 0
        self._rounds = self.profiler.rounds
        self._waiting = len(self.profiler.waiting)
        self._takeovers = model.engines.takeovers
        self._beside: frozenset[Choice] = frozenset()
        self._beside_ns = 0
        self._loaded = threading.Event()
        """Set while nothing is being loaded beside the cameras."""
        self._loaded.set()
        self._settled = False
        """Every session has been measured, and nothing is left to load."""
        self._reported = False
        return_free_memory()
        log.info(
            "edged %s: family %s, %d variants, %s (%s)",
            *(__version__, family.name, len(model.variants), runtimes, model.why),
        )

    def measure_cheapest(self) -> None:
        """Measure the cheapest variant if the profile is empty: the first frame needs one."""
        picture = self.loaded.family.golden_picture()

        def measure(choice: Choice) -> tuple[float, float]:
            begun_ns = monotonic_ns()
            _, preprocessed_ns, inferred_ns = self.loaded.infer(choice, picture)
            return (preprocessed_ns - begun_ns) / 1e6, (inferred_ns - preprocessed_ns) / 1e6

        self.profiler.measure_cheapest(measure)

    def tick(self, now_ns: int, decoding: Callable[[], Decoding]) -> None:
        """Keep the profile on disk up to date; called a few times per second."""
        engines = self.model.engines
        if engines.takeovers != self._takeovers:
            self._takeovers = engines.takeovers
            self.profiler.measure_again()
        if self._waiting != len(self.profiler.waiting):
            self._waiting = len(self.profiler.waiting)
            return_free_heap()  # memory of a variant that may not run again for long
        settled = self._settled
        self._settled = self.profiler.complete and not self._load_beside(now_ns)
        self._stored_ns = self._stored_ns or now_ns
        due = now_ns - self._stored_ns >= STORE_SECONDS * 1e9
        if due:
            return_free_heap()
        if due or self._rounds != self.profiler.rounds or settled != self._settled:
            self._rounds, self._stored_ns = self.profiler.rounds, now_ns
            self.store_profile(decoding)

    def _load_beside(self, now_ns: int) -> bool:
        """Load the next of the other sessions when the one before has been measured, or does not
        fit between the frames. False when all have been."""
        measuring = not self._beside.isdisjoint(self.profiler.waiting)
        measuring = measuring and now_ns - self._beside_ns < BESIDE_SECONDS * 1e9
        if measuring or self.loaded.adoptable or not self._loaded.is_set():
            return True
        if not self._others:
            return False
        network, backend, self._beside = self._others.popleft()
        self._beside_ns = now_ns
        wanted = self._beside
        self._loaded.clear()

        def load() -> None:
            self.loaded.load_beside(network, backend, wanted)
            self._loaded.set()

        if not _in_thread(load, f"{network.path.name} is not measured with {backend.name}"):
            self._loaded.set()
        return True

    def store_profile(self, decoding: Callable[[], Decoding], wait_seconds: float = 0.0) -> None:
        """Write the profile if it has changed; in a thread, because memory cards can be slow.

        Not while engines are built: the CPU's times would be stored for them.
        """
        engines = self.model.engines
        changing = engines.building or (engines.takeovers and not self.profiler.complete)
        if changing or self.profiler.profile is self._stored:
            return
        self._stored = self.profiler.profile
        times, done = decoding(), threading.Event()

        def save() -> None:
            self.store.save(self._stored, times)
            done.set()

        if _in_thread(save, "the profile is not stored"):
            done.wait(wait_seconds)

    def report_profile(self) -> None:
        """Log the profile once; call it when measuring is complete."""
        if self._reported or not self._settled:
            return
        self._reported = True
        return_free_memory()
        log.info(
            "profile measured, most accurate first: %s",
            ", ".join(f"{each.name} {each.p50_ms:.1f} ms" for each in self.profiler.ladder),
        )

    def report_hopeless(self, camera: CameraConfig) -> None:
        """Warn if even the cheapest variant exceeds the camera's budget."""
        cheapest = min(self.profiler.ladder, key=lambda candidate: candidate.p50_ms)
        if cheapest.p50_ms > camera.latency_budget_ms:
            log.warning(
                "camera %s: no variant meets latency_budget_ms %g on this device; the cheapest, "
                "%s, takes %.1f ms, and its results will be late",
                *(camera.name, camera.latency_budget_ms, cheapest.variant, cheapest.p50_ms),
            )


def _not_at_once(
    model: Model, left_out: Collection[Choice], frontier: Collection[Choice]
) -> Iterator[tuple[Network, Backend, frozenset[Choice]]]:
    """Sessions, and what they serve, that the start does without: those of a network beside the
    ones on the known frontier, or beside the first where none is known."""
    for network in model.family.networks:
        sessions = []
        for backend in model.backends:
            served = frozenset(
                Choice(variant, count, backend.name)
                for variant in variants_run_by(backend, network.variants())
                for count in model.threads
            ).difference(left_out)
            if served:
                sessions.append((network, backend, served))
        needed = [each for each in sessions if not each[2].isdisjoint(frontier)] or sessions[:1]
        yield from (each for each in sessions if each not in needed)


def _in_thread(work: Callable[[], object], otherwise: str) -> bool:
    """Whether a thread could be started for it; `otherwise` is logged with the reason."""
    try:
        # Not Thread.start: without memory for the thread, it waits forever.
        _thread.start_new_thread(work, ())
    except RuntimeError as error:
        log.warning("%s: %s", otherwise, error)
        return False
    return True


def _multiply_adds(variant: Variant, classes: int) -> int:
    return cost(Architecture(variant.alpha, classes), variant.resolution).multiply_adds
