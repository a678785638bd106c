"""Whether all is well, in words: for the page, `edged status` and programs."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator, Mapping
from typing import Any

from edged.control.selector import Reason
from edged.switches.switch import Switch
from edged.telemetry.health import DOWN_STATES
from edged.telemetry.subjects import ViewSubject
from edged.variants.variant import Precision, Variant
from edged.view import camera_of, fields

WHY: Mapping[str, str] = {
    Reason.MOST_ACCURATE.value: "the most accurate variant",
    Reason.BUDGET.value: "more accurate variants are too slow for the budget",
    Reason.FRAME_AGE.value: "the frame arrived late and left less time",
    Reason.SLOWDOWN.value: "the device is currently slower than its profile",
    Reason.LIMIT.value: "min_fps, max_temperature_c, max_power_w or another view allows no "
    "slower variant",
    Reason.PICTURE.value: "this frame was decoded too small for a larger variant; the next will "
    "not be",
    Reason.CORES.value: "other cameras need the cores that a larger variant would use",
    Reason.HOLD.value: "a change would gain too little",
    Reason.POWER.value: "a more accurate variant would cost more, and the goal is power",
    Reason.NONE_FITS.value: "even the cheapest variant is unlikely to meet the budget",
}
"""Why nothing more accurate ran."""
NOTICED = 1.05
"""A slow-down below this is not worth a word."""
MOST_NAMED = 2
"""Of more views that are off, the number is told."""
FEWEST_LATE = 3
"""Fewer late results prove nothing."""
_DAY_SECONDS = 86_400


def why(reason: str, slowdown: float) -> str:
    if reason == Reason.SLOWDOWN.value and slowdown >= NOTICED:
        return f"the device is {slowdown:.1f}x slower than its profile"
    return WHY[reason]


def accuracy(view: ViewSubject, variant: Variant | None) -> dict[str, Any]:
    """Accuracy in use of the variant that ran last, and of the best one that may run; None where
    the table does not know it."""
    in_use = view.learnt().in_use
    known = {each: in_use.get(each, top1) for each, top1 in view.top1.items()}
    best = max(known, key=lambda each: known[each], default=None)
    return {
        "running": None if variant is None else known.get(variant),
        "best": None if best is None else known[best],
        "best_variant": None if best is None else best.name,
    }


def choice(variant: Variant, about: Mapping[str, Any], reason: str, slowdown: float) -> str:
    """What runs, what accuracy it costs and why. about: of `accuracy`."""
    words, running, best = why(reason, slowdown), about["running"], about["best"]
    if running is not None and best is not None:
        if running >= best:
            words = WHY[Reason.MOST_ACCURATE.value]
        else:
            mine, others = _percents(running, best)
            if reason == Reason.MOST_ACCURATE.value:  # of those in the profile
                words = "more accurate variants have not been measured yet, or failed"
            words = f"{mine} % instead of {others} % accuracy; {words}"
    return f"{short(variant)}: {words}"


def short(variant: Variant) -> str:
    """`0.5@160`, `0.5@160 int8`."""
    suffix = "" if variant.precision is Precision.FLOAT else f" {variant.precision.value}"
    return f"{variant.alpha:g}@{variant.resolution}{suffix}"


def verdict(
    status: Mapping[str, Any],
    silent: Collection[str],
    undelivered: Mapping[str, str],
    unkept: str,
    now_unix_ns: int,
) -> dict[str, Any]:
    """Of the rest of the status: {"ok", "text", "troubles"}, the gravest trouble first.

    silent: views that give no results although their cameras deliver. undelivered: why results do
    not leave the daemon, by sink. unkept: why the history cannot be written, or "". Times in texts
    are the device's local time.
    """
    known = dict(_views(status["cameras"]))
    views = {view: about for view, about in known.items() if _counts(about)}
    cameras = {name: status["cameras"][name] for name in dict.fromkeys(map(camera_of, views))}
    troubles = [
        *_away(cameras, now_unix_ns / 1e9),
        *_of_views(views, silent),
        *(
            _trouble("sink", f"results do not reach {name}: {text}", sink=name)
            for name, text in undelivered.items()
        ),
        *_of_history(unkept),
        *_of_device(status),
        *_starting(status["loading"], cameras, views),
    ]
    if troubles:
        more = len(troubles) - 1
        others = f" (and {more} more)" if more else ""
        return {"ok": False, "text": f"{troubles[0]['text']}{others}", "troubles": troubles}
    off = {view: about for view, about in known.items() if view not in views}
    text = "; ".join([*_well(views, cameras), *_off(off)])
    return {"ok": True, "text": text, "troubles": []}


def _counts(about: Mapping[str, Any]) -> bool:
    """A view that does not, as it is switched off, is no trouble."""
    return Switch.of(about["switch"]).on


def _off(views: Mapping[str, Mapping[str, Any]]) -> Iterator[str]:
    if len(views) > MOST_NAMED:
        yield f"{len(views)} views are off"
        return
    for view, about in views.items():
        yield f"{view} is {Switch.of(about['switch']).words()}"


def _trouble(kind: str, text: str, **about: str) -> dict[str, str]:
    return {"kind": kind, **about, "text": text}


def _views(cameras: Mapping[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    """(id, the view with its camera's state)"""
    for name, camera in cameras.items():
        for view, about in camera.get("views", {None: camera}).items():
            own = {key: camera[key] for key in ("state", "last_error", "advice")}
            yield name if view is None else f"{name}/{view}", {**about, **own}


def _away(cameras: Mapping[str, Any], now: float) -> Iterator[dict[str, str]]:
    for name, camera in cameras.items():
        state, error = camera["state"], camera["last_error"]
        if state == "ended" or not (state in DOWN_STATES or (state == "starting" and error)):
            continue
        since = "" if camera["away_seconds"] is None else _since(now, camera["away_seconds"])
        text = f"{name} is away{since}: {error or state}"
        yield _trouble("away", text, camera=name)


def _since(now: float, seconds: float) -> str:
    """` since 12:03`, with the date after a day."""
    form = "%H:%M" if seconds < _DAY_SECONDS else "%Y-%m-%d %H:%M"
    return f" since {time.strftime(form, time.localtime(now - seconds))}"


def _of_views(
    views: Mapping[str, Mapping[str, Any]], silent: Collection[str]
) -> Iterator[dict[str, str]]:
    for view, about in views.items():
        share, target = about["on_time"], about["on_time_target"]
        if about["instead"]:
            yield _trouble("instead", about["instead"], **fields(view))
        elif about["to_teach"]:
            yield _trouble(
                "to_teach", f"{view} gives no results: {about['to_teach']}", **fields(view)
            )
        elif about["state"] == "streaming" and _misses(about):
            mine, wanted = _percents(share, target)
            text = f"{view} misses its budget: {mine} % on time, {wanted} % wanted"
            text += f"; {about['advice']}" if about["advice"] else ""
            yield _trouble("late", text, **fields(view))
        elif view in silent:
            text = f"{view} gives no results, although its camera delivers pictures"
            yield _trouble("silent", text, **fields(view))


def _misses(about: Mapping[str, Any]) -> bool:
    share, late = about["on_time"], about["late"]
    return share is not None and share < about["on_time_target"] and late >= FEWEST_LATE


def _of_history(unkept: str) -> Iterator[dict[str, str]]:
    if unkept:
        yield _trouble("history", f"events and minutes are not kept: {unkept}")


def _of_device(status: Mapping[str, Any]) -> Iterator[dict[str, str]]:
    hot, most = status["temperature_c"], status["max_temperature_c"]
    if hot is not None and most is not None and hot > most:
        yield _trouble("hot", f"the device is too hot: {hot:.0f} °C, at most {most:g} °C wanted")
    watts, most = status["power_w"], status["max_power_w"]
    if watts is not None and most is not None and watts > most:
        text = f"the device takes too much power: {watts:.1f} W, at most {most:g} W wanted"
        yield _trouble("power", text)


def _starting(
    loading: bool, cameras: Mapping[str, Any], views: Mapping[str, Mapping[str, Any]]
) -> Iterator[dict[str, str]]:
    """What is not well yet."""
    if loading:
        yield _trouble("starting", "edged is loading its networks")
        return
    for name, camera in cameras.items():
        if camera["state"] == "starting" and not camera["last_error"]:
            yield _trouble("starting", f"{name} is starting", camera=name)
    for view, about in views.items():
        first = about["last"] is None and about["on_time"] is None
        if about["state"] == "streaming" and first and not about["to_teach"]:
            yield _trouble("starting", f"{view} has given no result yet", **fields(view))


def _well(views: Mapping[str, Any], cameras: Mapping[str, Any]) -> Iterator[str]:
    running = [view for view, about in views.items() if about["state"] != "ended"]
    if len(running) == 1:
        yield f"{running[0]} keeps its budget"
    elif running:
        yield f"all {len(running)} views keep their budget"
    for name, camera in cameras.items():
        if camera["state"] == "ended":
            yield f"{name} was played to its end"
        elif camera["advice"]:
            yield f"{name}: {camera['advice']}"


def _percents(share: float, other: float) -> tuple[str, str]:
    """Both in per cent, with as many digits as tell them apart, at most two."""
    for digits in range(3):
        shown = f"{100 * share:.{digits}f}", f"{100 * other:.{digits}f}"
        if shown[0] != shown[1]:
            break
    return shown
