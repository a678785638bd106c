"""What a reload changes, in words: names and keys, never values, which may be secret."""

from __future__ import annotations

from dataclasses import fields

from edged.config import CameraConfig, Config


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
