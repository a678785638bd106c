"""Decodes a compressed video track with FFmpeg (PyAV) to RGB at the wanted size.

Scaling is done in YUV, in the same pass as the conversion to RGB, and makes pixels square. MJPEG is
decoded at the smallest sufficient scale. Frames are rotated as the container states, otherwise as
they state themselves (SEI in H.264 and H.265, EXIF in MJPEG).
"""

from __future__ import annotations

from collections.abc import Iterator
from fractions import Fraction
from typing import Any

import av
import numpy as np
from av.sidedata.sidedata import SideDataContainer
from numpy.typing import NDArray

from edged.capture.decode.jpeg import decode_jpeg, stored_geometry
from edged.capture.decode.orientation import UPRIGHT, Orientation, of_matrix, of_user
from edged.capture.decode.pictures import MOST_PIXELS, too_large
from edged.capture.source import Failure, Granted, SourceError

_ONE_THREAD = {"threads": 1} if int(av.__version__.split(".")[0]) >= 17 else {}
"""PyAV 17 scales with a thread per core by default; before, it always used one."""
_FASTEST_RATE = 1000
_FLATTEST = 8
"""Aspect ratios of pixels above it, or below its inverse, are treated as errors."""
OPTIONS = {"max_pixels": str(MOST_PIXELS)}
"""For `av.open`: FFmpeg allocates no larger picture, not even to probe the stream."""


def why_not_decodable(container: Any) -> str | None:
    """Why an opened container has no track for VideoTrack; None if it has one."""
    if _stream_of(container) is not None:
        return None
    if not container.streams.video:
        return "contains no video"
    return "contains video in a format that FFmpeg does not decode"


def _stream_of(container: Any) -> Any:
    """The first video track that can be decoded and is not a cover picture."""
    still = av.stream.Disposition.attached_pic
    tracks = [track for track in container.streams.video if track.codec_context is not None]
    return next((track for track in tracks if not track.disposition & still), None)


class VideoTrack:
    """The first decodable video track of a container that was opened with OPTIONS.

    Raises SourceError with `where` if its pictures are too large.
    """

    def __init__(self, container: Any, *, where: str, low_delay: bool = False) -> None:
        self._container = container
        self._stream = _stream_of(container)
        self._codec = self._stream.codec_context
        if self._codec.width * self._codec.height > MOST_PIXELS:
            what = str(too_large(self._codec.width, self._codec.height))
            raise SourceError(Failure.OPEN_FAILED, what, where=where)
        self._codec.options = {**self._codec.options, **OPTIONS}
        # A camera's frames arrive one at a time; more threads would only add delay.
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
        """Packets are complete JPEG pictures, decoded by jpeg.py."""
        self._jpeg_orientation = UPRIGHT
        """The container's, for MJPEG pictures without one."""

    @property
    def size_known(self) -> bool:
        """For some tracks only after a frame was decoded."""
        return bool(self._codec.width and self._codec.height)

    @property
    def granted(self) -> Granted:
        """Before rotation: the orientation is known with the first frame."""
        size = squared(self._codec.width, self._codec.height, self._shape)
        return Granted(*size, self.fps, self._codec.name)

    @property
    def codec(self) -> str:
        """FFmpeg's name."""
        return str(self._codec.name)

    @property
    def delays(self) -> bool:
        """Whether frames come later than with the packet that completes them."""
        return False

    @property
    def fps(self) -> float | None:
        """As the container states or guesses it."""
        rate = self._stream.average_rate or self._stream.guessed_rate
        return float(rate) if rate and 0 < rate <= _FASTEST_RATE else None

    def packets(self) -> Iterator[Any]:
        """Compressed frames in decoding order; an empty one at the end flushes the decoder."""
        packets: Iterator[Any] = self._container.demux(self._stream)
        return packets

    def packets_from(self, dts: int) -> Iterator[Any]:
        """From the last key frame at or before `dts`, with a reset decoder. Raises FFmpegError if
        the container cannot seek."""
        self._container.seek(dts, stream=self._stream)
        return self.packets()

    def reset(self) -> None:
        """Forget the frames so far; continue with a key frame."""
        self._codec.flush_buffers()

    def decode(self, packet: Any) -> tuple[list[Any], int]:
        """(frames in order of presentation, number of damaged frames).

        An MJPEG packet is returned as its frame, which `rgb` decodes; but FFmpeg decodes a track
        whose first packet has another size, because it holds the two fields of interlaced video.
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
        """A pts or dts in nanoseconds."""
        if ticks is None:
            return None
        return ticks * self._tick_ns.numerator // self._tick_ns.denominator

    def ticks(self, duration_ns: int) -> int:
        return round(duration_ns / self._tick_ns)

    def rgb(self, frame: Any, wanted: int) -> NDArray[np.uint8] | None:
        """uint8 (height, width, 3), RGB, upright; the short side is `wanted` or the frame's, if
        that is smaller. MJPEG may be larger; None if it is damaged."""
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
        return self._orientation_of(frame).upright(pixels)

    def close(self) -> None:
        """Release the decoder, not the container."""

    def _orientation_of(self, frame: Any) -> Orientation:
        return _orientation(frame)

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
        """Aspect ratio of a pixel: the container's, unless the codec's has changed since."""
        now = self._codec.sample_aspect_ratio
        shape = self._given_shape if now == self._codec_shape else now
        known = shape is not None and 1 <= _FLATTEST * shape <= _FLATTEST**2
        return shape if known and shape != 1 else 1  # an int compares faster


def _orientation(frame: Any) -> Orientation:
    try:
        # Not frame.side_data: frame and container would hold each other, and so the frame's memory,
        # until Python's garbage collector runs, after hundreds of frames.
        side_data = SideDataContainer(frame)  # type: ignore[call-arg]  # PyAV's stub is wrong
        matrix = side_data.get("DISPLAYMATRIX")
    except (KeyError, ValueError):  # side data that PyAV does not know
        return of_user(-90 * round(getattr(frame, "rotation", 0) / 90), None)
    return UPRIGHT if matrix is None else of_matrix(np.frombuffer(matrix, np.int32).tolist())


def squared(width: int, height: int, pixel_shape: Fraction | int) -> tuple[int, int]:
    """(width, height) with square pixels, by enlarging one side."""
    if pixel_shape == 1:
        return width, height
    if pixel_shape > 1:
        return round(width * pixel_shape), height
    return width, round(height / pixel_shape)


def scaled_size(width: int, height: int, wanted: int) -> tuple[int, int]:
    """(width, height) with a short side of `wanted`, never enlarged; 0 for full size."""
    short = min(width, height)
    if wanted == 0 or wanted >= short:
        return width, height
    return round(width * wanted / short), round(height * wanted / short)
