"""A picture in the mailbox. All times are monotonic nanoseconds.

Objects made for every frame are named tuples, or dataclasses with slots where many attributes are
read; a frozen dataclass takes twice the time.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Place(NamedTuple):
    """Where a picture shows a view, in its pixels, and the short side it was decoded for."""

    left: int
    top: int
    width: int
    height: int
    wanted: int


@dataclass(slots=True)
class Frame:
    """What a picture in the mailbox shows of one view.

    pixels: uint8 (height, width, 3), RGB, upright. captured_ns: start of exposure, or the source's
    best estimate. received_ns: the driver delivered it. ready_ns: decoded and in the mailbox.
    wanted: the short side in pixels that it was decoded for; 0 for full size. leads: this view
    needs the largest scale, so it was decoded in the time that its `wanted` takes. region: left,
    top, width and height of `pixels` in the picture in the mailbox. whole: this is all of the
    camera's picture, as `Mailbox.show_whole` asks.
    """

    pixels: NDArray[np.uint8]
    sequence: int
    captured_ns: int
    received_ns: int
    ready_ns: int
    wanted: int = 0
    leads: bool = True
    region: tuple[int, int, int, int] = (0, 0, 0, 0)
    whole: bool = False

    @property
    def serves(self) -> int | None:
        """The largest resolution that it is large enough for; None for any."""
        return max(self.wanted, min(self.pixels.shape[:2])) if self.wanted else None
