"""The configuration: YAML → typed, frozen values, and what a reader of it should be warned of.

It does not know how anything is done with the values: whether a family of that name is there, a
device can be opened or a port is free is found out by who needs it. Only secrets are read here.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any, Literal

from edged.capture.source import CaptureRequest, Flip, Quiet, Roi
from edged.capture.sources import SourceKind, kind_of
from edged.capture.sources.synthetic.options import dimensions
from edged.config.schema.camera import LARGEST_SIZE, SMALLEST_SIDE
from edged.config.schema.schema import json_schema
from edged.config.source import camera_source, source_from
from edged.document.document import MAX_ERRORS, Document, examine_file
from edged.document.values import file_path, path_from
from edged.errors import InputError
from edged.events.options import EventConfig, event_errors, events_of, roi_errors
from edged.private_file import how_to_read
from edged.secret import SourceUrl
from edged.sinks.options import (
    ResultsConfig,
    results_config,
    results_errors,
    results_formats,
)
from edged.variants.variant import Variant
from edged.web.options import HttpConfig, http_config, listen_address
from edged.web.password import PasswordHash, check_token_hash

__all__ = ["CameraConfig", "Config", "camera_source", "load_config"]


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """One camera, with what it does not set itself taken from the top of the file.

    source: a URL, an absolute path, or `synthetic…`. size: (width, height) in pixels.
    source_file: where the source was read from, if it does not stand in the configuration.
    format and controls: for V4L2 devices only.
    min_fps: None for none. min_top1: a share. frozen_after_seconds: None for never.
    stalled_after_seconds: None to follow how pictures come.
    """

    name: str
    source: SourceUrl
    latency_budget_ms: float
    on_time: float
    min_fps: float | None = None
    min_top1: float = 0.0
    size: tuple[int, int] | None = None
    fps: float | None = None
    max_fps: float | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    flip: Flip | None = None
    roi: Roi | None = None
    quiet: Quiet | None = None
    loop: bool = False
    frozen_after_seconds: float | None = None
    stalled_after_seconds: float | None = None
    format: str | None = None
    controls: Mapping[str, int | str] = field(default_factory=dict)
    source_file: Path | None = None
    confine: bool = True


@dataclass(frozen=True, slots=True)
class Config:
    """base: the file's folder. model: a shipped family's name, or a path relative to `base`."""

    path: Path
    model: str
    base: Path
    cameras: tuple[CameraConfig, ...]
    backend: str
    threads: tuple[int, ...]
    variants: tuple[str, ...] | None
    http: HttpConfig | None
    results: ResultsConfig
    max_temperature_c: float | None = None
    keep_warm: bool = False
    events: tuple[EventConfig, ...] = ()
    document: Document | None = field(default=None, compare=False, repr=False)
    """Where it was read from, for errors of those who know more."""

    def error(
        self, what: str, *keys: str | int, got: object = None, fix: str | None = None
    ) -> InputError:
        """About the value at `keys`, with file and line where there is a file."""
        if self.document is None:
            return InputError(f"{keys[0]}: {what}", got=got, fix=fix)
        return self.document.error(what, *keys, got=got, fix=fix)


def load_config(
    path: Path,
    environ: Mapping[str, str],
    also: Callable[[Config], Iterable[InputError]] = lambda config: (),
    *,
    always: bool = True,
) -> Config:
    """Raises InputError (the file cannot be read) or InputErrors (all that is wrong in it).

    also: what else is looked for in what is right so far; it comes with the other errors. always:
    False where the caller finds that out by itself, if nothing else is wrong.
    """
    base = path.absolute().parent
    document = examine_file(
        path,
        json_schema(),
        environ=environ,
        forbidden=how_to_read(path),
        formats={
            "camera-source": lambda text: camera_source(text, base),
            "source-file": lambda text: source_from(path_from(text, base), base),
            "picture-size": _size,
            "listen-address": listen_address,
            "password-hash": PasswordHash.parse,
            "token-hash": check_token_hash,
            "path": file_path,
            "variant": Variant.parse,
            **results_formats(base),
        },
    )
    _check_program(document)
    sound = document.sound()
    data = _with_defaults({"cameras": {}, **sound}, json_schema())
    variants = data.get("variants")
    cameras = tuple(_camera(name, camera, data, base) for name, camera in data["cameras"].items())
    named = document.data.get("cameras")
    names = list(named) if isinstance(named, dict) else [camera.name for camera in cameras]
    events = events_of(data["events"], names, document)
    config = Config(
        path=path,
        model=data["model"],
        base=base,
        cameras=cameras,
        backend=data["backend"],
        threads=tuple(int(count) for count in data["threads"]),
        variants=None if variants is None else tuple(Variant.parse(v).name for v in variants),
        http=http_config(data["http"], base),
        results=results_config(data["results"], base),
        max_temperature_c=_number(data.get("max_temperature_c")),
        keep_warm=data["keep_warm"],
        events=events,
        document=document,
    )
    errors = [
        *_device_errors(cameras, document),
        *roi_errors({camera.name: camera.roi for camera in cameras}, document),
        *islice(event_errors(events, names, data["cameras"], document), MAX_ERRORS),
        *results_errors(config.results, document),
    ]
    model_is_right = ("model" in sound) == ("model" in document.data)
    more = also(config) if model_is_right and (always or errors or document.problems) else ()
    document.finish(chain(errors, more))
    return config


def _check_program(document: Document) -> None:
    """A file of another program would give an error for each of its lines."""
    cameras = document.data.get("cameras")
    cameras = cameras.values() if isinstance(cameras, dict) else ()
    inside = any(isinstance(camera, dict) and "ffmpeg" in camera for camera in cameras)
    if inside or document.data.keys() & {"detectors", "go2rtc", "birdseye"}:
        raise InputError(
            "this is a configuration of Frigate, which edged does not read",
            where=document.path,
            fix="write one of edged's own, with the path of each camera's inputs as its source: "
            "cameras: {door: {source: rtsp://…}}",
        )


def _with_defaults(data: Mapping[str, Any], described: Mapping[str, Any]) -> dict[str, Any]:
    """`data` with the defaults that the schema states for what is absent, on every level."""
    known = described.get("properties", {})
    others = described.get("additionalProperties") or {}
    absent = {key: known[key]["default"] for key in known.keys() - data if "default" in known[key]}
    return {
        key: _with_defaults(value, known.get(key, others)) if isinstance(value, dict) else value
        for key, value in {**data, **absent}.items()
    }


def _camera(name: str, own: Mapping[str, Any], top: Mapping[str, Any], base: Path) -> CameraConfig:
    file = path_from(own["source_file"], base) if "source_file" in own else None
    return CameraConfig(
        name=name,
        source=camera_source(own["source"], base) if file is None else source_from(file, base),
        latency_budget_ms=float(own.get("latency_budget_ms", top["latency_budget_ms"])),
        on_time=float(own.get("on_time", top["on_time"])),
        min_fps=_number(own.get("min_fps", top.get("min_fps"))),
        min_top1=float(own.get("min_top1", top.get("min_top1", 0))),
        size=_size(own["size"]) if "size" in own else None,
        fps=_number(own.get("fps")),
        max_fps=_number(own.get("max_fps")),
        rotate=own["rotate"],
        flip=own.get("flip"),
        roi=_roi(own["roi"]) if "roi" in own else None,
        quiet=_quiet(own["quiet"]) if "quiet" in own else None,
        loop=own["loop"],
        frozen_after_seconds=_number(own.get("frozen_after_seconds")),
        stalled_after_seconds=_number(own.get("stalled_after_seconds")),
        format=own.get("format"),
        controls=own.get("controls", {}),
        source_file=file,
        confine=own["confine"],
    )


def _device_errors(cameras: Iterable[CameraConfig], document: Document) -> Iterator[InputError]:
    """Where a key is about drivers and the source has none, or does not say enough."""
    for camera in cameras:
        source = camera.source.reveal()
        for key in ("format", "controls"):
            if getattr(camera, key) and kind_of(source) is not SourceKind.V4L2:
                what = "only a V4L2 device (/dev/…) has that"
                yield document.error(what, "cameras", camera.name, key)
        if camera.roi and not camera.size and source.lower().startswith("gst:"):
            what = "needs the size of the pipeline's pictures"
            fix = "write it as size: 1280x720, or crop in the pipeline itself: ! videocrop left=…"
            yield document.error(what, "cameras", camera.name, "roi", fix=fix)
        if kind_of(source) is SourceKind.SYNTHETIC:
            try:
                dimensions(CaptureRequest(source, size=camera.size, fps=camera.fps))
            except InputError as wrong:
                yield document.error(wrong.what, "cameras", camera.name, "size", got=wrong.got)


def _roi(shares: Sequence[float]) -> Roi:
    left, top, width, height = map(float, shares)
    return left, top, width, height


def _quiet(own: Mapping[str, Any]) -> Quiet:
    return Quiet(**{key: float(value) for key, value in own.items()})


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _size(text: str) -> tuple[int, int]:
    match = re.fullmatch(r"(\d{1,5})x(\d{1,5})", text)
    size = (int(match[1]), int(match[2])) if match else (0, 0)
    if not all(
        SMALLEST_SIDE <= side <= most for side, most in zip(size, LARGEST_SIZE, strict=True)
    ):
        width, height = LARGEST_SIZE
        raise InputError(
            f"expected width x height, {SMALLEST_SIDE}x{SMALLEST_SIDE} to {width}x{height}",
            got=repr(text),
            fix="for example 1280x720",
        )
    return size
