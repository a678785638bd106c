"""A home with four cameras: one is away, one is too slow, one sees events, one is quiet; and a day
of it, written before the daemon starts."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import cv2

from edged.capture.sources.synthetic.scene import TURN_SECONDS, Scene
from edged.history.database import Database, Recorded
from edged.history.minutes import Minute
from edged.history.options import HistoryConfig
from edged.result import Event
from tests.rig.results import make_result

CONFIG = """
latency_budget_ms: {budget_ms}
http: {{listen: 127.0.0.1:{port}}}
results: {{jsonl: none}}
{more}
cameras:
  lawn: {{source: 'synthetic:640x480@10'}}
  street: {{source: 'synthetic:1280x720@15', latency_budget_ms: {slow_ms}}}
  hall:
    source: 'synthetic:320x240@10?still'
    latency_budget_ms: 5000
    quiet: {{at_least_every_seconds: 3600, hold_seconds: 0, threshold: 255}}
  garage: {{source: 'http://127.0.0.1:9/garage.mjpg'}}
events:
  parachute:
    {{class: parachute, cameras: [lawn], above: 0.5, for_seconds: 1, gone_seconds: 1,
      snapshot: true}}
"""
DAY_MS = 86_400_000
MINUTE_MS = 60_000
VARIANT = "mobilenet_v1_1.0_192"
NOTHING_AT = range(5)
"""Hours of the day at which nobody is on the lawn."""
FOURTEEN = 14
"""The hour in which the lawn sees parachutes most of the time."""


def config(port: int = 0, budget_ms: float = 200, slow_ms: float = 1, more: str = "") -> str:
    return CONFIG.format(port=port, budget_ms=budget_ms, slow_ms=slow_ms, more=more)


def write_a_day(state: Path, now: float | None = None) -> None:
    """A day of the lawn, the street and the hall, which ended a minute ago, in local time."""
    now_ms = int((now or time.time()) * 1000) // MINUTE_MS * MINUTE_MS - MINUTE_MS
    state.mkdir(parents=True, exist_ok=True)
    database = Database(state / "history.sqlite3", ())
    database.write([*_events(now_ms)], [*_minutes(now_ms)], HistoryConfig(), now_ms)
    database.close()


def _minutes(now_ms: int) -> Iterator[Minute]:
    for started_ms in range(now_ms - DAY_MS, now_ms, MINUTE_MS):
        hour = datetime.fromtimestamp(started_ms / 1000).astimezone().hour
        minute = started_ms // MINUTE_MS
        balls = 0 if hour in NOTHING_AT else 120 + 20 * (minute * 7 % 13)
        parachutes = 500 if hour == FOURTEEN else 40 * (hour % 4)
        balls = min(balls, 600 - parachutes)
        seen = {"golf ball": balls, "parachute": parachutes}
        yield _minute("lawn", started_ms, 600, seen, 0.87, 0.87)
        if hour not in (9, 10):  # nobody knows
            slow = started_ms > now_ms - DAY_MS // 6
            seen = {"garbage truck": 90 + minute * 31 % 400, "gas pump": 200}
            yield _minute("street", started_ms, 900, seen, 0.84 if slow else 0.87, 0.87)


def _minute(
    view: str, started_ms: int, results: int, seen: dict[str, int], top1: float, best: float
) -> Minute:
    named = {label: count for label, count in seen.items() if count}
    nothing = results - sum(named.values())
    return Minute(view, started_ms, results, 4, 1, 12.5, VARIANT, top1, best, named, nothing)


def _events(now_ms: int) -> Iterator[Recorded]:
    scene = Scene(640, 480)
    for number in range(40):
        began_ms = now_ms - DAY_MS + number * 36 * MINUTE_MS
        picture = scene.draw(TURN_SECONDS + number % 10 / 2)
        jpeg = cv2.imencode(".jpg", picture[:, :, ::-1])[1].tobytes()
        started = Event(
            "lawn",
            "parachute",
            began_ms * 1_000_000,
            None,
            0.71 + 0.01 * (number % 23),
            None if number % 5 == 4 else jpeg,
            make_result(view="lawn"),
        )
        ended_ns = started.started_unix_ns + (2500 + 700 * (number % 7)) * 1_000_000
        for event in (started, replace(started, ended_unix_ns=ended_ns)):
            yield Recorded(event, ("parachute",))
