"""Reads the configuration file into typed, frozen values.

Of other files only those with secrets are read. Whether a family or device exists, or a port is
free, is checked by the code that uses it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from itertools import chain, islice
from pathlib import Path
from typing import Any

from edged.capture.options import capture_errors, capture_formats, roi_errors
from edged.config.camera import CameraConfig, ViewConfig, camera_config, view_ids
from edged.config.schema import MOST_CAMERAS, json_schema
from edged.document.document import MAX_ERRORS, Document, examine_file
from edged.document.quoting import Keys
from edged.document.values import file_path
from edged.errors import InputError
from edged.events.options import EventConfig, event_errors, events_of
from edged.history.options import HistoryConfig, history_config
from edged.hours import Period
from edged.private_file import how_to_read
from edged.sinks.options import (
    ResultsConfig,
    results_config,
    results_errors,
    results_formats,
)
from edged.variants.variant import Variant
from edged.view import parts
from edged.web.options import (
    HTTP_FORMATS,
    HttpConfig,
    default_listen,
    http_config,
    http_errors,
)


@dataclass(frozen=True, slots=True)
class Config:
    """base: the file's folder. history: None for none."""

    path: Path
    base: Path
    cameras: tuple[CameraConfig, ...]
    backend: str
    threads: tuple[int, ...]
    http: HttpConfig | None
    results: ResultsConfig
    max_temperature_c: float | None = None
    max_power_w: float | None = None
    keep_warm: bool = False
    probe: float = 0.0
    events: tuple[EventConfig, ...] = ()
    history: HistoryConfig | None = None
    document: Document | None = field(default=None, compare=False, repr=False)
    """The document, to locate errors that are found later."""

    @property
    def views(self) -> tuple[ViewConfig, ...]:
        """Those of all cameras, in the file's order."""
        return tuple(view for camera in self.cameras for view in camera.views)

    def place(self, view: str, key: str) -> tuple[str, ...]:
        """The keys of a view's value: in its own section, its camera's, or at the top."""
        camera, name = parts(view)
        of_camera = ("cameras", camera, key)
        own = of_camera if name is None else ("cameras", camera, "views", name, key)
        if self.document is None:
            return (key,)
        return next((each for each in (own, of_camera, (key,)) if self.document.has(*each)), own)

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
            "period": Period.of,
            "variant": Variant.parse,
            **results_formats(base),
        },
    )
    _check_program(document)
    data = _completed({"cameras": {}, **document.sound(_sourceless())}, json_schema())
    cameras = tuple(camera_config(name, own, data, base) for name, own in data["cameras"].items())
    http = data["http"]
    if not document.has("http", "listen"):
        http["listen"] = default_listen(bool(http["users"] or http["token_hashes"]), environ)
    named = document.data.get("cameras")
    views = {
        name: view_ids(name, own)
        for name, own in (named.items() if isinstance(named, dict) else ())
    }
    events = events_of(data["events"], views, document)
    config = Config(
        path=path,
        base=base,
        cameras=cameras,
        backend=data["backend"],
        threads=tuple(int(count) for count in data["threads"]),
        http=http_config(http, base),
        results=results_config(data["results"], base),
        max_temperature_c=data.get("max_temperature_c"),
        max_power_w=data.get("max_power_w"),
        keep_warm=data["keep_warm"],
        probe=data["probe"],
        events=events,
        history=history_config(data["history"]),
        document=document,
    )
    names = dict.fromkeys((*data["cameras"], *(view.id for view in config.views)))
    errors = [
        *(
            document.error(wrong.what, *keys, got=wrong.got, fix=wrong.fix)
            for camera in cameras
            for keys, wrong in _camera_errors(camera, config)
        ),
        *islice(event_errors(data["events"], events, views, names, document), MAX_ERRORS),
        *results_errors(config.results, document),
        *http_errors(http["may"], document),
    ]
    count = sum(map(len, views.values()))
    if count > MOST_CAMERAS:
        what = f"{count} views; expected at most {MOST_CAMERAS} of all cameras together"
        errors.append(document.error(what, "cameras"))
    models_are_right = all(problem.keys[-1:] != ("model",) for _, problem in document.problems)
    more = also(config) if models_are_right and (always or errors or document.problems) else ()
    document.finish(chain(errors, more))
    return config


def _sourceless() -> dict[str, Any]:
    """The schema without the need for a source: views do not depend on it."""
    schema = json_schema()
    del schema["properties"]["cameras"]["additionalProperties"]["oneOf"]
    return schema


def _camera_errors(camera: CameraConfig, config: Config) -> Iterator[tuple[Keys, InputError]]:
    """(keys, error)"""
    if camera.capture.source:  # otherwise its error is known
        for key, wrong in capture_errors(camera.capture):
            yield ("cameras", camera.name, key), wrong
    for view in camera.views:
        for wrong in () if view.roi is None else roi_errors(view.roi):
            yield config.place(view.id, "roi"), wrong


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
