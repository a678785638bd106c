from __future__ import annotations

import time
from pathlib import Path

import av
import cv2
import numpy as np
import pytest

from edged.capture.source import CaptureRequest, Failure, Granted, SourceError
from edged.capture.supervisor import CameraState
from tests.rig.camera import next_frame, running, wait_until
from tests.rig.clips import turn_clip, write_clip, write_jpegs
from tests.rig.player import MS, Player, gaps_ms


@pytest.mark.parametrize("codec", ["mpeg4", "h264"])
def test_a_clip_plays_at_its_own_pace_and_ends(tmp_path: Path, codec: str) -> None:
    player = Player(write_clip(tmp_path / "clip.mp4", frames=10, codec=codec))
    assert player.granted == Granted(320, 240, 25.0, codec)
    begun_ns = player.time.now_ns
    pictures = player.pictures()
    assert len(pictures) == 10
    assert gaps_ms(pictures) == pytest.approx([40] * 9, abs=0.01)
    # With reordered frames the first is due a few frames after the file was opened.
    assert 0 <= (pictures[0].captured_ns - begun_ns) / MS <= 121
    assert [round(int(p.pixels[30, 30].mean()) / 10) for p in pictures] == list(range(10))
    red, green, blue = pictures[0].pixels[200, 200]
    assert red > 240
    assert green < 20
    assert blue < 20
    assert player.counts.captured == 10
    assert player.source.read(0) is None  # and stays at its end
    player.source.close()


@pytest.mark.parametrize(
    ("name", "codec"),
    [
        ("clip.mp4", "mpeg4"),
        ("clip.mp4", "h264"),
        ("clip.ts", "h264"),
        ("clip.h264", "h264"),  # bare, without time stamps: it cannot be searched
    ],
)
def test_a_repeated_clip_goes_on_without_a_seam(tmp_path: Path, name: str, codec: str) -> None:
    player = Player(write_clip(tmp_path / name, frames=7, codec=codec), loop=True)
    pictures = player.pictures(25)
    assert gaps_ms(pictures) == pytest.approx([40] * 24, abs=0.01)
    counted = [round(int(p.pixels[30, 30].mean()) / 10) for p in pictures]
    assert counted == [n % 7 for n in range(25)]
    player.source.close()


def test_it_is_scaled_to_what_is_wanted(tmp_path: Path) -> None:
    player = Player(write_clip(tmp_path / "clip.mp4"))
    assert player.pictures(1, wanted=96)[0].pixels.shape == (96, 128, 3)
    assert player.pictures(1, wanted=160)[0].pixels.shape == (160, 213, 3)
    assert player.pictures(1, wanted=500)[0].pixels.shape == (240, 320, 3)


def test_frames_beyond_max_fps_are_skipped(tmp_path: Path) -> None:
    player = Player(write_clip(tmp_path / "clip.mp4", frames=50), max_fps=5)
    assert gaps_ms(player.pictures()) == pytest.approx([200] * 9, abs=0.1)
    assert (player.counts.captured, player.counts.skipped) == (50, 40)


def test_a_delay_shows_as_age_and_then_frames_are_left_out(tmp_path: Path) -> None:
    player = Player(write_clip(tmp_path / "clip.mp4", frames=250, key_frame_every=25))
    first = player.pictures(1)[0]
    player.time.sleep(0.1)  # a little late: the next frames show it
    late = player.pictures(1)[0]
    assert (late.received_ns - late.captured_ns) / MS == pytest.approx(60, abs=0.1)
    player.time.sleep(0.5)  # later: what nobody can use is not converted
    assert player.counts.overwritten == 0
    caught_up = player.pictures(1)[0]
    assert (caught_up.received_ns - caught_up.captured_ns) / MS <= 50
    assert player.counts.overwritten in range(8, 16)
    player.time.sleep(5)  # very late: on with the next key frame that is in time
    there = player.pictures(1)[0]
    assert (there.received_ns - there.captured_ns) / MS < 250
    assert np.all(there.pixels[200, 200] > (240, -1, -1))
    frame = round((there.captured_ns - first.captured_ns) / 40 / MS)
    assert frame % 25 == 0
    assert player.counts.captured == frame + 1
    player.source.close()


@pytest.mark.parametrize("jump_seconds", [1000, -1000, 2, -0.5])
def test_time_stamps_that_jump_are_played_as_if_they_did_not(
    tmp_path: Path, jump_seconds: float
) -> None:
    """Twice: after a third of the clip there, after another back."""
    clip = write_clip(tmp_path / "whole.ts", frames=60, codec="h264", key_frame_every=10)
    with av.open(str(clip)) as whole:
        template = whole.streams.video[0]
        packets = [packet for packet in whole.demux(template) if packet.dts is not None]
        jumping = tmp_path / "jumping.ts"
        with jumping.open("wb") as joined:  # MPEG-TS is made to be cut and joined
            for third in range(3):
                part = tmp_path / f"{third}.ts"
                seconds = 1200 + (jump_seconds if third == 1 else 0)
                with av.open(str(part), "w") as container:
                    stream = container.add_stream_from_template(template)
                    for packet in packets[third * 20 : third * 20 + 20]:
                        ticks = round(seconds / packet.time_base)
                        packet.dts, packet.pts = packet.dts + ticks, packet.pts + ticks
                        packet.stream = stream
                        container.mux(packet)
                joined.write(part.read_bytes())
    player = Player(jumping)
    begun_ns = player.time.now_ns
    pictures = player.pictures()
    assert len(pictures) >= 40
    assert max(gaps_ms(pictures)) <= 700  # half a second more may well be true
    assert (player.time.now_ns - begun_ns) / MS < 60 * 40 + 1000
    limited = Player(jumping, max_fps=5)
    assert len(limited.pictures()) >= 8


def test_a_clip_that_lies_on_its_side_is_put_upright(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=3, colour=(0, 200, 0))
    turn_clip(clip)
    if not hasattr(av.VideoFrame, "rotation"):
        pytest.skip("this PyAV does not tell how a clip is turned")
    picture = Player(clip).pictures(1, wanted=240)[0].pixels
    assert picture.shape == (320, 240, 3)
    assert picture[10, -10].max() < 40  # the dark corner went from upper left to upper right
    assert picture[10, 10, 1] > 150


def test_what_is_no_clip(tmp_path: Path) -> None:
    text = tmp_path / "notes.yaml"
    text.write_text("no pictures in here\n" * 100)
    sound = tmp_path / "sound.wav"
    with av.open(str(sound), "w") as container:
        stream = container.add_stream("pcm_s16le", rate=8000)
        silence = av.AudioFrame.from_ndarray(np.zeros((1, 800), np.int16), layout="mono")
        silence.rate = 8000
        container.mux(stream.encode(silence))
    for path, reason in (
        (tmp_path / "absent.mp4", "no such file or folder, and not another kind of source"),
        (text, "not a video file, or its end is missing; an MP4 can be read only after"),
        (sound, "contains no video"),
        (Path("udp://127.0.0.1:5000"), "no such file or folder, and not another kind of source"),
    ):
        with pytest.raises(SourceError, match=reason) as caught:
            Player(path)
        assert caught.value.reason is Failure.OPEN_FAILED
        assert str(path.name) in str(caught.value)


def test_a_damaged_clip_loses_frames_and_is_no_crash(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.avi", frames=60)
    data = bytearray(clip.read_bytes())
    middle = len(data) // 2
    data[middle : middle + 400] = bytes(range(200)) * 2
    clip.write_bytes(data[: -len(data) // 5])
    player = Player(clip)
    pictures = player.pictures()
    assert 10 < len(pictures) < 60
    counts = player.counts
    assert counts.captured == len(pictures) + counts.overwritten + counts.broken


def test_the_whole_way_to_the_mailbox_and_the_end(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=12, size=(640, 480))
    begun = time.monotonic()
    with running(CaptureRequest(str(clip)), wanted=160) as (camera, mailbox):
        frame = next_frame(mailbox)
        assert frame.pixels.shape == (160, 160, 3)
        assert np.all(frame.pixels[100, 100] >= (240, 0, 0))
        assert wait_until(lambda: camera.state is CameraState.ENDED)
        assert time.monotonic() - begun > 11 / 25
        assert mailbox.captured == 12
        assert mailbox.sequence + mailbox.counts().overwritten >= 12
        assert camera.granted == Granted(640, 480, 25.0, "mpeg4")


def jpeg(grey: int, size: tuple[int, int] = (320, 240)) -> bytes:
    """Red, with a square of that grey in its upper left corner."""
    picture = np.full((size[1], size[0], 3), (0, 0, 255), np.uint8)
    picture[:64, :64] = grey
    return cv2.imencode(".jpg", picture)[1].tobytes()


@pytest.mark.parametrize("container", ["avi", "mkv", "mov"])
def test_pictures_of_mjpeg_are_decoded_as_small_as_will_do(tmp_path: Path, container: str) -> None:
    clip = write_jpegs(tmp_path / f"clip.{container}", (jpeg(10 * n) for n in range(10)))
    player = Player(clip, loop=True)
    assert player.granted == Granted(320, 240, 25.0, "mjpeg")
    pictures = player.pictures(10) + player.pictures(10, wanted=60)
    assert gaps_ms(pictures) == pytest.approx([40] * 19, abs=1.01)  # Matroska rounds to 1 ms
    assert {picture.pixels.shape for picture in pictures[:10]} == {(240, 320, 3)}
    assert {picture.pixels.shape for picture in pictures[10:]} == {(60, 80, 3)}
    seen = [round(int(p.pixels[4, 4].mean()) / 10) for p in pictures]
    assert seen == [n % 10 for n in range(20)]
    red, green, blue = pictures[10].pixels[50, 50]
    assert red > 240
    assert max(green, blue) < 20
    assert player.pictures(1, wanted=61)[0].pixels.shape == (120, 160, 3)
    player.source.close()


def test_skipped_pictures_of_mjpeg_are_not_even_decoded(tmp_path: Path) -> None:
    """Every second one is no picture, and nobody notices."""
    pictures = [jpeg(0) if n % 2 == 0 else jpeg(0)[:200] for n in range(20)]
    player = Player(write_jpegs(tmp_path / "clip.avi", pictures), max_fps=12.5)
    assert len(player.pictures()) == 10
    assert (player.counts.captured, player.counts.skipped, player.counts.broken) == (20, 10, 0)


def test_damaged_pictures_of_mjpeg_are_counted(tmp_path: Path) -> None:
    whole = jpeg(0)
    pictures = [whole, whole[: len(whole) // 2], whole, whole[:-2], bytes(500)]
    player = Player(write_jpegs(tmp_path / "clip.avi", pictures))
    assert len(player.pictures()) == 2
    assert (player.counts.captured, player.counts.broken) == (5, 3)
    player = Player(write_jpegs(tmp_path / "broken.avi", [whole[:-2]] * 3), loop=True)
    with pytest.raises(SourceError, match="no picture could be decoded"):
        player.pictures()


def test_the_fields_of_interlaced_mjpeg_are_left_to_ffmpeg(tmp_path: Path) -> None:
    """Half as high as the track says: no picture to be shown as it is."""
    fields = jpeg(0, (320, 120)) * 2
    player = Player(write_jpegs(tmp_path / "clip.avi", [fields] * 3))
    assert player.granted == Granted(320, 240, 25.0, "mjpeg")
    assert {picture.pixels.shape[1] for picture in player.pictures()} == {320}
    assert player.counts.captured == 3


@pytest.mark.data
def test_a_real_clip(data: Path) -> None:
    clip = data / "video" / "bottle-detection.mp4"
    player = Player(clip)
    assert player.granted.fps == pytest.approx(29.8, abs=0.1)
    pictures = player.pictures(120, wanted=224)
    assert {picture.pixels.shape for picture in pictures} == {(224, 398, 3)}
    assert gaps_ms(pictures) == pytest.approx([1000 / 29.83] * 119, abs=1)
    assert len({picture.pixels.tobytes() for picture in pictures}) > 100  # it moves
