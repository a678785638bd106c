"""`edged replay`: what the controller chose, or would have chosen under other settings."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict
from pathlib import Path

from edged.commands import Commands, add_command, positive_float, print_table


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    replay = add_command(
        commands,
        "replay",
        _replay,
        "decide a trace again: as recorded, or under another budget, share or policy",
        "edged replay trace.jsonl --budget 25",
    )
    replay.add_argument(
        "trace", type=Path, metavar="TRACE", help="of `edged run --trace`, or with every time known"
    )
    replay.add_argument("--camera", help="of a recorded trace with several")
    replay.add_argument("--budget", type=positive_float, metavar="MS")
    replay.add_argument("--on-time", type=_share, metavar="Q", help="share, for example 0.95")
    replay.add_argument(
        "--policy",
        default="edged",
        help="edged, alert, ladder, approxdet, static, window, clairvoyant, or a variant's name",
    )
    replay.add_argument("--json", action="store_true")


def _share(text: str) -> float:
    share = float(text)
    if not 0 < share < 1:
        raise argparse.ArgumentTypeError(f"must be between 0 and 1, got {text}")
    return share


def _replay(options: argparse.Namespace) -> int:
    from edged.control.recording import RecordedTrace, read_trace
    from edged.control.replay import replay
    from edged.control.reproduce import as_full, recorded_outcome, reproduce
    from edged.errors import InputError

    trace = read_trace(options.trace)
    as_recorded = options.budget is None and options.on_time is None and options.policy == "edged"
    if isinstance(trace, RecordedTrace):
        cameras = trace.segments[-1].header.cameras
        if options.camera is None and len(cameras) > 1:
            raise InputError(
                "the trace has several cameras",
                where=options.trace,
                fix=f"choose one: --camera {' or '.join(cameras)}",
            )
        camera = options.camera or next(iter(cameras))
        if as_recorded:
            found = reproduce(trace)
            outcome = recorded_outcome(trace, camera)
            _print(asdict(outcome), options.json)
            if not options.json:
                print(f"{found.decisions} decisions made again, {found.different} differ")
            for each in found.differences:
                print(f"line {each.line}: recorded {each.recorded}; replayed {each.replayed}")
            return 1 if found.different else 0
        full = as_full(trace, camera)
        budget_ms = options.budget or cameras[camera].budget_ms
        on_time = options.on_time or cameras[camera].on_time
    else:
        if options.budget is None:
            raise InputError(
                "this trace has no budget of its own", where=options.trace, fix="give --budget MS"
            )
        full, budget_ms, on_time = trace, options.budget, options.on_time or 0.95
    _print(asdict(replay(full, options.policy, budget_ms, on_time)), options.json)
    return 0


def _print(outcome: dict[str, object], as_json: bool) -> None:
    if as_json:
        print(json.dumps(outcome, indent=2))
        return
    shares = outcome.pop("share")
    assert isinstance(shares, dict)
    print_table([outcome], [name.replace("_", " ") for name in outcome])
    print()
    rows = sorted(shares.items(), key=lambda item: -item[1])
    print_table(
        [{"variant": name, "share": round(share, 3)} for name, share in rows], ("variant", "share")
    )
