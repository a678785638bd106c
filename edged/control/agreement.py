"""What the variants are worth before one view: how often each agrees with the most accurate one.

The manifest's figures are those of held-out pictures. Before a view all variants may agree, or few
do. So now and then a frame that has run is run again (pipeline/probes.py), and each pair of answers
is evidence: whether a variant says what the *reference* says, the most accurate one of the table.
Agreement is a Beta posterior. Its prior is the agreement that explains the table's figures; frames
of one moment count as one; evidence loses half its weight in HALF_LIFE_SECONDS, and all at once
where agreement or the pictures break with what was seen.

    accuracy in use = worth of the reference x agreement + RIGHT_APART x that worth x the rest

Pure: no clock, no pictures, no networks; the same calls give the same figures.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median

import numpy as np

from edged.control.scene_change import NOVEL, Levels, SceneChange
from edged.variants.variant import Variant

MOMENT_SECONDS = 10.0
"""Pictures this far apart are evidence of their own."""
EARLY_SECONDS, EARLY_WEIGHT = 2.5, 0.5
"""Before there are ENOUGH_MOMENTS probes come this soon, and those that are closer than a moment
weigh less. On the recorded clips answers 2.5 s apart correlate by 0.1 to 0.2, 0.4 at most; of
answers that correlate by 1/3 from one to the next, two tell as much as one by itself."""
HALF_LIFE_SECONDS = 2 * 3600.0
RIGHT_APART = 0.5
"""How often a variant is right where it does not agree, in parts of the reference's worth. It makes
accuracies out of agreements: on 1,305 labelled photos the median over 30 variants is 0.58, from 0.1
for the smallest to 1 for neighbours of the reference. One value for all ranks them by agreement."""
PRIOR_MOMENTS = 2.0
"""What the table counts for."""
GROWN = 1.5
"""A figure in use is made anew when it rests on so many times the moments that it rested on."""
ENOUGH_MOMENTS = 32.0
"""From then on, moments become rarer in proportion."""
RAREST_SECONDS = 60.0
SHOWN, CERTAIN = 0.95, 0.99
"""Probability of the interval that is shown, and of the one that a figure must leave before it
changes what runs."""

FALSE_ALARM_MOMENTS = 10_000
"""Of a variant whose agreement is within its interval, at least so many on average between two
false alarms: 28 hours of a moment every ten seconds."""
_OTHER_SHARES = (0.02, 0.1, 0.3, 0.5, 0.7, 0.9, 0.98)


@dataclass(frozen=True, slots=True)
class Estimate:
    """agreement, low, high: shares of frames, with the ends of the 95 % interval, which ends at 1
    where all agreed and at 0 where none did. moments: weight of the evidence. probes: how many runs
    it came from, since the last break. accuracy: that the agreement means."""

    agreement: float
    low: float
    high: float
    moments: float
    probes: int
    accuracy: float


@dataclass(slots=True)
class _Pairs:
    """Evidence on a variant. prior: agreement that the table implies. used: agreement that the
    figure in use was made of, and the moments that it rested on."""

    prior: float
    agreed: float = 0.0
    moments: float = 0.0
    probes: int = 0
    at_seconds: float = 0.0
    used: float | None = None
    used_moments: float = 0.0
    change: list[float] = field(default_factory=lambda: [0.0] * len(_OTHER_SHARES))

    @property
    def posterior(self) -> tuple[float, float]:
        """Parameters of the Beta distribution."""
        agreed = PRIOR_MOMENTS * self.prior + self.agreed
        return agreed, PRIOR_MOMENTS + self.moments - agreed

    @property
    def mean(self) -> float:
        agreed, differed = self.posterior
        return agreed / (agreed + differed)

    def count(self, agrees: bool, now_seconds: float) -> None:
        """Let the evidence so far lose weight, and add an outcome."""
        passed = now_seconds - self.at_seconds
        weight = min(1.0, max(EARLY_WEIGHT, passed / MOMENT_SECONDS)) if self.probes else 1.0
        kept = 0.5 ** (passed / HALF_LIFE_SECONDS)
        self.agreed = kept * self.agreed + weight * agrees
        self.moments = kept * self.moments + weight
        self.probes += 1
        self.at_seconds = now_seconds

    def note_change(self, agrees: bool) -> bool:
        """Note the next outcome; whether it breaks with those before. An e-detector (arXiv
        2203.03532) for a share in the interval against shares beyond it."""
        low, high = interval(*self.posterior, SHOWN)
        total = 0.0
        for place, other in enumerate(_OTHER_SHARES):
            if low <= other <= high:
                self.change[place] = 0.0
                continue
            known = low if other < low else high
            ratio = other / known if agrees else (1 - other) / (1 - known)
            self.change[place] = (self.change[place] + 1) * ratio
            total += self.change[place]
        return total >= FALSE_ALARM_MOMENTS * len(_OTHER_SHARES)

    @property
    def outdated(self) -> bool:
        """Whether the figure in use differs from the posterior's mean by more than its certainty,
        or that has grown since."""
        low, high = interval(*self.posterior, CERTAIN)
        known = self.prior if self.used is None else self.used
        grown = self.used is not None and self.moments >= GROWN * self.used_moments
        return grown or not low <= known <= high


class Agreement:
    """One view's evidence. table: the manifest's accuracy of every variant that the view may run.
    reference: the one that the others are compared with; those that the table has above it keep
    their figures."""

    def __init__(self, table: Mapping[Variant, float], reference: Variant) -> None:
        self.table, self.reference = table, reference
        self.worth = table[reference]
        self.breaks = 0
        """How often all evidence was forgotten at once."""
        self._apart = RIGHT_APART * self.worth
        self._pairs = self._none()
        self._fresh: dict[Variant, _Pairs] = {}
        """Since the first picture that is unlike those seen: what a break does not forget."""
        self._moment_seconds = self._next_seconds = -math.inf
        """When the present moment began, and when the next one will."""
        self._scene = SceneChange()
        self._looks, self._look_seconds = 0, -math.inf
        """How many pictures were seen, and when the next one is to be."""

    def _none(self) -> dict[Variant, _Pairs]:
        """No evidence."""
        found = {}
        for variant, top1 in self.table.items():
            if variant != self.reference and top1 <= self.worth:
                explains = (top1 - self._apart) / (self.worth - self._apart)
                found[variant] = _Pairs(min(0.98, max(0.05, explains)))
        return found

    @property
    def variants(self) -> list[Variant]:
        """Those that are compared."""
        return list(self._pairs)

    def due_seconds(self, variant: Variant) -> float:
        """When its next probe is worth its time."""
        evidence = self._fresh or self._pairs
        return self._moment_seconds if self._waits(evidence[variant]) else self._next_seconds

    def due(self, now_seconds: float) -> list[Variant]:
        """Those whose next probe is worth its time, the longest awaited first. All are due at the
        same moments, so that they are compared on the same pictures."""
        if now_seconds >= self._next_seconds:
            self._begin(now_seconds)
        evidence = self._fresh or self._pairs
        waiting = [variant for variant, pairs in evidence.items() if self._waits(pairs)]
        return sorted(waiting, key=lambda variant: evidence[variant].at_seconds)

    def _waits(self, pairs: _Pairs) -> bool:
        return not pairs.probes or pairs.at_seconds < self._moment_seconds

    def _begin(self, now_seconds: float) -> None:
        """A moment; they come at no fixed interval, so that a scene that repeats itself is seen at
        all its moments."""
        evidence = [each for each in (self._fresh or self._pairs).values() if each.probes]
        # The median: what runs is compared at each moment, others only where the gap allows it.
        moments = median(each.moments for each in evidence) if evidence else 0.0
        number = max((each.probes for each in evidence), default=0)
        spread = _spread(number)
        if moments < ENOUGH_MOMENTS:
            wait_seconds = EARLY_SECONDS * max(1.0, spread)
        else:
            rarer_seconds = MOMENT_SECONDS * moments / ENOUGH_MOMENTS
            wait_seconds = max(MOMENT_SECONDS, min(RAREST_SECONDS, rarer_seconds) * spread)
        self._moment_seconds, self._next_seconds = now_seconds, now_seconds + wait_seconds

    def observe(self, variant: Variant, agrees: bool, now_seconds: float) -> bool:
        """Count a pair of answers, once a moment; whether figures in use have changed."""
        if now_seconds >= self._next_seconds:
            self._begin(now_seconds)
        pairs, fresh = self._pairs[variant], self._fresh.get(variant)
        if not self._waits(fresh or pairs):
            return False
        if fresh:
            fresh.count(agrees, now_seconds)
            if now_seconds - pairs.at_seconds < MOMENT_SECONDS:
                return False
        if pairs.note_change(agrees):
            return self._break()
        pairs.count(agrees, now_seconds)
        return pairs.outdated and self._renew()

    def _renew(self) -> bool:
        """Take over the means of all: those of the same moments are what can be compared."""
        for pairs in self._pairs.values():
            if pairs.probes:
                pairs.used, pairs.used_moments = pairs.mean, pairs.moments
        return True

    def looks_seconds(self) -> float:
        """When the next picture is to be seen."""
        return self._look_seconds

    def see(self, levels: Levels, now_seconds: float) -> bool:
        """Look at a picture, once a moment; whether a figure in use has changed because of it."""
        self._looks += 1
        self._look_seconds = now_seconds + MOMENT_SECONDS * _spread(self._looks)
        novel = self._scene.see(levels)
        if novel == 1 or (self._fresh and not novel):
            self._fresh = self._none() if novel else {}
            self._next_seconds = -math.inf
        return novel == NOVEL and self._break()

    def _break(self) -> bool:
        """Forget everything; whether that changes a figure in use."""
        changed = bool(self.figures())
        self._scene.begin()
        self._pairs, self._fresh = self._fresh or self._none(), {}
        self._next_seconds = -math.inf
        self.breaks += 1
        renewed = any(each.outdated for each in self._pairs.values()) and self._renew()
        return changed or renewed

    def figures(self) -> dict[Variant, float]:
        """Accuracy in use of the variants of which it is not the table's."""
        return {
            variant: self._accuracy(pairs.used)
            for variant, pairs in self._pairs.items()
            if pairs.used is not None
        }

    def estimate(self, variant: Variant) -> Estimate | None:
        """None for a variant that is not compared."""
        pairs = self._pairs.get(variant)
        if pairs is None:
            return None
        mean, (low, high) = pairs.mean, interval(*pairs.posterior, SHOWN)
        if pairs.agreed == pairs.moments:  # as of the modified Jeffreys interval
            high = 1.0
        if not pairs.agreed:
            low = 0.0
        return Estimate(mean, low, high, pairs.moments, pairs.probes, self._accuracy(mean))

    def _accuracy(self, agreement: float) -> float:
        return self.worth * agreement + self._apart * (1 - agreement)


def _spread(number: int) -> float:
    """A factor for a wait, other each time: what repeats itself is then met at all its moments."""
    return 0.75 + 0.5 * (number * 0.6180339887 % 1)


@lru_cache(maxsize=1024)
def interval(agreed: float, differed: float, share: float) -> tuple[float, float]:
    """The central interval of a Beta distribution, by its density over the log of the odds."""
    middle = math.log(agreed / differed)
    reach = 8 * math.sqrt(1 / agreed + 1 / differed) + 8 / min(agreed, differed)
    odds = np.linspace(middle - reach, middle + reach, 501)
    logs = -differed * odds - (agreed + differed) * np.logaddexp(0, -odds)
    density = np.exp(logs - logs.max())
    below = density.cumsum() - density / 2
    ends = np.interp(np.array((1 - share, 1 + share)) / 2 * density.sum(), below, odds)
    low, high = 1 / (1 + np.exp(-ends))
    return float(low), float(high)
