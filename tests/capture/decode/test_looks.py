"""Cameras that look every few seconds decode no more than they need, on a simulated clock."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from tests.rig.clips import write_clip
from tests.rig.player import MS, Player, gaps_ms

B_FRAMES = "bframes=3:b-adapt=0:open-gop=1:scenecut=0"
REFRESH = "intra-refresh=1:keyint=50:bframes=0"


def clip(
    folder: Path, *, seconds: int = 20, gop: int = 25, x264: str = "scenecut=0", name: str = "a.mp4"
) -> Path:
    options = {"preset": "ultrafast", "x264-params": x264}
    return write_clip(
        folder / name, frames=25 * seconds, key_frame_every=gop, codec="h264", options=options
    )


def number(pixels: np.ndarray) -> int:
    """Of the frame, modulo 25."""
    return round(float(pixels[30, 30].mean()) / 10) % 25


def spoil(path: Path, spoilt: Path, begin: int) -> Path:
    """Replace every packet that is no key frame, from number `begin` on, by noise."""
    noise = np.random.default_rng(1)
    with av.open(str(path)) as whole, av.open(str(spoilt), "w") as container:
        template = whole.streams.video[0]
        stream = container.add_stream_from_template(template)
        for place, packet in enumerate(whole.demux(template)):
            if packet.dts is None:
                continue
            if place >= begin and not packet.is_keyframe:
                made = av.Packet(b"\x00\x00\x00\x65" + noise.bytes(101))
                made.pts, made.dts, made.time_base = packet.pts, packet.dts, packet.time_base
                packet = made
            packet.stream = stream
            container.mux(packet)
    return spoilt


@pytest.mark.parametrize("x264", ["scenecut=0", B_FRAMES])
@pytest.mark.parametrize("name", ["a.mp4", "a.ts", "a.h264"])
def test_a_look_takes_a_key_frame(tmp_path: Path, x264: str, name: str) -> None:
    player = Player(clip(tmp_path, x264=x264, name=name), max_fps=0.2)
    pictures = player.pictures()
    assert gaps_ms(pictures) == pytest.approx([5000] * 3, abs=0.1)
    assert [number(picture.pixels) for picture in pictures] == [0, 0, 0, 0]
    for picture in pictures:
        red, green, blue = picture.pixels[200, 200].tolist()
        assert red > 240
        assert max(green, blue) < 20
    counts = player.counts
    assert counts.captured == counts.skipped + len(pictures)
    assert counts.captured in range(490, 501)  # the rest is in the decoder
    assert (counts.broken, list(player.notes)) == (0, [])


def test_nothing_is_decoded_between_two_looks(tmp_path: Path) -> None:
    """What is between the key frames is noise, and only who decodes it notices."""
    whole = clip(tmp_path)
    begin = 26  # only two key frames show how often they come
    noisy = Player(spoil(whole, tmp_path / "noisy.mp4", begin))
    noisy.pictures()
    assert noisy.counts.broken > 400
    player = Player(tmp_path / "noisy.mp4", max_fps=0.2)
    assert gaps_ms(player.pictures()) == pytest.approx([5000] * 3, abs=0.1)
    assert player.counts.broken == 0
    at_1_fps = Player(tmp_path / "noisy.mp4", max_fps=1)
    at_1_fps.pictures()
    assert at_1_fps.counts.broken > 400


def test_a_late_key_frame_does_not_lower_the_rate(tmp_path: Path) -> None:
    player = Player(clip(tmp_path, seconds=40, gop=75), max_fps=0.25)
    gaps = gaps_ms(player.pictures())
    assert set(np.round(gaps, 3)) == {3000, 6000}
    assert np.mean(gaps) == pytest.approx(4000, rel=0.1)


def test_a_look_in_a_long_group_of_pictures_waits_for_its_key_frame(tmp_path: Path) -> None:
    player = Player(clip(tmp_path, seconds=50, gop=250), max_fps=0.08)
    gaps = gaps_ms(player.pictures())
    assert set(np.round(gaps, 3)) <= {10_000, 20_000}
    assert list(player.notes) == []


def test_a_repeated_clip_keeps_the_pace(tmp_path: Path) -> None:
    for name in ("a.mp4", "a.h264"):
        player = Player(clip(tmp_path, seconds=3, name=name), max_fps=0.1, loop=True)
        pictures = player.pictures(6)
        assert np.mean(gaps_ms(pictures)) == pytest.approx(10_000, abs=300)
        assert {number(picture.pixels) for picture in pictures} == {0}


@pytest.mark.parametrize("name", ["a.mp4", "a.h264"])
def test_pictures_that_are_refreshed_in_parts_are_whole(tmp_path: Path, name: str) -> None:
    player = Player(clip(tmp_path, x264=REFRESH, name=name), max_fps=0.2)
    pictures = player.pictures()
    assert len(pictures) == 4
    for picture in pictures:
        assert np.abs(picture.pixels[100:] - np.array((254, 0, 0))).max() < 20
        corner = picture.pixels[8:56, 8:56]
        assert int(corner.max()) - int(corner.min()) < 20
    assert player.counts.skipped == player.counts.captured - 4
    assert list(player.notes) == []


def test_without_key_frames_every_frame_is_decoded_and_it_is_said_once(tmp_path: Path) -> None:
    player = Player(clip(tmp_path, seconds=60, gop=10_000), max_fps=0.1)
    pictures = player.pictures()
    assert gaps_ms(pictures) == pytest.approx([10_000] * 5, abs=0.1)
    assert [number(picture.pixels) for picture in pictures] == [0] * 6
    (note,) = player.notes
    assert "no key frame for 13 s; decoding every frame" in note


def test_key_frames_more_seldom_than_looks_cost_no_look(tmp_path: Path) -> None:
    player = Player(clip(tmp_path, seconds=40, gop=250), max_fps=0.5)
    assert gaps_ms(player.pictures()) == pytest.approx([2000] * 19, abs=0.1)
    assert len(player.notes) == 1


def test_key_frames_that_cease(tmp_path: Path) -> None:
    """From the look on that lacks one every frame is decoded."""
    some, more = clip(tmp_path, seconds=10), clip(tmp_path, seconds=60, gop=10_000, name="b.mp4")
    joined = tmp_path / "joined.ts"
    begin = 0
    with av.open(str(joined), "w") as container:
        stream = None
        for path in (some, more):
            with av.open(str(path)) as part:
                template = part.streams.video[0]
                stream = stream or container.add_stream_from_template(template)
                for packet in part.demux(template):
                    if packet.dts is None:
                        continue
                    packet.pts, packet.dts = packet.pts + begin, packet.dts + begin
                    packet.stream = stream
                    container.mux(packet)
                begin += template.duration
    player = Player(joined, max_fps=0.2)
    pictures = player.pictures()
    gaps = gaps_ms(pictures)
    assert gaps[:2] == pytest.approx([5000] * 2, abs=0.1)
    assert max(gaps) <= 16_000  # the look that waited for a key frame
    assert gaps[-4:] == pytest.approx([5000] * 4, abs=0.1)
    assert (player.time.now_ns - pictures[-1].captured_ns) / MS < 5000
    assert len(player.notes) == 1
