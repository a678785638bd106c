"""What is not wrong in a configuration, but will surprise."""

from __future__ import annotations

import re
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from edged.capture.source import CaptureRequest
from edged.capture.sources import SourceKind, kind_of
from edged.capture.sources.synthetic.options import dimensions
from edged.capture.sources.v4l2.discovery import stable_link
from edged.private_file import keep_private, readable_by_all
from edged.secret import redact
from edged.sinks.options import results_warnings
from edged.web.options import http_warnings

if TYPE_CHECKING:
    from edged.config.config import CameraConfig, Config

_LEAST_BUDGET_MS = 1.0
"""Below it seconds were meant."""
_PASSWORD = re.compile(
    r"(?:^|[{,])[ \t]*[\"']?(?:password|authorization)[\"']?:[ \t]+[\"']?(?!\$\{|[\s\"'#])",
    re.MULTILINE,
)


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
    if mode & stat.S_IROTH and _holds_password(text):
        yield f"everybody can read {path}, and a password stands in it; {keep_private(path)}"


def _holds_password(text: str) -> bool:
    """Unless a variable brings it."""
    for word in text.split():
        login = word.partition("://")[2].rpartition("@")[0]
        if ":" in login and not login.partition(":")[2].startswith("${"):
            return True
    return _PASSWORD.search(text) is not None


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
        yield f"{path}: {error.strerror}; the camera waits for it"


def _secret_warnings(camera: CameraConfig) -> Iterator[str]:
    source = camera.source.reveal()
    if source.lower().startswith("gst:") and redact(source) != source:
        yield (
            "everybody on this device can read the password of a pipeline in the list of "
            "processes; a camera's own URL as its source (rtsp://…) is not shown there"
        )
    if camera.source_file is not None:
        yield from readable_by_all(camera.source_file)


def _rate_warnings(camera: CameraConfig) -> Iterator[str]:
    budget_ms, least = camera.latency_budget_ms, camera.min_fps or 0
    if budget_ms < _LEAST_BUDGET_MS:
        meant = f"{budget_ms * 1000:g}"
        yield f"latency_budget_ms {budget_ms:g} is in milliseconds; did you mean {meant}?"
    rate = _rate(camera)
    if camera.max_fps is not None and least > camera.max_fps:
        yield f"min_fps {least:g} is not reached with max_fps {camera.max_fps:g}"
    elif rate is not None and least > rate:
        yield f"min_fps {least:g} is not reached: the camera gives {rate:g} pictures a second"


def _rate(camera: CameraConfig) -> float | None:
    """Pictures a second that it is asked for, where that is known."""
    source = camera.source.reveal()
    if kind_of(source) is SourceKind.SYNTHETIC:
        return dimensions(CaptureRequest(source, size=camera.size, fps=camera.fps))[1]
    return camera.fps
