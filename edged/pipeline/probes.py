"""Probes: frames that have run are run again by other variants, in the gaps between frames.

The answers are evidence on what each variant is worth before its view (control/agreement.py). A
probe starts only if it almost certainly ends before the next frame is due. Where the reference
never does, it runs once in PATIENCE_NS if that frame can still be on time after it, and then others
in half of the time that this frame can wait. A token bucket keeps the probes within their share of
the time.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.clock import Clock
from edged.control.agreement import EARLY_SECONDS, Agreement
from edged.control.controller import Controller
from edged.control.profile import Candidate
from edged.control.profiler import Profiler
from edged.control.scene_change import Levels
from edged.pipeline.evidence import Evidence, Top, agree
from edged.pipeline.limits import Ladders
from edged.pipeline.queue import ViewQueue
from edged.pipeline.run import Run
from edged.variants.variant import Variant

SURE = 0.98
"""Chance that a probe must have to end in time."""
PATIENCE_NS = 5_000_000_000
SAVED_SECONDS = 60.0
"""Time whose share for probes may be saved up."""
UNFIT_NS = 120_000_000_000
"""A reference that was due and did not fit between the frames for so long gives way to the most
accurate variant that does."""
ASK_NS = 2_500_000_000
"""How often a picture large enough for the reference is asked for."""
_LEVELS_SIZE = (4, 4)

Rungs = Mapping[Variant, Candidate]
"""The fastest way to run each variant of a view, with the table's figures."""


def levels_of(pixels: NDArray[np.uint8]) -> Levels:
    """Means of the parts of a picture (height, width, 3), by which a change of scene shows."""
    means: NDArray[np.uint8] = cv2.resize(pixels, _LEVELS_SIZE, interpolation=cv2.INTER_AREA)
    return means.tobytes()


@dataclass(slots=True)
class Probes:
    """share: of the time; 0 for none. Used by one thread at a time."""

    queues: Sequence[ViewQueue]
    loaded: LoadedNetworks
    profiler: Profiler
    controller: Controller
    clock: Clock
    share: float
    _saved_seconds: float = 0.0
    _saved_ns: int = 0
    _patient_from_ns: int = 0
    _next: int = 0
    """Whose turn it is."""
    _ladders: Ladders = field(default_factory=dict)
    _rungs: Mapping[str, Rungs] = field(default_factory=dict)
    """For these ladders."""

    def begin(self) -> None:
        """Go on with the evidence that the queues have; call it before the first frame."""
        for queue in self.queues:
            queue.evidence.frame = None  # its pixels may be gone
        self._apply()

    def _apply(self) -> None:
        """Rank the variants by the evidence."""
        found = {each.view: each.evidence.agreement for each in self.queues if self.share}
        self.profiler.use({view: each.figures() for view, each in found.items() if each})

    def use(self, gap_ms: float, tolerable_ms: float) -> bool:
        """Run a probe if one is due and fits; True if it did. gap_ms, tolerable_ms: as of
        `Idle.room_ms`."""
        now_ns = self.clock()
        passed_seconds = (now_ns - (self._saved_ns or now_ns)) / 1e9
        saved = self._saved_seconds + self.share * passed_seconds
        self._saved_seconds, self._saved_ns = min(saved, self.share * SAVED_SECONDS), now_ns
        if gap_ms <= 0:
            return False
        for number in range(len(self.queues)):
            place = (self._next + number) % len(self.queues)
            if self._probe(self.queues[place], now_ns, gap_ms, tolerable_ms):
                self._next = place + 1
                return True
        return False

    def _probe(self, queue: ViewQueue, now_ns: int, gap_ms: float, tolerable_ms: float) -> bool:
        evidence, latest = queue.evidence, queue.mailbox.latest
        frame, now_seconds = evidence.frame, now_ns / 1e9
        if frame is None or latest is None or latest.sequence != frame.sequence:
            return False
        if now_seconds - frame.ready_ns / 1e9 >= EARLY_SECONDS:
            return False  # it would be counted as another moment
        rungs = self._rungs_of(queue)
        agreement = evidence.agreement
        if agreement is None or agreement.reference not in rungs:
            if len(rungs) < 2 or queue.output.silent:
                return False
            best = max(rungs.values(), key=lambda rung: (rung.top1, -rung.p50_ms))
            agreement = self._compare_with(queue, best, now_ns)
        if now_seconds >= agreement.looks_seconds():
            changed = agreement.see(levels_of(frame.pixels), now_seconds)
            self._spend(evidence, self.clock() - now_ns)
            if changed:
                self._apply()
        due = [each for each in agreement.due(now_seconds) if each in rungs]
        if not due:
            evidence.fitted_ns = now_ns
            return False
        if evidence.variant == agreement.reference and evidence.reference is None:
            evidence.refer(evidence.top)
        side = math.inf if frame.serves is None else frame.serves
        due = [each for each in due if each.resolution <= side]
        ratio = self.controller.slowdown.ratio  # first those that the budget allows to run
        due.sort(key=lambda each: rungs[each].p50_ms * ratio > queue.budget_ms)
        if evidence.reference is not None:
            # What the reference has run for is never left out; it is paid back before the next.
            paid = evidence.variant != agreement.reference
            for each in (rungs[variant] for variant in due):
                needed_ms = -math.inf if paid else each.p50_ms
                if self._fits(each, needed_ms, now_ns, gap_ms, tolerable_ms):
                    self._run(queue, each, now_seconds)
                    return True
            return False
        reference = rungs[agreement.reference]
        if reference.variant.resolution > side:
            return False
        after_ms = 0.0
        if evidence.variant not in due:
            following = self._following(reference, [rungs[each] for each in due], gap_ms)
            if not following:
                return False
            after_ms = min(each.p50_ms for each in following)
        needed_ms = reference.p50_ms + after_ms
        if self._fits(reference, needed_ms, now_ns, gap_ms, tolerable_ms):
            self._run(queue, reference, now_seconds)
            evidence.fitted_ns = now_ns
            if evidence.variant in due:
                self._observe(queue, evidence.variant, evidence.top, now_seconds)
                due.remove(evidence.variant)
            if self._patient_from_ns == now_ns:  # the next frame will end it; half is left to that
                for each in (rungs[variant] for variant in due):
                    left_ms = (gap_ms + tolerable_ms) / 2 - (self.clock() - now_ns) / 1e6
                    if self.controller.slowdown.chance(each, left_ms) >= SURE:
                        self._run(queue, each, now_seconds)
            return True
        if now_ns - evidence.fitted_ns > UNFIT_NS:
            self._give_way(queue, rungs, now_ns, tolerable_ms)
        return False

    def _following(
        self, reference: Candidate, due: Sequence[Candidate], gap_ms: float
    ) -> list[Candidate]:
        """Those that fit into the same gap after the reference."""
        slowdown = self.controller.slowdown
        left_ms = gap_ms - reference.p95_ms * slowdown.ratio
        return [each for each in due if slowdown.chance(each, left_ms) >= SURE]

    def _fits(
        self,
        candidate: Candidate,
        needed_ms: float,
        now_ns: int,
        gap_ms: float,
        tolerable_ms: float,
    ) -> bool:
        """needed_ms: time on the undisturbed device that must have been saved up."""
        slowdown = self.controller.slowdown
        if needed_ms * slowdown.ratio / 1000 > self._saved_seconds:
            return False
        if slowdown.chance(candidate, gap_ms) >= SURE:
            return True
        if now_ns - self._patient_from_ns < PATIENCE_NS:
            return False
        if slowdown.chance(candidate, tolerable_ms) < SURE:
            return False
        self._patient_from_ns = now_ns
        return True

    def _run(self, queue: ViewQueue, candidate: Candidate, now_seconds: float) -> None:
        evidence, output = queue.evidence, queue.output
        assert evidence.frame is not None and evidence.agreement is not None
        begun_ns = self.clock()
        values, *_ = self.loaded.infer(
            candidate.choice, evidence.frame.pixels, queue.fit, features=output.takes_features
        )
        top = output.top(output.rows(values, candidate.network))
        self._spend(evidence, self.clock() - begun_ns)
        if candidate.variant == evidence.agreement.reference:
            evidence.refer(top)
        else:
            self._observe(queue, candidate.variant, top, now_seconds)

    def _observe(self, queue: ViewQueue, variant: Variant, top: Top, now_seconds: float) -> None:
        evidence = queue.evidence
        assert evidence.agreement is not None and evidence.reference is not None
        if evidence.agreement.observe(variant, agree(top, evidence.reference), now_seconds):
            self._apply()

    def _spend(self, evidence: Evidence, spent_ns: int) -> None:
        evidence.seconds += spent_ns / 1e9
        evidence.untold_ms += spent_ns / 1e6
        self._saved_seconds -= spent_ns / 1e9

    def _give_way(self, queue: ViewQueue, rungs: Rungs, now_ns: int, tolerable_ms: float) -> None:
        chance = self.controller.slowdown.chance
        fitting = [each for each in rungs.values() if chance(each, tolerable_ms) >= SURE]
        best = max(fitting, key=lambda rung: (rung.top1, -rung.p50_ms), default=None)
        agreement = queue.evidence.agreement
        if best is not None and agreement and best.top1 < agreement.worth:
            self._compare_with(queue, best, now_ns)

    def _compare_with(self, queue: ViewQueue, best: Candidate, now_ns: int) -> Agreement:
        """Begin anew with another reference."""
        table = {each.variant: each.top1 for each in self._rungs_of(queue).values()}
        agreement = Agreement(table, best.variant)
        queue.evidence.agreement, queue.evidence.fitted_ns = agreement, now_ns
        self._apply()
        return agreement

    def _rungs_of(self, queue: ViewQueue) -> Rungs:
        if self.profiler.ladders is not self._ladders:
            self._ladders = self.profiler.ladders
            self._rungs = {each.view: self._fastest(each) for each in self.queues}
        return self._rungs[queue.view]

    def _fastest(self, queue: ViewQueue) -> Rungs:
        runnable = self.profiler.runnable(queue.view)
        runnable.sort(key=lambda candidate: -candidate.p50_ms)
        return {each.variant: each for each in runnable if each.top1 >= queue.min_top1}

    def side_for(self, run: Run, dearer_ms: Mapping[int, float]) -> int:
        """The short side that the view's next picture must have for the reference; 0 for any.
        dearer_ms: how much longer such pictures take to decode."""
        queue, now_ns = run.queue, run.taken_ns
        evidence = queue.evidence
        agreement, serves = evidence.agreement, run.frame.serves
        if not self.share or agreement is None or serves is None:
            return 0
        side = agreement.reference.resolution
        left_ms = run.slack_ms - run.decision.predicted_ms
        if side <= serves or dearer_ms.get(side, 0.0) >= left_ms:
            return 0
        ran = run.decision.candidate.variant
        if ran not in agreement.variants or agreement.due_seconds(ran) > now_ns / 1e9:
            return 0
        if now_ns - evidence.asked_ns < ASK_NS:
            return 0
        evidence.asked_ns = now_ns
        return side
