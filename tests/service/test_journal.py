"""The log for the journal against a real datagram socket, as journald binds one."""

from __future__ import annotations

import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.service.journal import JOURNAL, JournalHandler, datagram, writes_to_journal


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[socket.socket]:
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as receiver:
        receiver.bind(str(tmp_path / "socket"))
        receiver.settimeout(20)
        yield receiver


@pytest.fixture
def log(tmp_path: Path) -> Iterator[logging.Logger]:
    handler = JournalHandler(tmp_path / "socket")
    logger = logging.Logger("edged.capture")
    logger.addHandler(handler)
    yield logger
    handler.close()


def parsed(entry: bytes) -> dict[str, str]:
    found = {}
    while entry:
        head, _, entry = entry.partition(b"\n")
        name, equals, value = head.partition(b"=")
        if not equals:
            length = int.from_bytes(entry[:8], "little")
            value, entry = entry[8 : 8 + length], entry[9 + length :]
        found[name.decode()] = value.decode()
    return found


def test_a_line_carries_its_level_and_camera(journal: socket.socket, log: logging.Logger) -> None:
    log.warning("camera %s: %s", "door", "stalled")
    assert parsed(journal.recv(65536)) == {
        "MESSAGE": "camera door: stalled",
        "PRIORITY": "4",
        "SYSLOG_IDENTIFIER": "edged",
        "LOGGER": "edged.capture",
        "CAMERA": "door",
    }


@pytest.mark.parametrize(
    ("level", "expected"),
    [("debug", "7"), ("info", "6"), ("warning", "4"), ("error", "3"), ("critical", "2")],
)
def test_levels(journal: socket.socket, log: logging.Logger, level: str, expected: str) -> None:
    getattr(log, level)("%s of two cameras", 1)
    entry = parsed(journal.recv(65536))
    assert (entry["PRIORITY"], entry["MESSAGE"]) == (expected, "1 of two cameras")
    assert "CAMERA" not in entry


def test_a_traceback_is_one_entry(journal: socket.socket, log: logging.Logger) -> None:
    try:
        raise RuntimeError("PRIORITY=0")
    except RuntimeError:
        log.exception("cannot answer")
    entry = parsed(journal.recv(65536))
    assert entry["MESSAGE"].startswith("cannot answer\nTraceback")
    assert entry["PRIORITY"] == "3"


def test_a_value_cannot_begin_another_field() -> None:
    assert parsed(datagram({"MESSAGE": "x\nPRIORITY=0", "LOGGER": "edged"})) == {
        "MESSAGE": "x\nPRIORITY=0",
        "LOGGER": "edged",
    }


def test_without_a_journal_the_level_stands_before_each_line(
    log: logging.Logger, capsys: pytest.CaptureFixture[str]
) -> None:
    log.warning("one\ntwo")
    log.info("three")
    assert capsys.readouterr().err == "<4>one\n<4>two\n<6>three\n"


def test_only_the_journals_own_stream_counts(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("wb") as stream:
        stat = os.fstat(stream.fileno())
        theirs = {"JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"}
        assert writes_to_journal(theirs, stream.fileno())
        assert not writes_to_journal({}, stream.fileno())
        assert not writes_to_journal({"JOURNAL_STREAM": "8:1"}, stream.fileno())
    assert not writes_to_journal(theirs, 1_000_000)


@pytest.mark.skipif(JOURNAL.exists(), reason="the line would go to this machine's journal")
def test_a_service_that_cannot_start_says_why_with_a_level(tmp_path: Path) -> None:
    with (tmp_path / "stream").open("wb") as stream:
        stat = os.fstat(stream.fileno())
        done = subprocess.run(
            [sys.executable, "-m", "edged", "run", "-c", "/nowhere/edged.yaml"],
            stderr=stream,
            env={**os.environ, "JOURNAL_STREAM": f"{stat.st_dev}:{stat.st_ino}"},
            timeout=60,
            check=False,
        )
    said = (tmp_path / "stream").read_text()
    assert (done.returncode, said) == (2, "<3>/nowhere/edged.yaml: no such file\n")
