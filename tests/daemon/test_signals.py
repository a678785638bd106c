from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from edged.daemon.signals import Orders

OBEY = """
import sys
from edged.daemon.signals import Orders, obeying_signals
orders = Orders()
with obeying_signals(orders):
    print("obeying", flush=True)
    while not orders.stopped:
        orders.wait(60)
        if orders.take_reload():
            print("reload", flush=True)
print("stopped", flush=True)
sys.stdin.read()
"""


def test_orders_to_reload_are_taken_once_and_none_is_lost() -> None:
    orders = Orders()
    assert not orders.take_reload()
    for _ in range(50):
        orders.reload()
    assert orders.take_reload()
    assert not orders.take_reload()
    orders.reload()
    assert orders.take_reload()


def test_an_order_from_another_thread_ends_the_wait() -> None:
    orders = Orders()
    thread = threading.Thread(target=orders.stop)
    thread.start()
    orders.wait(3600)
    thread.join()
    assert orders.stopped


def test_signals_are_orders_and_do_nothing_at_the_end() -> None:
    with subprocess.Popen(
        [sys.executable, "-c", OBEY], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None and process.stdin is not None
        assert process.stdout.readline() == "obeying\n"
        process.send_signal(signal.SIGHUP)
        assert process.stdout.readline() == "reload\n"
        process.send_signal(signal.SIGTERM)
        assert process.stdout.readline() == "stopped\n"
        for number in (signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
            process.send_signal(number)
        process.stdin.close()
        assert process.wait(30) == 0


TERMINAL = """
import fcntl, signal, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
forbidden = "nohup" in sys.argv
signal.signal(signal.SIGHUP, signal.SIG_IGN if forbidden else signal.SIG_DFL)
"""


@pytest.mark.parametrize(
    ("arguments", "expected"), [([], "stopped\n"), (["nohup"], "reload\n")], ids=["", "nohup"]
)
def test_a_terminal_that_closes_stops_unless_nohup_forbids(
    arguments: list[str], expected: str
) -> None:
    """The child gets a terminal of its own; when its other end closes, the kernel hangs up."""
    controller, terminal = pty.openpty()
    with subprocess.Popen(
        [sys.executable, "-c", TERMINAL + OBEY, *arguments],
        stdin=terminal,
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        os.close(terminal)
        assert process.stdout is not None
        assert process.stdout.readline() == "obeying\n"
        os.close(controller)
        assert process.stdout.readline() == expected
        process.kill()
