"""Which user of this machine holds the other end of a loopback connection."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path
from sys import byteorder

from edged.state import in_container
from edged.web.answer import End

_TABLES = ("tcp", "tcp6")
PROC = Path("/proc")


def user_of(client: End, server: End, proc: Path = PROC) -> int | None:
    """The user id of the process that opened the connection's client end.

    None if that is not certain. A process that has sent its request may close its end before it is
    looked for; the kernel then states user 0 and inode 0.
    """
    ends = _plain(client), _plain(server)
    ports = tuple(f":{end.port:04X}" for end in ends)
    users = set()
    for local, remote, uid, inode in _rows(proc):
        if (local[-5:], remote[-5:]) == ports and (_end(local), _end(remote)) == ends:
            users.add(uid if int(inode) else None)
    found = users.pop() if len(users) == 1 else None
    return None if found is None else int(found)


def is_same(address: str, other: str) -> bool:
    """other: an address. False for what is none."""
    try:
        return _address(address) == _address(other)
    except ValueError:
        return False


def is_loopback(address: str) -> bool:
    try:
        return _address(address).is_loopback
    except ValueError:
        return False


def is_service(environ: Mapping[str, str], proc: Path = PROC) -> bool:
    """Whether this process has a user to itself: systemd started it as a service, or it runs in
    the container image. A terminal may inherit INVOCATION_ID, but is in a scope."""
    if in_container(environ):
        return True
    if "INVOCATION_ID" not in environ:
        return False
    try:
        groups = (proc / "self/cgroup").read_text().splitlines()
    except OSError:
        return True
    return not any(group.endswith(".scope") for group in groups)


def _rows(proc: Path) -> Iterator[tuple[str, str, str, str]]:
    """(local address, remote address, user id, inode) of each socket, as the kernel writes them."""
    for table in _TABLES:
        try:
            lines = (proc / "self/net" / table).read_text().splitlines()[1:]
        except OSError:  # a kernel without IPv6
            continue
        for line in lines:
            fields = line.split()
            yield fields[1], fields[2], fields[7], fields[9]


def _end(text: str) -> End:
    """From hexadecimal digits: 32-bit words in the machine's byte order, a colon, the port."""
    address, _, port = text.partition(":")
    words = (int(address[at : at + 8], 16) for at in range(0, len(address), 8))
    packed = b"".join(word.to_bytes(4, byteorder) for word in words)
    return _plain(End(str(ip_address(packed)), int(port, 16)))


def _plain(end: End) -> End:
    return End(str(_address(end.address)), end.port)


def _address(text: str) -> IPv4Address | IPv6Address:
    """An IPv4 address also where a socket of IPv6 shows it as ::ffff:127.0.0.1."""
    address = ip_address(text.partition("%")[0])
    return getattr(address, "ipv4_mapped", None) or address
