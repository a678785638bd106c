from __future__ import annotations

import base64
import os
import re
import shutil
import ssl
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.errors import EdgedError, InputError
from edged.variants.weights.download import check_url, download, size_of
from edged.variants.weights.http_client import Patience
from tests.rig.weight_server import (
    Trouble,
    WeightServer,
    chunked,
    claimed,
    cut,
    drip,
    endless,
    free_port,
    garbage,
    gone,
    hold,
    other_range,
    redirect,
    silent,
    status,
    weight_server,
)

CONTENT = bytes(range(256)) * 2000
MOST_BYTES = 1 << 20
NAME = "weights.tgz"


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("no_proxy", "*")


@pytest.fixture
def server() -> Iterator[WeightServer]:
    with weight_server({NAME: CONTENT}) as server:
        yield server


@pytest.fixture
def target(tmp_path: Path) -> Path:
    return tmp_path / NAME


@pytest.fixture
def pauses() -> list[float]:
    """What would have been waited for, in seconds."""
    return []


@pytest.fixture
def patience(pauses: list[float]) -> Patience:
    return Patience(timeout_seconds=60, retries=3, sleep=pauses.append)


def url(server: WeightServer, name: str = NAME) -> str:
    return f"{server.url}/{name}"


def left(target: Path) -> set[str]:
    return {path.name for path in target.parent.iterdir()}


def test_a_file_arrives_whole_and_nothing_is_left(
    server: WeightServer, target: Path, patience: Patience, pauses: list[float]
) -> None:
    seen: list[int] = []
    download(url(server), target, MOST_BYTES, patience, seen.append)
    assert target.read_bytes() == CONTENT
    assert left(target) == {NAME}
    assert seen == sorted(seen)
    assert seen[-1] == len(CONTENT)
    assert (server.gets(), pauses) == ([(NAME, None)], [])


@pytest.mark.parametrize(
    "trouble",
    [
        status(503),
        status(500),
        status(429),
        status(408),
        cut(0),
        cut(0, reset=True),
        gone,
        chunked(b"half", ended=False),
    ],
)
def test_what_may_go_better_is_tried_again(
    server: WeightServer, target: Path, patience: Patience, pauses: list[float], trouble: Trouble
) -> None:
    notes: list[str] = []
    server.troubles[NAME] = [cut(1000), trouble, trouble]
    download(url(server), target, MOST_BYTES, patience, note=notes.append)
    assert target.read_bytes() == CONTENT
    assert left(target) == {NAME}
    assert pauses == [1, 2, 4]
    assert [re.sub(r".*; ", "", note) for note in notes] == [
        "again in 1 s",
        "again in 2 s",
        "again in 4 s",
    ]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (status(404), "HTTP 404 Not Found"),
        (status(403), "HTTP 403 Forbidden"),
        (status(204), "no file came"),
        (garbage, "what it answers is not HTTP"),
        (claimed(MOST_BYTES + 1), "larger than any official one"),
        (chunked(bytes(MOST_BYTES), b"more", ended=True), "larger than any official one"),
    ],
)
def test_what_will_not_go_better_is_told_at_once(
    server: WeightServer,
    target: Path,
    patience: Patience,
    pauses: list[float],
    trouble: Trouble,
    message: str,
) -> None:
    server.troubles[NAME] = [trouble]
    with pytest.raises(EdgedError, match=message) as raised:
        download(url(server), target, MOST_BYTES, patience)
    assert raised.value.where == url(server)
    assert pauses == []
    assert not target.exists()


def test_patience_ends(
    server: WeightServer, target: Path, patience: Patience, pauses: list[float]
) -> None:
    server.troubles[NAME] = [status(503)] * 9
    with pytest.raises(EdgedError, match=r"HTTP 503 Service Unavailable \(4 attempts\)"):
        download(url(server), target, MOST_BYTES, patience)
    assert pauses == [1, 2, 4]
    assert left(target) == set()


def test_an_attempt_that_brought_much_is_no_failure(
    server: WeightServer, target: Path, patience: Patience, pauses: list[float]
) -> None:
    server.files[NAME] = content = os.urandom(12 << 20)
    server.troubles[NAME] = [cut(1 << 20) for _ in range(10)]
    download(url(server), target, len(content), patience)
    assert target.read_bytes() == content
    assert pauses == [1] * 10


def test_what_has_come_is_continued(server: WeightServer, target: Path, patience: Patience) -> None:
    server.troubles[NAME] = [cut(100_000)]
    seen: list[int] = []
    download(url(server), target, MOST_BYTES, patience, seen.append)
    assert target.read_bytes() == CONTENT
    assert server.gets() == [(NAME, None), (NAME, "bytes=100000-")]
    assert seen == sorted(seen)


def test_the_next_call_continues(server: WeightServer, target: Path, patience: Patience) -> None:
    server.troubles[NAME] = [cut(100_000), status(404)]
    with pytest.raises(EdgedError):
        download(url(server), target, MOST_BYTES, patience)
    assert left(target) == {f"{NAME}.part", f"{NAME}.mark"}
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == CONTENT
    assert server.gets()[-1] == (NAME, "bytes=100000-")
    assert left(target) == {NAME}


def broken_off(server: WeightServer, target: Path) -> None:
    server.troubles[NAME] = [cut(100_000), status(404)]
    with pytest.raises(EdgedError):
        download(url(server), target, MOST_BYTES, Patience(pause_seconds=0))
    server.requests.clear()


def test_another_range_than_was_asked_for_begins_again(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    broken_off(server, target)
    server.troubles[NAME] = [other_range]
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == CONTENT
    assert server.gets() == [(NAME, "bytes=100000-"), (NAME, None)]


def test_a_file_that_changed_begins_again(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    broken_off(server, target)
    server.files[NAME] = changed = CONTENT[::-1]
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == changed


def test_a_server_without_ranges_begins_again(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    broken_off(server, target)
    server.ranges = False
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == CONTENT


def test_without_a_name_for_the_content_nothing_is_continued(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    server.etags = False
    broken_off(server, target)
    download(url(server), target, MOST_BYTES, patience)
    assert server.gets() == [(NAME, None)]
    assert target.read_bytes() == CONTENT


def test_a_part_from_elsewhere_is_not_continued(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    broken_off(server, target)
    download(f"{url(server)}?mirror=2", target, MOST_BYTES, patience)
    assert server.gets() == [(NAME, None)]
    assert target.read_bytes() == CONTENT


def test_a_part_that_was_whole_already_ends_well(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    """The process was killed between the last byte and the renaming."""
    broken_off(server, target)
    target.with_name(f"{NAME}.part").write_bytes(CONTENT)
    download(url(server), target, MOST_BYTES, patience)
    assert server.gets() == [(NAME, f"bytes={len(CONTENT)}-"), (NAME, None)]
    assert target.read_bytes() == CONTENT


def test_a_length_nobody_states(server: WeightServer, target: Path, patience: Patience) -> None:
    server.troubles[NAME] = [chunked(b"one", b"two", ended=True)]
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == b"onetwo"


def test_an_empty_file_is_a_file(server: WeightServer, target: Path, patience: Patience) -> None:
    """What it should have held is the caller's business."""
    server.files[NAME] = b""
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == b""
    assert left(target) == {NAME}


@pytest.mark.parametrize("trouble", [silent, hold(1000)])
def test_silence_is_not_waited_for_forever(
    server: WeightServer, target: Path, trouble: Trouble
) -> None:
    server.troubles[NAME] = [trouble, trouble]
    patience = Patience(timeout_seconds=0.2, retries=1, pause_seconds=0)
    with pytest.raises(
        EdgedError, match=r"(nothing came for|less than 4096 bytes came in) 0\.2 s \(2 a"
    ):
        download(url(server), target, MOST_BYTES, patience)


HEADERS = b"HTTP/1.0 200 OK\r\nContent-Length: 500000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("before", [HEADERS, CHUNKED, b"HTTP/1.0 200 OK\r\nX-Name: "])
def test_a_byte_now_and_then_is_not_waited_for_forever(
    server: WeightServer, target: Path, before: bytes
) -> None:
    """In the body, in the length of a chunk, in a header."""
    server.troubles[NAME] = [drip(before), drip(before)]
    patience = Patience(timeout_seconds=0.2, retries=1, pause_seconds=0)
    with pytest.raises(
        EdgedError, match=r"(less than 4096 bytes came in|nothing came for) 0\.2 s \(2 att"
    ):
        download(url(server), target, MOST_BYTES, patience)
    assert len(server.gets()) == 2


def test_a_redirect_that_goes_on_talking_is_not_listened_to(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    location = f"Location: {url(server)}\r\n\r\n".encode()
    server.troubles["old"] = [drip(b"HTTP/1.0 302 Found\r\n" + location)]
    download(url(server, "old"), target, MOST_BYTES, patience)
    assert target.read_bytes() == CONTENT


def test_a_slow_line_is_slow_and_no_more(server: WeightServer, target: Path) -> None:
    server.troubles[NAME] = [drip(b"HTTP/1.0 200 OK\r\nContent-Length: 40\r\n\r\n")]
    download(url(server), target, MOST_BYTES, Patience(timeout_seconds=0.2, least_bytes=3))
    assert target.read_bytes() == b"1" * 40


def test_nothing_is_left_of_a_file_without_an_end(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    server.troubles[NAME] = [endless]
    with pytest.raises(EdgedError, match=r"larger than any official one .*over 1048576 bytes"):
        download(url(server), target, MOST_BYTES, patience)
    assert left(target) == set()


# ------------------------------------------------------------------------------------------- sizes


def test_the_size_is_asked_for_without_the_file(server: WeightServer, patience: Patience) -> None:
    assert size_of(url(server), patience) == len(CONTENT)
    assert server.gets() == []


def test_a_size_nobody_tells(server: WeightServer, patience: Patience) -> None:
    server.sized = False
    assert size_of(url(server), patience) is None
    server.heads = False
    assert size_of(url(server), patience) is None


def test_a_file_that_is_not_there_has_no_size(server: WeightServer, patience: Patience) -> None:
    with pytest.raises(EdgedError, match="HTTP 404"):
        size_of(url(server, "absent"), patience)


# ----------------------------------------------------------------------------------- where it goes


def test_a_redirect_is_followed(server: WeightServer, target: Path, patience: Patience) -> None:
    server.files["moved"] = b"elsewhere"
    server.troubles[NAME] = [redirect(f"{server.url}/moved")]
    download(url(server), target, MOST_BYTES, patience)
    assert target.read_bytes() == b"elsewhere"


def test_a_redirect_in_a_circle(server: WeightServer, target: Path, patience: Patience) -> None:
    server.troubles[NAME] = [redirect(url(server))] * 20
    with pytest.raises(EdgedError, match="it redirects in a circle"):
        download(url(server), target, MOST_BYTES, patience)


@pytest.mark.parametrize("place", ["ftp://127.0.0.1/x", "file:///etc/passwd"])
def test_a_redirect_to_another_protocol_is_refused(
    server: WeightServer, target: Path, patience: Patience, place: str
) -> None:
    server.troubles[NAME] = [redirect(place)]
    with pytest.raises(EdgedError, match="it redirects"):
        download(url(server), target, MOST_BYTES, patience)
    assert left(target) == set()


def test_credentials_are_sent_where_they_belong_and_never_shown(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    server.password = "Basic " + base64.b64encode(b"ann:s3cret/").decode()
    address = url(server).replace("//", "//ann:s3cret%2F@")
    notes: list[str] = []
    server.troubles[NAME] = [cut(1000), status(503)]
    download(address, target, MOST_BYTES, patience, note=notes.append)
    assert target.read_bytes() == CONTENT
    server.troubles[NAME] = [status(404)]
    with pytest.raises(EdgedError) as raised:
        download(address, target, MOST_BYTES, patience)
    for text in (*notes, str(raised.value)):
        assert "127.0.0.1" in text
        assert "s3cret" not in text


def test_credentials_do_not_follow_a_redirect(
    server: WeightServer, target: Path, patience: Patience
) -> None:
    with weight_server({NAME: CONTENT}) as other:
        other.password = "Basic " + base64.b64encode(b"ann:s3cret").decode()
        server.troubles[NAME] = [redirect(url(other))]
        with pytest.raises(EdgedError, match="HTTP 401"):
            download(url(server).replace("//", "//ann:s3cret@"), target, MOST_BYTES, patience)


def test_nobody_listens(target: Path, patience: Patience, pauses: list[float]) -> None:
    with pytest.raises(EdgedError, match="Connection refused"):
        download(f"http://127.0.0.1:{free_port()}/x", target, MOST_BYTES, patience)
    assert pauses == []


def test_no_such_host(target: Path, patience: Patience) -> None:
    with pytest.raises(EdgedError, match=r"host\.invalid/x: cannot be downloaded: the host is not"):
        download("http://host.invalid/x", target, MOST_BYTES, patience)


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
    encrypted: tuple[WeightServer, str, Path], target: Path, patience: Patience
) -> None:
    _, address, _ = encrypted
    with pytest.raises(EdgedError, match="its certificate is not trusted"):
        download(address, target, MOST_BYTES, patience)


def test_a_redirect_does_not_lead_out_of_an_encrypted_connection(
    encrypted: tuple[WeightServer, str, Path],
    server: WeightServer,
    target: Path,
    patience: Patience,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    secure, address, certificate = encrypted
    monkeypatch.setenv("SSL_CERT_FILE", str(certificate))
    secure.troubles[NAME] = [redirect(url(server))]
    with pytest.raises(EdgedError, match="redirects to where nothing is encrypted"):
        download(address, target, MOST_BYTES, patience)
    assert server.requests == []
    download(address, target, MOST_BYTES, patience)
    assert target.read_bytes() == CONTENT


# ---------------------------------------------------------------------------------------- the disk


def test_a_disk_that_fills_keeps_what_has_come(server: WeightServer, tmp_path: Path) -> None:
    target = tmp_path / NAME
    program = (
        "import resource, sys; from pathlib import Path;"
        "from edged.errors import EdgedError; from edged.variants.weights.download"
        " import download;"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (200_000, resource.RLIM_INFINITY))\n"
        f"try: download({url(server)!r}, Path(sys.argv[1]), {MOST_BYTES})\n"
        "except EdgedError as error: sys.exit(str(error))"
    )
    done = subprocess.run([sys.executable, "-c", program, target], capture_output=True, text=True)
    assert "weights.tgz.part: cannot be written (got File too large)" in done.stderr
    assert "the same command continues" in done.stderr
    assert "Traceback" not in done.stderr
    assert left(target) == {f"{NAME}.part", f"{NAME}.mark"}
    server.requests.clear()
    download(url(server), target, MOST_BYTES)
    assert target.read_bytes() == CONTENT
    assert server.gets()[0][1] is not None  # it was continued


def test_a_folder_that_is_not_there(server: WeightServer, tmp_path: Path) -> None:
    with pytest.raises(EdgedError, match=r"cannot be written \(got No such file"):
        download(url(server), tmp_path / "absent" / NAME, MOST_BYTES)
