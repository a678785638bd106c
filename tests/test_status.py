from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.capture import Failure, Granted
from edged.capture.status import Ended, Failed, Note, Opened, Status, from_line, to_line


@pytest.mark.parametrize(
    "status",
    [
        Opened(Granted(640, 480, 29.97, "MJPG")),
        Opened(Granted(640, 480, None, "MJPEG")),
        Note("a picture is broken"),
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
        '{"status": "well"}',
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
