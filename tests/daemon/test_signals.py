from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import threading

import pytest

from edged.daemon.signals import Signals

OBEY = """
import sys
from edged.daemon.signals import Signals, handling_signals
signals = Signals()
with handling_signals(signals):
    print("obeying", flush=True)
    while not signals.stopped:
        signals.wait(60)
        if signals.take_reload():
            print("reload", flush=True)
print("stopped", flush=True)
sys.stdin.read()
"""


def test_orders_to_reload_are_taken_once_and_none_is_lost() -> None:
    signals = Signals()
    assert not signals.take_reload()
    for _ in range(50):
        signals.reload()
    assert signals.take_reload()
    assert not signals.take_reload()
    signals.reload()
    assert signals.take_reload()


def test_an_order_from_another_thread_ends_the_wait() -> None:
    signals = Signals()
    thread = threading.Thread(target=signals.stop)
    thread.start()
    signals.wait(3600)
    thread.join()
    assert signals.stopped


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
