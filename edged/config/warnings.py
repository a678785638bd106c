"""Warnings about a valid configuration."""

from __future__ import annotations

import re
import stat
from collections.abc import Collection, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

from edged.capture.options import capture_warnings
from edged.capture.sources.table import kind_of
from edged.config.camera import CameraConfig, ViewConfig
from edged.config.config import Config
from edged.private_file import keep_private, readable_by_all
from edged.sensors.power import Power
from edged.sensors.temperature import Temperature
from edged.sinks.options import results_warnings
from edged.variants.family import Family
from edged.variants.taught import to_teach
from edged.variants.variant import Variant
from edged.web.options import http_warnings

_LEAST_BUDGET_MS = 1.0
"""A budget below it probably is in seconds."""
_PASSWORD = re.compile(
    r"(?:^|[{,])[ \t]*[\"']?(?:password|authorization)[\"']?:[ \t]+[\"']?(?!\$\{|[\s\"'#])",
    re.MULTILINE,
)
_ADDRESS = re.compile(
    r"(?:^|[{,])[ \t]*[\"']?url[\"']?:[ \t]+[\"']?(?!https?:)[a-z][a-z0-9+.-]*://(?!\$\{)",
    re.MULTILINE,
)
"""Of a destination of messages, all of which may be a secret."""


def warnings(config: Config, dev: Path = Path("/dev"), root: Path = Path("/")) -> list[str]:
    """One line each, with file, line and key where there is one. dev: the folder of devices. root:
    replaces `/` for the sensors."""
    found = list(_file_warnings(config.path))
    if config.max_power_w is not None and not Power(root).measures:
        what = "no effect on this device: edged can read nothing that measures its power"
        found.append(str(config.error(what, "max_power_w")))
    if config.max_temperature_c is not None and not Temperature(root).measures:
        what = "no effect on this device: edged can read no temperature of its processor"
        found.append(str(config.error(what, "max_temperature_c")))
    found += (str(config.error(what, *keys)) for keys, what in _warnings_at(config, dev))
    return list(dict.fromkeys(found))  # several cameras may have one value of the top


def _warnings_at(config: Config, dev: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys, warning)"""
    for camera in config.cameras:
        source = "source" if camera.source_file is None else "source_file"
        at_source = [*capture_warnings(camera.capture.source, dev)]
        if camera.source_file is not None:
            at_source += readable_by_all(camera.source_file)
        yield from ((("cameras", camera.name, source), what) for what in at_source)
        for view in camera.views:
            for key, what in _rate_warnings(camera, view):
                yield config.place(view.id, key), what
        yield from _alike(camera)
    yield from _unused_give_up(config)
    if config.http is not None:
        yield from http_warnings(config.http)
    yield from results_warnings(config.results)


def _file_warnings(path: Path) -> Iterator[str]:
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8", errors="replace")
    except OSError:
        return
    if mode & stat.S_IWOTH:
        yield f"everybody can change {path}; chmod o-w it"
    if mode & stat.S_IROTH and _holds_password(text):
        yield f"everybody can read {path}, which contains a password; {keep_private(path)}"


def _holds_password(text: str) -> bool:
    """A password in the text itself, not in a variable."""
    for word in text.split():
        login = word.partition("://")[2].rpartition("@")[0]
        if ":" in login and not login.partition(":")[2].startswith("${"):
            return True
    return any(each.search(text) is not None for each in (_PASSWORD, _ADDRESS))


def _rate_warnings(camera: CameraConfig, view: ViewConfig) -> Iterator[tuple[str, str]]:
    """(key, warning)"""
    budget_ms, least = view.latency_budget_ms, view.min_fps or 0
    if budget_ms < _LEAST_BUDGET_MS:
        meant = f"{budget_ms * 1000:g}"
        yield "latency_budget_ms", f"{budget_ms:g} milliseconds; did you mean {meant}?"
    wanted = f"{view.id} cannot give {least:g} results a second"
    most, rate = view.max_fps, kind_of(camera.capture.source).fps(camera.capture)
    if most is not None and least > most:
        yield "min_fps", f"{wanted} with max_fps {most:g}"
    elif rate is not None and least > rate:
        yield "min_fps", f"{wanted}, as it delivers {rate:g} frames"


def _unused_give_up(config: Config) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys, warning)"""
    if config.document is None:
        return
    places = {view.id: config.place(view.id, "give_up") for view in config.views}
    used = {places[view.id] for view in config.views if view.goal == "power"}
    for place in dict.fromkeys(places.values()):
        if place not in used and config.document.has(*place):
            yield place, "no effect with goal: accuracy; add goal: power, or remove give_up"


def _alike(camera: CameraConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys, warning) for views that ask the same as one above them."""
    first: dict[ViewConfig, str | None] = {}
    for view in camera.views:
        roi = None if view.roi == (0, 0, 1, 1) else view.roi
        same = first.setdefault(replace(view, id="", roi=roi), view.name)
        if same != view.name:
            keys = ("cameras", camera.name, "views", str(view.name))
            yield keys, f"region, model and limits are those of {same}; remove one of the views"


def region_warnings(config: Config, families: Mapping[str, Family]) -> Iterator[str]:
    """For views whose region has fewer pixels than their smallest variant, as far as the size of
    the camera's picture is known. families: by view.
    """
    for camera in config.cameras:
        size = kind_of(camera.capture.source).size(camera.capture)
        for view in camera.views:
            if size is None or view.roi is None:
                continue
            width, height = size[::-1] if camera.capture.rotate in (90, 270) else size
            region = round(view.roi[2] * width), round(view.roi[3] * height)
            least = min(each.resolution for each in _variants(view, families[view.id]))
            if min(region) < least:
                what = (
                    f"{region[0]}x{region[1]} pixels of {width}x{height}, but the smallest variant "
                    f"sees {least}x{least}; enlarge the region, or request a larger size"
                )
                yield str(config.error(what, *config.place(view.id, "roi")))


def _variants(view: ViewConfig, family: Family) -> Collection[Variant]:
    return family.variants() if view.variants is None else [*map(Variant.parse, view.variants)]


def accuracy_warnings(config: Config, families: Mapping[str, Family]) -> Iterator[str]:
    """For views of which no variant reaches min_top1. families: by view."""
    for view in config.views:
        family = families[view.id]
        if not view.min_top1 or not family.states_accuracy:
            continue
        best = max(_variants(view, family), key=family.top1)
        most = family.top1(best)
        if most < view.min_top1:
            what = f"no variant reaches it; {view.id} uses the most accurate, {best} ({most:.3f})"
            fix = f"lower it, or choose a family or variants of at least {view.min_top1:g}"
            place = config.place(view.id, "min_top1")
            yield str(config.error(what, *place, got=f"{view.min_top1:g}", fix=fix))


def untaught_warnings(config: Config, families: Mapping[str, Family]) -> Iterator[str]:
    """For views that give no result until they are taught. families: by view."""
    for view, family in families.items():
        if (what := to_teach(family)) is not None:
            yield str(config.error(f"{view} gives no result: {what}", *config.place(view, "model")))


def name_warnings(config: Config, families: Mapping[str, Family]) -> Iterator[str]:
    """For different families of one name. families: by view."""
    first: dict[str, Family] = {}
    told = set()
    for view, family in families.items():
        other = first.setdefault(family.name, family)
        if other.fingerprint == family.fingerprint or family.directory in told:
            continue
        told.add(family.directory)
        what = (
            f"the family in {other.directory} has the same name, so that metrics and the page mix "
            "the two; change the name in one family.yaml"
        )
        yield str(config.error(what, *config.place(view, "model"), got=family.name))
