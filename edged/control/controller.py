"""All state that the choice of a variant depends on: decide, run, observe.

It holds the slow-down estimate and, for each view, the settings, the account of misses and what
ran last. The pipeline and a replay use it alike: the same calls give the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edged.control.profile import Candidate, current
from edged.control.selector import (
    NO_LIMITS,
    NOTHING_DEARER,
    Decision,
    Limits,
    Situation,
    allowed,
    choose,
    choose_by_cost,
)
from edged.control.share import OnTimeShare
from edged.control.slowdown import Slowdown
from edged.control.thrift import Thrift


@dataclass(frozen=True, slots=True)
class ViewSettings:
    """on_time: share of frames whose result must be within the budget.

    min_top1: never use a variant that is less accurate by the table, even if results come late.
    give_up: accuracy that may be given up for less power, 0 to 1; None where the goal is accuracy.
    """

    budget_ms: float
    on_time: float
    min_top1: float = 0.0
    give_up: float | None = None


@dataclass(slots=True)
class ViewControl:
    """previous: what ran on the view's last frame, with its figures then. thrift: None where the
    goal is accuracy."""

    settings: ViewSettings
    share: OnTimeShare
    thrift: Thrift | None = None
    previous: Candidate | None = None

    @classmethod
    def of(cls, settings: ViewSettings) -> ViewControl:
        thrift = None if settings.give_up is None else Thrift(settings.give_up)
        return cls(settings, OnTimeShare(settings.on_time), thrift)


class Controller:
    """views: settings by id. slowdown: the estimate to continue with; None: a new one."""

    __slots__ = ("slowdown", "views")

    def __init__(self, views: Mapping[str, ViewSettings], slowdown: Slowdown | None = None) -> None:
        self.slowdown = slowdown or Slowdown()
        self.views = {name: ViewControl.of(settings) for name, settings in views.items()}

    def take_over(
        self,
        before: Controller,
        ladders: Mapping[str, Sequence[Candidate]],
        *,
        same_runtimes: bool,
    ) -> None:
        """Continue the accounts of views with the same settings, what ran last where it is still
        in the ladder and, with the same runtimes, the slow-down estimate."""
        if same_runtimes:
            self.slowdown = before.slowdown
        for name, control in self.views.items():
            known = before.views.get(name)
            if known is not None and known.settings == control.settings:
                control.share, control.thrift = known.share, known.thrift
                control.previous = current(ladders[name], known.previous)

    def decide(
        self,
        view: str,
        ladder: Sequence[Candidate],
        slack_ms: float,
        limits: Limits = NO_LIMITS,
        dearer_ms: Mapping[int, float] = NOTHING_DEARER,
    ) -> Decision:
        """What to run on a frame that has slack_ms of its budget left (selector.py)."""
        control = self.views[view]
        settings = control.settings
        rungs = allowed(ladder, settings.min_top1)
        price, previous = control.share.price, current(rungs, control.previous)
        situation = Situation(
            slack_ms, settings.budget_ms, settings.on_time, price, previous, limits, dearer_ms
        )
        if control.thrift is not None:
            return choose_by_cost(rungs, self.slowdown, situation, control.thrift.terms)
        return choose(rungs, self.slowdown, situation)

    def decide_apart(
        self,
        view: str,
        ladder: Sequence[Candidate],
        slack_ms: float,
        budget_ms: float,
        limits: Limits,
    ) -> Decision:
        """What to run on a picture that is none of the view's frames, but is answered as one of
        them; nothing of it is to be observed. ladder: of what the view may run."""
        control = self.views[view]
        target, price = control.settings.on_time, control.share.price
        situation = Situation(slack_ms, budget_ms, target, price, limits=limits)
        return choose(ladder, self.slowdown, situation)

    def threads_for(
        self,
        first: tuple[str, float, Sequence[Candidate]],
        second: tuple[str, float, Sequence[Candidate]],
        *,
        free: int,
        waiting: int,
    ) -> int:
        """How many of the `free` cores a frame may use while `waiting` others wait. first, second:
        view, slack (ms) and ladder of that frame and of the next one.

        Either all, and the next frame runs afterwards; or an equal part, and the next runs in
        parallel: whichever has the higher expected value for both.
        """
        part = max(1, free // (1 + waiting))
        wide, wide_value = self._promise(*first, free)
        if wide.candidate.threads <= part:
            return part
        narrow, narrow_value = self._promise(*first, part)
        left = max(1, free - narrow.candidate.threads)
        view, slack_ms, ladder = second
        _, beside_value = self._promise(view, slack_ms, ladder, left)
        _, after_value = self._promise(view, slack_ms - wide.predicted_ms, ladder, free)
        return free if wide_value + after_value > narrow_value + beside_value else part

    def _promise(
        self, view: str, slack_ms: float, ladder: Sequence[Candidate], threads: int
    ) -> tuple[Decision, float]:
        """What would run, and its value: (accuracy + price) x chance."""
        decision = self.decide(view, ladder, slack_ms, Limits(threads=threads))
        worth = decision.candidate.top1 + self.views[view].share.price
        return decision, worth * decision.chance

    def observe(
        self,
        view: str,
        ladder: Sequence[Candidate],
        decision: Decision,
        service_ms: float,
        on_time: bool,
        *,
        shared: bool = False,
    ) -> None:
        """Learn from a run. ladder: the one that the decision was made from. shared: a frame of
        another view was on the same run, which says nothing more about the device."""
        control, candidate = self.views[view], decision.candidate
        if control.thrift is not None:
            control.thrift.observe(decision, service_ms, on_time)
        if not shared:
            self.slowdown.observe(candidate, service_ms)
        faster = not on_time and any(
            other.p50_ms < candidate.p50_ms for other in allowed(ladder, control.settings.min_top1)
        )
        control.share.observe(on_time, avoidable=faster)
        control.previous = candidate

    def dropped(self, view: str) -> None:
        """Count a frame that was too old to run: a miss without a choice."""
        self.views[view].share.observe(False, avoidable=False)
