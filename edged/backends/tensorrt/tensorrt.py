"""TensorRT on an NVIDIA GPU, and ONNX Runtime on the CPU until the engines are built.

A network runs on the CPU at once; its engine is built in a child process, one at a time, and takes
over when it gives the golden scores. A run that fails on the GPU is repeated on the CPU and
counted, and the GPU is retried later. `edged models build` builds ahead of time.
Developed without a GPU: tests/jetson/README.md lists what was proved how, and the command that
proves the rest on a device.
"""

from __future__ import annotations

import logging
import os
import threading
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.bindings import checked_tensorrt, import_tensorrt
from edged.backends.tensorrt.build_process import (
    LEAST_WORKSPACE_BYTES,
    OutOfMemory,
    Starter,
    available_bytes,
    build_in_child,
    start_builder,
    workspace_bytes,
)
from edged.backends.tensorrt.build_worker import (
    BuildRequest,
    flag_names,
    logger_class,
    strongly_typed,
)
from edged.backends.tensorrt.cache import EngineCache, EngineKey, engines_directory
from edged.backends.tensorrt.cuda import Cuda, GpuError, import_cuda
from edged.backends.tensorrt.engine import Engine, PlanError
from edged.backends.tensorrt.fallback import Switch, SwitchingRunner
from edged.backends.tensorrt.onnx_forms import EnginePrecision, fp16_form, fp32_form, int8_form
from edged.clock import Clock, monotonic_ns
from edged.errors import EdgedError, InputError
from edged.variants.family import Family, Network, load_family
from edged.variants.golden import check_golden
from edged.variants.runtime import Backend, Engines, Runner
from edged.variants.variant import Precision

TOLD_SECONDS = 60.0
"""Interval of progress messages during a build."""

log = logging.getLogger("edged")


class TensorRtBackend:
    """Raises EdgedError, with a fix, without TensorRT or a GPU.

    precision: of float networks; INT8 networks stay INT8. background: build engines in the
    background; otherwise `load` builds, and raises errors.
    """

    name = "tensorrt"
    fp16 = False
    """Its engines may compute in float16, but keep the names of their networks."""

    def __init__(
        self,
        precision: EnginePrecision = EnginePrecision.FP16,
        *,
        background: bool = False,
        import_tensorrt: Callable[[], Any] = import_tensorrt,
        import_cudart: Callable[[], Any] = import_cuda,
        cpu: Backend | None = None,
        cache: EngineCache | None = None,
        start: Starter = start_builder,
        available: Callable[[], int | None] = available_bytes,
        progress: Callable[[str, float], None] | None = None,
        clock: Clock = monotonic_ns,
    ) -> None:
        self._trt = checked_tensorrt(import_tensorrt)
        self.version: str = self._trt.__version__
        self._cuda = Cuda(import_cudart())
        self._cpu = cpu or OrtBackend()
        self._precision = precision
        self._background = background
        self._cache = cache or EngineCache(engines_directory(os.environ))
        self._start = start
        self._available = available
        self._progress = progress or self._tell_progress
        self._clock = clock
        self._logger = logger_class(self._trt)()
        self.engines = Engines()
        self._lock = threading.Lock()
        """Guards what follows, and `engines`."""
        self._switches: weakref.WeakValueDictionary[tuple[str, tuple[int, ...]], Switch] = (
            weakref.WeakValueDictionary()
        )
        """By network file and resolutions."""
        self._waiting: deque[Callable[[], None]] = deque()
        self._builds = False
        self._told_ns = 0

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        """See Backend. One engine serves all thread counts, which only matter on the CPU."""
        file = network.sha256, network.resolutions
        with self._lock:
            switch = self._switches.get(file)
            new = switch is None
            if switch is None:
                switch = self._switches[file] = Switch(self._count_failure, self._clock)
        if new:
            self._prepare(network, switch)
        runner = SwitchingRunner(switch, lambda: self._cpu.load(network, network.read(), threads))
        if switch.engine is None:
            runner.prepare(self._cpu.load(network, model, threads))
        return runner

    def describe(self) -> Mapping[str, str]:
        gpu = self._cuda.gpu
        return {
            "backend": self.name,
            "version": self.version,
            "gpu": gpu.name,
            "compute_capability": gpu.capability,
            "precision": self._precision.value,
        }

    def plan(self, network: Network) -> bytes | None:
        """The stored plan of a network, for other programs."""
        return self._cache.load(self._key(_family(network), network))

    def _prepare(self, network: Network, switch: Switch) -> None:
        """Take the engine from the cache, or build it, now or in the background."""
        family = _family(network)
        try:
            key = self._key(family, network)
            plan = self._cache.load(key)
            if plan is not None and self._take_over(family, network, key, plan, switch):
                return
            if not self._background:
                self._build(family, network, key, switch)
                return
        except EdgedError as error:
            if not self._background:
                raise
            log.error("%s runs on the CPU: %s", network.path.name, error)
            return
        here = weakref.ref(switch)
        with self._lock:
            if not self.engines.building:
                self.engines.of = 0
            self.engines.building += 1
            self.engines.of += 1
            self._waiting.append(lambda: self._build_beside(family, network, key, here))
            if self._builds:
                return
            self._builds = True
        threading.Thread(target=self._build_all, name="engines", daemon=True).start()

    def _take_over(
        self, family: Family, network: Network, key: EngineKey, plan: bytes, switch: Switch
    ) -> bool:
        """Use the plan; False if it is invalid or gives wrong golden scores."""
        try:
            engine = Engine(self._trt, self._cuda, self._logger, plan, network.resolutions)
            check_golden(engine, family, network, family.golden_picture())
        except (PlanError, InputError) as error:
            log.warning("%s: building the stored engine again: %s", network.path.name, error)
            self._cache.discard(key)
            return False
        switch.engine = engine
        return True

    def _build_all(self) -> None:
        while True:
            with self._lock:
                if not self._waiting:
                    self._builds = False
                    return
                build = self._waiting.popleft()
            build()
            with self._lock:
                self.engines.building -= 1

    def _build_beside(
        self,
        family: Family,
        network: Network,
        key: EngineKey,
        here: weakref.ref[Switch],
    ) -> None:
        switch = here()
        if switch is None:  # the network is no longer used
            return
        try:
            self._build(family, network, key, switch)
        except EdgedError as error:
            log.error("%s stays on the CPU: %s", network.path.name, error)
        except Exception:  # frames must go on
            log.exception("%s stays on the CPU", network.path.name)

    def _build(self, family: Family, network: Network, key: EngineKey, switch: Switch) -> None:
        """Build and use the engine. Raises EdgedError if that fails or its scores are wrong."""
        name = network.path.name
        beside = "; until then it runs on the CPU" if self._background else ""
        log.info("building the engine of %s (%s), which may take minutes%s",
                 name, key.precision, beside)  # fmt: skip
        begun_ns = self._told_ns = self._clock()
        plan, timing = self._built(family, network, key)
        seconds = (self._clock() - begun_ns) / 1e9
        try:
            engine = Engine(self._trt, self._cuda, self._logger, plan, network.resolutions)
            check_golden(engine, family, network, family.golden_picture())
        except PlanError:
            raise
        except GpuError:  # out of memory, perhaps: the plan may work at the next start
            self._cache.store(key, plan, timing)
            raise
        self._cache.store(key, plan, timing)
        with self._lock:
            self.engines.build_seconds[name] = seconds
            self.engines.takeovers += 1
            switch.engine = engine
        log.info("%s now runs on its engine, built in %.0f s", name, seconds)

    def _built(self, family: Family, network: Network, key: EngineKey) -> tuple[bytes, bytes]:
        """Build in a child; retry with less workspace if memory runs out."""
        model, timing = self._form(family, network), self._cache.timing(key)
        request = BuildRequest(
            network.path.name,
            network.resolutions,
            EnginePrecision(key.precision),
            key.capability,
            workspace_bytes(self._available()),
            len(model),
            len(timing),
        )

        def build(request: BuildRequest) -> tuple[bytes, bytes]:
            return build_in_child(
                request,
                model,
                timing,
                lambda share: self._progress(request.name, share),
                start=self._start,
                available=self._available,
            )

        try:
            return build(request)
        except OutOfMemory as error:
            less = max(LEAST_WORKSPACE_BYTES, request.workspace_bytes // 4)
            if less == request.workspace_bytes:
                raise
            log.warning("%s; retrying with %d MB of workspace", error.what, less >> 20)
            return build(replace(request, workspace_bytes=less))

    def _form(self, family: Family, network: Network) -> bytes:
        model = network.read()
        if network.precision is Precision.INT8:
            return int8_form(_float_counterpart(family, network).read(), network.calibration, model)
        if self._precision is EnginePrecision.FP16 and strongly_typed(self._trt):
            return fp16_form(model)
        return fp32_form(model)

    def _key(self, family: Family, network: Network) -> EngineKey:
        files, precision = [network.sha256], self._precision
        if network.precision is Precision.INT8:
            precision = EnginePrecision.INT8
            files.append(_float_counterpart(family, network).sha256)
        return EngineKey(
            files=tuple(files),
            tensorrt=self.version,
            gpu=self._cuda.gpu.name,
            capability=self._cuda.gpu.capability,
            precision=precision.value,
            sides=network.resolutions,
            flags=flag_names(self._trt, precision),
        )

    def _tell_progress(self, name: str, share: float) -> None:
        now_ns = self._clock()
        if now_ns - self._told_ns >= TOLD_SECONDS * 1e9:
            self._told_ns = now_ns
            log.info("building the engine of %s: %.0f %%", name, 100 * share)

    def _count_failure(self) -> None:
        with self._lock:
            self.engines.failures += 1


def _family(network: Network) -> Family:
    """The network's family, with its golden picture and float counterpart."""
    return load_family(str(network.path.parent.absolute()), network.path.parent)


def _float_counterpart(family: Family, network: Network) -> Network:
    for other in family.networks:
        alike = (other.alpha, other.precision) == (network.alpha, Precision.FLOAT)
        if alike and set(network.resolutions) <= set(other.resolutions):
            return other
    raise InputError(
        "an INT8 engine needs the float network of the same alpha, which the family lacks",
        where=network.path,
    )
