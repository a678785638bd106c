"""Capture: a child process per camera turns a driver's frames into the newest picture.

Here are the values and the protocol that its parts share. Nothing here imports a heavy library,
so that configuration can be checked without one.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from edged.errors import EdgedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Flip = Literal["horizontal", "vertical"]
Roi: TypeAlias = "tuple[float, float, float, float]"
"""Left, top, width and height of a part of the upright picture, as shares of it."""


SILENT_SECONDS = 30.0
"""A camera whose pace is not known may be silent for so long."""


class Failure(str, Enum):
    """Why a capture process had to be started anew."""

    EXITED = "exited"
    KILLED = "killed"
    STALLED = "stalled"
    OPEN_FAILED = "open_failed"
    READ_FAILED = "read_failed"
    FROZEN = "frozen"
    UNAUTHORIZED = "unauthorized"
    NO_PICTURES = "no_pictures"
    """It answers, but what it sends are no pictures."""


class SourceError(EdgedError):
    """A source that cannot be opened, or that stopped answering: a state, not the daemon's end."""

    def __init__(
        self,
        reason: Failure,
        what: str,
        *,
        where: str | None = None,
        got: object = None,
        fix: str | None = None,
    ) -> None:
        self.reason = reason
        super().__init__(what, where=where, got=got, fix=fix)


@dataclass(frozen=True, slots=True)
class Quiet:
    """Pictures in which nothing has moved are not delivered.

    at_least_every_seconds: one is, all the same. hold_seconds: so long all are, after something
    has moved. threshold: of brightness (0 to 255), what counts as a change of one cell.
    """

    at_least_every_seconds: float = 5.0
    hold_seconds: float = 2.0
    threshold: float = 4.0


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """What one camera is asked for. `source` may hold a password: it is left out of `repr`.

    size: (width, height) in pixels and fps are wishes to a driver; what it granted is reported.
    max_fps: frames beyond it are skipped before they are decoded, where the codec allows that.
    rotate: degrees clockwise, after what the file or stream says of its orientation; flip mirrors
    after that.
    loop: begin again at the end of a file or folder. square: deliver the whole centre square;
    False delivers the whole picture. frozen_after_seconds: pictures without a new one among them
    are a failure after that time; None for never. stalled_after_seconds: so is silence; None to
    judge by how pictures come. format and controls are for V4L2: the pixel
    format that is asked for instead of the best one, and values by the names of v4l2-ctl. roi: the
    part of the upright picture that counts; None for all of it. quiet: None for every picture.
    confine: the child reaches nothing but what its source needs.
    """

    source: str = field(repr=False)
    size: tuple[int, int] | None = None
    fps: float | None = None
    max_fps: float | None = None
    rotate: Literal[0, 90, 180, 270] = 0
    flip: Flip | None = None
    loop: bool = False
    square: bool = True
    frozen_after_seconds: float | None = None
    stalled_after_seconds: float | None = None
    format: str | None = None
    controls: Mapping[str, int | str] = field(default_factory=dict)
    roi: Roi | None = None
    quiet: Quiet | None = None
    confine: bool = True

    @property
    def silent_seconds(self) -> float:
        """How long a source itself waits for what comes next. The supervisor, who knows how
        pictures come, may be less patient."""
        return self.stalled_after_seconds or SILENT_SECONDS

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> CaptureRequest:
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> CaptureRequest:
        """values: by field, as JSON and YAML have them."""
        made = dict(values)
        for name, make in (("size", tuple), ("roi", tuple), ("quiet", lambda own: Quiet(**own))):
            if made.get(name) is not None:
                made[name] = make(made[name])
        return cls(**made)


@dataclass(frozen=True, slots=True)
class Granted:
    """What a source really delivers. fps is None where the source does not say."""

    width: int
    height: int
    fps: float | None
    format: str

    def __str__(self) -> str:
        rate = "" if self.fps is None else f" at {self.fps:g} fps"
        return f"{self.width}x{self.height}{rate}, {self.format}"


class Picture(NamedTuple):
    """pixels: uint8 (height, width, 3), RGB, valid until the next read.

    captured_ns: start of exposure or the best the source knows; received_ns: the driver handed the
    frame over, still encoded. Both on the monotonic clock. cropped: to the request's `roi` already.
    """

    pixels: NDArray[np.uint8]
    captured_ns: int
    received_ns: int
    cropped: bool = False


class Source(Protocol):
    """A camera, stream, file, folder or drawn scene. Any call may raise SourceError."""

    def open(self) -> Granted:
        """Ready to deliver: where hardware is involved, a first frame has arrived."""

    def read(self, wanted: int) -> Picture | None:
        """The next picture, or None when the source has ended.

        wanted: the short side in pixels of the whole picture that is needed; 0 means all there is.
        A source that can decode at a smaller scale takes the smallest one whose short side still
        covers it.
        """

    def close(self) -> None:
        """Give the hardware back; harmless when nothing is open."""
