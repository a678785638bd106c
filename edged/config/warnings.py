"""Warnings about a valid configuration."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path

from edged.capture.options import capture_warnings
from edged.capture.sources.table import kind_of
from edged.config.camera import CameraConfig
from edged.config.config import Config
from edged.private_file import keep_private, readable_by_all
from edged.sinks.options import results_warnings
from edged.web.options import http_warnings

_LEAST_BUDGET_MS = 1.0
"""A budget below it probably is in seconds."""
_PASSWORD = re.compile(
    r"(?:^|[{,])[ \t]*[\"']?(?:password|authorization)[\"']?:[ \t]+[\"']?(?!\$\{|[\s\"'#])",
    re.MULTILINE,
)


def warnings(config: Config, dev: Path = Path("/dev")) -> list[str]:
    """One line each, with file, line and key where there is one. dev: the folder of devices."""
    found = list(_file_warnings(config.path))
    found += (str(config.error(what, *keys)) for keys, what in _warnings_at(config, dev))
    return list(dict.fromkeys(found))  # several cameras may have one value of the top


def _warnings_at(config: Config, dev: Path) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys, warning)"""
    for camera in config.cameras:
        source = "source" if camera.source_file is None else "source_file"
        at_source = [*capture_warnings(camera.capture.source, dev)]
        if camera.source_file is not None:
            at_source += readable_by_all(camera.source_file)
        yield from ((("cameras", camera.name, source), what) for what in at_source)
        for key, what in _rate_warnings(camera):
            yield _place(config, camera.name, key), what
    if config.http is not None:
        yield from http_warnings(config.http)
    yield from results_warnings(config.results)


def _place(config: Config, camera: str, key: str) -> tuple[str, ...]:
    """Keys of a camera's setting, which may stand at the top of the file."""
    data = {} if config.document is None else config.document.data
    return ("cameras", camera, key) if key not in data or key in data["cameras"][camera] else (key,)


def _file_warnings(path: Path) -> Iterator[str]:
    try:
        mode, text = path.stat().st_mode, path.read_text("utf-8", errors="replace")
    except OSError:
        return
    if mode & stat.S_IWOTH:
        yield f"everybody can change {path}; chmod o-w it"
    if mode & stat.S_IROTH and _holds_password(text):
        yield f"everybody can read {path}, which contains a password; {keep_private(path)}"


def _holds_password(text: str) -> bool:
    """A password in the text itself, not in a variable."""
    for word in text.split():
        login = word.partition("://")[2].rpartition("@")[0]
        if ":" in login and not login.partition(":")[2].startswith("${"):
            return True
    return _PASSWORD.search(text) is not None


def _rate_warnings(camera: CameraConfig) -> Iterator[tuple[str, str]]:
    """(key, warning)"""
    budget_ms, least = camera.latency_budget_ms, camera.min_fps or 0
    if budget_ms < _LEAST_BUDGET_MS:
        meant = f"{budget_ms * 1000:g}"
        yield "latency_budget_ms", f"{budget_ms:g} milliseconds; did you mean {meant}?"
    wanted = f"{camera.name} cannot give {least:g} results a second"
    most, rate = camera.capture.max_fps, kind_of(camera.capture.source).fps(camera.capture)
    if most is not None and least > most:
        yield "min_fps", f"{wanted} with max_fps {most:g}"
    elif rate is not None and least > rate:
        yield "min_fps", f"{wanted}, as it delivers {rate:g} frames"
