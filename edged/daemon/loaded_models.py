"""The models of a configuration, loaded and checked, and their profile."""

from __future__ import annotations

import _thread
import logging
import os
import threading
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping

from edged import __version__
from edged.backends.loaded import LoadedNetworks, choices_of, once_each
from edged.clock import monotonic_ns
from edged.config.camera import ViewConfig
from edged.control.profile import Candidate, dominated, frontiers
from edged.control.profile_store import Decoding, ProfileStore
from edged.control.profiler import Profiler
from edged.control.selector import allowed
from edged.daemon.models import Models
from edged.device import device_facts
from edged.memory import return_free_heap, return_free_memory
from edged.state import state_directory
from edged.variants.family import Family
from edged.variants.mobilenet import Architecture, cost
from edged.variants.network import Network
from edged.variants.runtime import Backend
from edged.variants.variant import Choice, Variant
from edged.view import titled

log = logging.getLogger("edged")

BESIDE_SECONDS = 60
"""How long to wait until a session that was loaded beside the cameras has been measured."""
STORE_SECONDS = 600
"""How often a changed profile is written after the measuring rounds, and free heap memory is
returned to the system."""


class LoadedModels:
    """The loaded networks of all models, and their profiler; keeps the profile on disk.

    At the start a network is loaded for the runtimes that are on the known frontier, or else for
    the first; the others are loaded beside the running cameras, one at a time, measured, and
    released again where they are slower. So memory never holds all networks twice.

    before: the present models, whose profile and sessions are used again if device and backends are
    the same. progress: called before each network with its number and the count; its exception
    cancels. Raises InputError for a network that is damaged, not one of edged's, or gives wrong
    scores.
    """

    def __init__(
        self, models: Models, before: LoadedModels | None, progress: Callable[[int, int], None]
    ) -> None:
        self.models = models
        self.keys = [{**device_facts(), **backend.describe()} for backend in models.backends]
        same = before if before is not None and before.keys == self.keys else None
        self.store: ProfileStore = (
            ProfileStore(state_directory(os.environ), self.keys) if same is None else same.store
        )
        known = {**self.store.load(), **({} if same is None else same.profiler.profile)}
        top1 = models.top1()
        top1s = list({id(each): each for each in top1.values()}.values())
        asked = frozenset(choice for each in top1s for choice in each)
        frontier = frontiers(known, top1s)
        worth = asked - dominated(known, top1s)
        if same is not None:  # a reload does not measure again what a start has released
            worth -= known.keys() - frontier - same.loaded.choices
        self._others = deque(_not_at_once(models, top1s, worth, frontier))
        later = frozenset(choice for *_, choices in self._others for choice in choices)
        families = models.families
        self.loaded: LoadedNetworks = LoadedNetworks(
            families,
            models.backends,
            models.threads,
            before=None
            if same is None or same.models.backends is not models.backends
            else same.loaded,
            wanted=worth - later,
            models=top1s,
            progress=progress,
        )
        self.profiler: Profiler = Profiler(
            self.loaded.choices & asked,
            top1,
            {
                variant: _multiply_adds(variant, len(model.family.base.labels))
                for model in models.by_view.values()
                for variant in model.variants
            },
            known=known,
        )
        names = ", ".join(family.name for family in families)
        runtimes = ", ".join(f"{name} {version}" for name, version in models.versions.items())
        self.about: Mapping[str, str] = {
            **device_facts(),
            "backend": runtimes,
            "family": names,
            "hash": ", ".join(family.fingerprint for family in families),
        }
        """Header of a trace."""
        self._stored = self.profiler.profile
        """The profile as last written to its file."""
        self._writing = threading.Event()
        """Set once it has been written."""
        self._writing.set()
        self._stored_ns = 0
        self._rounds = self.profiler.rounds
        self._waiting = len(self.profiler.waiting)
        self._takeovers = models.engines.takeovers
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
            "edged %s: %s %s, %d variants, %s (%s)",
            *(__version__, "family" if len(families) == 1 else "families", names),
            *(len({choice.variant for choice in asked}), runtimes, models.why),
        )

    def serve(self, models: Models) -> None:
        """The same models of other views, while no pipeline runs."""
        self.models = models
        self.profiler.serve(models.top1())

    def measure_cheapest(self) -> None:
        """Measure the cheapest variant if the profile is empty: the first frame needs one."""
        picture = self.models.families[0].golden_picture()

        def measure(choice: Choice) -> tuple[float, float]:
            begun_ns = monotonic_ns()
            _, preprocessed_ns, inferred_ns = self.loaded.infer(choice, picture)
            return (preprocessed_ns - begun_ns) / 1e6, (inferred_ns - preprocessed_ns) / 1e6

        self.profiler.measure_cheapest(measure)

    def tick(self, now_ns: int, decoding: Callable[[], Decoding]) -> None:
        """Keep the profile on disk up to date; called a few times per second."""
        engines = self.models.engines
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
        family, network, backend, self._beside = self._others.popleft()
        self._beside_ns = now_ns
        wanted = self._beside
        self._loaded.clear()

        def load() -> None:
            self.loaded.load_beside(family, network, backend, wanted)
            self._loaded.set()

        if not _in_thread(load, f"{network.path.name} is not measured with {backend.name}"):
            self._loaded.set()
        return True

    def store_profile(self, decoding: Callable[[], Decoding], wait_seconds: float = 0.0) -> None:
        """Write the profile if it has changed; in a thread, because memory cards can be slow.

        Not while engines are built: the CPU's times would be stored for them.
        """
        engines = self.models.engines
        if engines.building or (engines.takeovers and not self.profiler.complete):
            return
        if self.profiler.profile is not self._stored:
            self._stored = self.profiler.profile
            times, done = decoding(), threading.Event()

            def save() -> None:
                self.store.save(self._stored, times)
                done.set()

            if _in_thread(save, "the profile is not stored"):
                self._writing = done
        self._writing.wait(wait_seconds)

    def report_profile(self) -> None:
        """Log the profile once; call it when measuring is complete."""
        if self._reported or not self._settled:
            return
        self._reported = True
        return_free_memory()
        for names, ladder in self._ladders():
            log.info(
                "profile%s measured, most accurate first: %s",
                names,
                ", ".join(f"{each.name} {each.p50_ms:.1f} ms" for each in ladder),
            )

    def _ladders(self) -> Iterator[tuple[str, tuple[Candidate, ...]]]:
        """Each ladder once, with the views that have it: empty if all have the same."""
        ladders = self.profiler.ladders
        views: dict[int, list[str]] = {}
        for view, ladder in ladders.items():
            views.setdefault(id(ladder), []).append(view)
        for names in views.values():
            told = f" of {', '.join(names)}" if len(views) > 1 else ""
            yield told, ladders[names[0]]

    def warn_of_budget(self, view: ViewConfig) -> None:
        """Warn if even the cheapest variant that the view may run exceeds its budget."""
        ladder = allowed(self.profiler.ladders[view.id], view.min_top1)
        cheapest = min(ladder, key=lambda candidate: candidate.p50_ms)
        if cheapest.p50_ms > view.latency_budget_ms:
            log.warning(
                "%s: no variant meets latency_budget_ms %g on this device; the cheapest, "
                "%s, takes %.1f ms, and its results will be late",
                *(titled(view.id), view.latency_budget_ms),
                *(cheapest.variant, cheapest.p50_ms),
            )


def _not_at_once(
    models: Models,
    asked: Iterable[Collection[Choice]],
    worth: Collection[Choice],
    frontier: Collection[Choice],
) -> Iterator[tuple[Family, Network, Backend, frozenset[Choice]]]:
    """Sessions, and what they serve, that the start does without: those of a network beside the
    ones on the known frontier, or beside each model's first where none of its own is known.

    asked: what each model may run.
    """
    for family, network in once_each(models.families):
        sessions = []
        for backend in models.backends:
            served = frozenset(
                choice
                for choices in choices_of(network, backend, models.threads)
                for choice in choices
            ).intersection(worth)
            if served:
                sessions.append((family, network, backend, served))
        needed = [each for each in sessions if not each[3].isdisjoint(frontier)]
        for model in asked:
            own = [each for each in sessions if not each[3].isdisjoint(model)]
            if not any(each in needed for each in own):
                needed += own[:1]
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
