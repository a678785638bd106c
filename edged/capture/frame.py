"""A picture in the mailbox. All times are monotonic nanoseconds.

Objects made for every frame are named tuples, which take half the time of a frozen dataclass.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray


class Frame(NamedTuple):
    """A picture in the mailbox.

    pixels: uint8 (height, width, 3), RGB, upright; a view of shared memory, valid until the next
    frame is taken. captured_ns: start of exposure, or the source's best estimate. received_ns: the
    driver delivered it. ready_ns: decoded and in the mailbox. wanted: the short side in pixels
    that it was decoded for; 0 for full size.
    """

    pixels: NDArray[np.uint8]
    sequence: int
    captured_ns: int
    received_ns: int
    ready_ns: int
    wanted: int = 0

    @property
    def serves(self) -> int | None:
        """The largest resolution that it is large enough for; None for any."""
        return max(self.wanted, min(self.pixels.shape[:2])) if self.wanted else None
