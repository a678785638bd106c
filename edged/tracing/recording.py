"""Recorded traces: what a running daemon saw and chose. JSON lines, optionally gzipped.

A header holds everything that decisions depend on: the ladder and the settings of each view, and
the controller's state. It stands at the start of each file, and again wherever a ladder or a
setting changed, so that from any header on a replay makes the recorded decisions again. Then come
the frames.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from edged.control.controller import Controller, ViewSettings
from edged.control.profile import Candidate, current
from edged.control.selector import NO_LIMITS, Limits
from edged.control.share import OnTimeShare
from edged.control.slowdown import Slowdown
from edged.control.thrift import LEAST_CHARGE, MOST_CHARGE, Account, Thrift
from edged.document.json_line import Line
from edged.errors import InputError
from edged.tracing.ladders import ladder_at, runtime_at, written
from edged.tracing.trace import FullTrace, full_trace, read_lines
from edged.view import camera_of

FORMAT, ONE_LADDER = 2, 1
"""Values of a header's key `edged_trace`. Release 0.1.0 wrote the second: one `ladder` for all."""
BEGINNING = b'{"edged_trace"'
"""Of the file."""


@dataclass(frozen=True, slots=True)
class ViewState:
    """owed: share.py's account. previous: position of what ran last, if it is in the ladder.
    thrift: thrift.py's account, where the goal is power."""

    owed: float
    previous: int | None
    thrift: Account | None = None


@dataclass(frozen=True, slots=True)
class Header:
    """ladders, settings, states: by view. slowdown: its state (slowdown.py). about: device,
    backend, family: whose profile it is."""

    ladders: Mapping[str, tuple[Candidate, ...]]
    settings: Mapping[str, ViewSettings]
    states: Mapping[str, ViewState]
    slowdown: Mapping[str, Any]
    about: Mapping[str, str]

    @classmethod
    def of(
        cls,
        controller: Controller,
        ladders: Mapping[str, tuple[Candidate, ...]],
        about: Mapping[str, str],
    ) -> Header:
        """A snapshot, which later decisions do not change."""
        views = controller.views
        states = {}
        for view, control in views.items():
            previous = current(ladders[view], control.previous)
            states[view] = ViewState(
                control.share.owed,
                None if previous is None else ladders[view].index(previous),
                None if control.thrift is None else control.thrift.account,
            )
        return cls(
            {view: ladders[view] for view in views},
            {view: control.settings for view, control in views.items()},
            states,
            controller.slowdown.state(),
            dict(about),
        )

    def controller(self) -> Controller:
        """One that decides as the recorded one did; InputError for a state it cannot take."""
        threads = {each.threads for ladder in self.ladders.values() for each in ladder}
        slowdown = Slowdown.from_state(self.slowdown, sorted(threads))
        controller = Controller(self.settings, slowdown)
        for view, state in self.states.items():
            control, ladder = controller.views[view], self.ladders[view]
            control.share = OnTimeShare(control.settings.on_time, state.owed)
            control.previous = None if state.previous is None else ladder[state.previous]
            if state.thrift is not None and control.settings.give_up is not None:
                control.thrift = Thrift(control.settings.give_up, state.thrift)
        return controller


@dataclass(frozen=True, slots=True)
class RecordedFrame:
    """What the controller was told about one frame, what it chose and what came of it.

    A frame that was left out for the temperature's sake is not recorded: it changes no state.

    interval_ms: since the capture of the view's frame before. wait_ms: age at which the frame was
    ready; slack_ms: what was left of the budget when it was taken. limits: of the choice.
    overtaken: how many of the lines right before it came about after its decision, on frames of
    other views. chosen: position in the view's ladder; None for a frame that was dropped as too
    old, of which service_ms is 0 and reason and stages are empty. on_time: the result kept the
    budget. sensors: readings by name. shared: the line of another view before it has the same run.
    probe_ms: time of the probes of the view since its line before.
    """

    view: str
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
    shared: bool = False
    line: int = 0
    probe_ms: float = 0.0


@dataclass(frozen=True, slots=True)
class Segment:
    """Frames decided with the same ladders and settings, one after the other."""

    header: Header
    frames: tuple[RecordedFrame, ...]


@dataclass(frozen=True, slots=True)
class RecordedTrace:
    segments: tuple[Segment, ...]

    def views(self, camera: str | None = None) -> list[str]:
        """Views that have frames: all, those of one camera, or one, which is given by its id.
        Raises InputError if there are none."""
        known = sorted({frame.view for segment in self.segments for frame in segment.frames})
        found = [view for view in known if camera in (None, view, camera_of(view))]
        if not found:
            raise InputError(
                "the trace has no frames of this camera or view",
                got=camera,
                fix="it has " + ", ".join(known),
            )
        return found

    def latest(self, view: str) -> Header:
        """The latest header of a view that has frames: a reload may have removed it since."""
        headers = (segment.header for segment in reversed(self.segments))
        return next(header for header in headers if view in header.settings)


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
    distinct = list(dict.fromkeys(header.ladders.values()))
    ladders = [written(ladder) for ladder in distinct]
    cameras = {
        view: {
            "ladder": distinct.index(header.ladders[view]),
            "budget_ms": settings.budget_ms,
            "on_time": settings.on_time,
            "min_top1": settings.min_top1,
            "owed": header.states[view].owed,
            "previous": header.states[view].previous,
            **_goal(settings, header.states[view]),
        }
        for view, settings in header.settings.items()
    }
    return json.dumps(
        {
            "edged_trace": FORMAT,
            "about": dict(header.about),
            "ladders": ladders,
            "cameras": cameras,
            "slowdown": dict(header.slowdown),
        }
    )


def _goal(settings: ViewSettings, state: ViewState) -> dict[str, Any]:
    """What a view whose goal is power has besides."""
    if settings.give_up is None:
        return {}
    account = None if state.thrift is None else state.thrift._asdict()
    return {"give_up": settings.give_up, "thrift": account}


def frame_line(frame: RecordedFrame, ladder: Sequence[Candidate]) -> str:
    """A recorded frame as it stands in the file, without the line's end."""
    values: dict[str, Any] = {
        "camera": frame.view,
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
    if frame.shared:
        values["shared"] = True
    if frame.probe_ms:
        values["probe_ms"] = round(frame.probe_ms, 3)
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
    if version not in (FORMAT, ONE_LADDER):
        raise line.error(
            f"the trace's format is not {FORMAT}: recorded by another version of edged",
            version,
        )
    if version == ONE_LADDER:
        known = [ladder_at(line, "ladder")]
    else:
        entries = {f"ladders[{i}]": ladder for i, ladder in enumerate(line.list_at("ladders"))}
        known = [ladder_at(replace(line, values=entries), key) for key in entries]
    ladders, settings, states = {}, {}, {}
    for view, entry in line.object_at("cameras").items():
        values = line.inside(f"cameras.{view}", entry)
        on_time = values.number_at("on_time", above=True)
        if on_time >= 1:
            raise values.error("`on_time` must be below 1", on_time)
        settings[view] = ViewSettings(
            values.number_at("budget_ms", above=True),
            on_time,
            values.number_at("min_top1"),
            values.number_at("give_up") if "give_up" in values.values else None,
        )
        ladder = 0 if version == ONE_LADDER else _position(values, "ladder", known)
        ladders[view] = known[ladder]
        previous = values.take("previous")
        if previous is not None:
            previous = _position(values, "previous", ladders[view])
        thrift = None if values.values.get("thrift") is None else _account(values)
        states[view] = ViewState(values.number_at("owed", -math.inf), previous, thrift)
    about = {key: str(value) for key, value in line.object_at("about").items()}
    return Header(ladders, settings, states, line.object_at("slowdown"), about)


def _account(line: Line) -> Account:
    values = line.inside("thrift", line.take("thrift"))
    charge, frames = values.number_at("charge", LEAST_CHARGE), values.number_at("frames")
    lost = values.number_at("lost", -2 * frames)
    if charge > MOST_CHARGE:
        raise values.error(f"`charge` must be at most {MOST_CHARGE:g}", charge)
    if lost > frames:
        raise values.error("`lost` must be at most 1 in a frame", lost)
    return Account(charge, lost, frames)


def _position(line: Line, key: str, within: Sequence[object]) -> int:
    position = line.take(key)
    if type(position) is not int or position not in range(len(within)):
        last = len(within) - 1
        raise line.error(f"`{key}` must be a position from 0 to {last}", repr(position))
    return position


def _frame(line: Line, header: Header) -> RecordedFrame:
    view = line.text_at("camera")
    if view not in header.settings:
        raise line.error("the header has no such camera or view", view)
    chosen, reason, service_ms, on_time = None, "", 0.0, False
    stages, shared = dict[str, float](), line.values.get("shared", False)
    if not isinstance(shared, bool):
        raise line.error("`shared` must be true or false", repr(shared))
    if "variant" in line.values:
        chosen = _chosen(line, header.ladders[view])
        reason = line.text_at("reason")
        service_ms = line.number_at("service_ms")
        on_time = line.take("on_time")
        if not isinstance(on_time, bool):
            raise line.error("`on_time` must be true or false", repr(on_time))
        stages = _numbers(line, "stages")
    return RecordedFrame(
        view=view,
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
        shared=shared,
        line=line.number,
        probe_ms=line.number_at("probe_ms") if "probe_ms" in line.values else 0.0,
    )


def _limits(line: Line) -> Limits:
    run_ms = line.number_at("limit_ms", above=True) if "limit_ms" in line.values else math.inf
    limits = Limits(run_ms, _count(line, "limit_resolution", 1), _count(line, "limit_threads", 1))
    return NO_LIMITS if limits == NO_LIMITS else limits


def _count(line: Line, key: str, least: int) -> int | None:
    """None where the line has no such key."""
    return int(line.number_at(key, least)) if key in line.values else None


def _chosen(line: Line, ladder: Sequence[Candidate]) -> int:
    name, threads = line.text_at("variant"), line.number_at("threads", 1)
    runtime = runtime_at(line)
    for position, each in enumerate(ladder):
        if (each.variant.name, each.threads, each.runtime) == (name, threads, runtime):
            return position
    raise line.error("the view's ladder has no such variant", f"{name} x{threads:g} {runtime}")


def _numbers(line: Line, key: str) -> dict[str, float]:
    return {
        name: line.check(f"{key}.{name}", value, -math.inf)
        for name, value in line.object_at(key).items()
    }
