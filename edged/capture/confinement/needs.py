"""What a capture child may access besides the system's libraries.

Paths may be patterns; missing ones are skipped.
"""

from __future__ import annotations

from dataclasses import dataclass

CONFINED = "; if the confinement is the reason, confine: false helps"
"""Appended to an error that may be caused by the confinement."""


@dataclass(frozen=True, slots=True)
class Needs:
    """reads: files, and folders with everything below. lists: folders to list, without their
    content. devices: nodes to read, write and control. network: TCP and UDP. unix_sockets:
    connections to local programs. udev: events of devices. programs: may start programs.
    prepared_by: a command to run before confinement. certain: False if libraries that were not
    tested may need more.
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
