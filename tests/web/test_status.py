from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture.messages import (
    LONGEST_MESSAGE,
    Decodes,
    Ended,
    Failed,
    Note,
    Opened,
    Status,
    from_line,
    to_line,
)
from edged.capture.process import LINE_BYTES
from edged.capture.source import Failure, Granted


@pytest.mark.parametrize(
    "status",
    [
        Opened(Granted(640, 480, 29.97, "MJPG")),
        Opened(Granted(640, 480, None, "MJPEG")),
        Note("a picture is broken"),
        Decodes("v4l2h264dec", ""),
        Decodes("software", "v4l2h264dec failed: no picture for 3 s"),
        Failed(Failure.UNAUTHORIZED, "wrong password"),
        Ended(),
    ],
)
def test_what_is_said_is_understood(status: Status) -> None:
    line = to_line(status)
    assert line.endswith(b"\n")
    assert line.count(b"\n") == 1
    assert from_line(line.decode()) == status


def test_credentials_are_not_passed_on() -> None:
    for status in (
        Note("rtsp://admin:hunter2@10.0.0.9/live broke"),
        Failed(Failure.READ_FAILED, "rtsp://admin:hunter2@10.0.0.9/live broke"),
        Decodes("software", "rtsp://admin:hunter2@10.0.0.9/live broke"),
    ):
        assert b"hunter2" not in to_line(status)
        assert b"broke" in to_line(status)


@pytest.mark.parametrize(
    "line",
    [
        "",
        "[h264 @ 0x1] error",
        "[]",
        "null",
        "17",
        '{"status": "opened"}',
        '{"status": ["opened"]}',
        '{"status": "opened", "granted": 5}',
        '{"status": "opened", "granted": {"width": "x", "height": 1, "fps": 1, "format": ""}}',
        '{"status": "opened", "granted": {"width": 1e999, "height": 1, "fps": 1, "format": ""}}',
        '{"status": "failed", "reason": "bored", "message": ""}',
        '{"status": "note"}',
        '{"status": "decodes", "decoder": "v4l2h264dec"}',
        '{"status": "decodes", "decoder": "any words", "message": ""}',
        '{"status": "well"}',
        "[" * LINE_BYTES,
        '{"status": "note", "message": ' + "[" * 10_000,
    ],
)
def test_anything_else_is_no_status(line: str) -> None:
    assert from_line(line) is None


@given(st.text())
def test_any_text_may_come(line: str) -> None:
    assert from_line(line) is None


def test_a_rate_of_nothing_is_an_unknown_rate() -> None:
    line = to_line(Opened(Granted(1, 1, 0.0, "x"))).decode()
    assert from_line(line) == Opened(Granted(1, 1, None, "x"))
    negative = to_line(Opened(Granted(1, 1, -5.0, "x"))).decode()
    assert from_line(negative) == Opened(Granted(1, 1, None, "x"))


@pytest.mark.parametrize("character", ["x", "\x1b", "\r\n", '"', "\\", "é", "\u202e", "😀", "\0"])
def test_a_long_reason_arrives_with_its_beginning(character: str) -> None:
    """Within what is read of a line, on one line, and without control characters."""
    said = Failed(Failure.NO_PICTURES, "broken: " + character * 20_000)
    line = to_line(said)
    assert len(line) <= LINE_BYTES
    heard = from_line(line.decode())
    assert isinstance(heard, Failed)
    assert heard.reason is Failure.NO_PICTURES
    assert heard.message.startswith("broken: ")
    assert heard.message.isprintable()
    assert len(heard.message) == LONGEST_MESSAGE


def test_what_a_child_says_is_tamed_whatever_child_it_is() -> None:
    granted = {"width": 1, "height": 1, "fps": None, "format": "\x1b[2J" + "x" * 5000}
    for values in (
        {"status": "note", "message": "a\r\nfake line rtsp://admin:hunter2@camera\x1b[31m"},
        {"status": "failed", "reason": "exited", "message": "\x1b" * 3000 + "hunter2"},
        {"status": "opened", "granted": granted},
    ):
        heard = str(from_line(json.dumps(values)))
        assert heard.isprintable()
        assert "hunter2" not in heard
        assert len(heard) < 2 * LONGEST_MESSAGE
