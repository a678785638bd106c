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
    """One line each. dev: the folder of devices."""
    found = [
        f"cameras.{camera.name}: {warning}"
        for camera in config.cameras
        for warning in (
            *capture_warnings(camera.capture.source, dev),
            *(() if camera.source_file is None else readable_by_all(camera.source_file)),
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
    if mode & stat.S_IROTH and _holds_password(text):
        yield f"everybody can read {path}, which contains a password; {keep_private(path)}"


def _holds_password(text: str) -> bool:
    """A password in the text itself, not in a variable."""
    for word in text.split():
        login = word.partition("://")[2].rpartition("@")[0]
        if ":" in login and not login.partition(":")[2].startswith("${"):
            return True
    return _PASSWORD.search(text) is not None


def _rate_warnings(camera: CameraConfig) -> Iterator[str]:
    budget_ms, least = camera.latency_budget_ms, camera.min_fps or 0
    if budget_ms < _LEAST_BUDGET_MS:
        meant = f"{budget_ms * 1000:g}"
        yield f"latency_budget_ms {budget_ms:g} is in milliseconds; did you mean {meant}?"
    most, rate = camera.capture.max_fps, kind_of(camera.capture.source).fps(camera.capture)
    if most is not None and least > most:
        yield f"min_fps {least:g} cannot be met with max_fps {most:g}"
    elif rate is not None and least > rate:
        yield f"min_fps {least:g} cannot be met: the camera delivers {rate:g} frames per second"
