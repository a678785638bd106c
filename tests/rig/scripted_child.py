"""A capture process that runs a script."""

from __future__ import annotations

import subprocess
import sys

from edged.capture.process import Starter
from edged.capture.supervisor import Camera

CHILD = """
import json, os, signal, sys, time
import numpy as np
from edged.capture.mailbox import MailboxWriter, Place
from edged.clock import monotonic_ns
request = json.loads(sys.stdin.readline())
writer = MailboxWriter.attach(int(sys.argv[1]), int(sys.argv[2]))
def say(**values):
    print(json.dumps(values), flush=True)
def opened():
    say(status="opened", granted=dict(width=8, height=8, fps=50, format="fake"))
def frame():
    writer.count(captured=1)
    now = monotonic_ns()
    writer.publish(np.zeros((8, 8, 3), np.uint8), now, now, {0: Place(0, 0, 8, 8, 0)})
"""


def fake(script: str) -> Starter:
    """Starts a small process instead of the worker."""

    def start(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        return subprocess.Popen(
            [sys.executable, "-c", CHILD + script, str(memfd), str(wake_fd)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            bufsize=0,
            pass_fds=(memfd, wake_fd),
        )

    return start


def faults(camera: Camera) -> dict[str, int]:
    return {reason.value: count for reason, count in camera.restarts.items() if count}
