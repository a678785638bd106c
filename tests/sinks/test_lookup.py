from __future__ import annotations

import socket
import threading
import time
from typing import Any

import pytest

from edged.sinks.lookup import LookupTimeoutError, addresses


def test_the_addresses_of_a_name() -> None:
    assert (socket.AF_INET, ("127.0.0.1", 80)) in addresses("127.0.0.1", 80, 30)
    with pytest.raises(socket.gaierror):
        addresses("no-such-host.invalid", 80, 30)


def test_a_name_server_that_does_not_answer_costs_the_time_that_was_given() -> None:
    """And leaves a bounded number of threads behind, which end when the resolver does."""
    answered = threading.Event()

    def silent(*_: object) -> list[Any]:
        answered.wait(60)
        return []

    for _ in range(10):
        begun = time.monotonic()
        with pytest.raises(LookupTimeoutError, match="name lookup timed out"):
            addresses("host", 80, 0.02, silent)
        assert time.monotonic() - begun < 20
    left = [each for each in threading.enumerate() if each.name == "lookup"]
    assert len(left) == 4
    answered.set()
    for each in left:
        each.join(30)
    assert addresses("127.0.0.1", 80, 30)
