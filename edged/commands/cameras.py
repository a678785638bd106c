"""`edged cameras`: the attached cameras, and their lines for a configuration."""

from __future__ import annotations

import argparse
import json
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from textwrap import wrap
from typing import TYPE_CHECKING

from edged.commands.parts import Commands, add_command

if TYPE_CHECKING:
    from edged.capture.sources.v4l2.device import FrameSize
    from edged.capture.sources.v4l2.discovery import AttachedCamera
    from edged.doctor.decoder import Measured

NOTHING = """\
no V4L2 camera found: no /dev/video* delivers pictures
  USB:                  check lsusb, and the kernel log: sudo dmesg | tail
  in a container:       pass the device: --device /dev/video0
  Raspberry Pi module:  source: picamera2 (list them: rpicam-hello --list-cameras)
  Jetson module:        source: csi (check: systemctl status nvargus-daemon)
  over the network:     not listed here: source: rtsp://… or http://…"""
_COVERED_SIDE = 448
"""Twice the largest resolution: no network uses more pixels."""
_USUAL_FPS = 30.0


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    cameras = add_command(
        commands,
        "cameras",
        _cameras,
        "list the attached cameras, and their lines for a configuration",
        "edged cameras",
    )
    cameras.add_argument("--json", action="store_true", help="print JSON")


def _cameras(options: argparse.Namespace) -> int:
    from edged.capture.sources.v4l2.discovery import attached
    from edged.doctor import child
    from edged.doctor.decoder import measured
    from edged.process import own_python

    found, left_out = attached()
    entries = named(found)
    if options.json:
        decoder = measured(child.run, own_python())
        rows = [
            _row(camera, name, keys)
            for camera, (name, keys) in zip(found, entries.items(), strict=True)
        ]
        about = {"cameras": rows, "without_pictures": left_out}
        print(json.dumps(about | {"decoder": decoder and decoder._asdict()}, indent=2))
        return 0
    for line in listing(found, left_out, all_seen=os.geteuid() == 0):
        print(line, flush=True)
    for line in _wrapped(about_decoder(measured(child.run, own_python())), "# "):
        print(line)
    return 0


def about_decoder(decoder: Measured | None) -> str:
    if decoder is None:
        return "no hardware decoder for RTSP cameras was found"
    if decoder.why:
        return f"{decoder}: {decoder.why}"
    return f"{decoder}" + ("; for RTSP cameras: decode: hardware" if decoder.saves else "")


def listing(
    found: list[AttachedCamera], left_out: list[str], *, all_seen: bool = True
) -> Iterable[str]:
    """Lines for a terminal. all_seen: the programs of other users are visible as well."""
    for camera in found:
        driver = camera.driver and f" ({camera.driver})"
        yield f"{camera.card or 'a camera'}{driver}, {camera.node}"
        if camera.problem is not None:
            yield f"  {camera.problem}"
        yield from _modes(camera)
        for control in camera.controls:
            yield from _wrapped(f"{control.name}: {control.range}", "  ")
        for holder in camera.holders:
            yield f"  in use by {holder.command} (pid {holder.pid})"
        yield ""
    if left_out:
        yield f"without pictures (metadata, codecs, …): {', '.join(left_out)}"
        yield ""
    if not found:
        yield NOTHING
        return
    if not all_seen:
        yield "# run with sudo to see cameras in use by other users' programs or by the service"
    yield "# for the configuration"
    yield "cameras:"
    for name, keys in named(found).items():
        yield f"  {name}:"
        yield from (f"    {key}: {_yaml(value)}" for key, value in keys.items())


def _modes(camera: AttachedCamera) -> Iterator[str]:
    """Formats with the same sizes and sizes with the same rates on one line."""
    from edged.capture.schema import PIXEL_FORMATS

    alike: dict[tuple[FrameSize, ...], list[str]] = {}
    for each in camera.formats:
        if each.name in PIXEL_FORMATS:
            alike.setdefault(each.sizes, []).append(each.name)
    for sizes, names in alike.items():
        yield f"  {', '.join(names)}"
        by_rates: dict[str, list[str]] = {}
        for size in sizes:
            by_rates.setdefault(size.rates, []).append(str(size))
        for rates, equal in by_rates.items():
            yield from _wrapped(", ".join(equal) + (f" at {rates}" if rates else ""), "    ")
    if unread := [each.name for each in camera.formats if each.name not in PIXEL_FORMATS]:
        yield from _wrapped(f"not supported by edged: {', '.join(unread)}", "  ")


def _wrapped(text: str, indent: str) -> list[str]:
    further = indent if indent.startswith("#") else indent + "  "
    return wrap(text, width=100, initial_indent=indent, subsequent_indent=further)


def _yaml(value: object) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    text = str(value)
    return text if re.fullmatch(r"[\w/][\w/.:+@-]*", text) else json.dumps(text)


def named(found: Iterable[AttachedCamera]) -> dict[str, Mapping[str, object]]:
    """The entries under `cameras:`, named after the camera; in the same order."""
    entries: dict[str, Mapping[str, object]] = {}
    for camera in found:
        words = re.sub(r"[^a-z0-9]+", "_", camera.card.split(":")[0].lower()).strip("_")
        base = words[:28].rstrip("_") if words[:1].isalpha() else "camera"
        names = (base, *(f"{base}_{number}" for number in range(2, len(entries) + 3)))
        entries[next(name for name in names if name not in entries)] = _keys(camera)
    return entries


def _keys(camera: AttachedCamera) -> dict[str, object]:
    from edged.capture.schema import PIXEL_FORMATS

    readable = [each for each in camera.formats if each.name in PIXEL_FORMATS]
    if camera.formats and not readable:  # a bare sensor
        return {"source": "csi" if "tegra" in camera.driver else "picamera2"}
    keys: dict[str, object] = {"source": camera.source}
    sizes = [size for each in readable for size in each.sizes]
    if sizes:
        chosen = min(sizes, key=_preference)
        width, height = asked_size(chosen)
        keys["size"] = f"{width}x{height}"
        if chosen.fps:
            keys["fps"] = round(min(_USUAL_FPS, max(chosen.fps)), 2)
    return keys


def _preference(size: FrameSize) -> tuple[bool, int, float]:
    """Sort key: the smallest that covers _COVERED_SIDE, else the largest; then the fastest."""
    width, height = asked_size(size)
    covers = min(width, height) >= _COVERED_SIDE
    pixels = width * height
    return not covers, pixels if covers else -pixels, -min(_USUAL_FPS, max(size.fps, default=0.0))


def asked_size(size: FrameSize) -> tuple[int, int]:
    """640x480, if a range of sizes includes it; otherwise the largest."""
    return (640, 480) if size.holds((640, 480)) else size.largest


def _row(camera: AttachedCamera, name: str, keys: Mapping[str, object]) -> dict[str, object]:
    return {
        "name": name,
        "node": camera.node,
        "driver": camera.driver,
        "card": camera.card,
        "configuration": dict(keys),
        "formats": [
            {
                "format": each.name,
                "smallest": size.smallest,
                "largest": size.largest,
                "fps": size.fps,
                "fps_in_range": size.in_range,
            }
            for each in camera.formats
            for size in each.sizes
        ],
        "controls": {
            each.name: {
                "least": each.least,
                "most": each.most,
                "step": each.step,
                "default": each.default,
                "menu": dict(each.items),
            }
            for each in camera.controls
        },
        "holders": [{"pid": each.pid, "command": each.command} for each in camera.holders],
        "problem": camera.problem,
    }
