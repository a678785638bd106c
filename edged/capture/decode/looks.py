"""What to decode of a compressed stream if a picture is needed only every few seconds.

A *look* takes one picture. Between two looks nothing is decoded. A look starts with the first key
frame after it is due, with a reset decoder, and ends with the first picture. This needs key frames
about as often as looks; until two have shown that, or if they cease, every frame is decoded. A
stream that refreshes its pictures in parts has key frames if it marks where a refresh starts: the
picture is whole when that refresh has ended.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from edged.capture.admission import Admission
from edged.capture.decode.timeline import KEYLESS_NS
from edged.capture.decode.video import VideoTrack

SHORTEST_NS: Final = 1_000_000_000
"""With a shorter interval between results every frame is decoded, so that they come evenly."""
REMEMBERED: Final = 8
"""Intervals between key frames, which some encoders vary."""
ROOM: Final = 1.25
"""Key frames may come this much less often than looks."""


class Looks:
    """where: the source, for the log."""

    def __init__(self, admission: Admission, where: str) -> None:
        self._admission = admission
        self._where = where
        self._apart_ns: deque[int] = deque(maxlen=REMEMBERED)
        self._key_ns: int | None = None
        self._waits_ns: int | None = None
        """Since when a look has been due."""
        self.resting = False
        """Between two looks."""
        self._looking = False
        self._begin: int | None = None
        """The pts of the key frame that started the look."""
        self._held = 0
        """Frames that are in the decoder."""
        self._noted = False

    def decode(self, track: VideoTrack, packet: Any, now_ns: int) -> tuple[list[Any], int, int]:
        """(frames, number of damaged ones, number of those that nobody needs)."""
        left_out = 0
        if self._interval_ns > SHORTEST_NS or self.resting:
            if packet.is_keyframe:
                self._key(now_ns)
            if self.resting:
                if not self._starts(packet.is_keyframe, now_ns):
                    return [], 0, int(packet.size > 0)
                if self._looking:
                    left_out, self._held = self._held, 0
                    self._begin = packet.pts
                    track.reset()
            elif packet.is_keyframe and None not in (self._begin, packet.pts):
                self._begin = min(self._begin, packet.pts)  # time stamps may start again
            if self._key_ns is None:
                self._key_ns = now_ns
            if now_ns - self._key_ns > ROOM * self._interval_ns and not self._looking:
                self._note(now_ns)
        frames, damaged = track.decode(packet)
        self._held += (packet.size > 0) - len(frames) - damaged
        if self._looking:
            decoded = len(frames)
            frames = [frame for frame in frames if self._is_whole(frame)]
            left_out += decoded - len(frames)
            if frames:
                self._looking, self._waits_ns = False, None
                self.resting = self._interval_ns > SHORTEST_NS  # views may change the rate
        return frames, damaged, left_out

    @property
    def _interval_ns(self) -> int:
        return self._admission.decoding_ns

    def _key(self, now_ns: int) -> None:
        if self._key_ns is not None:
            self._apart_ns.append(now_ns - self._key_ns)
        self._key_ns = now_ns
        often = self._apart_ns and max(self._apart_ns) <= ROOM * self._interval_ns
        if often and not self._looking:
            self.resting = True

    def _starts(self, key: bool, now_ns: int) -> bool:
        """Whether decoding starts with this packet: a look, or everything if key frames cease."""
        if not self._admission.due(now_ns):
            if key:
                self._admission.passed(now_ns)
            return False
        if self._waits_ns is None:
            self._waits_ns = now_ns
        if key:
            self._looking, self.resting = True, False
        elif now_ns - self._waits_ns > max(KEYLESS_NS, 2 * max(self._apart_ns)):
            self.resting, self._waits_ns = False, None
            self._note(now_ns)
            self._apart_ns.clear()
            self._key_ns = None
        return not self.resting

    def _note(self, now_ns: int) -> None:
        if not self._noted and self._key_ns is not None:
            seconds = (now_ns - self._key_ns) / 1e9
            self._admission.note(
                f"{self._where}: no key frame for {seconds:.0f} s; decoding every frame, also "
                "those that no view needs"
            )
            self._noted = True

    def _is_whole(self, frame: Any) -> bool:
        """Frames that are shown before the key frame may refer to ones that were not decoded."""
        return self._begin is None or frame.pts is None or frame.pts >= self._begin
