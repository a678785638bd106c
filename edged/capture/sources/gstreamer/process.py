"""Starts and ends gst-launch-1.0, which cannot outlive this process.

The kernel kills it with this process (PDEATHSIG, with setpriv of util-linux); without setpriv, its
next write to the closed pipe fails. A confined process cannot send signals. It closes the pipe, so
that the pipeline ends with its next frame; if none comes, it ends the thread that started the
child, which is the parent for PDEATHSIG.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import threading
from collections.abc import Sequence
from concurrent.futures import Future
from contextlib import suppress

STOP_SECONDS = 0.5
END_SECONDS = 1.0


class Process:
    """write_fd: the end of a pipe that the child inherits. stdin: as of Popen."""

    def __init__(self, program: str, arguments: Sequence[str], write_fd: int, stdin: int) -> None:
        self._over = threading.Event()
        started: Future[subprocess.Popen[bytes]] = Future()

        def parent() -> None:
            try:
                started.set_result(_start([program, *arguments], write_fd, stdin))
            except BaseException as error:
                started.set_exception(error)
            self._over.wait()

        threading.Thread(target=parent, name="gstreamer-parent", daemon=True).start()
        try:
            self.popen = started.result()
        except BaseException:
            self._over.set()
            raise

    def end(self, *pipes: int) -> None:
        """Ask it to release the hardware and exit; kill it if it does not. pipes: closed, because
        it may be blocked in a write."""
        with suppress(PermissionError):
            self.popen.send_signal(signal.SIGINT)
        for pipe in pipes:
            os.close(pipe)
        try:
            self.popen.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with suppress(PermissionError):
                self.popen.kill()
            self._over.set()
            with suppress(
                subprocess.TimeoutExpired
            ):  # without setpriv it runs until its next write
                self.popen.wait(END_SECONDS)
        self._over.set()
        for stream in (self.popen.stdin, self.popen.stdout, self.popen.stderr):
            if stream is not None:
                stream.close()


def _start(command: Sequence[str], write_fd: int, stdin: int) -> subprocess.Popen[bytes]:
    setpriv = shutil.which("setpriv")
    mortal = [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
    return subprocess.Popen(
        [*mortal, *command],
        stdin=stdin,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        bufsize=0,
        pass_fds=(write_fd,),
        start_new_session=True,  # Ctrl-C in a terminal is for the daemon
        restore_signals=False,  # keeps SIGPIPE ignored, so that it reports a closed pipe
        env={"LIBCAMERA_LOG_LEVELS": "*:WARN", **os.environ, "LC_ALL": "C"},
    )
