"""Which user holds the other end of a connection: with real sockets, and with tables of files."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest

from edged.web.answer import End
from edged.web.changes.peer import is_loopback, is_service, user_of
from tests.rig.waiting import eventually

CLIENT, SERVER = End("127.0.0.1", 0xA001), End("127.0.0.1", 9640)
HEAD = "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout"


def row(local: str, remote: str, uid: int, inode: int = 77, state: str = "01") -> str:
    return (
        f"   0: {local} {remote} {state} 00000000:00000000 00:00000000 00000000 {uid} 0 {inode} 1"
    )


def proc(folder: Path, *rows: str, tcp6: tuple[str, ...] = ()) -> Path:
    (folder / "self/net").mkdir(parents=True, exist_ok=True)
    (folder / "self/net/tcp").write_text("\n".join((HEAD, *rows)) + "\n")
    (folder / "self/net/tcp6").write_text("\n".join((HEAD, *tcp6)) + "\n")
    return folder


@contextmanager
def connected(
    listen: str, connect: str, family: socket.AddressFamily
) -> Iterator[tuple[socket.socket, End, End]]:
    """(the client, its end, the server's end), as the server has them."""
    both = listen == "::"
    inner = socket.AF_INET6 if ":" in listen else socket.AF_INET
    with ExitStack() as closing:
        try:
            listening = socket.create_server((listen, 0), family=inner, dualstack_ipv6=both)
        except OSError:
            pytest.skip("this machine has no IPv6")
        closing.enter_context(listening)
        client = closing.enter_context(socket.socket(family))
        client.connect((connect, listening.getsockname()[1]))
        accepted, address = listening.accept()
        closing.enter_context(accepted)
        yield client, End(*address[:2]), End(*accepted.getsockname()[:2])


@pytest.mark.parametrize(
    ("listen", "connect", "family"),
    [
        ("127.0.0.1", "127.0.0.1", socket.AF_INET),
        ("0.0.0.0", "127.0.0.3", socket.AF_INET),
        ("::1", "::1", socket.AF_INET6),
        ("::", "127.0.0.1", socket.AF_INET),
        ("::", "::ffff:127.0.0.1", socket.AF_INET6),
        ("127.0.0.1", "::ffff:127.0.0.1", socket.AF_INET6),
    ],
)
def test_the_user_of_a_real_connection(
    listen: str, connect: str, family: socket.AddressFamily
) -> None:
    with connected(listen, connect, family) as (client, peer, server):
        assert is_loopback(peer.address)
        assert user_of(peer, server) == os.getuid()
        assert user_of(peer, server._replace(port=server.port ^ 1)) is None
        client.sendall(b"x")
        client.close()  # the kernel now says that root had it
        eventually(lambda: user_of(peer, server) is None)


def test_the_row_of_the_clients_end_counts(tmp_path: Path) -> None:
    ours, theirs = "0100007F:25A8", "0100007F:A001"
    rows = (
        row("0100007F:25A8", "00000000:0000", 990, state="0A"),
        row(ours, theirs, 990),
        row("0100007F:A002", ours, 990),
        row("0200007F:A001", ours, 990),
        row(theirs, ours, 1000),
    )
    assert user_of(CLIENT, SERVER, proc(tmp_path, *rows)) == 1000
    assert user_of(CLIENT, SERVER, proc(tmp_path, *rows[:-1])) is None
    assert user_of(CLIENT, SERVER, proc(tmp_path, row(theirs, ours, 0))) == 0
    assert user_of(CLIENT, SERVER, proc(tmp_path, row(theirs, ours, 0, 0, "05"))) is None
    both = row(theirs, ours, 1000), row(theirs, ours, 990)
    assert user_of(CLIENT, SERVER, proc(tmp_path, *both)) is None
    assert user_of(CLIENT, SERVER, tmp_path / "nothing") is None


def test_an_address_of_ipv4_in_the_table_of_ipv6(tmp_path: Path) -> None:
    mapped = "0000000000000000FFFF0000"
    there = row(f"{mapped}0100007F:A001", f"{mapped}0100007F:25A8", 1000)
    folder = proc(tmp_path, tcp6=(there,))
    assert user_of(CLIENT, SERVER, folder) == 1000
    assert user_of(End("::ffff:127.0.0.1", CLIENT.port), SERVER, folder) == 1000
    one = "00000000000000000000000001000000"
    folder = proc(tmp_path, tcp6=(row(f"{one}:A001", f"{one}:25A8", 1000),))
    assert user_of(CLIENT, SERVER, folder) is None
    assert user_of(End("::1", CLIENT.port), End("::1", SERVER.port), folder) == 1000


@pytest.mark.parametrize(
    ("address", "is_it"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("::ffff:127.0.0.1", True),
        ("192.0.2.7", False),
        ("::ffff:192.0.2.7", False),
        ("fe80::1%eth0", False),
        ("", False),
    ],
)
def test_loopback_addresses(address: str, is_it: bool) -> None:
    assert is_loopback(address) is is_it


def test_a_terminal_that_inherits_an_invocation_is_no_service(tmp_path: Path) -> None:
    (tmp_path / "self").mkdir()
    environ = {"INVOCATION_ID": "0123456789abcdef"}
    assert is_service(environ, tmp_path)
    assert not is_service({}, tmp_path)
    assert is_service({"EDGED_CONTAINER": "1"}, tmp_path)
    groups = tmp_path / "self/cgroup"
    groups.write_text("0::/system.slice/edged.service\n")
    assert is_service(environ, tmp_path)
    groups.write_text("0::/user.slice/user-1000.slice/user@1000.service/app.slice/vte-1.scope\n")
    assert not is_service(environ, tmp_path)
