"""A compressed video track through FFmpeg (PyAV): packets, frames, and RGB at the size wanted.

Scaling happens in YUV, in the same pass as the conversion to RGB; pictures of MJPEG are decoded at
the smallest scale that will do. Knows nothing of pacing, of networks or of what the frames are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edged.capture import Granted
from edged.capture.jpeg import decode_jpeg, jpeg_size

_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""PyAV scales with a thread per core by default since 17; before it had one and no choice."""
_FASTEST_RATE = 1000


class VideoTrack:
    """The first video track of an opened container."""

    def __init__(self, container: Any, *, low_delay: bool = False) -> None:
        self._container = container
        self._stream = container.streams.video[0]
        self._codec = self._stream.codec_context
        # The frames of a camera come one at a time: more threads would only hold them back.
        self._codec.thread_type = "NONE"
        self._codec.thread_count = 1
        if low_delay:
            self._codec.flags |= av.codec.context.Flags.low_delay
        self._tick_ns = Fraction(self._stream.time_base) * 1_000_000_000
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._begun = False
        self._jpeg = self._codec.name == "mjpeg"
        """Packets are whole JPEG pictures, decoded here."""

    @property
    def granted(self) -> Granted:
        return Granted(self._codec.width, self._codec.height, self.fps, self._codec.name)

    @property
    def fps(self) -> float | None:
        """As the container says it, which may be a guess."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate and 0 < rate <= _FASTEST_RATE else None

    def packets(self) -> Iterator[Any]:
        """Compressed frames in decoding order; the last is empty and flushes the decoder."""
        packets: Iterator[Any] = self._container.demux(self._stream)
        return packets

    def packets_from(self, dts: int) -> Iterator[Any]:
        """From the last key frame that is not later, with a decoder that knows of nothing before.
        FFmpegError where the container cannot be searched."""
        self._container.seek(dts, stream=self._stream)
        return self.packets()

    def decode(self, packet: Any) -> tuple[list[Any], int]:
        """(frames in order of presentation, how many frames were damaged).

        A packet of MJPEG stands for its frame: `rgb` decodes it. Where the first one holds no
        picture of the track's size, but the two fields of an interlaced one, FFmpeg decodes all.
        """
        if self._jpeg and not self._begun:
            self._jpeg = jpeg_size(bytes(packet)) == (self._codec.width, self._codec.height)
        self._begun = True
        if self._jpeg and packet.size:
            return [packet], 0
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return [], 1
        sound = [frame for frame in frames if not frame.is_corrupt]
        return sound, len(frames) - len(sound)

    def stamp_ns(self, ticks: int | None) -> int | None:
        """A pts or dts on the container's own time line."""
        if ticks is None:
            return None
        return ticks * self._tick_ns.numerator // self._tick_ns.denominator

    def rgb(self, frame: Any, wanted: int) -> NDArray[np.uint8] | None:
        """uint8 (height, width, 3), upright, its short side `wanted` unless it is smaller; of
        MJPEG larger, and None when the picture is damaged."""
        if isinstance(frame, av.Packet):
            return decode_jpeg(bytes(frame), wanted)
        width, height = scaled_size(frame.width, frame.height, wanted)
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="AREA", **_ONE_THREAD
        )
        plane = converted.planes[0]
        strides = (plane.line_size, 3, 1)
        pixels: NDArray[np.uint8] = np.ndarray((height, width, 3), np.uint8, plane, 0, strides)
        # Clips from phones lie on their side and say so.
        quarter_turns = round(getattr(frame, "rotation", 0) / 90)
        return np.rot90(pixels, quarter_turns) if quarter_turns else pixels


def scaled_size(width: int, height: int, wanted: int) -> tuple[int, int]:
    """(width, height) with the short side at `wanted`; never larger than it is. 0 wants all."""
    short = min(width, height)
    if wanted == 0 or wanted >= short:
        return width, height
    return round(width * wanted / short), round(height * wanted / short)
