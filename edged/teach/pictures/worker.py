"""The child process that decodes pictures from outside: confined, and bounded in memory.

Started as `python -m edged.teach.pictures.worker` with a socket as standard input. For each file it
receives a line of JSON with the file's descriptor, and answers on standard output: lines of JSON,
some followed by bytes. It opens no file itself, and writes none.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
import sys
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.confinement.confine import confine
from edged.capture.confinement.landlock import KNOWN_ABI
from edged.capture.confinement.needs import Needs
from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.decode.still import decode_picture, picture_size
from edged.capture.source import CaptureRequest, SourceError
from edged.process import prctl
from edged.teach.moments import look
from edged.teach.pictures.bounds import (
    CHILD_BYTES,
    MOST_OBLONG,
    MOST_PICTURE_BYTES,
    MOST_PIXELS,
    MOST_ZIP_BYTES,
    SHORT_SIDE,
    SMALLEST_SIDE,
)
from edged.teach.pictures.exif import taken_unix
from edged.teach.pictures.stored import stored_jpeg
from edged.teach.pictures.zips import BEGINNINGS, BadEntryError, entries

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LINE_BYTES = 4096
_HEIF = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheim", b"ftypavif")


class _Answers:
    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def say(self, values: dict[str, Any], content: bytes = b"") -> None:
        self._target.write(json.dumps(values).encode() + b"\n" + content)
        self._target.flush()


def stored(data: bytes) -> tuple[bytes, NDArray[np.uint8]]:
    """(JPEG as it is stored, its look) of a picture file. Raises BrokenPictureError."""
    if data[4:12] in _HEIF:
        raise BrokenPictureError("HEIC and AVIF are not supported; convert it to JPEG")
    width, height = picture_size(data)
    if width * height > MOST_PIXELS:
        raise BrokenPictureError(f"{width}x{height} is too large; the limit is {MOST_PIXELS:,}")
    if min(width, height) < SMALLEST_SIDE:
        raise BrokenPictureError(f"{width}x{height} is too small")
    if max(width, height) > MOST_OBLONG * min(width, height):
        raise BrokenPictureError(f"{width}x{height} is too narrow")
    jpeg, pixels = stored_jpeg(decode_picture(data, SHORT_SIDE))
    return jpeg, look(pixels)


def answer(file: IO[bytes], order: dict[str, Any], answers: _Answers) -> None:
    """One file. order: `name`, and `begin`, the first entry of a zip file that is wanted; with
    `look` only that is."""
    size = os.fstat(file.fileno()).st_size
    name = str(order["name"])
    file.seek(0)  # a process before this one may have read from it
    front = file.read(12)
    file.seek(0)
    if not front.startswith(BEGINNINGS):
        if size > MOST_PICTURE_BYTES:
            why = f"larger than {MOST_PICTURE_BYTES // 10**6} MB"
            answers.say({"rejected": why, "name": name})
            return
        _picture(file.read(MOST_PICTURE_BYTES), name, answers)
        return
    if size > MOST_ZIP_BYTES:
        why = f"larger than {MOST_ZIP_BYTES // 10**6} MB"
        answers.say({"rejected": why, "name": name})
        return

    def at(number: int, entry: str) -> None:
        answers.say({"at": number, "name": f"{name}: {entry}"})

    try:
        for entry, content in entries(file, int(order.get("begin", 0)), at):
            if isinstance(content, BadEntryError):
                answers.say({"rejected": str(content), "name": f"{name}: {entry}"})
            else:
                _picture(content, f"{name}: {entry}", answers)
    except BadEntryError as error:
        answers.say({"rejected": str(error), "name": name})


def _picture(data: bytes, name: str, answers: _Answers) -> None:
    try:
        jpeg, seen = stored(data)
    except BrokenPictureError as error:
        answers.say({"rejected": str(error), "name": name})
        return
    except (MemoryError, cv2.error):
        answers.say({"rejected": "too large to decode", "name": name})
        return
    values = {"jpeg": len(jpeg), "look": seen.nbytes, "unix": taken_unix(data), "name": name}
    answers.say(values, jpeg + seen.tobytes())


def main(*, abi: int = KNOWN_ABI) -> int:
    """abi: the highest Landlock ABI to use."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    answers = _Answers(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what libraries print is no answer
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (CHILD_BYTES, CHILD_BYTES))
    cv2.setNumThreads(1)
    orders = socket.socket(fileno=os.dup(0))
    try:
        confine(CaptureRequest(""), Needs(), abi=abi)
    except SourceError as error:
        answers.say({"unconfined": error.what})
        return 1
    while True:
        line, files, _, _ = socket.recv_fds(orders, _LINE_BYTES, 1)
        if not line:
            return 0
        for fd in files:
            with os.fdopen(fd, "rb") as file:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    answer(file, json.loads(line), answers)
        answers.say({"next": True})


if __name__ == "__main__":
    sys.exit(main())
