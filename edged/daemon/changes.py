"""Describes what a reload changes, or why it is refused; never shows values: they may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

from edged.capture.source import CaptureRequest, ViewRequest
from edged.config.camera import CameraConfig, ViewConfig
from edged.config.config import Config
from edged.daemon.models import Models
from edged.view import titled

CONFIGURATION, CLASSIFIERS = "configuration", "classifiers"
"""What a reload reads again."""
STAYS = {CONFIGURATION: "the previous one stays", CLASSIFIERS: "the previous ones stay"}
_Fields: TypeAlias = Config | ViewConfig | CaptureRequest
_OF_VIEWS = {"views", *(each.name for each in fields(ViewRequest))}
"""Fields of a request that say of the views what these say themselves."""


def refusal(what: str, reasons: Sequence[str], path: Path) -> str:
    """One line for `systemctl status`, because `systemctl reload` itself prints nothing. Empty
    without reasons."""
    if not reasons:
        return ""
    more = f" (first of {len(reasons)} errors)" if len(reasons) > 1 else ""
    return f"{what} not reloaded: {reasons[0]}{more}; check it with: edged check {path}"


def changes(
    before: Config, after: Config, *, same_model: bool, classifiers: Sequence[str] = ()
) -> list[str]:
    """A few words for each difference; empty if the two are equal.

    same_model: both load the same model, down to the files. classifiers: what changed of them.
    """
    old = {camera.name: camera for camera in before.cameras}
    new = {camera.name: camera for camera in after.cameras}
    found = [f"camera {name} removed" for name in old if name not in new]
    found += [f"camera {name} added" for name in new if name not in old]
    for name in new:
        if name in old:
            found += _of_camera(old[name], new[name])
    found += (key for key in _differing(before, after) if key != "cameras")
    found += classifiers
    if not same_model and not classifiers and _loaded(before) == _loaded(after):
        found.append("files of the family")
    return found


def changed_classifiers(before: Models, after: Models) -> Iterator[str]:
    """Those that begin, end, or run in another version."""
    for view, model in after.by_view.items():
        old, family = before.by_view.get(view), model.family
        if old is None:
            continue
        if old.family != family and family.heads:
            yield f"{titled(view)}: version {family.directory.name} of {family.name}"
        elif old.family != family and old.family.backbone is not None:
            yield f"{titled(view)}: {family.name}"
        elif (view in before.taught) != (view in after.taught):
            yield f"{titled(view)}: {'' if view in after.taught else 'no longer '}to be taught"
        elif before.instead.get(view) != after.instead.get(view):
            yield after.instead.get(view) or f"{titled(view)} runs what it should again"


def _of_camera(before: CameraConfig, after: CameraConfig) -> Iterator[str]:
    keys = [key for key in _differing(before.capture, after.capture) if key not in _OF_VIEWS]
    if before.source_file != after.source_file:
        keys.append("source_file")
    old = {view.id: view for view in before.views}
    new = {view.id: view for view in after.views}
    changed = {id: _differing(old[id], new[id]) for id in new if id in old}
    keys += changed.pop(after.name, ())
    if keys:
        yield f"camera {after.name}: {', '.join(keys)}"
    yield from (f"view {id} removed" for id in old if id not in new and id != after.name)
    yield from (f"view {id} added" for id in new if id not in old and id != after.name)
    yield from (f"view {id}: {', '.join(keys)}" for id, keys in changed.items() if keys)


def _loaded(config: Config) -> tuple[object, ...]:
    """What the configuration says of the networks."""
    return {(view.model, view.variants) for view in config.views}, config.backend, config.threads


def _differing(before: _Fields, after: _Fields) -> list[str]:
    """Keys of the fields of two values of one class that differ."""
    found = (
        each.name
        for each in fields(before)
        if each.compare and getattr(before, each.name) != getattr(after, each.name)
    )
    return list(dict.fromkeys("model" if name == "names_model" else name for name in found))
