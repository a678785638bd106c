"""Reads the configuration file into typed, frozen values.

Of other files only those with secrets are read. Whether a family or device exists, or a port is
free, is checked by the code that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from edged.capture.options import capture_errors, capture_formats
from edged.config.camera import CameraConfig, camera_config
from edged.config.schema import json_schema
from edged.document.document import MAX_ERRORS, Document, examine_file
from edged.document.values import file_path
from edged.errors import InputError
from edged.events.options import EventConfig, event_errors, events_of
from edged.private_file import how_to_read
from edged.sinks.options import (
    ResultsConfig,
    results_config,
    results_errors,
    results_formats,
)
from edged.variants.variant import Variant
from edged.web.options import HTTP_FORMATS, HttpConfig, http_config


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
    """The document, to locate errors that are found later."""

    def error(
        self, what: str, *keys: str | int, got: object = None, fix: str | None = None
    ) -> InputError:
        """An error about the value at `keys`, with file and line if there is a document."""
        if self.document is None:
            return InputError(f"{'.'.join(map(str, keys))}: {what}", got=got, fix=fix)
        return self.document.error(what, *keys, got=got, fix=fix)


def load_config(
    path: Path,
    environ: Mapping[str, str],
    also: Callable[[Config], Iterable[InputError]] = lambda config: (),
    *,
    always: bool = True,
) -> Config:
    """Raises InputError if the file cannot be read, or InputErrors with everything wrong in it.

    also: further checks of the valid part; their errors are reported with the others. always:
    False to run these only if there are other errors, because the caller runs them later.
    """
    base = path.absolute().parent
    document = examine_file(
        path,
        json_schema(),
        environ=environ,
        forbidden=how_to_read(path),
        formats={
            **capture_formats(base),
            **HTTP_FORMATS,
            "path": file_path,
            "variant": Variant.parse,
            **results_formats(base),
        },
    )
    _check_program(document)
    sound = document.sound()
    data = _completed({"cameras": {}, **sound}, json_schema())
    variants = data.get("variants")
    cameras = tuple(camera_config(name, own, data, base) for name, own in data["cameras"].items())
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
        max_temperature_c=data.get("max_temperature_c"),
        keep_warm=data["keep_warm"],
        events=events,
        document=document,
    )
    errors = [
        *(
            document.error(wrong.what, "cameras", camera.name, key, got=wrong.got, fix=wrong.fix)
            for camera in cameras
            for key, wrong in capture_errors(camera.capture)
        ),
        *islice(event_errors(events, names, data["cameras"], document), MAX_ERRORS),
        *results_errors(config.results, document),
    ]
    model_is_right = ("model" in sound) == ("model" in document.data)
    more = also(config) if model_is_right and (always or errors or document.problems) else ()
    document.finish(chain(errors, more))
    return config


def _check_program(document: Document) -> None:
    """Reject another program's file, which would give an error for each line."""
    cameras = document.data.get("cameras")
    cameras = cameras.items() if isinstance(cameras, dict) else ()
    places: list[tuple[str, ...]] = [
        (key,) for key in ("detectors", "go2rtc", "birdseye") if key in document.data
    ]
    places += [
        ("cameras", name, "ffmpeg")
        for name, camera in cameras
        if isinstance(camera, dict) and "ffmpeg" in camera
    ]
    if places:
        raise InputError(
            "this is a Frigate configuration, which edged does not read",
            where=f"{document.path}:{document.line(*places[0])}",
            fix="write an edged configuration with the path of each camera's input as its source: "
            "cameras: {door: {source: rtsp://…}}",
        )


def _completed(value: Any, described: Mapping[str, Any]) -> Any:
    """`value` with the schema's defaults for absent keys at every level, and numbers as floats."""
    if isinstance(value, list):
        return [_completed(each, described.get("items", {})) for each in value]
    if not isinstance(value, dict):
        return float(value) if described.get("type") == "number" else value
    known = described.get("properties", {})
    others = described.get("additionalProperties") or {}
    absent = {key: each["default"] for key, each in known.items() if "default" in each}
    return {
        key: _completed(each, known.get(key, others)) for key, each in {**absent, **value}.items()
    }
