"""A picture on its way. All times are monotonic nanoseconds.

What is made for every frame is a named tuple: that takes about half of a frozen dataclass's time.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Frame(NamedTuple):
    """A picture in the mailbox.

    pixels: uint8 (height, width, 3), RGB, upright; a view into shared memory that is valid until
    the mailbox is asked for the next frame. captured_ns: start of exposure or the best the source
    knows. received_ns: the driver handed it over. ready_ns: decoded and in the mailbox. wanted:
    the short side in pixels that it was decoded for; 0 for all there is.
    """

    pixels: NDArray[np.uint8]
    sequence: int
    captured_ns: int
    received_ns: int
    ready_ns: int
    wanted: int = 0

    @property
    def serves(self) -> int | None:
        """The largest resolution that it was not made too small for; None for any."""
        return max(self.wanted, min(self.pixels.shape[:2])) if self.wanted else None
