"""Clips in the containers and codings that FFmpeg writes: each picture comes, in its colour."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from tests.rig.clips import write_clip
from tests.rig.player import Player, gaps_ms

FRAMES = 12
KINDS = {
    "mp4": ["mpeg4", "h264", "hevc", "mjpeg yuvj420p", "libvpx-vp9"],
    "mkv": ["h264", "hevc", "libvpx", "ffv1", "mpeg2video"],
    "avi": ["mpeg4", "mjpeg yuvj422p", "h264", "huffyuv yuv422p", "msmpeg4v2", "rawvideo"],
    "mov": ["h264", "mpeg4", "mjpeg yuvj420p", "prores_ks yuv422p10le", "qtrle rgb24", "png rgb24"],
    "webm": ["libvpx", "libvpx-vp9"],
    "ts": ["h264", "hevc", "mpeg2video"],
    "flv": ["flv", "h264"],
    "mpg": ["mpeg1video", "mpeg2video"],
    "vob": ["mpeg2video"],
    "3gp": ["h264", "mpeg4"],
    "m4v": ["mpeg4"],
    "wmv": ["wmv1", "wmv2"],
    "asf": ["msmpeg4"],
    "ivf": ["libvpx", "libvpx-vp9"],
    "nut": ["mpeg4", "ffv1"],
    "mxf": ["mpeg2video"],
    "y4m": ["rawvideo"],
    "gif": ["gif rgb8"],
    "h264": ["h264"],  # bare streams, as cameras record them
    "h265": ["hevc"],
    "mjpeg": ["mjpeg yuvj420p"],
}

OPTIONS: dict[str, dict[str, str]] = {"libvpx": {}, "libvpx-vp9": {}}
"""The others lose few colours so."""


@pytest.mark.parametrize(
    ("suffix", "codec"), [(suffix, codec) for suffix, codecs in KINDS.items() for codec in codecs]
)
def test_every_picture_comes_in_its_colour_and_time(
    tmp_path: Path, suffix: str, codec: str
) -> None:
    codec, _, pixels = codec.partition(" ")
    options = OPTIONS.get(codec, {"qmax": "4"})
    if suffix == "avi" and codec == "h264":  # it has no times of display, which B-frames need
        options = {**options, "bf": "0"}
    clip = write_clip(
        tmp_path / f"clip.{suffix}",
        frames=FRAMES,
        size=(160, 120),
        codec=codec,
        pixels=pixels or "yuv420p",
        options=options,
    )
    player = Player(clip)
    granted = player.granted
    assert (granted.width, granted.height, granted.fps) == (160, 120, 25.0)
    pictures = player.pictures()
    assert len(pictures) == FRAMES
    assert gaps_ms(pictures) == pytest.approx([40] * (FRAMES - 1), abs=1)
    greys = np.array([picture.pixels[30, 30].mean() for picture in pictures])
    # The palette of a GIF has few greys.
    assert np.abs(greys - 10 * np.arange(FRAMES)).max() < (40 if suffix == "gif" else 6)
    for picture in pictures:
        assert np.abs(picture.pixels[90, 120].astype(int) - [254, 0, 0]).max() < 6
    assert player.counts.broken == 0
