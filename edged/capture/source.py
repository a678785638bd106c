"""The values and the protocol that all of capture shares. Imports no heavy library."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from enum import Enum
from typing import TYPE_CHECKING, Any, Literal, NamedTuple, Protocol, TypeAlias

from edged.errors import EdgedError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Flip = Literal["horizontal", "vertical"]
Roi: TypeAlias = "tuple[float, float, float, float]"
"""Left, top, width and height of a part of the upright picture, 0 to 1."""
MOST_VIEWS = 16
"""Of a camera."""

SILENT_SECONDS = 30.0
"""Longest silence of a camera whose frame rate is not known."""


class Failure(str, Enum):
    """Why a capture process was restarted."""

    EXITED = "exited"
    KILLED = "killed"
    STALLED = "stalled"
    OPEN_FAILED = "open_failed"
    READ_FAILED = "read_failed"
    FROZEN = "frozen"
    UNAUTHORIZED = "unauthorized"
    NO_PICTURES = "no_pictures"
    """The camera responds, but not with pictures."""


class SourceError(EdgedError):
    """A source cannot be opened or read. The supervisor restarts its process."""

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
    """Pictures without motion are not delivered, except one every at_least_every_seconds.

    hold_seconds: how long all are delivered after motion. threshold: change of brightness of one
    cell (0 to 255) that counts as motion.
    """

    at_least_every_seconds: float = 5.0
    hold_seconds: float = 2.0
    threshold: float = 4.0


@dataclass(frozen=True, slots=True)
class ViewRequest:
    """A part of a camera's pictures with a network of its own.

    roi: the part of the upright picture; None for all. square: the network sees the centre square
    of this part. max_fps: further frames are not delivered. quiet: None to deliver frames without
    motion in this part, too. name: for messages; empty if the camera is its own only view.
    """

    roi: Roi | None = None
    square: bool = True
    max_fps: float | None = None
    quiet: Quiet | None = None
    name: str = ""

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> ViewRequest:
        return cls(**_made(values))


@dataclass(frozen=True, slots=True)
class CaptureRequest:
    """Configuration of one capture process. `source` may contain a password; `repr` omits it.

    size: (width, height) in pixels; size and fps are requests, the driver's reply is reported.
    max_fps: further frames are dropped, before decoding if the codec permits. rotate: degrees
    clockwise, after the orientation that the file or stream states; flip is applied after it.
    loop: restart a file or folder at its end. square: deliver the centre square instead of the
    whole picture. frozen_after_seconds: limit of repeated pictures; None for none.
    stalled_after_seconds: limit of silence; None to derive it from the frame rate. format,
    controls: V4L2 pixel format, and values by v4l2-ctl name. roi: the part of the upright picture
    to use; None for all. quiet: None to deliver every picture. confine: restrict the child to what
    its source needs. views: each at its number in the mailbox, None at one that is free; empty if
    the camera is its own only view. decode: what decodes H.264 and H.265. With views, roi and quiet
    are None, square is False, and max_fps is the highest of the views', None if one has none.
    edition: counts the changes of the views while the process runs. on: whether one of them is on.
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
    decode: Literal["auto", "software", "hardware"] = "auto"
    views: tuple[ViewRequest | None, ...] = ()
    edition: int = field(default=0, compare=False)
    on: bool = field(default=True, compare=False)

    @property
    def numbered(self) -> dict[int, ViewRequest]:
        """The views by their numbers in the mailbox; the camera itself has number 0."""
        if not self.views:
            return {0: ViewRequest(self.roi, self.square, self.max_fps, self.quiet)}
        return {number: view for number, view in enumerate(self.views) if view is not None}

    @property
    def numbers(self) -> dict[str, int]:
        """The numbers by the views' names; the camera itself has none."""
        return {view.name: number for number, view in self.numbered.items()}

    def continued(self, before: CaptureRequest) -> dict[int, int | None]:
        """By number, that of the view of the same name in `before`; None if it is new."""
        known = before.numbers
        return {number: known.get(view.name) for number, view in self.numbered.items()}

    def same_source(self, other: CaptureRequest) -> bool:
        """Whether a running process can go over to the other request: both have views, and only
        these differ."""
        if not (self.views and other.views):
            return self == other
        return replace(self, views=other.views, max_fps=other.max_fps) == other

    @property
    def silent_seconds(self) -> float:
        """How long a source waits for data. The supervisor, which knows the frame rate, may end it
        earlier."""
        return self.stalled_after_seconds or SILENT_SECONDS

    def to_json(self) -> str:
        """One line."""
        return json.dumps(asdict(self))

    @classmethod
    def from_json(cls, text: str | bytes) -> CaptureRequest:
        return cls.of(json.loads(text))

    @classmethod
    def of(cls, values: Mapping[str, Any]) -> CaptureRequest:
        """values: by field, as in JSON and YAML."""
        return cls(**_made(values))


_MAKERS: dict[str, Callable[[Any], object]] = {
    "size": tuple,
    "roi": tuple,
    "quiet": lambda own: Quiet(**own),
    "views": lambda own: tuple(each and ViewRequest.of(each) for each in own),
}


def _made(values: Mapping[str, Any]) -> dict[str, Any]:
    """Values of JSON or YAML as those of fields."""
    return {
        name: _MAKERS[name](value) if name in _MAKERS and value is not None else value
        for name, value in values.items()
    }


@dataclass(frozen=True, slots=True)
class Granted:
    """What a source delivers. fps: None if the source does not state it."""

    width: int
    height: int
    fps: float | None
    format: str

    def __str__(self) -> str:
        rate = "" if self.fps is None else f" at {self.fps:g} fps"
        return f"{self.width}x{self.height}{rate}, {self.format}"


class Picture(NamedTuple):
    """pixels: uint8 (height, width, 3), RGB, valid until the next read.

    captured_ns: start of exposure, or the source's best estimate; received_ns: the driver delivered
    the encoded frame; both monotonic. cropped: to the request's `roi`, already.
    """

    pixels: NDArray[np.uint8]
    captured_ns: int
    received_ns: int
    cropped: bool = False


class Source(Protocol):
    """A camera, stream, file, folder or synthetic scene. Any call may raise SourceError."""

    def open(self) -> Granted:
        """Open the source; hardware has then delivered a first frame."""

    def read(self, wanted: int) -> Picture | None:
        """The next picture, or None at the end of the source.

        wanted: the short side in pixels that the whole picture needs; 0 for full size. A source
        that can decode at a smaller scale uses the smallest one that covers it.
        """

    def close(self) -> None:
        """Release the hardware; does nothing if the source is not open."""
