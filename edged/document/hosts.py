"""Host names in the configuration."""

from __future__ import annotations

from ipaddress import ip_address

from edged.errors import InputError

AUTHORITY = r"(?P<host>\[[0-9a-fA-F:.]+\]|[\w.-]+)(:(?P<port>\d{1,5}))?"
"""Pattern of host and port in a URL without a login."""


def check_host(host: str) -> None:
    """Raises InputError for a name that no resolver accepts. Addresses pass."""
    try:
        host.encode("idna")  # as the resolver does
    except UnicodeError:
        raise InputError(
            "expected a host name", got=repr(host), fix="each part has 1 to 63 characters"
        ) from None


def is_loopback(host: str) -> bool:
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"
