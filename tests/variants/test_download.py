from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edged.errors import EdgedError
from edged.variants.weights.download import download, size_of
from edged.variants.weights.http_client import RetryPolicy
from tests.rig.downloads import CONTENT, MOST_BYTES, NAME, left, url
from tests.rig.weight_server import (
    Trouble,
    WeightServer,
    chunked,
    claimed,
    cut,
    drip,
    endless,
    garbage,
    gone,
    hold,
    other_range,
    silent,
    status,
)


def test_a_file_arrives_whole_and_nothing_is_left(
    server: WeightServer, target: Path, policy: RetryPolicy, pauses: list[float]
) -> None:
    seen: list[int] = []
    download(url(server), target, MOST_BYTES, policy, seen.append)
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
    server: WeightServer, target: Path, policy: RetryPolicy, pauses: list[float], trouble: Trouble
) -> None:
    notes: list[str] = []
    server.troubles[NAME] = [cut(1000), trouble, trouble]
    download(url(server), target, MOST_BYTES, policy, note=notes.append)
    assert target.read_bytes() == CONTENT
    assert left(target) == {NAME}
    assert pauses == [1, 2, 4]
    assert [re.sub(r".*; ", "", note) for note in notes] == [
        "retrying in 1 s",
        "retrying in 2 s",
        "retrying in 4 s",
    ]


@pytest.mark.parametrize(
    ("trouble", "message"),
    [
        (status(404), "HTTP 404 Not Found"),
        (status(403), "HTTP 403 Forbidden"),
        (status(204), "no file received"),
        (garbage, "the answer is not HTTP"),
        (claimed(MOST_BYTES + 1), "larger than any official one"),
        (chunked(bytes(MOST_BYTES), b"more", ended=True), "larger than any official one"),
    ],
)
def test_what_will_not_go_better_is_told_at_once(
    server: WeightServer,
    target: Path,
    policy: RetryPolicy,
    pauses: list[float],
    trouble: Trouble,
    message: str,
) -> None:
    server.troubles[NAME] = [trouble]
    with pytest.raises(EdgedError, match=message) as raised:
        download(url(server), target, MOST_BYTES, policy)
    assert raised.value.where == url(server)
    assert pauses == []
    assert not target.exists()


def test_patience_ends(
    server: WeightServer, target: Path, policy: RetryPolicy, pauses: list[float]
) -> None:
    server.troubles[NAME] = [status(503)] * 9
    with pytest.raises(EdgedError, match=r"HTTP 503 Service Unavailable \(4 attempts\)"):
        download(url(server), target, MOST_BYTES, policy)
    assert pauses == [1, 2, 4]
    assert left(target) == set()


def test_an_attempt_that_brought_much_is_no_failure(
    server: WeightServer, target: Path, policy: RetryPolicy, pauses: list[float]
) -> None:
    server.files[NAME] = content = os.urandom(12 << 20)
    server.troubles[NAME] = [cut(1 << 20) for _ in range(10)]
    download(url(server), target, len(content), policy)
    assert target.read_bytes() == content
    assert pauses == [1] * 10


def test_what_has_come_is_continued(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    server.troubles[NAME] = [cut(100_000)]
    seen: list[int] = []
    download(url(server), target, MOST_BYTES, policy, seen.append)
    assert target.read_bytes() == CONTENT
    assert server.gets() == [(NAME, None), (NAME, "bytes=100000-")]
    assert seen == sorted(seen)


def test_the_next_call_continues(server: WeightServer, target: Path, policy: RetryPolicy) -> None:
    server.troubles[NAME] = [cut(100_000), status(404)]
    with pytest.raises(EdgedError):
        download(url(server), target, MOST_BYTES, policy)
    assert left(target) == {f"{NAME}.part", f"{NAME}.mark"}
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == CONTENT
    assert server.gets()[-1] == (NAME, "bytes=100000-")
    assert left(target) == {NAME}


def broken_off(server: WeightServer, target: Path) -> None:
    server.troubles[NAME] = [cut(100_000), status(404)]
    with pytest.raises(EdgedError):
        download(url(server), target, MOST_BYTES, RetryPolicy(pause_seconds=0))
    server.requests.clear()


def test_another_range_than_was_asked_for_begins_again(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    broken_off(server, target)
    server.troubles[NAME] = [other_range]
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == CONTENT
    assert server.gets() == [(NAME, "bytes=100000-"), (NAME, None)]


def test_a_file_that_changed_begins_again(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    broken_off(server, target)
    server.files[NAME] = changed = CONTENT[::-1]
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == changed


def test_a_server_without_ranges_begins_again(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    broken_off(server, target)
    server.ranges = False
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == CONTENT


def test_without_a_name_for_the_content_nothing_is_continued(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    server.etags = False
    broken_off(server, target)
    download(url(server), target, MOST_BYTES, policy)
    assert server.gets() == [(NAME, None)]
    assert target.read_bytes() == CONTENT


def test_a_part_from_elsewhere_is_not_continued(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    broken_off(server, target)
    download(f"{url(server)}?mirror=2", target, MOST_BYTES, policy)
    assert server.gets() == [(NAME, None)]
    assert target.read_bytes() == CONTENT


def test_a_part_that_was_whole_already_ends_well(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    """The process was killed between the last byte and the renaming."""
    broken_off(server, target)
    target.with_name(f"{NAME}.part").write_bytes(CONTENT)
    download(url(server), target, MOST_BYTES, policy)
    assert server.gets() == [(NAME, f"bytes={len(CONTENT)}-"), (NAME, None)]
    assert target.read_bytes() == CONTENT


def test_a_length_nobody_states(server: WeightServer, target: Path, policy: RetryPolicy) -> None:
    server.troubles[NAME] = [chunked(b"one", b"two", ended=True)]
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == b"onetwo"


def test_an_empty_file_is_a_file(server: WeightServer, target: Path, policy: RetryPolicy) -> None:
    """What it should have held is the caller's business."""
    server.files[NAME] = b""
    download(url(server), target, MOST_BYTES, policy)
    assert target.read_bytes() == b""
    assert left(target) == {NAME}


@pytest.mark.parametrize("trouble", [silent, hold(1000)])
def test_silence_is_not_waited_for_forever(
    server: WeightServer, target: Path, trouble: Trouble
) -> None:
    server.troubles[NAME] = [trouble, trouble]
    policy = RetryPolicy(timeout_seconds=0.2, retries=1, pause_seconds=0)
    with pytest.raises(EdgedError, match=r"(no data for|fewer than 4096 bytes in) 0\.2 s \(2 a"):
        download(url(server), target, MOST_BYTES, policy)


HEADERS = b"HTTP/1.0 200 OK\r\nContent-Length: 500000\r\n\r\n"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"


@pytest.mark.parametrize("before", [HEADERS, CHUNKED, b"HTTP/1.0 200 OK\r\nX-Name: "])
def test_a_byte_now_and_then_is_not_waited_for_forever(
    server: WeightServer, target: Path, before: bytes
) -> None:
    """In the body, in the length of a chunk, in a header."""
    server.troubles[NAME] = [drip(before), drip(before)]
    policy = RetryPolicy(timeout_seconds=0.2, retries=1, pause_seconds=0)
    with pytest.raises(EdgedError, match=r"(fewer than 4096 bytes in|no data for) 0\.2 s \(2 att"):
        download(url(server), target, MOST_BYTES, policy)
    assert len(server.gets()) == 2


def test_a_redirect_that_goes_on_talking_is_not_listened_to(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    location = f"Location: {url(server)}\r\n\r\n".encode()
    server.troubles["old"] = [drip(b"HTTP/1.0 302 Found\r\n" + location)]
    download(url(server, "old"), target, MOST_BYTES, policy)
    assert target.read_bytes() == CONTENT


def test_a_slow_line_is_slow_and_no_more(server: WeightServer, target: Path) -> None:
    server.troubles[NAME] = [drip(b"HTTP/1.0 200 OK\r\nContent-Length: 40\r\n\r\n")]
    download(url(server), target, MOST_BYTES, RetryPolicy(timeout_seconds=0.2, least_bytes=3))
    assert target.read_bytes() == b"1" * 40


def test_nothing_is_left_of_a_file_without_an_end(
    server: WeightServer, target: Path, policy: RetryPolicy
) -> None:
    server.troubles[NAME] = [endless]
    with pytest.raises(EdgedError, match=r"larger than any official one .*over 1048576 bytes"):
        download(url(server), target, MOST_BYTES, policy)
    assert left(target) == set()


# ------------------------------------------------------------------------------------------- sizes


def test_the_size_is_asked_for_without_the_file(server: WeightServer, policy: RetryPolicy) -> None:
    assert size_of(url(server), policy) == len(CONTENT)
    assert server.gets() == []


def test_a_size_nobody_tells(server: WeightServer, policy: RetryPolicy) -> None:
    server.sized = False
    assert size_of(url(server), policy) is None
    server.heads = False
    assert size_of(url(server), policy) is None


def test_a_file_that_is_not_there_has_no_size(server: WeightServer, policy: RetryPolicy) -> None:
    with pytest.raises(EdgedError, match="HTTP 404"):
        size_of(url(server, "absent"), policy)


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
    assert "run the same command to continue" in done.stderr
    assert "Traceback" not in done.stderr
    assert left(target) == {f"{NAME}.part", f"{NAME}.mark"}
    server.requests.clear()
    download(url(server), target, MOST_BYTES)
    assert target.read_bytes() == CONTENT
    assert server.gets()[0][1] is not None  # it was continued


def test_a_folder_that_is_not_there(server: WeightServer, tmp_path: Path) -> None:
    with pytest.raises(EdgedError, match=r"cannot be written \(got No such file"):
        download(url(server), tmp_path / "absent" / NAME, MOST_BYTES)
