"""A frame in progress, from the decision to the result."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from edged.capture.frame import Frame
from edged.clock import unix_ns_of
from edged.control.profile import Candidate
from edged.control.selector import Decision, Limits
from edged.pipeline.queue import CameraQueue
from edged.result import Result, Score, Stages


class Run(NamedTuple):
    """A frame with its decision and the inputs of that. event: number of trace lines before it."""

    queue: CameraQueue
    frame: Frame
    taken_ns: int
    slack_ms: float
    limits: Limits
    ladder: Sequence[Candidate]
    decision: Decision
    event: int
    thread: int

    def result(
        self, top: tuple[Score, ...], preprocessed_ns: int, inferred_ns: int, published_ns: int
    ) -> Result:
        frame, candidate = self.frame, self.decision.candidate
        return Result(
            camera=self.queue.camera,
            sequence=frame.sequence,
            captured_unix_ns=unix_ns_of(frame.captured_ns, published_ns),
            budget_ms=self.queue.budget_ms,
            variant=candidate.variant,
            threads=candidate.threads,
            runtime=candidate.runtime,
            reason=self.decision.reason.value,
            stages=Stages(
                capture=(frame.received_ns - frame.captured_ns) / 1e6,
                decode=(frame.ready_ns - frame.received_ns) / 1e6,
                queue=(self.taken_ns - frame.ready_ns) / 1e6,
                preprocess=(preprocessed_ns - self.taken_ns) / 1e6,
                inference=(inferred_ns - preprocessed_ns) / 1e6,
                publish=(published_ns - inferred_ns) / 1e6,
            ),
            top=top,
        )
