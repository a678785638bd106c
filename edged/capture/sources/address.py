"""Addresses of cameras in a network: how they are written, and what their children may reach."""

from __future__ import annotations

import re
from ipaddress import ip_address
from urllib.parse import urlsplit

from edged.capture.confinement.needs import Needs
from edged.document.hosts import check_host
from edged.errors import InputError

HOW = "write rtsp://user:password@host:554/path"
_PAGES = r"(?:www\.|m\.)?(?:youtube\.com|youtu\.be|twitch\.tv|vimeo\.com)"
_USERS = ("admin", "administrator", "guest", "operator", "root", "user", "viewer")
"""No camera is called so: in `rtsp://admin:1234` the host is missing."""
_ESCAPES = "write %2F for /, %3F for ?, %23 for #, %40 for @"


def check(text: str) -> None:
    rest = text.partition("://")[2]
    if re.search(r"\s", rest):
        raise InputError("a URL has no blanks", fix="write %20 for a blank")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, at, host_and_port = authority.rpartition("@")
    good = re.fullmatch(
        r"(\[[0-9a-f:.%]+\]|[^:\[\]@]+)(:\d{1,5})?", host_and_port, re.IGNORECASE | re.DOTALL
    )
    beyond = rest[len(authority) :]
    if "@" in beyond and (not good or at or _is_login(good, beyond)):
        raise InputError("no / ? or # may stand in a user name or password", fix=_ESCAPES)
    if not good or (not at and good[2] and good[1].lower() in _USERS):
        raise InputError(
            "a URL without a host, or with a port that is no number",
            fix=f"{HOW}; the whole in quotes where a blank, a comma or # stands in it",
        )
    if "#" in beyond:
        fix = "write %23 for # in a password or path"
        raise InputError("what follows # in a URL is sent to no camera", fix=fix)
    if re.fullmatch(_PAGES, good[1], re.IGNORECASE):
        fix = "name a video file, or a camera's own stream"
        raise InputError("a page that shows a video is no stream", fix=fix)
    check_host(good[1])
    if good[2] and not 0 < int(good[2][1:]) < 65536:
        raise InputError("a port is a number from 1 to 65535")


def _is_login(host_and_port: re.Match[str], beyond: str) -> bool:
    """Whether `user:12/34@host` was meant, where `user` could be a host and `12` its port."""
    host, port = host_and_port.groups()
    if port is None:
        return False
    after = re.split(r"[/?#:]", beyond.rpartition("@")[2], maxsplit=1)[0]
    return beyond[0] == "#" or not _is_host(host) or _is_address(after)


def _is_host(text: str) -> bool:
    """Whether it is one for certain: what has no dot may be a user."""
    return "." in text or text.startswith("[") or text.lower() == "localhost"


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def needs(source: str) -> Needs:
    """Names that end in .local are asked of Avahi, which listens on a Unix socket."""
    try:
        host = urlsplit(source).hostname or ""
    except ValueError:  # the source says so in better words
        host = ""
    return Needs(network=True, unix_sockets=host.rstrip(".").endswith(".local"))
