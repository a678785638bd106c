"""What a trace says of each frame."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from edged.capture.frame import Frame
from edged.control.controller import Controller
from edged.control.selector import NO_LIMITS
from edged.pipeline.limits import Ladders
from edged.pipeline.queue import ViewQueue
from edged.pipeline.run import Run
from edged.result import Result
from edged.tracing.recorder import Recorder
from edged.tracing.recording import Header, RecordedFrame


@dataclass(slots=True)
class RunTrace:
    """recorder: None for no trace. about: for its header. lines: number of frames so far."""

    recorder: Recorder | None
    about: Mapping[str, str]
    lines: int = 0

    def header_due(self, ladders: Ladders) -> bool:
        return self.recorder is not None and self.recorder.header_due(ladders)

    def begin(self, controller: Controller, ladders: Ladders) -> None:
        """Write a header; only while nothing runs."""
        assert self.recorder is not None
        self.recorder.begin(Header.of(controller, ladders, self.about), ladders)

    def interrupt(self) -> None:
        """A new header follows."""
        if self.recorder is not None:
            self.recorder.interrupt()

    def record(
        self,
        queue: ViewQueue,
        frame: Frame,
        slack_ms: float,
        sensors: Mapping[str, float],
        run: Run | None = None,
        result: Result | None = None,
        service_ms: float = 0.0,
    ) -> None:
        """Add the frame; run is None if it was dropped as too old."""
        if self.recorder is None:
            return
        probe_ms, queue.evidence.untold_ms = queue.evidence.untold_ms, 0.0
        before_ns, queue.recorded_ns = queue.recorded_ns or frame.captured_ns, frame.captured_ns
        self.recorder.record(
            RecordedFrame(
                view=queue.view,
                interval_ms=max(0, frame.captured_ns - before_ns) / 1e6,
                wait_ms=(frame.ready_ns - frame.captured_ns) / 1e6,
                slack_ms=slack_ms,
                limits=NO_LIMITS if run is None else run.limits,
                overtaken=0 if run is None else self.lines - run.event,
                chosen=None if run is None else run.ladder.index(run.decision.candidate),
                reason="" if result is None else result.reason,
                service_ms=service_ms,
                on_time=result is not None and result.on_time,
                stages={} if result is None else result.stages._asdict(),
                sensors=sensors,
                shared=run is not None and run.shared,
                probe_ms=probe_ms,
            )
        )
        self.lines += 1
