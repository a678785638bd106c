"""Chooses what decodes a video track."""

from __future__ import annotations

from typing import Any

from edged.capture.admission import Admission
from edged.capture.decode.video import VideoTrack
from edged.capture.source import CaptureRequest
from edged.capture.sources.hardware.decoders import CODECS, SOFTWARE, found


def track_of(
    container: Any,
    request: CaptureRequest,
    admission: Admission,
    *,
    where: str,
    low_delay: bool = False,
) -> VideoTrack:
    """The track that decodes as the request says. Raises SourceError as VideoTrack does."""
    track = VideoTrack(container, where=where, low_delay=low_delay)
    if request.decode != "hardware":  # auto: no hardware has been measured yet
        admission.decodes_with(SOFTWARE, "")
    elif track.codec not in CODECS:
        known = "hardware decodes H.264 and H.265 only"
        admission.decodes_with(SOFTWARE, f"{known}, and this is {track.codec}")
    elif (decoder := found(CODECS[track.codec])) is None:
        fix = "edged doctor tells what GStreamer lacks"
        admission.decodes_with(SOFTWARE, f"no hardware decoder for {track.codec} was found; {fix}")
    else:
        # Takes memory, and most cameras decode in software.
        from edged.capture.sources.hardware.track import HardwareTrack

        return HardwareTrack(
            container, decoder, request, admission, where=where, low_delay=low_delay
        )
    return track
