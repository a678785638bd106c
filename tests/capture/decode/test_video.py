from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from edged.capture.decode.video import scaled_size


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
