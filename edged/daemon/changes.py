"""Describes what a reload changes, or why it is refused; never shows values: they may be secret."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

from edged.capture.source import CaptureRequest, ViewRequest
from edged.config.camera import CameraConfig, ViewConfig
from edged.config.config import Config

_Fields: TypeAlias = Config | ViewConfig | CaptureRequest
_OF_VIEWS = {"views", *(each.name for each in fields(ViewRequest))}
"""Fields of a request that say of the views what these say themselves."""


def refusal(reasons: Sequence[str], path: Path) -> str:
    """One line for `systemctl status`, because `systemctl reload` itself prints nothing. Empty
    without reasons."""
    if not reasons:
        return ""
    more = f" (first of {len(reasons)} errors)" if len(reasons) > 1 else ""
    return f"configuration not reloaded: {reasons[0]}{more}; check it with: edged check {path}"


def changes(before: Config, after: Config, *, same_model: bool) -> list[str]:
    """A few words for each difference; empty if the two are equal.

    same_model: both load the same model, down to the files.
    """
    old = {camera.name: camera for camera in before.cameras}
    new = {camera.name: camera for camera in after.cameras}
    found = [f"camera {name} removed" for name in old if name not in new]
    found += [f"camera {name} added" for name in new if name not in old]
    for name in new:
        if name in old:
            found += _of_camera(old[name], new[name])
    found += (key for key in _differing(before, after) if key != "cameras")
    if not same_model and _loaded(before) == _loaded(after):
        found.append("files of the family")
    return found


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
    """Names of the fields of two values of one class that differ."""
    return [
        each.name
        for each in fields(before)
        if each.compare and getattr(before, each.name) != getattr(after, each.name)
    ]
