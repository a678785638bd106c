"""Runs a policy over a full trace as the pipeline would have: latest wins, stale frames dropped."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from edged.control.trace import FullTrace


class Policy(Protocol):
    """Decides for one camera. Variants are named by their index in the trace."""

    def choose(self, slack_ms: float) -> int: ...

    def observe(self, chosen: int, service_ms: float, on_time: bool) -> None: ...

    def stale(self) -> None:
        """A frame was dropped because its budget was spent: a miss without a choice."""


@dataclass(frozen=True, slots=True)
class Outcome:
    frames: int
    on_time: float
    accuracy: float
    accuracy_on_time: float
    switches: int
    share: dict[str, float]
    skipped: int = 0


def replay(trace: FullTrace, policy: Policy, budget_ms: float, rows: list | None = None) -> Outcome:
    top1 = [v.top1 for v in trace.variants]
    frames = trace.frames
    count = len(frames)
    interval_ms = trace.interval_ms
    ready = [i * interval_ms + f.wait_ms for i, f in enumerate(frames)]
    free_ms = 0.0
    i = 0
    runs = [0] * len(top1)
    total = on_time = stale = skipped = switches = 0
    accuracy = 0.0
    previous = -1
    while i < count:
        now = ready[i] if ready[i] > free_ms else free_ms
        while i + 1 < count and ready[i + 1] <= now:
            i += 1
            skipped += 1
        slack = budget_ms - (now - i * interval_ms)
        total += 1
        if slack <= 0:
            stale += 1
            policy.stale()
            if rows is not None:
                rows.append((i, -1, slack, 0.0))
            i += 1
            continue
        chosen = policy.choose(slack)
        service = frames[i].service_ms[chosen]
        ok = service <= slack
        if ok:
            on_time += 1
            accuracy += top1[chosen]
        runs[chosen] += 1
        switches += chosen != previous and previous >= 0
        previous = chosen
        if rows is not None:
            rows.append((i, chosen, slack, service))
        policy.observe(chosen, service, ok)
        free_ms = now + service
        i += 1
    total = max(total, 1)
    return Outcome(
        total,
        on_time / total,
        accuracy / total,
        accuracy / max(on_time, 1),
        switches,
        {v.name: n / total for v, n in zip(trace.variants, runs) if n},
        skipped,
    )
