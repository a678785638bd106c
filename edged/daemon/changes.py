"""Describes what a reload changes, or why it is refused; never shows values: they may be secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TypeAlias

from edged.capture.source import CaptureRequest
from edged.config.camera import CameraConfig
from edged.config.config import Config

_Fields: TypeAlias = Config | CameraConfig | CaptureRequest


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
        if name in old and (keys := _differing(old[name], new[name])):
            found.append(f"camera {name}: {', '.join(keys)}")
    keys = [key for key in _differing(before, after) if key != "cameras"]
    found += keys
    if not same_model and not {"model", "backend", "threads", "variants"} & set(keys):
        found.append("files of the family")
    return found


def _differing(before: _Fields, after: _Fields) -> list[str]:
    """Fields of two values of one class; what a camera is asked for counts as fields of its own."""
    found: list[str] = []
    for each in fields(before):
        old, new = getattr(before, each.name), getattr(after, each.name)
        if each.compare and old != new:
            found += _differing(old, new) if each.name == "capture" else [each.name]
    return found
