"""A compressed video track through FFmpeg (PyAV): packets, frames, and RGB at the size wanted.

Scaling happens in YUV, in the same pass as the conversion to RGB, and makes pixels square where
they are not; pictures of MJPEG are decoded at the smallest scale that will do. Frames are turned as
the container says, else as they say themselves (SEI in H.264 and H.265, EXIF in MJPEG). Knows
nothing of pacing, of networks or of what the frames are for.
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.jpeg import decode_jpeg, stored_geometry
from edged.capture.decode.orientation import UPRIGHT, Orientation, of_matrix, of_user
from edged.capture.decode.pictures import MOST_PIXELS, too_large
from edged.capture.source import Failure, Granted, SourceError

_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""PyAV scales with a thread per core by default since 17; before it had one and no choice."""
_FASTEST_RATE = 1000
_FLATTEST = 8
"""Pixels so many times as wide as they are high, or the other way round, are taken for an error."""
OPTIONS = {"max_pixels": str(MOST_PIXELS)}
"""For `av.open`: FFmpeg then allocates no larger picture, not even to find out what is in there."""


def why_not_decodable(container: Any) -> str | None:
    """What to say of an opened container that VideoTrack cannot be made of."""
    if _stream_of(container) is not None:
        return None
    if not container.streams.video:
        return "there is no video in it"
    return "its video is in a format that FFmpeg does not decode"


def _stream_of(container: Any) -> Any:
    """The first video track that can be decoded, and is no still picture beside the sound."""
    still = av.stream.Disposition.attached_pic
    tracks = [track for track in container.streams.video if track.codec_context is not None]
    return next((track for track in tracks if not track.disposition & still), None)


class VideoTrack:
    """The video track that can be decoded of a container opened with OPTIONS. SourceError with
    `where` when its pictures are too large."""

    def __init__(self, container: Any, *, where: str, low_delay: bool = False) -> None:
        self._container = container
        self._stream = _stream_of(container)
        self._codec = self._stream.codec_context
        if self._codec.width * self._codec.height > MOST_PIXELS:
            what = str(too_large(self._codec.width, self._codec.height))
            raise SourceError(Failure.OPEN_FAILED, what, where=where)
        self._codec.options = {**self._codec.options, **OPTIONS}
        # The frames of a camera come one at a time: more threads would only hold them back.
        self._codec.thread_type = "NONE"
        self._codec.thread_count = 1
        if low_delay:
            self._codec.flags |= av.codec.context.Flags.low_delay
        self._tick_ns = Fraction(self._stream.time_base) * 1_000_000_000
        self._reformatter = av.video.reformatter.VideoReformatter()
        self._begun = False
        self._given_shape = self._stream.sample_aspect_ratio
        self._codec_shape = self._codec.sample_aspect_ratio
        self._shape = self._pixel_shape()
        self._jpeg = self._codec.name == "mjpeg" and self._shape == 1
        """Packets are whole JPEG pictures, decoded here."""
        self._jpeg_orientation = UPRIGHT
        """As the container says, for pictures of MJPEG that do not say it themselves."""

    @property
    def size_known(self) -> bool:
        """Of some tracks only after a frame was decoded."""
        return bool(self._codec.width and self._codec.height)

    @property
    def granted(self) -> Granted:
        """Not turned yet: how a frame lies is known when it is there."""
        size = squared(self._codec.width, self._codec.height, self._shape)
        return Granted(*size, self.fps, self._codec.name)

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
            self._begin_jpeg(packet)
        self._begun = True
        if self._jpeg and packet.size:
            return [packet], 0
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return [], 1
        if packet.is_keyframe:
            self._shape = self._pixel_shape()
        sound = [frame for frame in frames if not frame.is_corrupt]
        return sound, len(frames) - len(sound)

    def stamp_ns(self, ticks: int | None) -> int | None:
        """A pts or dts on the container's own time line."""
        if ticks is None:
            return None
        return ticks * self._tick_ns.numerator // self._tick_ns.denominator

    def ticks(self, duration_ns: int) -> int:
        return round(duration_ns / self._tick_ns)

    def rgb(self, frame: Any, wanted: int) -> NDArray[np.uint8] | None:
        """uint8 (height, width, 3), upright, its short side `wanted` unless it is smaller; of
        MJPEG larger, and None when the picture is damaged."""
        if isinstance(frame, av.Packet):
            picture = decode_jpeg(bytes(frame), wanted)
            return None if picture is None else self._jpeg_orientation.upright(picture)
        size = squared(frame.width, frame.height, self._shape)
        width, height = scaled_size(*size, wanted)
        converted = self._reformatter.reformat(
            frame, width=width, height=height, format="rgb24", interpolation="AREA", **_ONE_THREAD
        )
        plane = converted.planes[0]
        strides = (plane.line_size, 3, 1)
        pixels: NDArray[np.uint8] = np.ndarray((height, width, 3), np.uint8, plane, 0, strides)
        return _orientation(frame).upright(pixels)

    def _begin_jpeg(self, packet: Any) -> None:
        size = self._codec.width, self._codec.height
        geometry = stored_geometry(bytes(packet))
        self._jpeg = geometry is not None and geometry[:2] == size
        if geometry is None or geometry[2] != UPRIGHT:
            return
        try:
            frames = packet.decode()
        except av.error.FFmpegError:
            return
        if frames:
            self._jpeg_orientation = _orientation(frames[0])

    def _pixel_shape(self) -> Fraction | int:
        """Width of a pixel through its height. What the container says wins, unless the codec has
        changed its mind since."""
        now = self._codec.sample_aspect_ratio
        shape = self._given_shape if now == self._codec_shape else now
        known = shape is not None and 1 <= _FLATTEST * shape <= _FLATTEST**2
        return shape if known and shape != 1 else 1  # numbers that compare at once


def _orientation(frame: Any) -> Orientation:
    try:
        matrix = frame.side_data.get("DISPLAYMATRIX")
    except (KeyError, ValueError):  # PyAV does not know every kind of FFmpeg's side data
        return of_user(-90 * round(getattr(frame, "rotation", 0) / 90), None)
    return UPRIGHT if matrix is None else of_matrix(np.frombuffer(matrix, np.int32).tolist())


def squared(width: int, height: int, pixel_shape: Fraction | int) -> tuple[int, int]:
    """(width, height) with square pixels: the side grows that has too few."""
    if pixel_shape == 1:
        return width, height
    if pixel_shape > 1:
        return round(width * pixel_shape), height
    return width, round(height / pixel_shape)


def scaled_size(width: int, height: int, wanted: int) -> tuple[int, int]:
    """(width, height) with the short side at `wanted`; never larger than it is. 0 wants all."""
    short = min(width, height)
    if wanted == 0 or wanted >= short:
        return width, height
    return round(width * wanted / short), round(height * wanted / short)
