"""Addresses of network cameras: syntax, and needs of their children."""

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
"""Names of users, not hosts: `rtsp://admin:1234` lacks the host."""
_ESCAPES = "write %2F for /, %3F for ?, %23 for #, %40 for @"


def check(text: str) -> None:
    rest = text.partition("://")[2]
    if re.search(r"\s", rest):
        raise InputError("a URL cannot contain spaces", fix="write %20 for a space")
    authority = re.split(r"[/?#]", rest, maxsplit=1)[0]
    _, at, host_and_port = authority.rpartition("@")
    good = re.fullmatch(
        r"(\[[0-9a-f:.%]+\]|[^:\[\]@]+)(:\d{1,5})?", host_and_port, re.IGNORECASE | re.DOTALL
    )
    beyond = rest[len(authority) :]
    if "@" in beyond and (not good or at or _is_login(good, beyond)):
        raise InputError("user name and password cannot contain / ? or #", fix=_ESCAPES)
    if not good or (not at and good[2] and good[1].lower() in _USERS):
        raise InputError(
            "URL without a host, or with an invalid port",
            fix=f"{HOW}; put it in quotes if it contains a space, a comma or #",
        )
    if "#" in beyond:
        fix = "write %23 for # in a password or path"
        raise InputError("the part of a URL after # is not sent to the camera", fix=fix)
    if re.fullmatch(_PAGES, good[1], re.IGNORECASE):
        fix = "use a video file, or a camera's own stream"
        raise InputError("a web page with a video is not a stream", fix=fix)
    check_host(good[1])
    if good[2] and not 0 < int(good[2][1:]) < 65536:
        raise InputError("expected a port from 1 to 65535")


def _is_login(host_and_port: re.Match[str], beyond: str) -> bool:
    """Whether `user:12/34@host` probably is a login, although `user:12` could be host and port."""
    host, port = host_and_port.groups()
    if port is None:
        return False
    after = re.split(r"[/?#:]", beyond.rpartition("@")[2], maxsplit=1)[0]
    return beyond[0] == "#" or not _is_host(host) or _is_address(after)


def _is_host(text: str) -> bool:
    """Whether it certainly is a host; a word without a dot may be a user."""
    return "." in text or text.startswith("[") or text.lower() == "localhost"


def _is_address(text: str) -> bool:
    try:
        return bool(ip_address(text))
    except ValueError:
        return False


def needs(source: str) -> Needs:
    """Avahi, which resolves .local names, listens on a Unix socket."""
    try:
        host = urlsplit(source).hostname or ""
    except ValueError:  # reported by the source
        host = ""
    return Needs(network=True, unix_sockets=host.rstrip(".").endswith(".local"))
