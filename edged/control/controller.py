"""All state that the choice of a variant depends on: decide, run, observe.

It holds the slow-down estimate and, for each camera, the settings, the account of misses and what
ran last. The pipeline and a replay use it alike: the same calls give the same decisions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from edged.control.profile import Candidate
from edged.control.selector import NO_LIMITS, NOTHING_DEARER, Decision, Limits, allowed, choose
from edged.control.share import OnTimeShare
from edged.control.slowdown import Slowdown


@dataclass(frozen=True, slots=True)
class CameraSettings:
    """on_time: share of frames whose result must be within the budget.

    min_top1: never use a less accurate variant, even if results come late.
    """

    budget_ms: float
    on_time: float
    min_top1: float = 0.0


@dataclass(slots=True)
class CameraControl:
    """previous: what ran on the camera's last frame."""

    settings: CameraSettings
    share: OnTimeShare
    previous: Candidate | None = None


class Controller:
    """cameras: by name. slowdown: the estimate to continue with; None: a new one."""

    __slots__ = ("cameras", "slowdown")

    def __init__(
        self, cameras: Mapping[str, CameraSettings], slowdown: Slowdown | None = None
    ) -> None:
        self.slowdown = slowdown or Slowdown()
        self.cameras = {
            name: CameraControl(settings, OnTimeShare(settings.on_time))
            for name, settings in cameras.items()
        }

    def take_over(self, before: Controller, same_profile: bool) -> None:
        """Continue the accounts of cameras with the same settings and, with the same profile, the
        slow-down estimate and what ran last."""
        if same_profile:
            self.slowdown = before.slowdown
        for name, control in self.cameras.items():
            known = before.cameras.get(name)
            if known is not None and known.settings == control.settings:
                control.share = known.share
                control.previous = known.previous if same_profile else None

    def decide(
        self,
        camera: str,
        ladder: Sequence[Candidate],
        slack_ms: float,
        limits: Limits = NO_LIMITS,
        dearer_ms: Mapping[int, float] = NOTHING_DEARER,
    ) -> Decision:
        """What to run on a frame that has slack_ms of its budget left (choose in selector.py)."""
        control = self.cameras[camera]
        settings = control.settings
        return choose(
            allowed(ladder, settings.min_top1),
            self.slowdown,
            slack_ms=slack_ms,
            budget_ms=settings.budget_ms,
            target=settings.on_time,
            price=control.share.price,
            previous=control.previous,
            limits=limits,
            dearer_ms=dearer_ms,
        )

    def threads_for(
        self,
        camera: str,
        slack_ms: float,
        next_camera: str,
        next_slack_ms: float,
        ladder: Sequence[Candidate],
        *,
        free: int,
        waiting: int,
    ) -> int:
        """How many of the `free` cores a frame may use while `waiting` others wait.

        Either all, and the next frame runs afterwards; or an equal part, and the next runs in
        parallel: whichever has the higher expected value for both.
        """
        part = max(1, free // (1 + waiting))
        wide, wide_value = self._promise(camera, ladder, slack_ms, free)
        if wide.candidate.threads <= part:
            return part
        narrow, narrow_value = self._promise(camera, ladder, slack_ms, part)
        left = max(1, free - narrow.candidate.threads)
        _, beside_value = self._promise(next_camera, ladder, next_slack_ms, left)
        late_slack_ms = next_slack_ms - wide.predicted_ms
        _, after_value = self._promise(next_camera, ladder, late_slack_ms, free)
        return free if wide_value + after_value > narrow_value + beside_value else part

    def _promise(
        self, camera: str, ladder: Sequence[Candidate], slack_ms: float, threads: int
    ) -> tuple[Decision, float]:
        """What would run, and its value: (accuracy + price) x chance."""
        decision = self.decide(camera, ladder, slack_ms, Limits(threads=threads))
        worth = decision.candidate.top1 + self.cameras[camera].share.price
        return decision, worth * decision.chance

    def cheapest_ms(self, camera: str, ladder: Sequence[Candidate]) -> float:
        """Expected time of the cheapest variant that the camera may use."""
        others = allowed(ladder, self.cameras[camera].settings.min_top1)
        return min(other.p50_ms for other in others) * self.slowdown.ratio

    def observe(
        self,
        camera: str,
        ladder: Sequence[Candidate],
        candidate: Candidate,
        service_ms: float,
        on_time: bool,
    ) -> None:
        """Learn from a run. ladder: the one that the decision was made from."""
        self.slowdown.observe(candidate, service_ms)
        control = self.cameras[camera]
        others = allowed(ladder, control.settings.min_top1)
        faster = not on_time and any(other.p50_ms < candidate.p50_ms for other in others)
        control.share.observe(on_time, avoidable=faster)
        control.previous = candidate

    def dropped(self, camera: str) -> None:
        """Count a frame that was too old to run: a miss without a choice."""
        self.cameras[camera].share.observe(False, avoidable=False)
