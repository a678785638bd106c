"""A terminal that shows a screen, with log lines above it; and output that is none."""

from __future__ import annotations

import logging
import os
import select
import signal
import sys
import termios
import threading
import time
import tty
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stderr, suppress
from typing import TextIO

from edged.commands.status.screen import NARROWEST, WIDEST, Style

_PIPE_COLUMNS = 100
"""Where there is no terminal."""


class Terminal:
    """stream: standard output. Any thread may call it."""

    def __init__(self, stream: TextIO, environ: Mapping[str, str]) -> None:
        self._stream = stream
        self._is_terminal = stream.isatty()
        self.moves = self._is_terminal and environ.get("TERM", "dumb") != "dumb"
        """Whether a screen can be drawn over the one before."""
        self._coloured = self.moves and not environ.get("NO_COLOR")
        self._encoding = stream.encoding or "ascii"
        self._unicode = self._encoding.lower().replace("-", "") == "utf8"
        self._lock = threading.Lock()
        self._shown: Sequence[str] = ()
        self._width = 0
        self._begun = ""
        """Of a line that is written above the screen."""

    def style(self) -> Style:
        """For the present size."""
        width, height = _PIPE_COLUMNS, None
        if self._is_terminal:
            with suppress(OSError):
                columns, rows = os.get_terminal_size(self._stream.fileno())
                width = columns or width
                height = max(4, rows - 1) if self.moves and rows else None
        return Style(
            width=min(max(width, NARROWEST), WIDEST),
            height=height,
            coloured=self._coloured,
            unicode=self._unicode,
            whole_names=not self._is_terminal,
        )

    def print(self, lines: Sequence[str]) -> None:
        """As on any output."""
        with self._lock:
            self._send("".join(f"{line}\n" for line in lines))

    def show(self, lines: Sequence[str], width: int) -> None:
        """In place of the lines shown before; where that cannot be, below them. width: for which
        they were drawn."""
        if not self.moves:
            self.print([*lines, ""])
            return
        with self._lock:
            # A terminal that has become narrower has wrapped the lines.
            begin = self._back() if width == self._width or not self._shown else "\x1b[2J\x1b[H"
            self._shown, self._width = lines, width
            self._send(begin + self._drawn())

    def leave(self) -> None:
        """What is shown stays; the next screen comes below."""
        with self._lock:
            self._shown = ()

    def write(self, text: str) -> int:
        """Whole lines of a log, above the screen."""
        with self._lock:
            *whole, self._begun = (self._begun + text).split("\n")
            above = "".join(f"{line}\n" for line in whole)
            if self._shown:
                above = f"{self._back()}\x1b[J{above}{self._drawn()}"
            self._send(above)
        return len(text)

    def flush(self) -> None:
        """Lines are written at once."""

    @contextmanager
    def takes_the_log(self) -> Iterator[None]:
        """Log lines and other messages to the same terminal come above the screen."""
        if sys.stderr is None or not sys.stderr.isatty():
            yield
            return
        before = sys.stderr
        handlers = [
            handler
            for handler in logging.getLogger().handlers
            if isinstance(handler, logging.StreamHandler) and handler.stream is before
        ]
        for handler in handlers:
            handler.setStream(self)
        try:
            with redirect_stderr(self):
                yield
        finally:
            for handler in handlers:
                handler.setStream(before)

    def _back(self) -> str:
        """To the first line of the screen."""
        return f"\r\x1b[{len(self._shown)}A" if self._shown else "\r"

    def _drawn(self) -> str:
        return "".join(f"{line}\x1b[K\n" for line in self._shown) + "\x1b[J"

    def _send(self, text: str) -> None:
        """At once, so that nothing flickers."""
        self._stream.flush()
        self._stream.buffer.write(text.encode(self._encoding, "replace"))
        self._stream.buffer.flush()


@contextmanager
def keys() -> Iterator[Callable[[float], str]]:
    """Gives a function that waits so many seconds for a key; "" without one."""
    if sys.stdin is None or not sys.stdin.isatty():

        def none(seconds: float) -> str:
            time.sleep(seconds)
            return ""

        yield none
        return
    fd = sys.stdin.fileno()
    before = termios.tcgetattr(fd)
    ending = signal.SIGTERM, signal.SIGHUP, signal.SIGQUIT
    handlers = {each: signal.getsignal(each) for each in (*ending, signal.SIGCONT)}

    def pressed(seconds: float) -> str:
        if not select.select([fd], [], [], seconds)[0]:
            return ""
        return os.read(fd, 64).decode(errors="replace") or "q"  # the terminal has gone

    try:
        for each in ending:
            if handlers[each] != signal.SIG_IGN:  # as under nohup
                signal.signal(each, lambda number, _: sys.exit(128 + number))
        signal.signal(signal.SIGCONT, lambda *_: tty.setcbreak(fd))  # after Ctrl-Z and fg
        tty.setcbreak(fd)
        yield pressed
    finally:
        for each, handler in handlers.items():
            signal.signal(each, handler)
        with suppress(termios.error):  # the terminal has gone
            termios.tcsetattr(fd, termios.TCSADRAIN, before)
