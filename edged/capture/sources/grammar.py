"""What `source:` and the file of `source_file:` may hold.

All raise InputError, which never shows the text: there may be a password anywhere in it.
"""

from __future__ import annotations

import difflib
import re
from pathlib import Path

from edged.capture.device_watch import is_there
from edged.capture.sources.address import HOW
from edged.capture.sources.table import KINDS, kind_of
from edged.document.values import path_from, read_secret
from edged.errors import InputError
from edged.secret import SourceUrl

_SCHEMES = [
    begin.removesuffix("://") for kind in KINDS for begin in kind.begins if begin.endswith("://")
]
_NAMES = [word for kind in KINDS for word in kind.words if len(word) > len("csi")]
"""Those long enough for a misspelling to be told from another word."""
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
_ADDRESS = re.compile(
    r"//|[a-z][a-z0-9+.-]*:?/{2}|[a-z][a-z0-9+-]*:/"  # rtsp//…, rtsp:/…
    r"|\d{1,3}(\.\d{1,3}){3}([:/].*)?"  # 192.0.2.1
    r"|[\w-]+(\.[\w-]+)*\.(local|lan|home|internal)([:/].*)?",
    re.IGNORECASE | re.DOTALL,
)
_RELATIVE = re.compile(r"\.{0,2}/|~")


def camera_source(text: str, base: Path) -> str:
    """What `source:` says, checked; a relative path made absolute from `base`.

    That a device, file or host is there is not looked at, its absence is a camera's state; but what
    looks like something else is a path where there is such a file.
    """
    if not text.strip():
        raise InputError("expected a source", fix="for example clip.mp4, rtsp://…")
    if SourceUrl(text).is_url:
        _check_scheme(text.partition("://")[0].lower())
    if check := kind_of(text).check:
        check(text)
        return text
    path = path_from(text, base)
    if not is_there(path):
        _check_path(text)
    return str(path)


def source_from(file: Path, base: Path) -> str:
    """The source that is the one line of a file, such as a systemd credential.

    A path that is not there may be the password alone, and would be shown as a path.
    """
    text = read_secret(file, "the source")
    source = camera_source(text, base)
    path = Path(source)
    if path.is_absolute() and not text.startswith("/dev/") and not is_there(path):
        what = "expected a file with the camera's whole address, not its password alone"
        raise InputError(what, fix=HOW)
    return source


def _check_scheme(scheme: str) -> None:
    if scheme not in _SCHEMES:
        close = difflib.get_close_matches(scheme, _SCHEMES, n=1)
        fix = _OTHER_SCHEMES.get(scheme) or (close and f"did you mean {close[0]}://?")
        raise InputError(
            f"expected a URL of {', '.join(f'{known}://' for known in _SCHEMES)}",
            fix=fix or "a file is named by its path alone",
        )


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
    close = difflib.get_close_matches(text.partition(":")[0].lower(), _NAMES, cutoff=0.8)
    if close and "/" not in text:
        raise InputError("expected a source", fix=f"did you mean {close[0]}?")
    if (
        _ADDRESS.fullmatch(text)
        or _ADDRESS.match(text)
        or (":" in text and not _RELATIVE.match(text))
    ):
        fix = f"{HOW}; a file whose name looks like an address is written ./name"
        raise InputError(
            "this looks like an address, and has no rtsp:// or http:// in front", fix=fix
        )
