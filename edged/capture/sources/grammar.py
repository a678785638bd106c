"""Checks `source:` and the file of `source_file:`.

All functions raise InputError. It never shows the text, which may contain a password anywhere.
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
"""Words that are long enough to recognize a misspelling."""
_USB = "write the device of a USB camera, such as /dev/v4l/by-id/…: edged cameras lists them"
_RIBBON = "write libcamera or picamera2 for a CSI (ribbon cable) camera, csi on a Jetson"
_WORDS = (
    (re.compile(r"(usb|web)?[_-]?(cam|camera|kamera)\d*|usb\d*", re.IGNORECASE), _USB),
    (
        re.compile(r"(imx\d|ov\d|arducam|raspicam|rpicam|picam(?!era))[\w-]*", re.IGNORECASE),
        _RIBBON,
    ),
    (re.compile(r"v4l2?(:.*)?|video\d*|/dev/video", re.IGNORECASE), _USB),
)
"""Patterns of camera names, unless a file of that name exists."""
_OTHER_SCHEMES = {
    "onvif": "find the camera's RTSP address on its web page, or with an ONVIF tool",
    "rtmp": "most cameras also have an RTSP address: write rtsp://…",
    "file": "write the path of a file without a scheme",
    **dict.fromkeys(
        ("udp", "rtp", "srt", "tcp", "mms"),
        "receive it with a GStreamer pipeline: gst:udpsrc … for example",
    ),
}
_ADDRESS = re.compile(
    r"//|[a-z][a-z0-9+.-]*:?/{2}|[a-z][a-z0-9+-]*:/"  # rtsp//…, rtsp:/…
    r"|\d{1,3}(\.\d{1,3}){3}([:/].*)?"  # 192.0.2.1
    r"|[\w-]+(\.[\w-]+)*\.(local|lan|home|internal)([:/].*)?",
    re.IGNORECASE | re.DOTALL,
)
_RELATIVE = re.compile(r"\.{0,2}/|~")


def camera_source(text: str, base: Path) -> str:
    """The checked value of `source:`; relative paths become absolute from `base`.

    Devices, files and hosts need not exist, which is a state of the camera. A text that looks like
    something else is a path if such a file exists.
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
    """The source in the only line of a file, such as a systemd credential.

    Paths must exist: the line may be just the password, which would be shown as a path.
    """
    text = read_secret(file, "the source")
    source = camera_source(text, base)
    path = Path(source)
    if path.is_absolute() and not text.startswith("/dev/") and not is_there(path):
        what = "expected a file with the camera's whole address, not only its password"
        raise InputError(what, fix=HOW)
    return source


def _check_scheme(scheme: str) -> None:
    if scheme not in _SCHEMES:
        close = difflib.get_close_matches(scheme, _SCHEMES, n=1)
        fix = _OTHER_SCHEMES.get(scheme) or (close and f"did you mean {close[0]}://?")
        raise InputError(
            f"expected a URL of {', '.join(f'{known}://' for known in _SCHEMES)}",
            fix=fix or "write the path of a file without a scheme",
        )


def _check_path(text: str) -> None:
    """Reject a missing path that looks like something else."""
    if re.match(r"\$[A-Za-z_]", text):
        fix = "write ${NAME} in the configuration"
        raise InputError("expected a source, not the name of a variable", fix=fix)
    if re.search(r"[*?]", text):
        fix = "write the folder, whose pictures are shown in the order of their names"
        raise InputError("expected one file or a folder, not a pattern", fix=fix)
    if text.isdigit():
        number = text if len(text) < 3 else "0"
        fix = f"write its device: /dev/video{number}, or better the link in /dev/v4l/by-id"
        raise InputError("expected a source, not a camera's number", fix=fix)
    if re.search(r"\s!\s", text) and not text.startswith(("/", ".")):
        raise InputError(
            "a GStreamer pipeline needs the prefix gst:", fix="write gst:v4l2src ! jpegdec"
        )
    for word, fix in _WORDS:
        if word.fullmatch(text):
            raise InputError("not a camera", fix=fix)
    close = difflib.get_close_matches(text.partition(":")[0].lower(), _NAMES, cutoff=0.8)
    if close and "/" not in text:
        raise InputError("expected a source", fix=f"did you mean {close[0]}?")
    if (
        _ADDRESS.fullmatch(text)
        or _ADDRESS.match(text)
        or (":" in text and not _RELATIVE.match(text))
    ):
        fix = f"{HOW}; write ./name for a file whose name looks like an address"
        raise InputError("address without rtsp:// or http://", fix=fix)
