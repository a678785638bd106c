"""A frame in progress, from the decision to the result."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.capture.frame import Frame
from edged.clock import Clock, unix_ns_of
from edged.control.profile import Candidate
from edged.control.selector import Decision, Limits
from edged.pipeline.queue import ViewQueue
from edged.result import Result, Score, Stages

Moments = tuple[int, int, int, int, int, int, int]
"""When a picture was captured, received and ready, and its run taken, preprocessed, inferred and
published: monotonic, in nanoseconds."""


@dataclass(slots=True)
class Run:
    """A frame with its decision and the inputs of that.

    event: number of trace lines before it. beside: other views' frames with the same pixels and
    choice, which share the run; of those, `shared` is true.
    """

    queue: ViewQueue
    frame: Frame
    taken_ns: int
    slack_ms: float
    limits: Limits
    ladder: Sequence[Candidate]
    decision: Decision
    event: int
    thread: int
    beside: tuple[Run, ...] = ()
    shared: bool = False

    @property
    def all(self) -> tuple[Run, ...]:
        """The frames that it serves."""
        return (self, *self.beside)

    def left_ms(self, now_ns: int) -> float:
        """How long it is expected to go on."""
        return max(0.0, self.decision.predicted_ms - (now_ns - self.taken_ns) / 1e6)

    def carry_out(
        self, loaded: LoadedNetworks, clock: Clock
    ) -> tuple[NDArray[np.float32], Sequence[NDArray[np.float32]], Sequence[Result], int]:
        """Run it once, for all the frames that it serves: scores or features, as the run gave them;
        of each frame, as `Output.rows`; the results; when they were published. Raises RunError."""
        queue, choice = self.queue, self.decision.candidate.choice
        values, preprocessed_ns, inferred_ns = loaded.infer(
            choice, self.frame.pixels, queue.fit, features=queue.output.takes_features
        )
        served = self.all
        rows = [each.queue.output.rows(values, choice.network) for each in served]
        tops = [each.queue.output.top(row) for each, row in zip(served, rows, strict=True)]
        published_ns = clock()
        results = [
            each.result(top, preprocessed_ns, inferred_ns, published_ns)
            for each, top in zip(served, tops, strict=True)
        ]
        return values, rows, results, published_ns

    def result(
        self, top: tuple[Score, ...], preprocessed_ns: int, inferred_ns: int, published_ns: int
    ) -> Result:
        queue, frame = self.queue, self.frame
        before_ns = frame.captured_ns, frame.received_ns, frame.ready_ns, self.taken_ns
        moments_ns = (*before_ns, preprocessed_ns, inferred_ns, published_ns)
        return result_of(
            queue.view, frame.sequence, queue.budget_ms, self.decision, moments_ns, top
        )


def result_of(
    view: str,
    sequence: int,
    budget_ms: float,
    decision: Decision,
    moments_ns: Moments,
    top: tuple[Score, ...],
) -> Result:
    candidate = decision.candidate
    stages = Stages(*[(end - begin) / 1e6 for begin, end in pairwise(moments_ns)])
    return Result(
        view=view,
        sequence=sequence,
        captured_unix_ns=unix_ns_of(moments_ns[0], moments_ns[-1]),
        budget_ms=budget_ms,
        variant=candidate.variant,
        threads=candidate.threads,
        runtime=candidate.runtime,
        reason=decision.reason.value,
        stages=stages,
        latency_ms=sum(stages),
        top=top,
    )
