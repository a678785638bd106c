"""Runs a network on its engine, and on the CPU while the engine fails."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from edged.backends.tensorrt.cuda import GpuError
from edged.backends.tensorrt.engine import Engine
from edged.clock import Clock
from edged.variants.runtime import Runner

RETRY_SECONDS = 10.0
"""Pause after a failure of the GPU; doubled after each further one, up to ..."""
LONGEST_RETRY_SECONDS = 600.0

log = logging.getLogger("edged")


class Switch:
    """The engine of one network, once there is one, and whether to use it now.

    failed: called for each run that the GPU failed.
    """

    def __init__(self, failed: Callable[[], None], clock: Clock) -> None:
        self.engine: Engine | None = None
        self._failed = failed
        self._clock = clock
        self._pause_seconds = 0.0
        self._until_ns = 0

    def usable(self) -> Engine | None:
        if self._pause_seconds and self._clock() < self._until_ns:
            return None
        return self.engine

    def succeeded(self) -> None:
        if self._pause_seconds:
            self._pause_seconds = 0.0
            log.info("the GPU works again")

    def failed(self, error: GpuError) -> None:
        self._failed()
        if not self._pause_seconds:
            log.error("GPU failed, using the CPU and retrying later: %s", error)
        pause_seconds = 2 * self._pause_seconds or RETRY_SECONDS
        self._pause_seconds = min(pause_seconds, LONGEST_RETRY_SECONDS)
        self._until_ns = self._clock() + int(self._pause_seconds * 1e9)


class SwitchingRunner:
    """Runs on the engine, else on the CPU, whose session is loaded only then."""

    def __init__(self, switch: Switch, load_on_cpu: Callable[[], Runner]) -> None:
        self._switch = switch
        self._load_on_cpu = load_on_cpu
        self._on_cpu: Runner | None = None
        self._lock = threading.Lock()

    def prepare(self, on_cpu: Runner) -> None:
        self._on_cpu = on_cpu

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._answer(lambda runner: runner.run(image))

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        return self._answer(lambda runner: runner.features(image))

    def _answer(self, ask: Callable[[Runner], NDArray[np.float32]]) -> NDArray[np.float32]:
        engine = self._switch.usable()
        if engine is not None:
            try:
                values = ask(engine)
            except GpuError as error:
                self._switch.failed(error)
            else:
                self._switch.succeeded()
                self._on_cpu = None
                return values
        with self._lock:
            on_cpu = self._on_cpu = self._on_cpu or self._load_on_cpu()
        return ask(on_cpu)
