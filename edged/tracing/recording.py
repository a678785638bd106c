"""Recorded traces: what a running daemon saw and chose. JSON lines, optionally gzipped.

A header holds everything that decisions depend on: the ladder, the settings, and the controller's
state. It stands at the start of each file, and again wherever the ladder or the settings changed,
so that from any header on a replay makes the recorded decisions again. Then come the frames.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.control.controller import CameraSettings, Controller
from edged.control.profile import Candidate
from edged.control.selector import NO_LIMITS, Limits
from edged.control.share import OnTimeShare
from edged.control.slowdown import Slowdown
from edged.document.json_line import Line
from edged.errors import InputError
from edged.tracing.trace import FullTrace, full_trace, read_lines
from edged.variants.variant import Variant

FORMAT = 1
"""The value of a header's key `edged_trace`."""
BEGINNING = b'{"edged_trace"'
"""Of the file."""


@dataclass(frozen=True, slots=True)
class CameraState:
    """owed: share.py's account. previous: position of what ran last, if it is in the ladder."""

    owed: float
    previous: int | None


@dataclass(frozen=True, slots=True)
class Header:
    """slowdown: its state (slowdown.py). about: device, backend, family: whose profile it is."""

    ladder: tuple[Candidate, ...]
    cameras: Mapping[str, CameraSettings]
    states: Mapping[str, CameraState]
    slowdown: Mapping[str, Any]
    about: Mapping[str, str]

    @classmethod
    def of(
        cls, controller: Controller, ladder: Sequence[Candidate], about: Mapping[str, str]
    ) -> Header:
        """A snapshot, which later decisions do not change."""
        positions = {id(candidate): position for position, candidate in enumerate(ladder)}
        states = {
            name: CameraState(control.share.owed, positions.get(id(control.previous)))
            for name, control in controller.cameras.items()
        }
        cameras = {name: control.settings for name, control in controller.cameras.items()}
        return cls(tuple(ladder), cameras, states, controller.slowdown.state(), dict(about))

    def controller(self) -> Controller:
        """One that decides as the recorded one did; InputError for a state it cannot take."""
        threads = {candidate.threads for candidate in self.ladder}
        controller = Controller(self.cameras, Slowdown.from_state(self.slowdown, sorted(threads)))
        for name, state in self.states.items():
            control = controller.cameras[name]
            control.share = OnTimeShare(control.settings.on_time, state.owed)
            control.previous = None if state.previous is None else self.ladder[state.previous]
        return controller


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """What the controller was told about one frame, what it chose and what came of it.

    A frame that was left out for the temperature's sake is not recorded: it changes no state.

    interval_ms: since the capture of the camera's frame before. wait_ms: age at which the frame
    was ready; slack_ms: what was left of the budget when it was taken. limits: of the choice.
    overtaken: how many of the lines right before it came about after its decision, on frames of
    other cameras. chosen: position in the ladder; None for a frame that was dropped as too old, of
    which service_ms is 0 and reason and stages are empty. on_time: the result kept the budget.
    sensors: readings by name.
    """

    camera: str
    interval_ms: float
    wait_ms: float
    slack_ms: float
    limits: Limits
    overtaken: int
    chosen: int | None
    reason: str
    service_ms: float
    on_time: bool
    stages: Mapping[str, float]
    sensors: Mapping[str, float]
    line: int = 0


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames decided with the same ladder and settings, one after the other."""

    header: Header
    frames: tuple[RecordedFrame, ...]


@dataclass(frozen=True, slots=True)
class RecordedTrace:
    segments: tuple[Segment, ...]

    def settings(self, camera: str) -> CameraSettings:
        """The latest of a camera that has frames: a reload may have removed it since."""
        headers = (segment.header for segment in reversed(self.segments))
        return next(header.cameras[camera] for header in headers if camera in header.cameras)


def read_trace(path: Path) -> FullTrace | RecordedTrace:
    """Either kind of trace; InputError says which line is wrong and why."""
    lines = read_lines(path)
    first = next(lines, None)
    if first is None:
        raise InputError("the trace is empty", where=path)
    if "edged_trace" in first.values:
        return _recorded(first, lines)
    if "variants" in first.values:
        return full_trace(first, lines)
    raise InputError(
        "not a trace",
        where=first.where,
        fix="the first line must be a header with `variants` or `edged_trace`",
    )


def header_line(header: Header) -> str:
    """The recorded header as it stands in the file, without the line's end."""
    ladder = [
        {
            "variant": candidate.variant.name,
            "threads": candidate.threads,
            "runtime": candidate.runtime,
            "top1": candidate.top1,
            "p50_ms": candidate.p50_ms,
            "p95_ms": candidate.p95_ms,
        }
        for candidate in header.ladder
    ]
    cameras = {
        name: {
            "budget_ms": settings.budget_ms,
            "on_time": settings.on_time,
            "min_top1": settings.min_top1,
            "owed": header.states[name].owed,
            "previous": header.states[name].previous,
        }
        for name, settings in header.cameras.items()
    }
    return json.dumps(
        {
            "edged_trace": FORMAT,
            "about": dict(header.about),
            "ladder": ladder,
            "cameras": cameras,
            "slowdown": dict(header.slowdown),
        }
    )


def frame_line(frame: RecordedFrame, ladder: tuple[Candidate, ...]) -> str:
    """A recorded frame as it stands in the file, without the line's end."""
    values: dict[str, Any] = {
        "camera": frame.camera,
        "interval_ms": frame.interval_ms,
        "wait_ms": frame.wait_ms,
        "slack_ms": frame.slack_ms,
    }
    limits = frame.limits
    values |= {
        key: value
        for key, value in (
            ("limit_ms", None if limits.run_ms == math.inf else limits.run_ms),
            ("limit_resolution", limits.resolution),
            ("limit_threads", limits.threads),
            ("overtaken", frame.overtaken or None),
        )
        if value is not None
    }
    if frame.chosen is not None:
        candidate = ladder[frame.chosen]
        values |= {
            "variant": candidate.variant.name,
            "threads": candidate.threads,
            "runtime": candidate.runtime,
            "reason": frame.reason,
            "service_ms": frame.service_ms,
            "on_time": frame.on_time,
            "stages": dict(frame.stages),
        }
    if frame.sensors:
        values["sensors"] = dict(frame.sensors)
    return json.dumps(values, separators=(",", ":"))


def _recorded(first: Line, lines: Iterator[Line]) -> RecordedTrace:
    segments = []
    header, frames = _header(first), list[RecordedFrame]()
    for line in lines:
        if "edged_trace" in line.values:
            segments.append(Segment(header, tuple(frames)))
            header, frames = _header(line), []
        else:
            frame = _frame(line, header)
            if frame.overtaken > len(frames):
                raise line.error("`overtaken` points before the header", frame.overtaken)
            frames.append(frame)
    segments.append(Segment(header, tuple(frames)))
    if not any(segment.frames for segment in segments):
        raise first.error("the trace has no frames")
    return RecordedTrace(tuple(segments))


def _header(line: Line) -> Header:
    version = line.take("edged_trace")
    if version != FORMAT:
        raise line.error(
            f"the trace's format is not {FORMAT}: recorded by another version of edged",
            version,
        )
    ladder = []
    for index, entry in enumerate(line.list_at("ladder")):
        candidate = line.inside(f"ladder[{index}]", entry)
        try:
            variant = Variant.parse(candidate.text_at("variant"))
        except InputError as error:
            raise candidate.error(error.what, error.got) from None
        threads = candidate.number_at("threads", 1)
        p50_ms = candidate.number_at("p50_ms", above=True)
        p95_ms = candidate.number_at("p95_ms", above=True)
        top1 = candidate.number_at("top1")
        ladder.append(Candidate(variant, int(threads), top1, p50_ms, p95_ms, _runtime(candidate)))
    settings, states = {}, {}
    for name, entry in line.object_at("cameras").items():
        camera = line.inside(f"cameras.{name}", entry)
        on_time = camera.number_at("on_time", above=True)
        if on_time >= 1:
            raise camera.error("`on_time` must be below 1", on_time)
        settings[name] = CameraSettings(
            camera.number_at("budget_ms", above=True), on_time, camera.number_at("min_top1")
        )
        previous = camera.take("previous")
        if previous is not None and (
            type(previous) is not int or previous not in range(len(ladder))
        ):
            raise camera.error("`previous` must be a position in the ladder", repr(previous))
        states[name] = CameraState(camera.number_at("owed", -math.inf), previous)
    about = {key: str(value) for key, value in line.object_at("about").items()}
    return Header(tuple(ladder), settings, states, line.object_at("slowdown"), about)


def _frame(line: Line, header: Header) -> RecordedFrame:
    camera = line.text_at("camera")
    if camera not in header.cameras:
        raise line.error("the header has no such camera", camera)
    chosen, reason, service_ms, on_time = None, "", 0.0, False
    stages = dict[str, float]()
    if "variant" in line.values:
        chosen = _chosen(line, header)
        reason = line.text_at("reason")
        service_ms = line.number_at("service_ms")
        on_time = line.take("on_time")
        if not isinstance(on_time, bool):
            raise line.error("`on_time` must be true or false", repr(on_time))
        stages = _numbers(line, "stages")
    return RecordedFrame(
        camera=camera,
        interval_ms=line.number_at("interval_ms"),
        wait_ms=line.number_at("wait_ms"),
        slack_ms=line.number_at("slack_ms", -math.inf),
        limits=_limits(line),
        overtaken=_count(line, "overtaken", 0) or 0,
        chosen=chosen,
        reason=reason,
        service_ms=service_ms,
        on_time=on_time,
        stages=stages,
        sensors=_numbers(line, "sensors") if "sensors" in line.values else {},
        line=line.number,
    )


def _limits(line: Line) -> Limits:
    run_ms = line.number_at("limit_ms", above=True) if "limit_ms" in line.values else math.inf
    limits = Limits(run_ms, _count(line, "limit_resolution", 1), _count(line, "limit_threads", 1))
    return NO_LIMITS if limits == NO_LIMITS else limits


def _count(line: Line, key: str, least: int) -> int | None:
    """None where the line has no such key."""
    return int(line.number_at(key, least)) if key in line.values else None


def _chosen(line: Line, header: Header) -> int:
    name, threads = line.text_at("variant"), line.number_at("threads", 1)
    runtime = _runtime(line)
    for position, candidate in enumerate(header.ladder):
        if (candidate.variant.name, *candidate.choice[1:]) == (name, threads, runtime):
            return position
    raise line.error("the header's ladder has no such variant", f"{name} x{threads:g} {runtime}")


def _runtime(line: Line) -> str:
    """Release 0.1.0 had only one, and did not write it down."""
    return line.text_at("runtime") if "runtime" in line.values else "onnxruntime"


def _numbers(line: Line, key: str) -> dict[str, float]:
    return {
        name: line.check(f"{key}.{name}", value, -math.inf)
        for name, value in line.object_at(key).items()
    }
