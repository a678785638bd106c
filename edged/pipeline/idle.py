"""Work for idle times, while no frame waits: measure the profile, probe, keep the device warm."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.clock import Clock
from edged.control.profile import Profile
from edged.control.profiler import Profiler
from edged.control.selector import allowed
from edged.device import KEEP_WARM_SECONDS
from edged.pipeline.probes import Probes
from edged.pipeline.queue import ViewQueue
from edged.variants.variant import Choice

NO_FRAME_SOON_MS = 1000.0
"""Idle time to assume while no camera delivers."""


@dataclass(slots=True)
class Idle:
    """Used only by the thread that looks for the next frame."""

    queues: Sequence[ViewQueue]
    loaded: LoadedNetworks
    profiler: Profiler
    keep_warm: bool
    """Run the cheapest network from time to time while no frame comes, and discard its scores."""
    clock: Clock
    probes: Probes
    kept: Profile | None = None
    """The complete profile for which the sessions that it made unnecessary were last released."""
    ran_ns: int = 0
    """When a network last ran."""

    def use(self, slowdown: float, *, cool: bool) -> bool:
        """Use the time until the next frame; True if the caller should look for one at once.

        slowdown: run time relative to the undisturbed device. cool: no work is shed because of
        temperature or power.
        """
        if self.profiler.complete and self.profiler.profile is not self.kept:
            self.loaded.keep(self.profiler.useful)
            self.profiler.limit_to(self.loaded.choices)
            self.kept = self.profiler.profile
        if new := self.loaded.adopt():
            self.profiler.add(new)
        probing = self.probes.share > 0 and cool and self.profiler.complete
        if not (self.profiler.waiting or self.keep_warm or probing):
            return False
        gap_ms, tolerable_ms = self.room_ms(slowdown)
        if self.profiler.waiting and self.profiler.use_gap(
            gap_ms, tolerable_ms, self.measure, slowdown
        ):
            return True
        if probing and not self.profiler.waiting and self.probes.use(gap_ms, tolerable_ms):
            self.ran_ns = self.clock()
            return True
        if self.keep_warm and cool:
            self._warm(gap_ms)
        return False

    def room_ms(self, slowdown: float) -> tuple[float, float]:
        """Time until the next frame is due, negative if it is late; and the longest run after which
        that frame still meets its deadline on the cheapest variant. A view whose frame is later
        than NO_FRAME_SOON_MS is silent, or looks seldom and waits for a key frame."""
        now_ns, gap_ms, spare_ms = self.clock(), math.inf, math.inf
        for queue in self.queues:
            due_ns = queue.due_ns()
            if due_ns is None or (due_ms := (due_ns - now_ns) / 1e6) < -NO_FRAME_SOON_MS:
                continue
            gap_ms = min(gap_ms, due_ms)
            ladder = allowed(self.profiler.ladders[queue.view], queue.min_top1)
            cheapest_ms = min(each.p95_ms for each in ladder) * max(1.0, slowdown)
            spare_ms = min(spare_ms, queue.budget_ms - queue.age_ms - 1.5 * cheapest_ms)
        if gap_ms == math.inf:
            return NO_FRAME_SOON_MS, NO_FRAME_SOON_MS
        return gap_ms, gap_ms + max(0.0, spare_ms)

    def _warm(self, gap_ms: float) -> None:
        """Run the cheapest network, if none has run for a while and no frame has to wait for it."""
        ladders = self.profiler.ladders.values()
        cheapest = min(chain(*ladders), key=lambda candidate: candidate.p50_ms)
        rested = self.clock() - self.ran_ns >= KEEP_WARM_SECONDS * 1e9
        if rested and not 0 <= gap_ms < cheapest.p95_ms:
            self.measure(cheapest.choice)

    def measure(self, choice: Choice) -> tuple[float, float]:
        """Milliseconds of preprocessing and of inference, on the latest picture."""
        pixels = self._latest_pixels()
        begun_ns = self.clock()
        _, preprocessed_ns, inferred_ns = self.loaded.infer(choice, pixels)
        self.ran_ns = inferred_ns
        return (preprocessed_ns - begun_ns) / 1e6, (inferred_ns - preprocessed_ns) / 1e6

    def _latest_pixels(self) -> NDArray[np.uint8]:
        for queue in self.queues:
            if queue.mailbox.latest is not None:
                return queue.mailbox.latest.pixels
        return np.zeros((480, 480, 3), np.uint8)
