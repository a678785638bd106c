"""The confined process that turns pictures and zip files into pictures as they are stored.

Started as `python -m edged.teach.pictures.worker`; capture/sent/serving.py is what it does.
"""

from __future__ import annotations

import os
import sys
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.decode.still import decode_picture, picture_size
from edged.capture.sent.bounds import MOST_PICTURE_BYTES
from edged.capture.sent.serving import Answers, serve
from edged.teach.moments import look
from edged.teach.pictures.bounds import (
    MOST_OBLONG,
    MOST_PIXELS,
    MOST_ZIP_BYTES,
    SHORT_SIDE,
    SMALLEST_SIDE,
)
from edged.teach.pictures.exif import taken_unix
from edged.teach.pictures.stored import stored_jpeg
from edged.teach.pictures.zips import BEGINNINGS, BadEntryError, entries

_HEIF = (b"ftypheic", b"ftypheix", b"ftypmif1", b"ftypheim", b"ftypavif")


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


def answer(file: IO[bytes], order: dict[str, Any], answers: Answers) -> None:
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


def _picture(data: bytes, name: str, answers: Answers) -> None:
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


def main() -> int:
    return serve(answer)


if __name__ == "__main__":
    sys.exit(main())
