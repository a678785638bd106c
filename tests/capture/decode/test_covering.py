from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.decode.covering import covering_size


@pytest.mark.parametrize(
    ("size", "short_side", "expected"),
    [
        ((1280, 720), 256, (456, 256)),
        ((720, 1280), 256, (256, 456)),
        ((3280, 2464), 256, (340, 256)),
        ((1920, 1080), 225, (402, 226)),
        ((320, 240), 256, (320, 240)),
        ((321, 255), 256, (320, 254)),
        ((256, 256), 256, (256, 256)),
        ((16, 19), 15, (16, 18)),
    ],
)
def test_sizes(size: tuple[int, int], short_side: int, expected: tuple[int, int]) -> None:
    assert covering_size(*size, short_side) == expected


@given(st.integers(16, 8000), st.integers(16, 8000), st.integers(1, 600))
def test_it_covers_what_there_is_and_keeps_the_shape(width: int, height: int, side: int) -> None:
    size = covering_size(width, height, side)
    assert all(
        given % 2 == 0 and given <= most for given, most in zip(size, (width, height), strict=True)
    )
    assert min(size) >= min(side, min(width, height) // 2 * 2)
    assert abs(size[0] * height - size[1] * width) <= 2 * (width + height)
