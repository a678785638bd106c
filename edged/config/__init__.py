"""The configuration: YAML → typed, frozen values, and what a reader of it should be warned of.

It does not know how anything is done with the values: whether a family of that name is there, a
device can be opened or a port is free is found out by who needs it. Only secrets are read here.
"""

from __future__ import annotations

import difflib
import re
import shlex
import stat
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

from edged.capture import Flip, Quiet, Roi
from edged.capture.attached import stable_link
from edged.capture.sources import SourceKind, kind_of
from edged.config.events import EventConfig, event_errors, events_of, roi_errors
from edged.config.hosts import check_host
from edged.config.http import HttpConfig, http_config, http_warnings, listen_address
from edged.config.results import (
    ResultsConfig,
    broker_url,
    header_value,
    read_secret,
    results_config,
    results_errors,
    results_warnings,
    topic,
    webhook_url,
)
from edged.config.schema import json_schema
from edged.config.schema.camera import LARGEST_SIZE, SMALLEST_SIDE, URL_SCHEMES
from edged.document import Document, read_document
from edged.errors import InputError, InputErrors
from edged.password import PasswordHash, check_token_hash
from edged.secret import SourceUrl, redact
from edged.variants.variant import Variant

_NAMED_SOURCES = ("synthetic", "libcamera", "picamera2")
_DRAWN = re.compile(r"synthetic(:[1-9]\d{0,3}x[1-9]\d{0,3}(@\d{1,3}(\.\d+)?)?(\?still)?)?")
_PASSWORD = re.compile(r"://[^\s/@]*:(?!\$\{)[^\s@]+@")
"""In a URL, unless a variable brings it."""


@dataclass(frozen=True, slots=True)
class CameraConfig:
    """One camera, with what it does not set itself taken from the top of the file.

    source: a URL, an absolute path, or `synthetic…`. size: (width, height) in pixels.
    source_file: where the source was read from, if it does not stand in the configuration.
    format and controls: for V4L2 devices only.
    min_fps: None for none. min_top1: a share. frozen_after_seconds: None for never.
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
    format: str | None = None
    controls: Mapping[str, int | str] = field(default_factory=dict)
    source_file: Path | None = None


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


def load_config(path: Path, environ: Mapping[str, str]) -> Config:
    """Raises InputError (the file cannot be read) or InputErrors (all that is wrong in it)."""
    base = path.absolute().parent
    document = read_document(
        path,
        json_schema(),
        environ=environ,
        formats={
            "camera-source": lambda text: camera_source(text, base),
            "source-file": lambda text: _source_from(_path(text, base), base),
            "picture-size": _size,
            "listen-address": listen_address,
            "password-hash": PasswordHash.parse,
            "token-hash": check_token_hash,
            "broker-url": broker_url,
            "webhook-url": webhook_url,
            "mqtt-topic": topic,
            "header-value": header_value,
            "password-file": lambda text: read_secret(_path(text, base), "the password"),
            "authorization-file": lambda text: header_value(
                read_secret(_path(text, base), "the header's value")
            ),
            "variant": Variant.parse,
        },
    )
    data = _with_defaults(document.data, json_schema())
    variants = data.get("variants")
    cameras = tuple(_camera(name, camera, data, base) for name, camera in data["cameras"].items())
    events = events_of(data["events"], data["cameras"], document)
    results = results_config(data["results"], base)
    errors = [
        *_device_errors(cameras, document),
        *roi_errors({camera.name: camera.roi for camera in cameras}, document),
        *event_errors(events, data["cameras"], document),
        *results_errors(results, document),
    ]
    if errors:
        raise InputErrors(errors)
    return Config(
        path=path,
        model=data["model"],
        base=base,
        cameras=cameras,
        backend=data["backend"],
        threads=tuple(int(count) for count in data["threads"]),
        variants=None if variants is None else tuple(Variant.parse(v).name for v in variants),
        http=http_config(data["http"], base),
        results=results,
        max_temperature_c=_number(data.get("max_temperature_c")),
        keep_warm=data["keep_warm"],
        events=events,
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
    file = _path(own["source_file"], base) if "source_file" in own else None
    return CameraConfig(
        name=name,
        source=camera_source(own["source"], base) if file is None else _source_from(file, base),
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
        format=own.get("format"),
        controls=own.get("controls", {}),
        source_file=file,
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


def _roi(shares: Sequence[float]) -> Roi:
    left, top, width, height = map(float, shares)
    return left, top, width, height


def _quiet(own: Mapping[str, Any]) -> Quiet:
    return Quiet(**{key: float(value) for key, value in own.items()})


def _number(value: float | None) -> float | None:
    return None if value is None else float(value)


def _path(text: str, base: Path) -> Path:
    with suppress(RuntimeError):  # ~nobody: there is no such home
        return base / Path(text).expanduser()
    return base / text


# One kind of text each; all raise InputError and never show a credential


def camera_source(text: str, base: Path) -> SourceUrl:
    """What `source:` says, checked; a relative path made absolute from `base`.

    That a device, file or host is there is not looked at: its absence is a camera's state.
    """
    if not text.strip():
        raise InputError("expected a source", got=repr(text), fix="for example clip.mp4, rtsp://…")
    source = SourceUrl(text)
    if source.is_url:
        _check_url(source)
        return source
    if text == "synthetic" or text.startswith("synthetic:"):
        if not _DRAWN.fullmatch(text):
            raise InputError(
                "expected a drawn scene", got=source, fix="write synthetic or synthetic:640x480@30"
            )
        return source
    if text.lower().startswith("gst:"):
        _check_pipeline(text[len("gst:") :])
        return source
    if re.match(r"(csi|libcamera|picamera2)(:|$)", text):
        if not re.fullmatch(r"(csi|picamera2)(:\d)?|libcamera(:\S+)?", text):
            fix = "write csi:1 or picamera2:1 for the second camera, libcamera:NAME for a named one"
            raise InputError("expected a camera on a ribbon cable", got=repr(text), fix=fix)
        return source
    if text.isdigit():
        fix = f"name its device: /dev/video{text}, or better the link in /dev/v4l/by-id"
        raise InputError("a camera is not named by its number", got=text, fix=fix)
    if re.search(r"\s!\s", text) and not text.startswith(("/", ".")):
        raise InputError("a GStreamer pipeline begins with gst:", fix="write gst:v4l2src ! jpegdec")
    if re.match(r"[a-z]+:/|[^/.][^/]*:.*@", text, re.IGNORECASE):
        fix = "a URL begins like rtsp://; a file whose name looks like one is written ./name"
        raise InputError("expected a URL or a path", got=source, fix=fix)
    return SourceUrl(str(_path(text, base)))


def _check_pipeline(description: str) -> None:
    """What needs no GStreamer to be seen. The description is not shown: it may hold a password."""
    example = "write gst:v4l2src device=/dev/video0 ! jpegdec"
    try:
        words = shlex.split(description)
    except ValueError:
        raise InputError("a quotation mark without its partner in a pipeline") from None
    if not words:
        raise InputError("expected a GStreamer pipeline after gst:", fix=example)
    if words[0].startswith("gst-launch"):
        raise InputError("a pipeline is written without gst-launch-1.0", fix=example)
    if words[-1] == "!":
        fix = "edged itself takes the pictures from its last element"
        raise InputError("a pipeline does not end with !", fix=fix)


def _check_url(source: SourceUrl) -> None:
    scheme, _, rest = source.reveal().partition("://")
    if scheme.lower() not in URL_SCHEMES:
        close = difflib.get_close_matches(scheme.lower(), URL_SCHEMES, n=1)
        raise InputError(
            f"expected a URL of {', '.join(f'{known}://' for known in URL_SCHEMES)}",
            got=source,
            fix=f"did you mean {close[0]}://?" if close else "a file is named by its path alone",
        )
    if re.search(r"\s", rest):
        raise InputError("a URL has no blanks", got=source, fix="write %20 for a blank")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    good = re.fullmatch(r"(.*@)?(\[[0-9a-f:.%]+\]|[^:\[\]@]+)(:\d{1,5})?", authority, re.IGNORECASE)
    # A password with @ and / in it looks like a host with a path, and goes on to another @.
    inside = "@" in rest[len(authority) :] and (not good or "@" in authority)
    if not good or inside:
        raise InputError(
            "no / ? or # may stand in a user name or password"
            if inside
            else "a URL without a host",
            got=source,
            fix="write %2F for /, %3F for ?, %23 for #, %40 for @"
            if inside
            else "write rtsp://host:554/path",
        )
    check_host(good[2])
    if good[3] and not 0 < int(good[3][1:]) < 65536:
        raise InputError("a port is a number from 1 to 65535", got=source)


def _source_from(file: Path, base: Path) -> SourceUrl:
    """The source that is the one line of a file, such as a systemd credential."""
    return camera_source(read_secret(file, "the source"), base)


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


# What is not wrong, but will surprise


def warnings(config: Config, dev: Path = Path("/dev")) -> list[str]:
    """One line each. `dev` is where devices are looked for."""
    found = [
        f"cameras.{camera.name}: {warning}"
        for camera in config.cameras
        for warning in (
            *_source_warnings(camera, dev),
            *_secret_warnings(camera),
            *_rate_warnings(camera),
        )
    ]
    found += _file_warnings(config.path)
    if config.http is not None:
        found += http_warnings(config.http)
    found += results_warnings(config.results)
    return found


def _file_warnings(path: Path) -> Iterator[str]:
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8", errors="replace")
    except OSError:
        return
    if mode & stat.S_IWOTH:
        yield f"everybody can change {path}; chmod o-w it"
    if mode & stat.S_IROTH and _PASSWORD.search(text):
        yield f"everybody can read {path}, and a password stands in it; chmod o= it"


def _source_warnings(camera: CameraConfig, dev: Path) -> Iterator[str]:
    path = Path(camera.source.reveal())
    if not path.is_absolute():
        return
    device = dev / path.relative_to("/dev") if path.is_relative_to("/dev") else path
    if re.fullmatch(r"/dev/video\d+", str(path)):
        better = stable_link(device, dev.parent) or "a link in /dev/v4l/by-id"
        yield f"{path} may be another camera after a restart; {better} stays the same"
    try:
        device.stat()
    except OSError as error:
        guess = difflib.get_close_matches(path.name, _NAMED_SOURCES, cutoff=0.8)
        hint = f"did you mean {guess[0]}?" if guess else "the camera waits for it"
        yield f"{path}: {error.strerror}; {hint}"


def _secret_warnings(camera: CameraConfig) -> Iterator[str]:
    source = camera.source.reveal()
    if source.lower().startswith("gst:") and redact(source) != source:
        yield (
            "everybody on this device can read the password of a pipeline in the list of "
            "processes; a camera's own URL as its source (rtsp://…) is not shown there"
        )
    if camera.source_file is not None:
        try:
            readable = camera.source_file.stat().st_mode & stat.S_IROTH
        except OSError:
            return
        if readable:
            yield f"everybody can read {camera.source_file}; chmod o= it"


def _rate_warnings(camera: CameraConfig) -> Iterator[str]:
    if camera.max_fps is not None and (camera.min_fps or 0) > camera.max_fps:
        yield f"min_fps {camera.min_fps:g} is not reached with max_fps {camera.max_fps:g}"
