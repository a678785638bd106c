"""Runs the builder in a child process: request, progress, and failures."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import IO, Any

from edged.backends.tensorrt.build_worker import BuildRequest, Progress
from edged.errors import EdgedError, InputError
from edged.process import child_environment
from edged.sensors.memory import meminfo

Starter = Callable[[], "subprocess.Popen[bytes]"]
"""Starts a child with pipes as standard streams."""

MOST_WORKSPACE_BYTES = 1024**3
"""Far more than a MobileNet's kernels need."""
LEAST_WORKSPACE_BYTES = 64 * 1024**2
LEAST_AVAILABLE_BYTES = 128 * 1024**2
"""A build is killed below this, before the kernel's OOM killer acts."""
_LOOK_SECONDS = 1.0
_SAID_BYTES = 2000


class OutOfMemory(EdgedError):  # noqa: N818  (what has happened)
    """The build was killed by the kernel, or by edged before that."""


def start_builder() -> subprocess.Popen[bytes]:
    return subprocess.Popen(
        [sys.executable, "-m", "edged.backends.tensorrt.build_worker"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=child_environment(os.environ),
        start_new_session=True,  # Ctrl-C is the parent's; it ends with the parent anyway
    )


def available_bytes(root: Path = Path("/")) -> int | None:
    """Memory available without swapping; a Jetson's GPU shares it."""
    return meminfo(root).get("MemAvailable")


def workspace_bytes(available: int | None) -> int:
    """A quarter of the available memory: the builder itself needs as much again."""
    if available is None:
        return MOST_WORKSPACE_BYTES // 4
    return min(MOST_WORKSPACE_BYTES, max(LEAST_WORKSPACE_BYTES, available // 4))


def build_in_child(
    request: BuildRequest,
    model: bytes,
    timing: bytes,
    progress: Progress = lambda share: None,
    *,
    start: Starter = start_builder,
    available: Callable[[], int | None] = available_bytes,
) -> tuple[bytes, bytes]:
    """The plan and the timing cache.

    Raises OutOfMemory, InputError for a network that TensorRT rejects, EdgedError for other
    failures; leaves no process behind.
    """
    process = start()
    assert process.stdin is not None and process.stdout is not None and process.stderr is not None
    said = _Tail(process.stderr)
    short = threading.Event()
    with _ended(process, said), _watched(process, available, short):
        with suppress(BrokenPipeError):  # it has died; its messages say why
            process.stdin.write(request.to_json() + model + timing)
            process.stdin.flush()
        answer = _listen(process.stdout, progress)
        if "plan" in answer:
            sizes = answer["plan"], answer["timing"]
            plan, learnt = (process.stdout.read(size) for size in sizes)
            if (len(plan), len(learnt)) == sizes:
                return plan, learnt
        elif answer:
            what = str(answer["what"])
            raise InputError(what, where=request.name, got=answer["got"], fix=answer["fix"])
        status = process.wait()
    if short.is_set() or status == -signal.SIGKILL:
        how = "was stopped before memory ran out" if short.is_set() else "was killed"
        left = available()
        raise OutOfMemory(
            f"the engine's build {how}, with {request.workspace_bytes >> 20} MB of workspace",
            where=request.name,
            got=None if left is None else f"{left >> 20} MB of memory available",
            fix="stop other programs, or add swap: sudo fallocate -l 4G /swapfile; sudo chmod 600 "
            "/swapfile; sudo mkswap /swapfile; sudo swapon /swapfile; then edged models build",
        )
    how = f"with status {status}" if status >= 0 else f"of {signal.Signals(-status).name}"
    raise EdgedError(f"the engine's builder died {how}", where=request.name, got=said.last())


def _listen(output: IO[bytes], progress: Progress) -> dict[str, Any]:
    """The last message; empty if the child died before it."""
    for line in output:
        try:
            values: dict[str, Any] = json.loads(line)
        except ValueError:
            return {}
        if "progress" not in values:
            return values
        progress(values["progress"])
    return {}


class _Tail:
    """Reads a process's output, so that it never blocks, and keeps the end."""

    def __init__(self, pipe: IO[bytes]) -> None:
        self._pipe = pipe
        self._bytes = b""
        self._thread = threading.Thread(target=self._read, name="builder-says", daemon=True)
        self._thread.start()

    def close(self) -> None:
        self._thread.join()
        self._pipe.close()

    def last(self) -> str:
        """The last line, after `close`."""
        lines = self._bytes.decode(errors="replace").strip().splitlines()
        return lines[-1] if lines else "no output"

    def _read(self) -> None:
        while chunk := os.read(self._pipe.fileno(), 4096):
            self._bytes = (self._bytes + chunk)[-_SAID_BYTES:]


@contextmanager
def _ended(process: subprocess.Popen[bytes], said: _Tail) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.wait()
        said.close()
        for pipe in (process.stdin, process.stdout):
            with suppress(OSError):  # what it did not read any more
                assert pipe is not None
                pipe.close()


@contextmanager
def _watched(
    process: subprocess.Popen[bytes],
    available: Callable[[], int | None],
    short: threading.Event,
) -> Iterator[None]:
    """Kill the process, and set `short`, when too little memory is left."""
    over = threading.Event()

    def watch() -> None:
        while not over.is_set():
            left = available()
            if left is not None and left < LEAST_AVAILABLE_BYTES:
                short.set()
                process.kill()
                return
            over.wait(_LOOK_SECONDS)

    thread = threading.Thread(target=watch, name="builder-memory", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
