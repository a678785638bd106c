"""A terminal for a program: what it shows at each moment, as far as edged uses one."""

from __future__ import annotations

import errno
import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios
import threading
import time
import unicodedata
from collections.abc import Callable, Mapping
from pathlib import Path

_CONTROL = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])|\r|\n|\x07|\x08|[^\x1b]|\x1b")
_END_OF_SEQUENCE = re.compile(r"\x1b(\[[?0-9;]*)?$")


class Shown:
    """Lines of cells. wrapped: lines that were longer than the terminal is wide."""

    def __init__(self, columns: int, rows: int = 24) -> None:
        self.columns, self.rows = columns, rows
        self.lines: list[list[str]] = [[]]
        self.row = self.column = 0
        self.wrapped = 0
        self.codes: set[str] = set()
        """Of colours and attributes that were set."""
        self._rest = ""

    @property
    def text(self) -> str:
        """Also what has been scrolled away."""
        return "\n".join("".join(line).rstrip() for line in self.lines)

    @property
    def visible(self) -> str:
        return "\n".join("".join(line).rstrip() for line in self.lines[-self.rows :])

    def feed(self, text: str) -> None:
        text = self._rest + text
        cut = _END_OF_SEQUENCE.search(text)
        text, self._rest = (text[: cut.start()], text[cut.start() :]) if cut else (text, "")
        for match in _CONTROL.finditer(text):
            if match[2]:
                self._control(match[1], match[2])
            elif match[0] == "\r":
                self.column = 0
            elif match[0] == "\n":
                self._down()
            elif match[0].isprintable():
                self._put(match[0])
            else:
                raise AssertionError(f"the terminal got {match[0]!r} in {text!r}")

    def resize(self, columns: int) -> None:
        """Lines that are too long are wrapped anew, as terminals do."""
        before, row = self.lines, self.row
        self.columns, self.lines = columns, []
        for number, line in enumerate(before):
            if number == row:
                self.row = len(self.lines)
            self.lines += [line[at : at + columns] for at in range(0, max(1, len(line)), columns)]

    def _control(self, numbers: str, kind: str) -> None:
        if kind == "A":
            top = max(0, len(self.lines) - self.rows)
            self.row = max(top, self.row - int(numbers or 1))
        elif kind == "K":
            del self.lines[self.row][self.column :]
        elif kind == "J" and numbers in ("", "0"):
            del self.lines[self.row][self.column :]
            del self.lines[self.row + 1 :]
        elif kind == "J" and numbers == "2":
            self.lines[-self.rows :] = [[]]
            self.row = self.column = 0
        elif kind == "H" and not numbers:
            self.row, self.column = max(0, len(self.lines) - self.rows), 0
        elif kind == "m":
            self.codes |= {*numbers.split(";")} - {"0"}
        else:
            raise AssertionError(f"the terminal got ESC [ {numbers} {kind}")

    def _down(self) -> None:
        self.row += 1
        if self.row == len(self.lines):
            self.lines.append([])

    def _put(self, character: str) -> None:
        line = self.lines[self.row]
        if unicodedata.category(character) in ("Mn", "Me"):
            line[self.column - 1] += character
            return
        width = 2 if unicodedata.east_asian_width(character) in ("W", "F") else 1
        if self.column + width > self.columns:
            self.wrapped += 1
            self._down()
            self.column, line = 0, self.lines[self.row]
        line += [" "] * (self.column - len(line))
        line[self.column : self.column + width] = [character, *[""] * (width - 1)]
        self.column += width


END = b"\0"
"""After all output; no program here writes it."""


class InTerminal:
    """A program in a terminal of its own, which gets what is typed."""

    def __init__(
        self,
        command: list[str],
        columns: int = 80,
        rows: int = 24,
        environ: Mapping[str, str] | None = None,
        folder: Path | None = None,
    ) -> None:
        self.shown = Shown(columns, rows)
        self._pty, inside = pty.openpty()
        fcntl.ioctl(inside, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
        self.process = subprocess.Popen(
            ["setsid", "--ctty", *command],
            stdin=inside,
            stdout=inside,
            stderr=inside,
            cwd=folder,
            env={**os.environ, "TERM": "xterm", "LC_ALL": "C.UTF-8", **(environ or {})},
        )
        self.settings = termios.tcgetattr(inside)
        self._inside = inside
        self._ends = threading.Semaphore(0)
        self._feeding = threading.Lock()
        self._failure: AssertionError | None = None
        """What the terminal did not understand."""
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def __enter__(self) -> InTerminal:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        os.close(self._inside)
        self._reader.join()
        os.close(self._pty)

    def type(self, text: str) -> None:
        os.write(self._pty, text.encode())

    def resize(self, columns: int) -> None:
        with self._feeding:
            self.shown.resize(columns)
        size = struct.pack("HHHH", self.shown.rows, columns, 0, 0)
        fcntl.ioctl(self._inside, termios.TIOCSWINSZ, size)

    def settle(self) -> None:
        """Back to the first settings, as a shell does when a program stops."""
        termios.tcsetattr(self._inside, termios.TCSANOW, self.settings)

    def settings_now(self) -> list[object]:
        return list(termios.tcgetattr(self._inside))

    def wait_for(self, condition: Callable[[str], object], seconds: float = 60) -> str:
        """What is visible as soon as the condition holds for it."""
        deadline = time.monotonic() + seconds
        over = False
        while not condition(shown := self.shown.visible):
            assert time.monotonic() < deadline and not over, (
                f"exit status {self.process.poll()}; the terminal shows:\n{self.shown.text}"
            )
            if self._failure is not None:
                raise self._failure
            over = self.process.poll() is not None
            if over:
                self._read_all()
            time.sleep(0.02)
        return shown

    def end(self, seconds: float = 60) -> tuple[int, str]:
        """Exit status, and everything that was shown."""
        status = self.process.wait(seconds)
        self._read_all()
        return status, self.shown.text

    def _read_all(self) -> None:
        """What a program that has ended wrote is read once what comes after it is."""
        os.write(self._inside, END)
        assert self._ends.acquire(timeout=60), "the terminal is not read"
        if self._failure is not None:
            raise self._failure

    def _read(self) -> None:
        rest = b""
        while True:
            try:
                data = os.read(self._pty, 65536)
            except OSError as error:
                assert error.errno == errno.EIO  # the last one has closed it
                return
            if not data:
                return
            ended = data.endswith(END)
            rest += data.removesuffix(END)
            try:
                text, rest = rest.decode(), b""
            except UnicodeDecodeError as error:
                text, rest = rest[: error.start].decode(), rest[error.start :]
            try:
                with self._feeding:
                    self.shown.feed(text)
            except AssertionError as failure:
                self._failure = failure
                self._ends.release()
                return
            if ended:
                self._ends.release()
