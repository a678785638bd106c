"""What `source:` and the file of `source_file:` may hold.

All raise InputError, which never shows the text: there may be a password anywhere in it.
"""

from __future__ import annotations

import difflib
import re
import shlex
from ipaddress import ip_address
from pathlib import Path

from edged.capture.source import CaptureRequest
from edged.capture.sources.synthetic.options import dimensions
from edged.config.schema.camera import URL_SCHEMES
from edged.document.hosts import check_host
from edged.document.values import path_from, read_secret
from edged.errors import InputError
from edged.secret import SourceUrl

NAMED_SOURCES = ("synthetic", "libcamera", "picamera2")
_USB = "a USB camera is named by its device, such as /dev/v4l/by-id/…: edged cameras lists them"
_RIBBON = "a camera on a ribbon cable is libcamera or picamera2, on a Jetson csi"
_WORDS = (
    (re.compile(r"(usb|web)?[_-]?(cam|camera|kamera)\d*|usb\d*", re.IGNORECASE), _USB),
    (
        re.compile(r"(imx\d|ov\d|arducam|raspicam|rpicam|picam(?!era))[\w-]*", re.IGNORECASE),
        _RIBBON,
    ),
    (re.compile(r"v4l2?(:.*)?|video\d*|/dev/video", re.IGNORECASE), _USB),
)
"""What is taken for the name of a camera, and of no file; where there is such a file it is one."""
_OTHER_SCHEMES = {
    "onvif": "find the camera's RTSP address on its own page, or with an ONVIF tool",
    "rtmp": "most cameras have an RTSP address as well: write rtsp://…",
    "file": "a file is named by its path alone",
}
_PAGES = re.compile(
    r"(?:www\.|m\.)?(?:youtube\.com|youtu\.be|twitch\.tv|vimeo\.com)", re.IGNORECASE
)
_USERS = ("admin", "administrator", "guest", "operator", "root", "user", "viewer")
"""No camera is called so: in `rtsp://admin:1234` the host is missing."""
_URL_FIX = "write rtsp://user:password@host:554/path"
_ESCAPES = "write %2F for /, %3F for ?, %23 for #, %40 for @"
_ADDRESS = re.compile(
    r"//|[a-z][a-z0-9+.-]*:?/{2}|[a-z][a-z0-9+-]*:/"  # rtsp//…, rtsp:/…
    r"|\d{1,3}(\.\d{1,3}){3}([:/].*)?"  # 192.0.2.1
    r"|[\w-]+(\.[\w-]+)*\.(local|lan|home|internal)([:/].*)?",
    re.IGNORECASE | re.DOTALL,
)
_RELATIVE = re.compile(r"\.{0,2}/|~")


def camera_source(text: str, base: Path) -> SourceUrl:
    """What `source:` says, checked; a relative path made absolute from `base`.

    That a device, file or host is there is not looked at, its absence is a camera's state; but what
    looks like something else is a path where there is such a file.
    """
    if not text.strip():
        raise InputError("expected a source", fix="for example clip.mp4, rtsp://…")
    source = SourceUrl(text)
    if source.is_url:
        _check_url(text)
        return source
    if text == "synthetic" or text.startswith("synthetic:"):
        dimensions(CaptureRequest(text))
        return source
    if text.lower().startswith("gst:"):
        _check_pipeline(text[len("gst:") :])
        return source
    if re.match(r"(csi|libcamera|picamera2)(:|$)", text):
        if not re.fullmatch(r"(csi|picamera2)(:\d)?|libcamera(:\S+)?", text):
            fix = "write csi:1 or picamera2:1 for the second camera, libcamera:NAME for a named one"
            raise InputError("expected a camera on a ribbon cable", fix=fix)
        return source
    path = path_from(text, base)
    if not _exists(path):
        _check_path(text)
    return SourceUrl(str(path))


def source_from(file: Path, base: Path) -> SourceUrl:
    """The source that is the one line of a file, such as a systemd credential.

    A path that is not there may be the password alone, and would be shown as a path.
    """
    text = read_secret(file, "the source")
    source = camera_source(text, base)
    path = Path(source.reveal())
    if path.is_absolute() and not text.startswith("/dev/") and not _exists(path):
        what = "expected a file with the camera's whole address, not its password alone"
        raise InputError(what, fix=_URL_FIX)
    return source


def _exists(path: Path) -> bool:
    try:
        return path.exists()
    except OSError:  # too long, or not to be looked at
        return False


def _check_path(text: str) -> None:
    """What nothing of that name is there for, and what looks like something else."""
    if text.isdigit():
        number = text if len(text) < 3 else "0"
        fix = f"name its device: /dev/video{number}, or better the link in /dev/v4l/by-id"
        raise InputError("a camera is not named by its number", fix=fix)
    if re.search(r"\s!\s", text) and not text.startswith(("/", ".")):
        raise InputError("a GStreamer pipeline begins with gst:", fix="write gst:v4l2src ! jpegdec")
    for word, fix in _WORDS:
        if word.fullmatch(text):
            raise InputError("not the name of a camera", fix=fix)
    close = difflib.get_close_matches(text.partition(":")[0].lower(), NAMED_SOURCES, cutoff=0.8)
    if close and "/" not in text:
        raise InputError("expected a source", fix=f"did you mean {close[0]}?")
    if (
        _ADDRESS.fullmatch(text)
        or _ADDRESS.match(text)
        or (":" in text and not _RELATIVE.match(text))
    ):
        fix = f"{_URL_FIX}; a file whose name looks like an address is written ./name"
        raise InputError(
            "this looks like an address, and has no rtsp:// or http:// in front", fix=fix
        )


def _check_pipeline(description: str) -> None:
    """What needs no GStreamer to be seen."""
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


def _check_url(text: str) -> None:
    scheme, _, rest = text.partition("://")
    if scheme.lower() not in URL_SCHEMES:
        close = difflib.get_close_matches(scheme.lower(), URL_SCHEMES, n=1)
        fix = _OTHER_SCHEMES.get(scheme.lower()) or (close and f"did you mean {close[0]}://?")
        raise InputError(
            f"expected a URL of {', '.join(f'{known}://' for known in URL_SCHEMES)}",
            fix=fix or "a file is named by its path alone",
        )
    if re.search(r"\s", rest):
        raise InputError("a URL has no blanks", fix="write %20 for a blank")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, at, host_and_port = authority.rpartition("@")
    good = re.fullmatch(
        r"(\[[0-9a-f:.%]+\]|[^:\[\]@]+)(:\d{1,5})?", host_and_port, re.IGNORECASE | re.DOTALL
    )
    beyond = rest[len(authority) :]
    if "@" in beyond and (not good or at or _is_login(good, beyond)):
        raise InputError("no / ? or # may stand in a user name or password", fix=_ESCAPES)
    if not good or (not at and good[2] and good[1].lower() in _USERS):
        raise InputError(
            "a URL without a host, or with a port that is no number",
            fix=f"{_URL_FIX}; the whole in quotes where a blank, a comma or # stands in it",
        )
    if "#" in beyond:
        fix = "write %23 for # in a password or path"
        raise InputError("what follows # in a URL is sent to no camera", fix=fix)
    if _PAGES.fullmatch(good[1]):
        fix = "name a video file, or a camera's own stream"
        raise InputError("a page that shows a video is no stream", fix=fix)
    check_host(good[1])
    if good[2] and not 0 < int(good[2][1:]) < 65536:
        raise InputError("a port is a number from 1 to 65535")


def _is_login(host_and_port: re.Match[str], beyond: str) -> bool:
    """Whether `user:12/34@host` was meant, where `user` could be a host and `12` its port."""
    host, port = host_and_port.groups()
    if port is None:
        return False
    after = re.split(r"[/?#:]", beyond.rpartition("@")[2], maxsplit=1)[0]
    return beyond[0] == "#" or not _is_host(host) or _is_address(after)


def _is_host(text: str) -> bool:
    """Whether it is one for certain: what has no dot may be a user."""
    return "." in text or text.startswith("[") or text.lower() == "localhost"


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False
