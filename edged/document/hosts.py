"""Names of hosts, wherever the configuration has one."""

from __future__ import annotations

from edged.errors import InputError


def check_host(host: str) -> None:
    """Raises InputError for a name that could not even be asked for. Addresses pass."""
    try:
        host.encode("idna")  # as the resolver does
    except UnicodeError:
        raise InputError(
            "expected a host name", got=repr(host), fix="its parts have 1 to 63 characters each"
        ) from None
