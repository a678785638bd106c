"""One screen of the daemon's state, drawn of the JSON of `/api/v1/status`.

Drawn by hand instead of with rich: a few columns do not earn 1.5 MB of packages on each device.
Texts come from cameras, families and the network, so every one passes through `printable`.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

from edged.commands.status.text import cells, cut, cut_within, padded, wrapped
from edged.printable import printable
from edged.switches.switch import State, Switch
from edged.view import camera_of, id_of

NARROWEST, WIDEST = 20, 200
WIDE = 76
"""From this width on there is room for bars and targets."""
MOST_TROUBLES = 4
MOST_SEEN = 3
LEAST_SEEN = 8
"""Cells of what a view sees."""
RECENT_SECONDS = 5.0
"""An older result is shown with its age, if the view may give more of them."""
NOTICED = 1.05
"""As in edged/web/status/verdict.py."""

_GREEN, _YELLOW, _RED, _BOLD, _FAINT = "32", "33", "31", "1", "2"
_INDENT = "  "
_GAP = "  "
_LATENCY_HEAD, _SHORT_HEAD = "P50, P95 OF BUDGET", "P50, P95"
_UNBROKEN = "\xa0"


@dataclass(frozen=True, slots=True)
class Style:
    """width: in cells. height: most lines; None for any number. unicode: false for ASCII marks.
    whole_names: of views, which may make their lines wider."""

    width: int = 80
    height: int | None = None
    coloured: bool = False
    unicode: bool = True
    whole_names: bool = False

    def paint(self, text: str, colour: str) -> str:
        return f"\x1b[{colour}m{text}\x1b[0m" if self.coloured and colour else text

    def lines(self, text: str, colour: str, indent: str, first: str | None = None) -> Iterator[str]:
        """The text, wrapped. first: begins the first line; as wide as the indent."""
        begin = indent if first is None else first
        for row in wrapped(text, max(2, self.width - cells(indent))):
            yield self.paint(begin + row, colour)
            begin = indent


class _View(NamedTuple):
    """state: of its camera, with last_error and away_seconds."""

    id: str
    about: Mapping[str, Any]
    camera: Mapping[str, Any]


class _Columns(NamedTuple):
    """Widths, in cells; 0 for a column that is left out."""

    name: int
    seen: int
    on_time: int
    latency: int
    bar: int
    rate: int


def draw(status: Mapping[str, Any], style: Style, now: float | None = None) -> list[str]:
    """Lines of at most `style.width` cells, but for whole names. now: wall time, for the clock.

    Raises LookupError, TypeError, ValueError or AttributeError if this is not a status of edged.
    """
    views = list(_views(status))
    ranks = {
        id_of(each): rank for rank, each in reversed([*enumerate(status["verdict"]["troubles"])])
    }
    views.sort(key=lambda view: min(ranks.get(each, len(ranks)) for each in _names(view)))
    lines = [*_headline(status["verdict"], style), ""]
    device = _device(status, style, now)
    columns = _columns(views, style)
    lines.append(style.paint(_header(columns), _FAINT))
    for index, view in enumerate(views):
        block = _block(view, columns, style, status["loading"])
        left = len(views) - index
        rest = 0 if style.height is None else style.height - len(lines) - len(device) - 1
        if style.height is not None and len(block) + (1 if left > 1 else 0) > rest:
            more = f"… and {left} more view{'s' if left > 1 else ''}"
            lines.append(cut(more, style.width))
            break
        lines += block
    lines += ["", *device]
    return lines if style.height is None else lines[: style.height]


def gone(text: str, style: Style) -> list[str]:
    """In place of the screen of a daemon that does not answer."""
    mark = "✗ " if style.unicode else "! "
    return [*style.lines(printable(text), f"{_BOLD};{_RED}", _INDENT, mark)]


def _views(status: Mapping[str, Any]) -> Iterator[_View]:
    for name, camera in status["cameras"].items():
        if "views" not in camera:
            yield _View(name, camera, camera)
            continue
        for view, about in camera["views"].items():
            yield _View(f"{name}/{view}", about, camera)


def _names(view: _View) -> tuple[str, str]:
    return view.id, camera_of(view.id)


def _headline(verdict: Mapping[str, Any], style: Style) -> Iterator[str]:
    if verdict["ok"]:
        mark = "● " if style.unicode else "* "
        yield from style.lines(printable(verdict["text"]), f"{_BOLD};{_GREEN}", _INDENT, mark)
        return
    for trouble in verdict["troubles"][:MOST_TROUBLES]:
        colour = _YELLOW if trouble["kind"] == "starting" else _RED
        mark = "○ " if trouble["kind"] == "starting" else "✗ "
        if not style.unicode:
            mark = "! "
        yield from style.lines(printable(trouble["text"]), f"{_BOLD};{colour}", _INDENT, mark)
    if (more := len(verdict["troubles"]) - MOST_TROUBLES) > 0:
        yield style.paint(f"{_INDENT}and {more} more", f"{_BOLD};{_RED}")


def _columns(views: list[_View], style: Style) -> _Columns:
    """What the others leave goes to what is seen; without room for that, some are left out."""
    width = style.width
    wide = width >= WIDE
    longest = max(4, *(cells(printable(view.id)) for view in views))
    columns = _Columns(
        name=min(longest, max(8, width // 5)),
        seen=0,
        on_time=max(7, *(len(_on_time(view.about, wide)) for view in views)),
        latency=max(
            len(_LATENCY_HEAD if wide else _SHORT_HEAD),
            *(len(_latency(view.about)) for view in views),
        ),
        bar=0 if not wide else 8 if width < 120 else 20,
        rate=max(4, *(len(_rate(view.about["fps"])) for view in views)),
    )
    for left_out in ("", "bar", "rate", "latency", "on_time"):
        if left_out:
            columns = columns._replace(**{left_out: 0})
        taken = sum(len(_GAP) + most for most in columns if most)
        if (seen := width - len(_INDENT) - taken) >= LEAST_SEEN:
            break
    return columns._replace(seen=seen, name=longest if style.whole_names else columns.name)


def _header(columns: _Columns) -> str:
    latency = _LATENCY_HEAD if columns.latency >= len(_LATENCY_HEAD) else _SHORT_HEAD
    heads = ("VIEW", "SEES", "ON TIME", latency, "", "FPS")
    shown = (padded(text, most) for text, most in zip(heads, columns, strict=True) if most)
    return (_INDENT + _GAP.join(shown)).rstrip()


def _block(view: _View, columns: _Columns, style: Style, loading: bool) -> list[str]:
    """A line of figures, then words."""
    camera, about = view.camera, view.about
    streams = camera["state"] == "streaming" and not loading
    on = Switch.of(about["switch"]).on
    starts = loading or (camera["state"] == "starting" and not camera["last_error"])
    well = streams or camera["state"] == "ended"
    runs = streams and on
    mark = ("●" if runs else "○") if style.unicode else ("*" if runs else "-")
    kept = about["on_time"] is None or about["on_time"] >= about["on_time_target"]
    p95_ms = about["latency_ms"]["p95"]
    fits = p95_ms is None or p95_ms <= about["budget_ms"]
    parts = [
        (padded(_name(view.id, columns.name), columns.name), _BOLD),
        (padded(_sees(about, columns.seen), columns.seen), ""),
        (padded(_on_time(about, style.width >= WIDE), columns.on_time), "" if kept else _RED),
        (padded(_latency(about), columns.latency), "" if fits else _RED),
        (_bar(about, columns.bar, style.unicode), _GREEN if fits else _RED),
        (padded(_rate(about["fps"]), columns.rate), ""),
    ]
    shown = _GAP.join(style.paint(*each) for each in parts if each[0])
    colour = _FAINT if not on else _YELLOW if starts else _GREEN if well else _RED
    return [f"{style.paint(mark, colour)} {shown}".rstrip(), *_words(view, style, loading)]


def _name(view_id: str, most: int) -> str:
    """The view's own name tells it from others of its camera: the camera's is shortened first."""
    camera, _, view = printable(view_id).partition("/")
    if not view:
        return cut_within(camera, most)
    left = most - cells(view) - len("/")
    return f"{cut(camera, left)}/{view}" if left > 0 else cut_within(view, most)


def _words(view: _View, style: Style, loading: bool) -> Iterator[str]:
    """State, what runs and what is given up; then what was seen before."""
    state, about = view.camera["state"], view.about
    switch = Switch.of(about["switch"])
    if not switch.on:
        text = switch.words() + (f" ({switch.origin})" if switch.state is not State.HOURS else "")
        if state != "streaming":
            text += f"; {state}{_away(view.camera)}"
    elif state != "streaming":
        text = state + _away(view.camera)
    elif loading:
        text = f"{state}; networks are loading"
    elif about["to_teach"] or about["last"] is None:
        text = f"{state}; {about['to_teach'] or 'no result yet'}"
    else:
        last = about["last"]
        threads = f" ({last['threads']} threads)" if last["threads"] > 1 else ""
        text = f"{state}; {last['runtime']}{threads} runs {about['choice']}"
    yield from style.lines(printable(text), _FAINT, 2 * _INDENT)
    now = set()
    if about["last"] is not None and not _is_old(about):
        now = {each["label"] for each in about["last"]["top"][:1]}
    before = [
        f"{printable(each['label'])} {span(each['age_seconds'])} ago"
        for each in about["seen"]
        if each["label"] not in now
    ]
    if before:
        yield from style.lines(f"before: {', '.join(before[:MOST_SEEN])}", _FAINT, 2 * _INDENT)


def _away(camera: Mapping[str, Any]) -> str:
    """For how long, and why."""
    if camera["state"] == "starting" and not camera["last_error"]:
        return ""
    seconds, error = camera["away_seconds"], camera["last_error"]
    since = "" if seconds is None else f" for {span(seconds)}"
    if camera["state"] == "ended" or not error:
        return since
    return f"{since}: {error}"


def _is_old(about: Mapping[str, Any]) -> bool:
    usual = (2 / (about[rate] or 1) for rate in ("max_fps", "fps"))
    return bool(about["last"]["age_seconds"] > max(RECENT_SECONDS, *usual))


def _sees(about: Mapping[str, Any], most: int) -> str:
    last = about["last"]
    if last is None:
        return "-"
    if _is_old(about):
        return "no recent result"
    if not last["top"]:
        return "nothing sure"
    shown = ""
    for each in last["top"]:
        share = f" {100 * each['score']:.0f} %"
        if not shown:
            shown = cut(printable(each["label"]), most - len(share)) + share
        elif cells(more := f"{shown}, {printable(each['label'])}{share}") <= most:
            shown = more
    return shown


def _on_time(about: Mapping[str, Any], with_target: bool) -> str:
    if about["on_time"] is None:
        return "-"
    share = f"{math.floor(1000 * about['on_time'] + 1e-6) / 10:.1f}"
    return f"{share} of {100 * about['on_time_target']:g} %" if with_target else f"{share} %"


def _latency(about: Mapping[str, Any]) -> str:
    times = about["latency_ms"]
    if times["p50"] is None:
        return f"- of {about['budget_ms']:g} ms"
    return f"{_ms(times['p50'])}, {_ms(times['p95'])} of {about['budget_ms']:g} ms"


def _bar(about: Mapping[str, Any], width: int, unicode: bool) -> str:
    """The budget; filled to the median, then more lightly to the 95th percentile."""
    full, light, empty = "█▒·" if unicode else "#=."
    budget_ms = float(about["budget_ms"])
    p50, p95 = (
        min(width, math.ceil(width * float(about["latency_ms"][each] or 0) / budget_ms))
        for each in ("p50", "p95")
    )
    return full * p50 + light * (p95 - p50) + empty * (width - max(p50, p95))


def _rate(fps: float) -> str:
    return f"{fps:.3g}" if fps < 1 else f"{fps:.1f}"


def _ms(value: float) -> str:
    return f"{value:.1f}" if value < 10 else f"{value:.0f}"


def _device(status: Mapping[str, Any], style: Style, now: float | None) -> list[str]:
    parts = [f"edged {status['version']}", " and ".join(status["runtimes"])]
    if (hot := status["temperature_c"]) is not None:
        most = status["max_temperature_c"]
        parts.append(f"{hot:.0f} °C" + ("" if most is None else f" of at most {most:g} °C"))
    if (watts := status["power_w"]) is not None:
        most = status["max_power_w"]
        parts.append(f"{watts:.1f} W" + ("" if most is None else f" of at most {most:g} W"))
    if (slow := status["slowdown"]) >= NOTICED:
        parts.append(f"{slow:.1f}x slower than its profile")
    if status["engines_building"]:
        parts.append(f"{status['engines_building']} engines to build")
    free, total = status["memory"]["available_bytes"], status["memory"]["total_bytes"]
    if free is not None and total:
        parts.append(f"{free / 1e9:.1f} of {total / 1e9:.1f} GB memory free")
    parts.append(time.strftime("%H:%M:%S", time.localtime(now)))
    separator = " · " if style.unicode else " | "
    whole = (printable(part).replace(" ", _UNBROKEN) for part in parts)
    return [line.replace(_UNBROKEN, " ") for line in style.lines(separator.join(whole), _FAINT, "")]


def span(seconds: float) -> str:
    """`12 s`, `4 min`, `3 h`, `2 d`."""
    for unit, size, most in (("s", 1, 120), ("min", 60, 120 * 60), ("h", 3600, 48 * 3600)):
        if seconds < most:
            return f"{seconds / size:.0f} {unit}"
    return f"{seconds / 86_400:.0f} d"
