"""The confined process that turns sent pictures into frames: `python -m edged.capture.sent.worker`.

A picture becomes what a camera's would have become in its mailbox, pixel for pixel. The process
leaves the processor to whatever else wants it.
"""

from __future__ import annotations

import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import IO, Any

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.crop import cut, region_of, shrinks_by
from edged.capture.decode.orientation import UPRIGHT
from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.decode.still import decode_picture
from edged.capture.frame import Place
from edged.capture.sent.bounds import MOST_PICTURE_BYTES
from edged.capture.sent.serving import Answers, serve
from edged.capture.source import ViewRequest

NICENESS = 10
"""A tenth of the processor time of a thread that wants as much. With 19 it is a hundredth: too
little for a large picture on a busy device."""


def frame_of(data: bytes, wanted: int, square: bool, slot_bytes: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), RGB, as `Views.deliver` puts it into the mailbox of a camera that
    is its own only view. wanted: short side in pixels. Raises BrokenPictureError."""
    pixels = decode_picture(data, wanted)
    region = region_of(ViewRequest(square=square), UPRIGHT, (pixels.shape[1], pixels.shape[0]))
    factor = shrinks_by(min(region[2:]), wanted)
    seen, _ = cut(pixels, {0: Place(*region, wanted)}, factor, UPRIGHT, slot_bytes)
    return np.ascontiguousarray(seen)


def answer(file: IO[bytes], order: dict[str, Any], answers: Answers) -> None:
    """order: the arguments of `frame_of`."""
    file.seek(0)
    data = file.read(MOST_PICTURE_BYTES + 1)
    try:
        if len(data) > MOST_PICTURE_BYTES:
            raise BrokenPictureError(f"larger than {MOST_PICTURE_BYTES // 10**6} MB")
        pixels = frame_of(data, **order)
    except BrokenPictureError as error:
        answers.say({"rejected": str(error)})
    except (MemoryError, cv2.error):
        answers.say({"rejected": "too large to decode"})
    else:
        height, width, _ = pixels.shape
        answers.say({"height": height, "width": width}, pixels.tobytes())


def main() -> int:
    os.nice(NICENESS)
    # Where the kernel shares the processor between sessions, of which this process has its own,
    # the niceness above counts within the session only.
    with suppress(OSError):
        Path("/proc/self/autogroup").write_text(str(NICENESS))
    return serve(answer)


if __name__ == "__main__":
    sys.exit(main())
