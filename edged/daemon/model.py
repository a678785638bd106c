"""The model of a configuration, loaded and checked, and its profile."""

from __future__ import annotations

import _thread
import logging
import os
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

from edged import __version__
from edged.backends.auto import Backends, load_backends
from edged.backends.loaded import LoadedFamily
from edged.clock import monotonic_ns
from edged.config.camera import CameraConfig
from edged.config.config import Config
from edged.config.family import family_of, model_errors
from edged.control.profile import dominated
from edged.control.profile_store import Decoding, ProfileStore, state_directory
from edged.control.profiler import Profiler
from edged.device import device_facts
from edged.errors import InputErrors
from edged.memory import return_free_heap, return_free_memory
from edged.variants.family import Family
from edged.variants.mobilenet import Architecture, cost
from edged.variants.runtime import Engines, variants_run_by
from edged.variants.variant import Choice, Variant

log = logging.getLogger("edged")

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
        self.loaded = LoadedFamily(
            family,
            model.backends,
            model.threads,
            left_out=dominated(known, top1) | unwanted,
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
        self._stored_ns = self._stored_ns or now_ns
        due = now_ns - self._stored_ns >= STORE_SECONDS * 1e9
        if due:
            return_free_heap()
        if due or self._rounds != self.profiler.rounds:
            self._rounds, self._stored_ns = self.profiler.rounds, now_ns
            self.store_profile(decoding)

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

        try:
            # Not Thread.start: without memory for the thread, it waits forever.
            _thread.start_new_thread(save, ())
        except RuntimeError as error:
            log.warning("the profile is not stored: %s", error)
        else:
            done.wait(wait_seconds)

    def report_profile(self) -> None:
        """Log the profile once; call it when measuring is complete."""
        if self._reported:
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


def _multiply_adds(variant: Variant, classes: int) -> int:
    return cost(Architecture(variant.alpha, classes), variant.resolution).multiply_adds
