"""The child process that decodes pictures from outside: confined, and bounded in memory.

It has a socket as standard input. For each file it receives a line of JSON with the file's
descriptor, and answers on standard output: lines of JSON, each followed by as many bytes as its
`bytes` says; `next` ends the answer. It opens no file itself, and writes none.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import socket
import stat
from collections.abc import Callable
from typing import IO, Any

import cv2

from edged.capture.confinement.confine import confine
from edged.capture.confinement.landlock import KNOWN_ABI
from edged.capture.confinement.needs import Needs
from edged.capture.sent.bounds import CHILD_BYTES
from edged.capture.source import CaptureRequest, SourceError
from edged.process import prctl

_PR_SET_PDEATHSIG = 1  # linux/prctl.h
_LINE_BYTES = 4096


class Answers:
    def __init__(self, target: IO[bytes]) -> None:
        self._target = target

    def say(self, values: dict[str, Any], content: bytes = b"") -> None:
        line = json.dumps({**values, "bytes": len(content)}).encode()
        self._target.write(line + b"\n" + content)
        self._target.flush()


def serve(
    answer: Callable[[IO[bytes], dict[str, Any], Answers], None], *, abi: int = KNOWN_ABI
) -> int:
    """Answer orders until there are no more; the exit status.

    answer: gets an open file, the order and where to answer. abi: the highest Landlock ABI to use.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent
    answers = Answers(os.fdopen(os.dup(1), "wb"))
    os.dup2(2, 1)  # what libraries print is no answer
    prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)  # sent when the thread that started it ends
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_DATA, (CHILD_BYTES, CHILD_BYTES))
    cv2.setNumThreads(1)
    orders = socket.socket(fileno=os.dup(0))
    try:
        confine(CaptureRequest(""), Needs(), abi=abi)
    except SourceError as error:
        answers.say({"unconfined": error.what})
        return 1
    while True:
        line, files, _, _ = socket.recv_fds(orders, _LINE_BYTES, 1)
        if not line:
            return 0
        for fd in files:
            with os.fdopen(fd, "rb") as file:
                if stat.S_ISREG(os.fstat(fd).st_mode):
                    answer(file, json.loads(line), answers)
        answers.say({"next": True})
