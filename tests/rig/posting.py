"""Clients that post a picture all the time: `python -m tests.rig.posting URL FILE CLIENTS`.

They leave the processor to whatever else wants it, as clients on another machine would. With each
line of standard input they begin, or pause. At its end they stop, and print how many answers had
each status, as JSON.
"""

from __future__ import annotations

import json
import os
import sys
import threading
import urllib.error
import urllib.request
from collections import Counter
from contextlib import suppress
from pathlib import Path

REFUSED_SECONDS = 0.2
"""How long a client waits that was refused."""


def post(url: str, picture: bytes) -> tuple[int, str]:
    """Status and body of the answer."""
    request = urllib.request.Request(url, picture, {"Content-Type": "image/jpeg"})
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def main(url: str, file: str, clients: str) -> None:
    os.nice(19)
    with suppress(OSError):  # a kernel that does not share the processor between sessions
        Path("/proc/self/autogroup").write_text("19")
    picture, going, over = Path(file).read_bytes(), threading.Event(), threading.Event()
    counts: Counter[int] = Counter()

    def ask() -> None:
        while going.wait() and not over.is_set():
            status, _ = post(url, picture)
            counts[status] += 1
            if status != 200:
                over.wait(REFUSED_SECONDS)

    asking = [threading.Thread(target=ask) for _ in range(int(clients))]
    for each in asking:
        each.start()
    for _ in sys.stdin:
        (going.clear if going.is_set() else going.set)()
    over.set()
    going.set()
    for each in asking:
        each.join()
    sys.stdout.write(json.dumps(counts))


if __name__ == "__main__":
    main(*sys.argv[1:])
