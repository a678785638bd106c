"""The clips of the benchmark: what cameras send, made once from a real clip.

Its pictures are enlarged and get a sensor's noise. MJPEG is 4:2:0, at the quality that gives the
wanted mean size; H.264 has no B-frames and a key frame a second, as network cameras send it; YUYV
is uncompressed. All at 30 fps. Knows nothing of who is measured on them.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from tests.rig.clips import write_jpegs

FPS = 30
FRAMES = 150
"""A clip is repeated; each pass opens it anew."""
NOISE = 2.0
"""Standard deviation, in grey levels."""
H264_BITS_PER_SECOND = 4_000_000
H264 = "h264.mp4"

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Clip:
    """name: of the row in the table."""

    name: str
    path: Path

    @property
    def kilobytes_a_frame(self) -> float:
        return self.path.stat().st_size / FRAMES / 1000


def make_clips(source: Path, folder: Path) -> list[Clip]:
    """source: a clip of at least FRAMES pictures, 16:9. About half a minute."""
    pictures = list(_decoded(source))
    full = [_enlarged(picture, 1920, 1080) for picture in pictures[:: FRAMES // 5]]
    clips = []
    for kilobytes in (100, 300):
        path = folder / f"mjpeg{kilobytes}.avi"
        quality = _quality(list(_noisy(full)), kilobytes * 1000)
        noisy = _noisy(_enlarged(picture, 1920, 1080) for picture in pictures)
        jpegs = (_jpeg(picture, quality) for picture in noisy)
        write_jpegs(path, jpegs, fps=FPS, size=(1920, 1080))
        clips.append(Clip(f"1080p MJPEG, {kilobytes} KB a frame", path))
    path = folder / H264
    options = {"preset": "veryfast", "tune": "zerolatency"}
    bits = {"bit_rate": H264_BITS_PER_SECOND, "gop_size": FPS}
    _encode(path, "libx264", "yuv420p", (1920, 1080), pictures, options, bits)
    clips.append(Clip("1080p H.264, 4 Mbit/s", path))
    path = folder / "yuyv.avi"
    _encode(path, "rawvideo", "yuyv422", (1280, 720), pictures, {}, {})
    clips.append(Clip("720p YUYV", path))
    return clips


def _decoded(source: Path) -> Iterator[Pixels]:
    with av.open(str(source)) as container:
        for number, frame in enumerate(container.decode(video=0)):
            if number == FRAMES:
                return
            yield frame.to_ndarray(format="bgr24")


def _enlarged(picture: Pixels, width: int, height: int) -> Pixels:
    larger: Pixels = cv2.resize(picture, (width, height), interpolation=cv2.INTER_CUBIC)
    return larger


def _noisy(pictures: Any) -> Iterator[Pixels]:
    """Another part of one field of noise on each."""
    generator = np.random.default_rng(0)
    field = None
    for picture in pictures:
        height, width, _ = picture.shape
        if field is None:
            field = generator.normal(0, NOISE, (height + 64, width + 64, 3)).astype(np.int16)
        top, left = generator.integers(0, 64, 2)
        noise = field[top : top + height, left : left + width]
        yield cv2.add(picture, noise, dtype=cv2.CV_8U)


def _jpeg(picture: Pixels, quality: int) -> bytes:
    """OpenCV's choice of subsampling is 4:2:0."""
    return cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])[1].tobytes()


def _quality(samples: list[Pixels], size: int) -> int:
    """Whose mean size is nearest to `size` bytes."""

    def off(quality: int) -> float:
        return abs(np.mean([len(_jpeg(sample, quality)) for sample in samples]) - size)

    return min(range(40, 100), key=off)


def _encode(
    path: Path,
    codec: str,
    pixel_format: str,
    size: tuple[int, int],
    pictures: list[Pixels],
    options: dict[str, str],
    settings: dict[str, int],
) -> None:
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=FPS, options=options)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format
        for name, value in settings.items():
            setattr(stream.codec_context, name, value)
        for number, picture in enumerate(_noisy(_enlarged(each, *size) for each in pictures)):
            frame = av.VideoFrame.from_ndarray(picture, format="bgr24")
            frame = frame.reformat(format=pixel_format)
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            container.mux(stream.encode(frame))
        container.mux(stream.encode())
