"""Logins, redirections and cookies as cameras ask for them, and that no message shows a secret."""

from __future__ import annotations

import base64
import re
import ssl
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.capture.source import Failure, SourceError
from edged.capture.sources.http.client import HttpCamera
from tests.rig.certificates import Authority
from tests.rig.http_camera import MIXED, Asked, Opened, answer, part, scripted
from tests.rig.pictures import encoded

RED = encoded(48, 64)
LOGIN = "vie%20wer:geh%3Aeim@"
BASIC = "Basic " + base64.b64encode(b"vie wer:geh:eim").decode()
Write = Callable[[bytes], None]


def refused(*headers: str, status: str = "401 Unauthorized") -> bytes:
    return answer(b"no", "text/html", *headers, status=status)


def failure(url: str, pictures: int = 0) -> SourceError:
    with pytest.raises(SourceError) as caught, Opened(url) as opened:
        opened.colours(pictures)
    return caught.value


@pytest.mark.parametrize(
    "challenge",
    [
        'Basic realm="camera"',
        'Basic realm="a, camera", Digest realm="x", nonce="y", algorithm=SHA-512-256',
        'Negotiate, NTLM, Basic realm="camera"',
        'BASIC Realm = "camera", charset="UTF-8"',
        "Basic realm=IP Camera",
        "Basic",
    ],
)
def test_basic_is_found_among_what_a_camera_offers(challenge: str) -> None:
    def script(asked: Asked, write: Write) -> None:
        right = asked.headers.get("Authorization") == BASIC
        write(answer(RED) if right else refused(f"WWW-Authenticate: {challenge}"))

    with scripted(script) as camera, Opened(camera.url("/", LOGIN)) as opened:
        assert opened.colours(1) == "r"


def test_what_a_refusal_says_is_what_happened() -> None:
    basic, unknown = 'WWW-Authenticate: Basic realm="x"', "WWW-Authenticate: Negotiate"

    def script(asked: Asked, write: Write) -> None:
        write(
            {
                "/basic": refused(basic),
                "/unknown": refused(unknown, 'WWW-Authenticate: Digest realm="\x1b[31m"'),
                "/nothing": refused(),
                "/forbidden": refused(status="403 Forbidden"),
                "/locked": refused(status="403 Forbidden")
                if "Authorization" in asked.headers
                else refused(basic),
                "/elsewhere": refused(
                    f"Location: http://localhost:{camera.port}/basic", status="302 Found"
                ),
            }[asked.path]
        )

    with scripted(script) as camera:
        for path, login, said in (
            ("/basic", "", "requires a login (got HTTP status 401); write user:password@ before"),
            ("/basic", LOGIN, "refused the login (got HTTP status 401); check the user and"),
            ("/locked", LOGIN, "refused the login (got HTTP status 403); check the user and"),
            (
                "/forbidden",
                "",
                "refused the request (got HTTP status 403); it may need a user and password",
            ),
            ("/forbidden", LOGIN, "refused the request (got HTTP status 403)"),
            ("/unknown", LOGIN, "unsupported authentication scheme (got negotiate, digest)"),
            ("/nothing", LOGIN, "unsupported authentication scheme (got HTTP status 401)"),
            ("/elsewhere", LOGIN, "redirects to localhost, which requires a login (got HTTP st"),
        ):
            camera.asked.clear()
            error = failure(camera.url(path, login))
            assert said in str(error)
            assert error.reason is Failure.UNAUTHORIZED
            answers = [asked for asked in camera.asked if "Authorization" in asked.headers]
            assert len(answers) == ("refused the login" in said)


def test_a_login_that_holds_no_longer_is_tried_once() -> None:
    """Cameras lock accounts."""

    def script(asked: Asked, write: Write) -> None:
        right = asked.headers.get("Authorization") == BASIC and asked.number < 4
        write(answer(RED + bytes([asked.number])) if right else refused("WWW-Authenticate: Basic"))

    with scripted(script) as camera:
        assert "refused the login" in str(failure(camera.url("/", LOGIN), 9))
        assert len(camera.asked) == 4


@pytest.fixture(scope="module")
def tls(tmp_path_factory: pytest.TempPathFactory) -> tuple[ssl.SSLContext, Path]:
    """(of a server, the authority)."""
    authority = Authority(tmp_path_factory.mktemp("tls"))
    pair = authority.certificate("localhost")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pair.certificate, pair.key)
    return context, authority.ca


def test_the_login_goes_along_to_https_on_the_same_host(
    tls: tuple[ssl.SSLContext, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tls[1]))

    def secure(asked: Asked, write: Write) -> None:
        right = asked.headers.get("Authorization") == BASIC
        write(answer(RED) if right else refused("WWW-Authenticate: Basic"))

    def plain(asked: Asked, write: Write) -> None:
        host = "LOCALHOST" if asked.path == "/same" else "127.0.0.1"
        location = there.url("/", host=host)
        write(answer(b"", "text/html", f"Location: {location}", status="301 Moved Permanently"))

    with scripted(secure, tls[0]) as there, scripted(plain) as camera:
        with Opened(camera.url("/same", LOGIN, host="localhost")) as opened:
            assert opened.colours(1) == "r"
        there.asked.clear()
        error = failure(camera.url("/other", LOGIN, host="localhost"))
        assert "redirects to 127.0.0.1, which requires a login" in str(error)
        assert not any("Authorization" in asked.headers for asked in there.asked)
        # Nor from https to where everybody listens.
        assert not HttpCamera(there.url("/", LOGIN))._is_own(camera.url("/"))
        assert HttpCamera("http://CAM/a")._is_own("http://cam:80/b")


def test_cookies_come_back_to_the_camera_and_to_nobody_else() -> None:
    def script(asked: Asked, write: Write) -> None:
        cookies = asked.headers.get("Cookie", "")
        if asked.path == "/wall" and "session=a=b" not in cookies:
            cookie = "Set-Cookie: session=a=b; Path=/; HttpOnly"
            write(answer(b"", None, "Location: /wall", cookie, "Set-Cookie: x", status="302 Found"))
        elif asked.path == "/away":
            there = f"Location: http://localhost:{camera.port}/there"
            write(answer(b"", None, there, "Set-Cookie: own=1", status="302 Found"))
        else:
            write(answer(RED, "image/jpeg", "Set-Cookie: seen=1"))

    with scripted(script) as camera:
        with Opened(camera.url("/wall")) as opened:
            assert opened.colours(1) == "r"
        assert camera.asked[-1].headers["Cookie"] == "session=a=b"
        with Opened(camera.url("/away")) as opened:
            assert opened.colours(1) == "r"
        assert "Cookie" not in camera.asked[-1].headers


REFLECTED = ["geh:eim", "geh%3Aeim", BASIC, BASIC.split()[1], "vie wer"]


@pytest.mark.parametrize("reflected", REFLECTED)
def test_no_message_shows_a_login_that_a_camera_reflects(reflected: str) -> None:
    def script(asked: Asked, write: Write) -> None:
        if "Authorization" not in asked.headers:
            write(refused("WWW-Authenticate: Basic"))
        elif asked.path == "/type":
            write(answer(b"no", f"text/{reflected} {reflected}"))
        elif asked.path == "/parts":
            write(answer(b"", MIXED, length=None) + part(b"no", f"text/{reflected}") * 60)
        elif asked.path == "/status":
            write(f"HTTP/1.1 2x0 {reflected}\r\n\r\n".encode())
        elif asked.path == "/location":
            write(answer(b"", None, f"Location: http://[{reflected}/", status="302 Found"))
        else:
            write(refused(f"WWW-Authenticate: {reflected}"))

    with scripted(script) as camera:
        for path in ("/type", "/parts", "/status", "/location", "/again"):
            said = str(failure(camera.url(path, LOGIN)))
            assert not any(secret in said for secret in REFLECTED), said
            assert "***" in said or path == "/again"


@pytest.mark.parametrize("name", ["pwd", "p", "pin"])
def test_no_message_shows_a_password_of_the_query(name: str) -> None:
    def script(asked: Asked, write: Write) -> None:
        write(answer(b"no", "text/html; asked=S3cret"))

    with scripted(script) as camera:
        said = str(failure(camera.url(f"/snap.cgi?user=admin&{name}=S3cret")))
    assert "S3cret" not in said
    assert "got Content-Type 'text/html; asked=***'" in said


def test_control_characters_and_long_words_of_a_camera_are_tamed() -> None:
    bad = "te\x1b[31m\x07xt/\x9b" + "x" * 5000

    def script(asked: Asked, write: Write) -> None:
        write(answer(b"no", bad) if asked.path == "/type" else b"HTTP/1.1 \x1b]0;x\x07\r\n\r\n")

    with scripted(script) as camera:
        for path, shown in (("/type", r"te\x1b[31m\x07xt/\x9bxxx"), ("/status", r"\x1b]0;x\x07")):
            said = str(failure(camera.url(path)))
            assert shown in said
            assert said.isprintable()
            assert len(said) < 500


@pytest.mark.parametrize("slip", ["user:12#34@host", "user:12/34@host", "user:ab#cd@host"])
def test_a_password_that_ends_the_address_is_hinted_at(slip: str) -> None:
    error = failure(f"http://{slip}/picture.jpg".replace("user", "no.such.host.invalid"))
    assert "in user and password write / ? # as %2F %3F %23" in str(error)
    assert not re.search("12|34|ab|cd", str(error).replace("%23", ""))


def test_a_user_beyond_latin_letters() -> None:
    expected = "Basic " + base64.b64encode("Łukasz:ż".encode()).decode()

    def script(asked: Asked, write: Write) -> None:
        said = asked.headers.get("Authorization", "")
        if said == expected or (asked.path == "/digest" and 'username="Łukasz"' in said):
            write(answer(RED))
        else:
            kind = "Basic" if asked.path == "/basic" else 'Digest realm="x", nonce="y"'
            write(refused(f"WWW-Authenticate: {kind}"))

    with scripted(script) as camera:
        for path in ("/basic", "/digest"):
            with Opened(camera.url(path, "%C5%81ukasz:%C5%BC@")) as opened:
                assert opened.colours(1) == "r"
