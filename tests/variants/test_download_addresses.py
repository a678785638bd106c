"""Where a download goes: redirects, credentials, proxies, certificates."""

from __future__ import annotations

import base64
import os
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.errors import EdgedError, InputError
from edged.variants.weights.download import check_url, download
from edged.variants.weights.http_client import RetryPolicy
from tests.rig.downloads import CONTENT, MOST_BYTES, NAME, left, url
from tests.rig.ports import free_port
from tests.rig.weight_server import WeightServer, cut, redirect, status, weight_server

# ----------------------------------------------------------------------------------- where it goes


def test_a_redirect_is_followed(server: WeightServer, target: Path, policy: RetryPolicy) -> None:
    server.files["moved"] = b"elsewhere"
    server.troubles[NAME] = [redirect(f"{server.url}/moved")]
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == b"elsewhere"


def test_a_redirect_in_a_circle(server: WeightServer, target: Path, policy: RetryPolicy) -> None:
    server.troubles[NAME] = [redirect(url(server))] * 20
    with pytest.raises(EdgedError, match="the server redirects in a circle"):
        download(url(server), target, MOST_BYTES, policy)


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_to_another_protocol_is_refused(
    server: WeightServer, target: Path, policy: RetryPolicy, place: str
) -> None:
    server.troubles[NAME] = [redirect(place)]
    with pytest.raises(EdgedError, match="the server redirects"):
        download(url(server), target, MOST_BYTES, policy)
    assert left(target) == set()


def test_credentials_are_sent_where_they_belong_and_never_shown(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    server.password = "Basic " + base64.b64encode(b"ann:s3cret/").decode()
    address = url(server).replace("//", "//ann:s3cret%2F@")
    notes: list[str] = []
    server.troubles[NAME] = [cut(1000), status(503)]
    download(address, target, MOST_BYTES, policy, note=notes.append)
    assert target.read_bytes() == CONTENT
    server.troubles[NAME] = [status(404)]
    with pytest.raises(EdgedError) as raised:
        download(address, target, MOST_BYTES, policy)
    for text in (*notes, str(raised.value)):
        assert "127.0.0.1" in text
        assert "s3cret" not in text


def test_credentials_do_not_follow_a_redirect(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    with weight_server({NAME: CONTENT}) as other:
        other.password = "Basic " + base64.b64encode(b"ann:s3cret").decode()
        server.troubles[NAME] = [redirect(url(other))]
        with pytest.raises(EdgedError, match="HTTP 401"):
            download(url(server).replace("//", "//ann:s3cret@"), target, MOST_BYTES, policy)


def test_nobody_listens(target: Path, policy: RetryPolicy, pauses: list[float]) -> None:
    with pytest.raises(EdgedError, match="Connection refused"):
        download(f"http://127.0.0.1:{free_port()}/x", target, MOST_BYTES, policy)
    assert pauses == []


def test_no_such_host(target: Path, policy: RetryPolicy) -> None:
    with pytest.raises(EdgedError, match=r"host\.invalid/x: download failed: host not"):
        download("http://host.invalid/x", target, MOST_BYTES, policy)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "weights",
        "ftp://host/x",
        "file:///etc/passwd",
        "http://",
        "http://host:port/",
        "http://a b/",
    ],
)
def test_what_is_no_address(address: str) -> None:
    with pytest.raises(InputError, match="not an http or https address"):
        check_url(address)


def test_a_proxy_of_the_environment_is_used(server: WeightServer, target: Path) -> None:
    """A proxy gets the whole address as its path."""
    program = (
        "import sys; from pathlib import Path; from edged.variants.weights.download"
        " import download;"
        f"download('http://host.invalid/{NAME}', Path(sys.argv[1]), {MOST_BYTES})"
    )
    environment = {**os.environ, "http_proxy": f"http://127.0.0.1:{server.port}"}
    environment.pop("no_proxy", None)
    subprocess.run([sys.executable, "-c", program, target], env=environment, check=True)
    assert target.read_bytes() == CONTENT


@pytest.fixture
def encrypted(tmp_path: Path) -> Iterator[tuple[WeightServer, str, Path]]:
    """A server that speaks TLS, the file's address there, and its certificate."""
    if shutil.which("openssl") is None:
        pytest.skip("needs the openssl command to make a certificate")
    certificate, key = tmp_path / "cert.pem", tmp_path / "key.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=edged"]
    names = ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", key, "-out", certificate]
    subprocess.run([*command, *names], check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with weight_server({NAME: CONTENT}) as server:
        server.http.socket = context.wrap_socket(server.http.socket, server_side=True)
        server.http.handle_error = lambda *_: None  # type: ignore[method-assign]
        yield server, url(server).replace("http:", "https:"), certificate


def test_an_unknown_certificate_is_refused(
    encrypted: tuple[WeightServer, str, Path], target: Path, policy: RetryPolicy
) -> None:
    _, address, _ = encrypted
    with pytest.raises(EdgedError, match="the server's certificate is not trusted"):
        download(address, target, MOST_BYTES, policy)


def test_a_redirect_does_not_lead_out_of_an_encrypted_connection(
    encrypted: tuple[WeightServer, str, Path],
    server: WeightServer,
    target: Path,
    policy: RetryPolicy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secure, address, certificate = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure.troubles[NAME] = [redirect(url(server))]
    with pytest.raises(EdgedError, match="redirects to an unencrypted address"):
        download(address, target, MOST_BYTES, policy)
    assert server.requests == []
    download(address, target, MOST_BYTES, policy)
    assert target.read_bytes() == CONTENT
