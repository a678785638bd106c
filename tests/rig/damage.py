"""Damaged files: truncated, zeroed, overwritten, repeated."""

from __future__ import annotations

import os
import random
from collections.abc import Iterator

from hypothesis import HealthCheck, settings

MANY = int(os.environ.get("EDGED_FUZZ", "0"))
"""`make fuzz` asks for many; otherwise 0."""


def damaged(whole: bytes, dice: random.Random, spare: int = 0) -> bytes:
    """Damaged in one to four places behind the first `spare` bytes."""
    data = bytearray(whole)
    for _ in range(dice.randint(1, 4)):
        begin = dice.randrange(min(spare, len(data) - 1), len(data))
        if dice.random() < 0.5:  # where most is decided
            begin = min(begin, spare + dice.randrange(2000), len(data) - 1)
        length = dice.choice((1, 1, 4, 16, 64, 512, 2048))
        piece = data[begin : begin + length]
        kind = dice.choice(("flip", "flip", "write", "write", "zero", "delete", "repeat", "cut"))
        if kind == "flip":
            data[begin] ^= 1 << dice.randrange(8)
        elif kind == "write":
            data[begin : begin + length] = dice.randbytes(len(piece))
        elif kind == "zero":
            data[begin : begin + length] = bytes(len(piece))
        elif kind == "delete":
            del data[begin : begin + length]
        elif kind == "repeat":
            data[begin:begin] = piece
        elif dice.random() < 0.3:
            del data[begin:]
        if len(data) < 2:
            return bytes(data)
    return bytes(data)


fuzz = settings(
    max_examples=MANY or 300,
    deadline=None,
    database=None,
    suppress_health_check=[HealthCheck.too_slow, HealthCheck.function_scoped_fixture],
)


def with_wrong_bytes(whole: bytes, number: int) -> Iterator[bytes]:
    """So many copies with one to four wrong bytes, most of them at the ends."""
    choose = random.Random(5)
    for _ in range(number):
        content = bytearray(whole)
        for _ in range(choose.randint(1, 4)):
            start = choose.choice((0, len(content) - 3000, choose.randrange(len(content))))
            at = min(start + choose.randrange(3000), len(content) - 1)
            content[at] = choose.randrange(256)
        yield bytes(content)
