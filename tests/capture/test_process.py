from __future__ import annotations

import os
from io import FileIO

from edged.capture.messages import LONGEST_MESSAGE
from edged.capture.process import LINE_BYTES, NOISE_BURST, NOISE_EVERY_NS, LineReader, Noise


def test_lines_come_whole_whatever_the_pieces() -> None:
    read_end, write_end = os.pipe()
    with FileIO(read_end) as pipe:
        reader = LineReader(pipe)
        assert reader.read() == []
        os.write(write_end, b"one\ntw")
        assert reader.read() == ["one"]
        os.write(write_end, b"o\n\n\xff\nrest")
        assert reader.read() == ["two", "\ufffd"]
        assert not reader.closed
        os.close(write_end)
        assert reader.read() == ["rest"]
        assert reader.closed


def test_an_endless_line_is_cut() -> None:
    read_end, write_end = os.pipe()
    with FileIO(read_end) as pipe:
        reader = LineReader(pipe)
        for _ in range(10):
            os.write(write_end, b"x" * 60_000)
            assert reader.read() == []
        os.write(write_end, b"\nshort\n")
        long, short = reader.read()
        assert len(long) == LINE_BYTES
        assert short == "short"
        os.close(write_end)


def test_chatter_is_limited_and_what_was_left_out_is_counted() -> None:
    said: list[str] = []
    noise = Noise(said.append)
    for n in range(1000):
        noise.line(f"line {n}", NOISE_EVERY_NS)
    assert said == [f"line {n}" for n in range(NOISE_BURST)]
    noise.line("much later", 3 * NOISE_EVERY_NS)
    assert said[-1] == "much later (and 995 lines before it)"
    noise.line("and another", 3 * NOISE_EVERY_NS)
    noise.line("too much", 3 * NOISE_EVERY_NS)
    assert said[-1] == "and another"


def test_chatter_is_redacted() -> None:
    said: list[str] = []
    Noise(said.append).line("opening rtsp://admin:hunter2@10.0.0.9/live", NOISE_EVERY_NS)
    assert len(said) == 1
    assert "hunter2" not in said[0]
    assert "opening" in said[0]


def test_chatter_keeps_to_its_line() -> None:
    said: list[str] = []
    Noise(said.append).line("one\rcamera door: streaming\x1b[31m" + "x" * 5000, NOISE_EVERY_NS)
    assert said[0].startswith("one\\rcamera door: streaming\\x1b[31mxxx")
    assert len(said[0]) == LONGEST_MESSAGE


def test_what_only_repeats_itself_is_said_once() -> None:
    said: list[str] = []
    noise = Noise(said.append)
    for n in range(100):
        noise.line("no such device", (n + 1) * NOISE_EVERY_NS)
    assert said == ["no such device"]
    noise.line("something else", 101 * NOISE_EVERY_NS)
    assert said[1] == "something else (and 99 lines before it)"
