"""What a capture child needs beyond memory and the system's libraries: it gets no more.

Paths may be patterns; what is not there is passed over. Nothing is opened here.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFINED = "; if its confinement is the reason, it works with confine: false"
"""Ends what is said of a failure that may have come of needing more."""


@dataclass(frozen=True, slots=True)
class Needs:
    """reads: files, and folders with all that is below. lists: folders whose names are read, and
    nothing below them. devices: nodes that are read, written and controlled. network: TCP and UDP.
    unix_sockets: connections to programs of this device. udev: hears of devices that come and go.
    programs: starts others. prepared_by: a command that is run before the child is confined.
    certain: libraries that nobody here could try may need more.
    """

    reads: tuple[str, ...] = ()
    lists: tuple[str, ...] = ()
    devices: tuple[str, ...] = ()
    network: bool = False
    unix_sockets: bool = False
    udev: bool = False
    programs: bool = False
    prepared_by: tuple[str, ...] = ()
    certain: bool = True
