"""`edged replay`: the recorded choices, or those under other settings."""

from __future__ import annotations

import argparse
import json
import sys
from dataclasses import asdict
from typing import TYPE_CHECKING

from edged.commands.parts import (
    Commands,
    add_command,
    file_or_folder,
    number,
    positive_float,
    print_table,
)
from edged.view import fields

if TYPE_CHECKING:
    from edged.commands.plots.latency import Timeline
    from edged.tracing.recording import RecordedTrace
    from edged.tracing.trace import FullTrace


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    replay = add_command(
        commands,
        "replay",
        _replay,
        "replay a trace: as recorded, or under another budget, on-time share, goal or policy",
        "edged replay trace.jsonl --budget 25",
    )
    replay.add_argument(
        "trace",
        type=file_or_folder,
        metavar="TRACE",
        help="from `edged run --trace`, or a full trace with the times of all variants",
    )
    replay.add_argument(
        "--camera",
        metavar="CAMERA[/VIEW]",
        help="only this camera of a recorded trace with all its views, or only this view",
    )
    replay.add_argument("--budget", type=positive_float, metavar="MS", help="latency budget")
    replay.add_argument(
        "--on-time", type=_share, metavar="Q", help="share on time, for example 0.95"
    )
    replay.add_argument(
        "--give-up",
        type=_give_up,
        metavar="SHARE",
        help="decide for the goal power, with so much accuracy given up, for example 0.01; default:"
        " the goal of the view",
    )
    replay.add_argument(
        "--policy",
        default="edged",
        help="edged, alert, ladder, approxdet, static, window, clairvoyant, or a variant's name",
    )
    replay.add_argument(
        "--plot",
        type=file_or_folder,
        metavar="FILE",
        help="plot latency, budget and chosen variant over time: .png, .svg or .pdf",
    )
    replay.add_argument("--json", action="store_true", help="print JSON")


def _share(text: str) -> float:
    share = number(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, got {text}")
    return share


def _give_up(text: str) -> float:
    from edged.document.parts import GIVE_UP
    from edged.document.problems import expected

    share = number(text)
    if not GIVE_UP["minimum"] <= share <= GIVE_UP["maximum"]:
        raise argparse.ArgumentTypeError(f"expected {expected(GIVE_UP)} (got {text})")
    return share


def _replay(options: argparse.Namespace) -> int:
    from edged.errors import InputError
    from edged.tracing.recording import RecordedTrace, read_trace
    from edged.tracing.replay import outcome

    if options.plot is not None:
        from edged.commands.plots.plot import check_plot

        check_plot(options.plot)
    if options.give_up is not None and options.policy != "edged":
        raise InputError(
            "only the policy edged gives accuracy up",
            where="--give-up",
            got=f"--policy {options.policy}",
            fix="leave out --give-up, or --policy",
        )
    trace = read_trace(options.trace)
    if isinstance(trace, RecordedTrace):
        views = trace.views(options.camera)
        timelines = [(fields(view), _of_view(trace, view, options)) for view in views]
    else:
        timelines = [({}, _of_full(trace, options))]
    for about, timeline in timelines:
        _print(about | asdict(outcome(timeline.variants, timeline.steps)), options.json)
    if options.plot is not None:
        from edged.commands.plots.latency import draw_timelines
        from edged.commands.plots.plot import write_figure

        write_figure(draw_timelines([timeline for _, timeline in timelines]), options.plot)
    if isinstance(trace, RecordedTrace) and _is_as_recorded(options):
        return _reproduce(trace, options)
    return 0


def _is_as_recorded(options: argparse.Namespace) -> bool:
    others = (options.budget, options.on_time, options.give_up)
    return options.policy == "edged" and all(other is None for other in others)


def _of_view(trace: RecordedTrace, view: str, options: argparse.Namespace) -> Timeline:
    from edged.commands.plots.latency import Timeline
    from edged.tracing.reproduce import as_full, recorded_steps

    if _is_as_recorded(options):
        return Timeline(view, *recorded_steps(trace, view))
    settings = trace.latest(view).settings[view]
    budget_ms, on_time = options.budget or settings.budget_ms, options.on_time or settings.on_time
    give_up = settings.give_up if options.give_up is None else options.give_up
    return _decided(as_full(trace, view), view, options.policy, budget_ms, on_time, give_up)


def _of_full(trace: FullTrace, options: argparse.Namespace) -> Timeline:
    from edged.errors import InputError

    if options.budget is None:
        raise InputError(
            "this trace has no budget of its own", where=options.trace, fix="give --budget MS"
        )
    if options.camera is not None:
        raise InputError("this trace has no cameras", where=options.trace, fix="leave out --camera")
    name, on_time = options.trace.name, options.on_time or 0.95
    return _decided(trace, name, options.policy, options.budget, on_time, options.give_up)


def _decided(
    trace: FullTrace,
    name: str,
    policy: str,
    budget_ms: float,
    on_time: float,
    give_up: float | None,
) -> Timeline:
    from edged.commands.plots.latency import Timeline
    from edged.tracing.replay import make_policy, run

    steps = run(trace, make_policy(trace, policy, budget_ms, on_time, give_up), budget_ms)
    return Timeline(f"{name}, {policy} at {budget_ms:g} ms", trace.variants, steps)


def _reproduce(trace: RecordedTrace, options: argparse.Namespace) -> int:
    """Make the recorded decisions again; exit status 1 if any differs."""
    from edged.tracing.reproduce import reproduce

    found = reproduce(trace)
    if not options.json:
        views = trace.views()
        # They share the time, so that those of one view alone cannot be made again.
        of = "" if trace.views(options.camera) == views else f" of all {len(views)} views"
        print(f"{found.decisions} decisions{of} replayed, {found.different} differ")
    for each in found.differences:
        print(
            f"line {each.line}: recorded {each.recorded}; replayed {each.replayed}", file=sys.stderr
        )
    return 1 if found.different else 0


def _print(outcome: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome, indent=2))
        return
    shares = outcome.pop("share")
    assert isinstance(shares, dict)
    print_table([outcome], [name.replace("_", " ") for name in outcome])
    print()
    if not shares:
        print("no variant ran: every frame arrived older than the budget")
        return
    rows = sorted(shares.items(), key=lambda item: -item[1])
    print_table(
        [{"variant": name, "share": round(share, 3)} for name, share in rows], ("variant", "share")
    )
