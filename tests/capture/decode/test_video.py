from __future__ import annotations

import gc
from pathlib import Path

import av
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.decode.video import OPTIONS, VideoTrack, scaled_size
from tests.rig.clips import write_clip


@given(st.integers(1, 5000), st.integers(1, 5000), st.integers(0, 5000))
def test_the_short_side_is_what_was_wanted_and_never_larger_than_it_is(
    width: int, height: int, wanted: int
) -> None:
    scaled = scaled_size(width, height, wanted)
    short = min(width, height)
    assert min(scaled) == (min(short, wanted) if wanted else short)
    assert abs(scaled[0] * height - scaled[1] * width) <= max(width, height)  # the same shape


def test_examples() -> None:
    assert scaled_size(1920, 1080, 224) == (398, 224)
    assert scaled_size(1080, 1920, 224) == (224, 398)
    assert scaled_size(160, 120, 224) == (160, 120)


def test_a_frame_is_free_as_soon_as_the_next_one_is_decoded(tmp_path: Path) -> None:
    """Also before Python's garbage collector runs: a 1080p frame takes 3 MB."""
    path = write_clip(tmp_path / "clip.mp4", frames=20, codec="h264")
    gc.collect()
    gc.disable()
    try:
        with av.open(str(path), options=OPTIONS) as container:
            track = VideoTrack(container, where=str(path))
            for packet in track.packets():
                for frame in track.decode(packet)[0]:
                    assert track.rgb(frame, 64) is not None
        # type(), because isinstance() asks objects of other libraries for their class.
        alive = [each for each in gc.get_objects() if type(each) is av.VideoFrame]
    finally:
        gc.enable()
    assert len(alive) < 4  # the last one, and what scales
