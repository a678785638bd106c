"""TLS with real certificates, made by the OpenSSL command."""

from __future__ import annotations

import http.client
import os
import shutil
import socket
import ssl
import subprocess
import threading
from contextlib import closing, suppress
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.web.options import HttpConfig, Tls
from edged.web.password import new_token, token_hash
from edged.web.server import HttpServer
from edged.web.tls import server_context
from tests.rig.camera import wait_until
from tests.rig.live import ShownCamera, endpoints_of, live_of
from tests.rig.results import make_result

pytestmark = pytest.mark.skipif(shutil.which("openssl") is None, reason="needs openssl")


def certificate(folder: Path, name: str) -> Tls:
    tls = Tls(folder / f"{name}.pem", folder / f"{name}.key")
    subprocess.run(
        [
            *("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"),
            *(
                "-nodes",
                "-days",
                "1",
                "-subj",
                f"/CN={name}",
                "-addext",
                "subjectAltName=IP:127.0.0.1",
            ),
            *("-keyout", str(tls.key), "-out", str(tls.certificate)),
        ],
        check=True,
        capture_output=True,
    )
    return tls


def get(server: HttpServer, trusted: Path, token: str = "") -> int:
    context = ssl.create_default_context(cafile=str(trusted))
    with closing(
        http.client.HTTPSConnection("127.0.0.1", server.port, timeout=30, context=context)
    ) as connection:
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        connection.request("GET", "/healthz", headers=headers)
        response = connection.getresponse()
        response.read()
        return response.status


def test_answers_over_tls_and_to_nobody_else(tmp_path: Path) -> None:
    tls, token = certificate(tmp_path, "one"), new_token()
    config = HttpConfig("127.0.0.1", 0, token_hashes=(token_hash(token),), tls=tls)
    with HttpServer(config, endpoints_of()) as server:
        assert server.url == f"https://127.0.0.1:{server.port}"
        assert get(server, tls.certificate, token) == 200
        assert get(server, tls.certificate) == 401
        with socket.create_connection(("127.0.0.1", server.port), timeout=30) as plain:
            plain.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
            with suppress(ConnectionResetError):
                assert b"200" not in plain.recv(4096)
        assert get(server, tls.certificate, token) == 200


def test_plain_http_is_told_so(tmp_path: Path) -> None:
    with (
        HttpServer(
            HttpConfig("127.0.0.1", 0, tls=certificate(tmp_path, "one")), endpoints_of()
        ) as server,
        closing(http.client.HTTPConnection("127.0.0.1", server.port, timeout=30)) as connection,
    ):
        connection.request("GET", "/metrics", headers={"Cookie": "x" * 900})
        response = connection.getresponse()
        assert response.status == 400
        assert response.read() == b"This port speaks TLS: write https://.\n"


def test_an_answer_ends_as_tls_says(tmp_path: Path) -> None:
    """Else a client could not tell the end from an attacker's cut."""
    tls = certificate(tmp_path, "one")
    context = ssl.create_default_context(cafile=str(tls.certificate))
    with (
        HttpServer(HttpConfig("127.0.0.1", 0, tls=tls), endpoints_of()) as server,
        socket.create_connection(("127.0.0.1", server.port), timeout=30) as raw,
        context.wrap_socket(raw, server_hostname="127.0.0.1", suppress_ragged_eofs=False) as client,
    ):
        client.sendall(b"GET /healthz HTTP/1.1\r\n\r\n")
        received = b""
        while more := client.recv(4096):
            received += more
    assert received.startswith(b"HTTP/1.1 200 ") and received.endswith(b"}\n")


def test_who_does_not_shake_hands_holds_nobody_up(tmp_path: Path) -> None:
    tls = certificate(tmp_path, "one")
    config = HttpConfig("127.0.0.1", 0, tls=tls)
    with (
        HttpServer(config, endpoints_of(), connections=4, connection_seconds=60) as server,
        closing(_silent(server, 20)),
    ):
        assert get(server, tls.certificate) == 200


@pytest.mark.timeout(120)
def test_a_stream_that_nobody_reads_ends_though_buffers_hold_it(tmp_path: Path) -> None:
    tls, live = certificate(tmp_path, "one"), live_of(ShownCamera("door"))
    config = HttpConfig("127.0.0.1", 0, tls=tls)
    context = ssl.create_default_context(cafile=str(tls.certificate))
    with (
        HttpServer(config, endpoints_of(live=live), connection_seconds=0.5) as server,
        socket.socket() as plain,
    ):
        before = len(threading.enumerate())
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 2048)
        plain.settimeout(10)
        plain.connect(("127.0.0.1", server.port))
        with context.wrap_socket(plain, server_hostname="127.0.0.1") as client:
            client.sendall(b"GET /api/v1/results HTTP/1.1\r\n\r\n")
            client.recv(10)
            for sequence in range(50):  # more than its machine takes, much less than ours holds
                live.observe(make_result(sequence=sequence))
            assert wait_until(lambda: len(threading.enumerate()) <= before, seconds=60)


class _silent:  # noqa: N801
    def __init__(self, server: HttpServer, count: int) -> None:
        self._clients = [
            socket.create_connection(("127.0.0.1", server.port), timeout=30) for _ in range(count)
        ]

    def close(self) -> None:
        for client in self._clients:
            client.close()


def test_a_renewed_certificate_is_shown_and_a_bad_one_is_not(tmp_path: Path) -> None:
    tls, new = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    old_one = tmp_path / "old.pem"
    old_one.write_bytes(tls.certificate.read_bytes())
    with HttpServer(HttpConfig("127.0.0.1", 0, tls=tls), endpoints_of()) as server:
        server.renew()
        assert get(server, old_one) == 200
        tls.certificate.write_bytes(new.certificate.read_bytes())
        with pytest.raises(EdgedError, match="certificate and key do not match"):
            server.renew()
        assert get(server, old_one) == 200
        tls.key.write_bytes(new.key.read_bytes())
        server.renew()
        assert get(server, new.certificate) == 200
        with pytest.raises(ssl.SSLError):
            get(server, old_one)


def test_files_that_cannot_be_used(tmp_path: Path) -> None:
    good, other = certificate(tmp_path, "one"), certificate(tmp_path, "two")
    empty, locked, pipe = tmp_path / "empty", tmp_path / "locked.key", tmp_path / "pipe"
    empty.touch()
    os.mkfifo(pipe)
    subprocess.run(
        ["openssl", "ec", "-aes256", "-passout", "pass:geheim", "-in", good.key, "-out", locked],
        check=True,
        capture_output=True,
    )
    for tls, said in (
        (Tls(tmp_path / "none.pem", good.key), "none.pem: cannot be read"),
        (Tls(good.certificate, tmp_path / "none.key"), "none.key: cannot be read"),
        (Tls(tmp_path, good.key), "cannot be read"),
        (Tls(pipe, good.key), "pipe: cannot be read"),  # not waited for
        (Tls(good.certificate, other.key), "do not match"),
        (Tls(good.certificate, locked), "a key without a password"),
        (Tls(empty, good.key), "cannot load"),
        (Tls(good.certificate, empty), "cannot load"),
    ):
        with pytest.raises(EdgedError, match=said):
            server_context(tls)
