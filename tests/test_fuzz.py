"""The readers of what comes from outside, given anything: pictures, streams of pictures, the
configuration, requests, and the mailbox that a capture process writes to.

`make fuzz` gives each EDGED_FUZZ inputs instead of some hundreds, and prints what became of them.
"""

from __future__ import annotations

import mmap
import os
import re
import socket
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import cv2
import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edged.capture.decode.jpeg import decode_jpeg, jpeg_size
from edged.capture.mailbox import HEADER_BYTES, SLOTS, Mailbox
from edged.capture.sources.http.multipart import MultipartSplitter, Part
from edged.clock import monotonic_ns
from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.errors import InputError
from edged.web.options import HttpConfig
from edged.web.server import HttpServer
from tests.rig.configuration import EXAMPLE
from tests.rig.damage import MANY
from tests.rig.live import ShownCamera, endpoints_of, live_of

pytestmark = pytest.mark.timeout(3600 if MANY else 120)

fuzz = settings(
    max_examples=MANY or 300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """Counts what became of the inputs, by reader."""
    counts: Counter[tuple[str, str]] = Counter()

    def count(reader: str, outcome: str) -> None:
        counts[reader, outcome] += 1

    yield count
    if MANY:
        lines = [f"{reader}: {n} {outcome}" for (reader, outcome), n in sorted(counts.items())]
        capture = request.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print("", *lines, f"together {counts.total()} inputs", sep="\n")  # noqa: T201


# Bytes: what is written over, inserted, taken out, repeated or cut off of something that was whole

_PLACES = st.one_of(st.integers(0, 700), st.integers(0, 1 << 16))
"""Headers are where most is decided."""
_BYTES = st.one_of(st.integers(0, 255), st.sampled_from((0x00, 0xFF, 0xC0, 0xC4, 0xD8, 0xD9, 0xDA)))
_EDITS = st.lists(
    st.tuples(
        st.sampled_from(("write", "write", "write", "insert", "delete", "repeat", "cut")),
        _PLACES,
        st.integers(1, 64),
        _BYTES,
    ),
    max_size=6,
)


def edited(whole: bytes, edits: list[tuple[str, int, int, int]]) -> bytes:
    data = bytearray(whole)
    for kind, place, length, value in edits:
        begin = place % (len(data) + 1)
        piece = data[begin : begin + length]
        if kind == "write":
            data[begin : begin + 1] = bytes((value,))
        elif kind == "insert":
            data[begin:begin] = bytes((value,)) * length
        elif kind == "delete":
            del data[begin : begin + length]
        elif kind == "repeat":
            data[begin:begin] = piece
        else:
            del data[begin:]
    return bytes(data)


def jpegs() -> list[bytes]:
    """Of the kinds that cameras and folders give, with noise so that every coefficient is used."""
    noise = np.random.default_rng(0)
    coloured = noise.integers(0, 256, (45, 83, 3), dtype=np.uint8)
    kinds: list[tuple[np.ndarray[tuple[int, ...], np.dtype[np.uint8]], list[int]]] = [
        (coloured, []),
        (coloured, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444]),
        (coloured, [cv2.IMWRITE_JPEG_SAMPLING_FACTOR, cv2.IMWRITE_JPEG_SAMPLING_FACTOR_422]),
        (coloured, [cv2.IMWRITE_JPEG_PROGRESSIVE, 1]),
        (coloured, [cv2.IMWRITE_JPEG_RST_INTERVAL, 2]),
        (coloured, [cv2.IMWRITE_JPEG_OPTIMIZE, 1, cv2.IMWRITE_JPEG_QUALITY, 30]),
        (coloured[:, :, 0], []),
    ]
    encoded = [cv2.imencode(".jpg", picture, options)[1].tobytes() for picture, options in kinds]
    return [*encoded, with_exif(encoded[0])]


def with_exif(jpeg: bytes) -> bytes:
    """Turned by 90 degrees, and with a thumbnail that is a JPEG of its own."""
    orientation = b"\x01\x00\x12\x01\x03\x00\x01\x00\x00\x00\x06\x00\x00\x00\x00\x00\x00\x00"
    thumbnail = cv2.imencode(".jpg", np.zeros((8, 8, 3), np.uint8))[1].tobytes()
    body = b"Exif\x00\x00II*\x00\x08\x00\x00\x00" + orientation + thumbnail
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


JPEGS = jpegs()


@fuzz
@given(st.sampled_from(JPEGS), _EDITS, st.sampled_from((0, 1, 16, 64, 224)))
def test_any_jpeg_is_a_picture_or_nothing(
    outcomes: Callable[[str, str], None],
    whole: bytes,
    edits: list[tuple[str, int, int, int]],
    wanted: int,
) -> None:
    data = edited(whole, edits)
    size = jpeg_size(data)
    if size is not None and size[0] * size[1] > 1 << 24:
        outcomes("jpeg", "too large to be decoded here")
        return
    pixels = decode_jpeg(data, wanted)
    outcomes("jpeg", "refused" if pixels is None else "decoded")
    if pixels is None:
        assert edits, "a whole picture was refused"
        return
    assert size is not None
    assert pixels.dtype == np.uint8
    assert pixels.ndim == 3
    assert pixels.shape[2] == 3
    assert min(pixels.shape[:2]) >= max(1, min(wanted, *size))
    assert max(pixels.shape[:2]) <= max(size)


LONGEST = 20_000


@fuzz
@given(
    st.lists(st.tuples(st.sampled_from(JPEGS), st.booleans()), max_size=3),
    _EDITS,
    st.lists(st.integers(0, 5000), max_size=12),
)
def test_any_stream_is_split_into_bounded_parts(
    outcomes: Callable[[str, str], None],
    pictures: list[tuple[bytes, bool]],
    edits: list[tuple[str, int, int, int]],
    cuts: list[int],
) -> None:
    stream = b""
    for jpeg, with_length in pictures:
        length = b"Content-Length: %d\r\n" % len(jpeg) if with_length else b""
        stream += b"--frame\r\n" + length + b"\r\n" + jpeg + b"\r\n"
    stream = edited(stream, edits)
    splitter = MultipartSplitter("frame", longest_part=LONGEST)
    bodies: list[bytes] = []
    while stream:
        cut = cuts.pop() if cuts else len(stream)
        found = splitter.feed(stream[: cut + 1], 7)
        bodies += [part.body for part in found if isinstance(part, Part)]
        stream = stream[cut + 1 :]
    outcomes("multipart", "with pictures" if bodies else "without a picture")
    assert all(0 < len(body) <= LONGEST for body in bodies)
    if not edits:
        assert bodies == [jpeg for jpeg, _ in pictures]
    # Whatever came, a picture that comes later is found.
    rest = b"\r\n" + b"x" * LONGEST + 2 * (b"\r\n--frame\r\n\r\n" + JPEGS[0] + b"\r\n")
    parts = splitter.feed(rest, 8)
    assert Part(JPEGS[0], 8) in parts


# The configuration

_PIECES = st.sampled_from(
    (
        *(b"cameras: {a: {source: synthetic}}\n", b"rotate: 90", b"latency_budget_ms: "),
        *(b"&a ", b"*a", b"!!python/object:os.system ", b"!!set ", b"<<: ", b"? ", b"|\n", b">-\n"),
        *(b"%YAML 1.2\n", b"---\n", b"...\n", b"[" * 60, b"{" * 60, b"- " * 60, b"'", b'"', b"#"),
        *(b"1e999", b".nan", b"0x1F", b"1_000", b"-1", b"99999999999999999999", b": ", b"\n  "),
        *(b"${HOME}", b"${", b"$${", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\t"),
        *(b"rtsp://u:p@h/", b"http://[::1", b"gst:", b"/dev/video0", b"\xf0\x9f\x93\xb7", b"\r"),
    )
)
_TEXT_EDITS = st.lists(
    st.tuples(st.integers(0, 1200), st.integers(0, 20), st.one_of(_PIECES, st.binary(max_size=6))),
    max_size=5,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "edged.yaml"


@fuzz
@given(st.one_of(st.just(EXAMPLE.encode()), st.binary(max_size=80), _PIECES), _TEXT_EDITS)
def test_any_bytes_are_a_configuration_or_an_input_error(
    outcomes: Callable[[str, str], None],
    path: Path,
    content: bytes,
    edits: list[tuple[int, int, bytes]],
) -> None:
    for place, length, piece in edits:
        begin = place % (len(content) + 1)
        content = content[:begin] + piece + content[begin + length :]
    path.write_bytes(content)
    try:
        config = load_config(path, {"HOME": "/root"})
    except InputError as error:
        outcomes("configuration", "refused")
        assert str(error).startswith(str(path))
        return
    outcomes("configuration", "accepted")
    assert config.cameras
    assert all(0 < camera.latency_budget_ms <= 60_000 for camera in config.cameras)
    assert all(isinstance(warning, str) for warning in warnings(config))


# HTTP

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


# The mailbox

SIDE = 24
SLOT_BYTES = SIDE * SIDE * 3
SLOT_PAGES = -(-SLOT_BYTES // mmap.PAGESIZE) * mmap.PAGESIZE
OUTSIDE = 0xEE
"""What stands wherever no picture may be read from; each slot is filled with its number."""

_SMALL = st.one_of(st.integers(1, SIDE), st.integers(0, 2 * SIDE))
_MOMENTS = st.integers(-9, 1).map(lambda seconds: monotonic_ns() + seconds * 1_000_000_000)
_WORDS = st.one_of(
    _SMALL,
    _MOMENTS,
    st.integers(0, 2**64 - 1),
    st.sampled_from((2**63, 2**64 - 1, 2**32, 2**32 + 1, SLOT_BYTES, 255)),
)
_TIMES = st.lists(st.one_of(st.integers(0, 9), _MOMENTS), min_size=3, max_size=3)
_RECORDS = st.tuples(
    _SMALL, _SMALL, st.one_of(_TIMES.map(sorted), _TIMES), st.sampled_from((0, SIDE, SIDE, 7))
).map(lambda parts: (parts[0], parts[1], *parts[2], parts[3]))
_NEWEST = st.one_of(
    st.tuples(st.integers(1, 9), st.integers(0, SLOTS)).map(lambda t: t[0] << 8 | t[1]), _WORDS
)
_HOSTILE = st.lists(
    st.tuples(
        _NEWEST,
        st.lists(_RECORDS, min_size=SLOTS, max_size=SLOTS),
        st.dictionaries(st.integers(0, HEADER_BYTES // 8 - 1), _WORDS, max_size=4),
        st.sampled_from((0, 1, 2**64 - 2)),
    ),
    min_size=1,
    max_size=4,
)


@fuzz
@given(_HOSTILE)
def test_whatever_a_capture_process_writes_the_reader_stays_in_its_slots(
    outcomes: Callable[[str, str], None],
    rounds: list[tuple[int, list[tuple[int, ...]], dict[int, int], int]],
) -> None:
    mailbox = Mailbox.create(SIDE)
    mailbox.want(SIDE)
    with mmap.mmap(mailbox.memfd, 0) as memory:
        memory[HEADER_BYTES:] = bytes((OUTSIDE,)) * (len(memory) - HEADER_BYTES)
        for slot in range(SLOTS):
            begin = HEADER_BYTES + slot * SLOT_PAGES
            memory[begin : begin + SLOT_BYTES] = bytes((slot,)) * SLOT_BYTES
        words = memoryview(memory)[:HEADER_BYTES].cast("Q")
        for newest, records, others, wakes in rounds:
            for slot, record in enumerate(records):
                for offset, word in enumerate(record):
                    words[16 + 8 * slot + offset] = word
            words[4] = newest
            for place, word in others.items():
                words[place] = word
            os.eventfd_write(mailbox.wake_fd, wakes)
            mailbox.clear_wake()
            frame = mailbox.take()
            outcomes("mailbox", "nothing" if frame is None else "a picture")
            counts = (mailbox.captured, mailbox.overwritten, mailbox.skipped, mailbox.broken)
            assert all(isinstance(count, int) and count >= 0 for count in counts)
            assert mailbox.sequence >= 0
            if frame is not None:
                assert 0 < frame.pixels.size <= SLOT_BYTES
                assert not frame.pixels.flags.writeable
                (slot,) = np.unique(frame.pixels).tolist()
                assert slot < SLOTS
                assert 0 <= frame.captured_ns <= frame.received_ns <= frame.ready_ns
                assert frame.ready_ns <= monotonic_ns()
            mailbox.prepare()
        words.release()
    mailbox.close()
