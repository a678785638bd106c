"""Small video clips, written for the tests."""

from __future__ import annotations

import struct
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

RED = (255, 0, 0)


def write_clip(
    path: Path,
    *,
    colour: tuple[int, int, int] = RED,
    frames: int = 10,
    fps: int = 25,
    size: tuple[int, int] = (320, 240),
    codec: str = "mpeg4",
    key_frame_every: int = 12,
    pixels: str = "yuv420p",
    options: dict[str, str] | None = None,
) -> Path:
    """A clip of one colour, with a grey level in its upper left corner that counts the frames."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = pixels
        stream.options = options or {}
        stream.codec_context.gop_size = key_frame_every
        stream.codec_context.thread_count = 1
        for number in range(frames):
            picture = np.full((size[1], size[0], 3), colour, np.uint8)
            picture[:64, :64] = 10 * number % 250
            frame = av.VideoFrame.from_ndarray(picture, format="rgb24")
            frame.pts = number
            frame.time_base = Fraction(1, fps)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def write_jpegs(
    path: Path, pictures: Iterable[bytes], *, fps: int = 25, size: tuple[int, int] = (320, 240)
) -> Path:
    """A clip of MJPEG whose packets are these pictures, whatever is in them."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("mjpeg", rate=fps)
        stream.width, stream.height = size
        stream.pix_fmt = "yuvj420p"
        for number, picture in enumerate(pictures):
            packet = av.Packet(picture)
            packet.stream, packet.time_base = stream, Fraction(1, fps)
            packet.pts = packet.dts = number
            packet.is_keyframe = True
            container.mux(packet)
    return path


def turn_clip(path: Path) -> None:
    """Make an MP4 say, as a phone's does, that it is to be shown turned clockwise by 90 degrees."""
    data = bytearray(path.read_bytes())
    unit, none = 1 << 16, 0
    upright = struct.pack(">9i", unit, none, none, none, unit, none, none, none, 1 << 30)
    turned = struct.pack(">9i", none, unit, none, -unit, none, none, none, none, 1 << 30)
    track = data.index(b"tkhd")
    matrix = data.index(upright, track)
    data[matrix : matrix + len(turned)] = turned
    path.write_bytes(data)
