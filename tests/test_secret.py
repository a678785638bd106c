from __future__ import annotations

import copy
import logging
import pickle
import time
from dataclasses import asdict, dataclass

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.secret import Secret, SourceUrl, redact


@dataclass(frozen=True)
class Holder:
    secret: Secret


@pytest.mark.parametrize("secret", [Secret("hunter2"), SourceUrl("rtsp://admin:hunter2@cam/1")])
def test_only_reveal_gives_the_value(secret: Secret, caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("edged").warning("%s %r %s", secret, secret, [secret])
    shown = [
        str(secret),
        repr(secret),
        f"{secret} {secret!r} {secret:>60}",
        repr(Holder(secret)),
        str(asdict(Holder(secret))),
        str(ValueError(secret)),
        caplog.text,
    ]
    assert "hunter2" in secret.reveal()
    assert [text for text in shown if "hunter2" in text] == []
    assert all("***" in text for text in shown)
    assert not hasattr(secret, "__dict__")


def test_equal_by_value_and_by_kind() -> None:
    assert Secret("a") == Secret("a")
    assert hash(Secret("a")) == hash(Secret("a"))
    assert Secret("a") != Secret("b")
    assert Secret("a") != "a"
    assert Secret("a") != SourceUrl("a")


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_is_not_pickled_even_inside_another_value(protocol: int) -> None:
    with pytest.raises(TypeError, match=r"SourceUrl cannot be pickled.*reveal"):
        pickle.dumps([Holder(SourceUrl("rtsp://a:b@c/"))], protocol)


def test_copies_are_the_object_itself() -> None:
    secret = Secret("a")
    assert copy.copy(secret) is secret
    assert copy.deepcopy([secret])[0] is secret


@pytest.mark.parametrize(
    ("source", "shown", "is_url"),
    [
        ("rtsp://admin:hunter2@10.0.0.5:554/live", "rtsp://***@10.0.0.5:554/live", True),
        ("RTSP://admin@cam/live", "RTSP://***@cam/live", True),
        ("rtsp://cam:8554/live", "rtsp://cam:8554/live", True),
        ("rtsp://admin:two words@cam/live", "rtsp://***@cam/live", True),
        ("http://cam/video?user=a&pwd=b&fps=5", "http://cam/video?user=***&pwd=***&fps=5", True),
        ("http://cam/snap.cgi?u=a&p=b&up=1", "http://cam/snap.cgi?u=***&p=***&up=1", True),
        ("http://cam/a.jpg?usr=a&pss=b&pin=1", "http://cam/a.jpg?usr=***&pss=***&pin=***", True),
        ("http://cam/?codec=h264&code=b", "http://cam/?codec=h264&code=***", True),
        ("admin:hunter2@10.0.0.5/live", "***@10.0.0.5/live", False),
        ("rtsp:admin:hunter2@cam", "***@cam", False),
        ("/dev/v4l/by-path/usb-0:1:1.0@x", "/dev/v4l/by-path/usb-0:1:1.0@x", False),
        ("synthetic:640x480@30", "synthetic:640x480@30", False),
        ("clips/door@night.mp4", "clips/door@night.mp4", False),
        ('gst:rtspsrc location=rtsp://cam user-pw="two words" ! x', "gst:***", False),
    ],
)
def test_source_is_shown_without_credentials(source: str, shown: str, is_url: bool) -> None:
    assert str(SourceUrl(source)) == shown
    assert repr(SourceUrl(source)) == f"SourceUrl({shown!r})"
    assert SourceUrl(source).is_url is is_url
    assert SourceUrl(source).reveal() == source


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("no secret here: 12:30, a@b.example", "no secret here: 12:30, a@b.example"),
        ("open rtsp://u:p@h/1 failed", "open rtsp://***@h/1 failed"),
        ("'rtsp://u:p@h/1': 401", "'rtsp://***@h/1': 401"),
        ("rtsp://u:p@h1/ and http://v:q@h2/", "rtsp://***@h1/ and http://***@h2/"),
        ("[rtsp @ 0x55d0] rtsp://h/1: 401", "[rtsp @ 0x55d0] rtsp://h/1: 401"),
        ("rtsp://u:p@s:s/w?o#r@d@h:554/1", "rtsp://***@h:554/1"),
        ("rtsp://u:p%40ss%2Fw@h/1", "rtsp://***@h/1"),
        ("rtsp://u:p%40h/1", "rtsp://***%40h/1"),
        ("http://h/a%40b", "http://h/a%40b"),
        (
            "http://proxy/?src=rtsp%3A%2F%2Fu%3Ap%40h%2F1",
            "http://proxy/?src=rtsp%3A%2F%2F***%40h%2F1",
        ),
        ("x=rtsp%253A%252F%252Fu%253Ap%2540h", "x=rtsp%253A%252F%252F***%2540h"),
        ("http://a:b@proxy/?src=rtsp:%2f%2fu:p%40h", "http://***@proxy/?src=rtsp:%2f%2f***%40h"),
        ("GET /snap?usr=a&pwd=b", "GET /snap?usr=***&pwd=***"),
        ("rtsp://h/user=admin&password=&channel=1", "rtsp://h/user=***&password=&channel=1"),
        ("rtsp://h/user=admin_password=tl9_channel=1.sdp", "rtsp://h/user=***"),
        (
            "http://h/?api_key=k&access_token=t&size=1",
            "http://h/?api_key=***&access_token=***&size=1",
        ),
        ("http://h/?password%3Dabc&x=1", "http://h/?password%3D***&x=1"),
        ("rtsp:/u:p@h/1", "rtsp:/***@h/1"),
        ("rtsp:///u:p@h/1", "rtsp:///***@h/1"),
        ("http://h/?password=a@b", "http://***"),
        ("rtsp://admin:pass=1@h/1", "rtsp://***"),
        ("line one\n\trtsp://u:p@h\nline three", "line one\n\trtsp://***@h\nline three"),
    ],
)
def test_redact(text: str, expected: str) -> None:
    assert redact(text) == expected
    assert redact(redact(text)) == redact(text)


_NO_SPACE = st.text(st.characters(exclude_categories=["Z", "C"]), max_size=12)


@given(_NO_SPACE, _NO_SPACE, _NO_SPACE, st.text(max_size=20))
def test_no_password_without_white_space_survives(
    user: str, before: str, after: str, around: str
) -> None:
    password = f"{before}SESAME{after}"
    for url in (
        f"rtsp://{user}:{password}@cam.local:554/live",
        f"rtsp://{password}@cam.local/live?x=a@b",
        f"http://cam.local/live?size=1&password={password.replace('&', '')}",
    ):
        assert "SESAME" not in redact(f"{around} {url} {around}")
        assert "SESAME" not in str(SourceUrl(url))


def _seconds(text: str) -> float:
    """Of this thread's own time, which others do not lengthen."""
    started = time.thread_time()
    redact(text)
    return time.thread_time() - started


@pytest.mark.parametrize("piece", ["/", "a", "pass", "%25", "@", "//@", "key=", ":%2f%2f", "%40"])
def test_time_grows_with_length_not_with_its_square(piece: str) -> None:
    # Ten times the length takes ten times as long, with a quadratic search a hundred times.
    short = min(_seconds(piece * 20_000) for _ in range(3))
    assert _seconds(piece * 200_000) < 40 * short
