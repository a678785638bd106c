"""Starts a training and follows it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import threading
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path

from edged.errors import EdgedError, InputError
from edged.printable import printable
from edged.process import child_environment, own_python
from edged.state import credentials

_ENVIRONMENT = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
    "OPENCV_FOR_THREADS_NUM": "1",
}
_LINE_BYTES = 16384
_SAID_BYTES = 2000
_KILL_SECONDS = 5.0


@dataclass(frozen=True, slots=True)
class Training:
    """How far it is. stage: `none`, `features` or `heads`, of which `done` of `of` is done.
    waiting: why it waits for memory, or empty. version, error: at its end."""

    stage: str = ""
    done: int = 0
    of: int = 0
    waiting: str = ""
    version: int | None = None
    error: EdgedError | None = None

    @property
    def running(self) -> bool:
        return self.version is None and self.error is None

    def to_json(self) -> dict[str, object]:
        """Its end, or how far it is."""
        if self.version is not None:
            return {"version": self.version}
        if self.error is not None:
            return {"error": str(self.error)}
        return {
            "stage": self.stage,
            "done": self.done,
            "of": self.of,
            "waiting": self.waiting or None,
        }


class TrainingProcess:
    """Begins at once. Thread-safe; `stop` must be called."""

    def __init__(
        self,
        folder: Path,
        backbone: str,
        *,
        told: Callable[[Training], None] = lambda training: None,
        program: Sequence[str] = ("-m", "edged.teach.training.worker"),
    ) -> None:
        """folder: of the classifier. backbone: a shipped family's name or an absolute folder. told:
        called with every change, in a thread."""
        self._process: subprocess.Popen[bytes] = subprocess.Popen(
            [*own_python(), *program, str(folder.absolute()), backbone],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,  # Ctrl-C in a terminal is for the parent
            env={**child_environment(os.environ), **_ENVIRONMENT},
            **credentials(),
        )
        self._told = told
        self._name = folder.name
        self._state = Training()
        self._said = b""
        self._threads = [
            threading.Thread(target=target, name="training", daemon=True)
            for target in (self._listen, self._follow)
        ]
        for thread in self._threads:
            thread.start()

    def __enter__(self) -> TrainingProcess:
        return self

    def __exit__(self, *_: object) -> None:
        self.stop()

    @property
    def pid(self) -> int:
        return self._process.pid

    @property
    def state(self) -> Training:
        return self._state

    @property
    def running(self) -> bool:
        return self._state.running

    def wait(self) -> int:
        """The new version's number. Raises what went wrong."""
        self._threads[-1].join()
        if self._state.error is not None:
            raise self._state.error
        assert self._state.version is not None
        return self._state.version

    def stop(self) -> None:
        """End it; what is done so far is kept for the next one."""
        self._process.kill()
        for thread in self._threads:
            thread.join(_KILL_SECONDS)
        for pipe in (self._process.stdin, self._process.stdout, self._process.stderr):
            with suppress(OSError):
                assert pipe is not None
                pipe.close()

    def _follow(self) -> None:
        assert self._process.stdout is not None
        while line := self._process.stdout.readline(_LINE_BYTES):
            with suppress(ValueError, LookupError, TypeError):
                self._change(self._after(json.loads(line)))
        status = self._process.wait()
        if self._state.running:
            self._threads[0].join(_KILL_SECONDS)
            how = f"with status {status}" if status >= 0 else f"of {signal.Signals(-status).name}"
            lines = self._said.decode(errors="replace").strip().splitlines()
            error = EdgedError(
                f"the training ended {how}",
                where=self._name,
                got=printable(lines[-1]) if lines and status > 0 else None,
                fix="train again: it goes on from what is done",
            )
            self._change(replace(self._state, error=error))

    def _listen(self) -> None:
        """Keep the end of what it says, so that it never blocks."""
        assert self._process.stderr is not None
        while chunk := os.read(self._process.stderr.fileno(), 4096):
            self._said = (self._said + chunk)[-_SAID_BYTES:]

    def _after(self, values: dict[str, object]) -> Training:
        if "version" in values:
            return replace(self._state, waiting="", version=int(str(values["version"])))
        if "error" in values:
            kind = InputError if values["status"] == InputError.exit_status else EdgedError
            return replace(
                self._state, waiting="", error=kind(printable(str(values["error"]), 2000))
            )
        if "waiting" in values:
            return replace(self._state, waiting=printable(str(values["waiting"])))
        stage, done, of = str(values["stage"]), int(str(values["done"])), int(str(values["of"]))
        return Training(stage, done, of)

    def _change(self, state: Training) -> None:
        self._state = state
        self._told(state)
