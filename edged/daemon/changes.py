"""What a reload changes or why it is refused, in words: never values, which may be secret."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path

from edged.config.config import CameraConfig, Config


def refusal(reasons: Sequence[str], path: Path) -> str:
    """For one line of `systemctl status`, which is where who has typed `systemctl reload` looks:
    that itself says nothing. Empty where nothing is wrong."""
    if not reasons:
        return ""
    more = f", the first of {len(reasons)} mistakes" if len(reasons) > 1 else ""
    return f"configuration not reloaded: {reasons[0]}{more}; check it with: edged check {path}"


def changes(before: Config, after: Config, *, same_networks: bool) -> list[str]:
    """A few words for each thing that is another one; nothing if the two ask for the same.

    same_networks: what they want to be loaded is the same, down to the files.
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
    if not same_networks and not {"model", "backend", "threads", "variants"} & set(keys):
        found.append("files of the family")
    return found


def _differing(before: Config | CameraConfig, after: Config | CameraConfig) -> list[str]:
    names = (field.name for field in fields(before) if field.compare)
    return [name for name in names if getattr(before, name) != getattr(after, name)]
