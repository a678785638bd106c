"""The screen of a daemon in this process: `edged run` and `edged demo` on a terminal."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from edged.commands.status.screen import draw
from edged.commands.status.terminal import Terminal

if TYPE_CHECKING:
    from edged.config.config import Config
    from edged.daemon.daemon import Daemon

EVERY_SECONDS = 1.0
_END_SECONDS = 1.0


def shows_screen(config: Config) -> bool:
    """Whether the configuration leaves it open where lines of results go."""
    return config.document is None or not config.document.has("results", "jsonl")


def without_lines(config: Config) -> Config:
    """The screen takes the place of lines on standard output."""
    sinks = {name: sink for name, sink in config.results.sinks.items() if name != "jsonl"}
    return replace(config, results=replace(config.results, sinks=sinks))


class RunningScreen:
    """Drawn once a second by a thread of its own: a terminal that does not take the text, as after
    Ctrl-S, delays nothing else."""

    def __init__(self, terminal: Terminal) -> None:
        self._terminal = terminal
        self._ended = threading.Event()
        self._drawing = threading.Lock()

    @contextmanager
    def of(self, daemon: Daemon) -> Iterator[None]:
        thread = threading.Thread(target=self._run, args=(daemon,), name="screen", daemon=True)
        with self._terminal.takes_the_log():
            thread.start()
            try:
                yield
            finally:
                self._ended.set()
                thread.join(_END_SECONDS)

    def finish(self, daemon: Daemon) -> None:
        """Draw the last screen, which stays."""
        self._ended.set()
        if self._drawing.acquire(timeout=_END_SECONDS):
            try:
                self._draw(daemon)
            finally:
                self._drawing.release()

    def _run(self, daemon: Daemon) -> None:
        while not self._ended.wait(EVERY_SECONDS):
            with self._drawing:
                if not self._ended.is_set():
                    self._draw(daemon)

    def _draw(self, daemon: Daemon) -> None:
        if not shows_screen(daemon.config):  # since a reload
            self._terminal.leave()
            return
        try:
            status = daemon.status()
        except LookupError:  # a reload is replacing the views
            return
        if status["cameras"]:
            style = self._terminal.style()
            with suppress(OSError):  # the terminal has gone
                self._terminal.show(draw(status, style), style.width)
