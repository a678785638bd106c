"""Files that stand-ins for hardware decode: the same frames as in software, whatever fails."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from edged.capture.source import Picture
from tests.rig import stand_in_decoder as stand_in
from tests.rig.clips import turn_clip, write_clip
from tests.rig.player import Player, gaps_ms

pytestmark = [pytest.mark.servers, stand_in.needs_stand_in]
LIVE = {"preset": "ultrafast", "tune": "zerolatency"}
REORDERED = {"preset": "ultrafast", "x264-params": "bframes=3:b-adapt=0:scenecut=0"}
quick_clip = partial(write_clip, fps=250)
"""40 frames last less than the 250 ms that a frame may be late, so none is dropped however long the
child process takes to begin or to fail."""
NEAR = 6
"""Levels that two ways to scale differ by, at most, on average."""


def played(clip: Path, decode: str, **request: object) -> tuple[list[Picture], Player, list[str]]:
    player = Player(clip, decode=decode, **request)
    return player.pictures(wanted=128), player, player.notes.decoders


def assert_same(clip: Path, **request: object) -> tuple[Player, list[str]]:
    """In number, times, shape and colours, to rounding."""
    soft, known, _ = played(clip, "software", **request)
    hard, player, reasons = played(clip, "hardware", **request)
    player.source.close()
    assert len(hard) == len(soft)
    assert gaps_ms(hard) == gaps_ms(soft)
    for one, other in zip(soft, hard, strict=True):
        height, width, _ = np.minimum(one.pixels.shape, other.pixels.shape)
        assert max(*one.pixels.shape, *other.pixels.shape) <= max(height, width) + 2
        parts = [each.pixels[:height, :width].astype(np.int16) for each in (one, other)]
        assert np.abs(parts[0] - parts[1]).mean() < NEAR
    assert player.counts == known.counts
    return player, reasons


@pytest.mark.parametrize(
    ("name", "codec", "options"),
    [
        ("live.mp4", "libx264", LIVE),
        ("reordered.mp4", "libx264", REORDERED),
        ("live.ts", "libx264", LIVE),
        ("live.mkv", "libx265", {"preset": "ultrafast", "x265-params": "log-level=none"}),
    ],
)
def test_frames_are_those_of_software(
    name: str,
    codec: str,
    options: dict[str, str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    codec_name = "h265" if codec == "libx265" else "h264"
    element = stand_in.install(tmp_path, monkeypatch, codec=codec_name)
    clip = quick_clip(
        tmp_path / name,
        frames=40,
        codec=codec,
        options=options,
        # openh264dec itself mixes up frames before a key frame that are shown out of order.
        key_frame_every=12 if options is LIVE else 100,
    )
    _, reasons = assert_same(clip)
    assert reasons == [element]


@pytest.mark.parametrize(
    ("decoder", "scaler"),
    [
        ("nvv4l2decoder", "nvvidconv"),
        ("va{}dec", "vapostproc"),
        ("vaapi{}dec", "vaapipostproc"),
    ],
)
def test_each_pipeline_runs_turned_and_in_part(
    decoder: str, scaler: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = stand_in.install(tmp_path, monkeypatch, decoder=decoder, scaler=scaler)
    clip = quick_clip(tmp_path / "clip.mp4", codec="libx264", options=LIVE)
    turn_clip(clip)
    _, reasons = assert_same(clip, roi=(0.0, 0.0, 0.5, 0.5))
    assert reasons == [element]


def test_a_loop_and_looks(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.install(tmp_path, monkeypatch)
    clip = quick_clip(tmp_path / "clip.mp4", codec="libx264", options=LIVE)
    player = Player(clip, decode="hardware", loop=True)
    assert gaps_ms(player.pictures(25, wanted=128)) == [4.0] * 24
    player.source.close()
    long = quick_clip(tmp_path / "long.mp4", frames=250, codec="libx264", options=LIVE)
    player, _ = assert_same(long, max_fps=5)
    assert player.counts.skipped > 200


@pytest.mark.parametrize(
    ("failure", "said"),
    [
        ({"element": "nosuchdec"}, "GStreamer has no element nosuchdec; find its package: apt"),
        ({"then": stand_in.REFUSED}, "v4l2h264dec0: Could not open device"),
        ({"then": "exit 3"}, "gst-launch-1.0 ended with status 3"),
        ({"then": stand_in.GARBAGE}, "not the GStreamer Data Protocol 1.0"),
    ],
    ids=["missing element", "refused device", "exit", "garbage"],
)
def test_software_gives_every_frame_where_hardware_fails(
    failure: dict[str, str], said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = stand_in.install(tmp_path, monkeypatch, **failure)  # type: ignore[arg-type]
    clip = quick_clip(tmp_path / "clip.mp4", frames=40, codec="libx264", options=LIVE)
    _, reasons = assert_same(clip)
    (reason,) = reasons
    assert reason.startswith(f"{element} failed: ")
    assert said in reason


def test_a_decoder_that_hangs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    element = stand_in.install(tmp_path, monkeypatch, then="exec sleep 60")
    clip = write_clip(tmp_path / "clip.mp4", frames=40, codec="libx264", options=LIVE)
    soft, _, _ = played(clip, "software")
    hard, player, reasons = played(clip, "hardware")
    assert reasons == [f"{element} failed: no picture for 3 s"]
    # Older ones are too late.
    assert np.array_equal(hard[-1].pixels, soft[-1].pixels)
    assert len(hard) + player.counts.overwritten == player.counts.captured == len(soft)


def test_pictures_grow_for_a_view_that_comes_later(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    element = stand_in.install(tmp_path, monkeypatch)
    clip = quick_clip(
        tmp_path / "clip.mp4",
        size=(640, 480),
        frames=60,
        key_frame_every=30,
        codec="libx264",
        options=LIVE,
    )
    player = Player(clip, decode="hardware")
    assert {each.pixels.shape[0] for each in player.pictures(5, wanted=128)} == {128}
    heights = [each.pixels.shape[0] for each in player.pictures(wanted=400)]
    assert heights == [256] * 25 + [400] * 30  # from the next key frame on
    assert player.notes.decoders == [element]


def test_a_stream_that_the_decoder_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    element = stand_in.install(tmp_path, monkeypatch)
    clip = quick_clip(tmp_path / "clip.mp4", codec="libx264", pixels="yuv422p10le", options=LIVE)
    _, reasons = assert_same(clip)
    (reason,) = reasons
    assert reason.startswith(f"{element} failed: ")


def test_what_hardware_is_not_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stand_in.install(tmp_path, monkeypatch, codec="h265")
    h264 = quick_clip(tmp_path / "h264.mp4", codec="libx264", options=LIVE)
    other = quick_clip(tmp_path / "other.mp4")
    assert "no hardware decoder for h264 was found" in assert_same(h264)[1][0]
    assert "hardware decodes H.264 and H.265 only, and this is mpeg4" in assert_same(other)[1][0]
    assert played(h264, "auto")[2] == ["software"]
