"""The HTTP server, given anything."""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from tests.rig.damage import MANY, fuzz
from tests.rig.live import ShownCamera, endpoints_of, live_of

pytestmark = pytest.mark.timeout(3600 if MANY else 120)

_REQUESTS = (
    b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n",
    b"GET /metrics?name=x HTTP/1.1\r\nHost: 127.0.0.1\r\nAccept-Encoding: gzip\r\n\r\n",
    b"GET /api/v1/cameras/door/history?seconds=60 HTTP/1.1\r\nAuthorization: Basic YTpi\r\n\r\n",
    b"HEAD /api/v1/status HTTP/1.0\r\nRange: bytes=0-1\r\nConnection: keep-alive, TE\r\n\r\n",
    b"POST /healthz HTTP/1.1\r\nContent-Length: 5\r\nExpect: 100-continue\r\n\r\nhello",
    b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n0\r\n\r\n",
    b"GET http://localhost:80/readyz HTTP/1.1\r\nHost: x\r\nHost: y\r\nUpgrade: h2c\r\n\r\n",
    b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
)
_HTTP_PIECES = st.sampled_from(
    (
        *(
            b"\r\n",
            b"\n",
            b"\r",
            b"\r\n\r\n",
            b"\x00",
            b" ",
            b"\t",
            b":",
            b"\xff\xfe",
            b"/../",
            b"%00",
        ),
        *(
            b"%",
            b"%zz",
            b"?",
            b"?" + b"a=b&" * 40,
            b"#",
            b"//",
            b"[::1",
            b"@",
            b"\r\n folded",
            b"\x80",
        ),
        *(b"HTTP/0.9", b"HTTP/1.2", b"HTTP/9", b"CONNECT ", b"Content-Length: -1\r\n", b"y" * 9000),
        *(
            b"Content-Length: 99999999999999999999\r\n",
            b"Transfer-Encoding: chunked\r\n",
            b"X: y\r\n" * 99,
        ),
    )
)
_HTTP_EDITS = st.lists(
    st.tuples(
        st.integers(0, 160), st.integers(0, 12), st.one_of(_HTTP_PIECES, st.binary(max_size=6))
    ),
    max_size=4,
)


@pytest.fixture(scope="module")
def server() -> Iterator[HttpServer]:
    with HttpServer(
        HttpConfig("127.0.0.1", 0), endpoints_of(live=live_of(ShownCamera("door")))
    ) as server:
        yield server


@settings(fuzz, max_examples=MANY // 4 or 300)
@given(st.sampled_from(_REQUESTS), _HTTP_EDITS)
def test_any_request_gets_a_status_line_and_the_next_client_its_answer(
    outcomes: Callable[[str, str], None],
    server: HttpServer,
    whole: bytes,
    edits: list[tuple[int, int, bytes]],
) -> None:
    data = whole
    for place, length, piece in edits:
        begin = place % (len(data) + 1)
        data = data[:begin] + piece + data[begin + length :]
    answer = said(server, data).removeprefix(b"HTTP/1.1 100 Continue\r\n\r\n")
    outcomes("http", answer[9:12].decode() or "nothing")
    if answer:
        head = answer.partition(b"\r\n\r\n")[0]
        assert re.fullmatch(rb"HTTP/1\.1 [2345]\d\d [A-Za-z -]+", head.partition(b"\r\n")[0])
        assert not answer.startswith(b"HTTP/1.1 5") or answer.startswith(b"HTTP/1.1 505"), data
        assert b"Connection: close" in head
        assert head.count(b"HTTP/1.1") == answer.count(b"HTTP/1.1 ") == 1  # no second answer
    assert said(server, b"GET /healthz HTTP/1.1\r\n\r\n").startswith(b"HTTP/1.1 200 ")


def said(server: HttpServer, data: bytes) -> bytes:
    """All that comes back, when no more comes from here."""
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        try:
            client.sendall(data)
            client.shutdown(socket.SHUT_WR)
        except OSError:  # it has answered already
            pass
        received = b""
        with suppress(ConnectionResetError):
            while more := client.recv(65536):
                received += more
        return received
