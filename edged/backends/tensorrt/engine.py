"""A TensorRT engine on the GPU: one plan, with an execution context for each resolution.

Developed without a GPU: every name is checked against the bindings of TensorRT 8.6 to 11, and the
tests run it with a stand-in for the device; on a device it has not run yet.
"""

from __future__ import annotations

import logging
import threading
import weakref
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.backends.tensorrt.cuda import Buffer, Cuda, GpuError
from edged.variants.weights.onnx_builder import INPUT_NAME, OUTPUT_NAME

log = logging.getLogger("edged")


class PlanError(GpuError):
    """Not a plan for this network, device and version; it must be built again."""


class Engine:
    """plan: with one optimisation profile for each of `sides`, in their order.

    Raises PlanError for another plan, GpuError without memory.
    """

    def __init__(
        self,
        trt: Any,
        cuda: Cuda,
        logger: Any,
        plan: bytes,
        sides: tuple[int, ...],
    ) -> None:
        runtime = trt.Runtime(logger)
        engine = runtime.deserialize_cuda_engine(plan)
        if engine is None:
            raise PlanError("TensorRT rejects the engine", got=logger.said())
        self._kept = (runtime, engine)  # the contexts live on them
        self._features = _check(trt, engine, sides)
        outputs = (OUTPUT_NAME, self._features)
        self._cells = {
            side: _Cell(cuda, _context(trt, engine), logger, profile, side, outputs)
            for profile, side in enumerate(sides)
        }

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Scores (classes,) of a picture (1, side, side, 3). Several threads may call it; those
        with the same side wait for each other. Raises GpuError."""
        return self._cells[image.shape[1]].run(image, OUTPUT_NAME)

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Pooled features (channels,) of such a picture; otherwise as `run`."""
        return self._cells[image.shape[1]].run(image, self._features)


class _Cell:
    """A resolution: its execution context, stream and buffers, and the recorded graph of a run.

    Every run gives all outputs, so that one graph serves."""

    def __init__(
        self,
        cuda: Cuda,
        context: Any,
        logger: Any,
        profile: int,
        side: int,
        outputs: tuple[str, ...],
    ) -> None:
        self._cuda = cuda
        self._logger = logger
        self._lock = threading.Lock()
        self._graph: Any = None
        self._settled = False
        """Recording a graph was tried."""
        self._context = context
        if context is None:
            raise GpuError("TensorRT could not create an execution context", got=logger.said())
        self._stream = stream = self._owned(cuda.stream(), cuda.give_back_stream)
        handle = int(stream)
        self._expect(context.set_optimization_profile_async(profile, handle), "the profile")
        cuda.synchronise(stream)
        shape = (1, side, side, 3)
        self._expect(context.set_input_shape(INPUT_NAME, shape), "the picture's shape")
        self._input: Buffer = self._owned(cuda.buffer(shape, np.uint8), cuda.free)
        self._outputs: dict[str, Buffer] = {}
        for name in outputs:
            size = tuple(context.get_tensor_shape(name))
            if len(size) != 2 or min(size) < 1:
                raise GpuError(f"the engine does not state its number of {name}", got=size)
            self._outputs[name] = self._owned(cuda.buffer(size, np.float32), cuda.free)
        for name, buffer in {INPUT_NAME: self._input, **self._outputs}.items():
            self._expect(context.set_tensor_address(name, buffer.address), "an address")

    def run(self, image: NDArray[np.uint8], output: str) -> NDArray[np.float32]:
        with self._lock:
            np.copyto(self._input.host, image)
            if self._graph is not None:
                self._cuda.launch(self._graph, self._stream)
            else:
                self._enqueue()
            self._cuda.synchronise(self._stream)
            values: NDArray[np.float32] = self._outputs[output].host[0].copy()
            if not self._settled:
                self._settled = True
                self._record()
        return values

    def _owned(self, part: Any, give_back: Callable[[Any], None]) -> Any:
        """Release the part with this object, but not at the end of the process."""
        weakref.finalize(self, give_back, part).atexit = False
        return part

    def _enqueue(self) -> None:
        self._cuda.to_device(self._input, self._stream)
        self._expect(self._context.execute_async_v3(int(self._stream)), "a run")
        for output in self._outputs.values():
            self._cuda.to_host(output, self._stream)

    def _record(self) -> None:
        """Record a CUDA graph: launching many kernels dominates the time of small networks.
        TensorRT requires a run before that; not every network can be recorded."""
        try:
            self._cuda.begin_capture(self._stream)
            try:
                self._enqueue()
                graph = self._cuda.end_capture(self._stream)
                self._graph = self._owned(graph, self._cuda.give_back_graph)
            except GpuError:
                self._cuda.give_up_capture(self._stream)
                raise
        except GpuError as error:
            log.info("an engine runs without a CUDA graph: %s", error)

    def _expect(self, accepted: bool, what: str) -> None:
        if not accepted:
            raise GpuError(f"TensorRT refused {what}", got=self._logger.said())


def _context(trt: Any, engine: Any) -> Any:
    """None without memory. TensorRT-RTX may run slower kernels while it compiles those for a shape;
    a CUDA graph would keep them."""
    if hasattr(trt, "DynamicShapesKernelSpecializationStrategy"):
        config = engine.create_runtime_config()
        strategy = trt.DynamicShapesKernelSpecializationStrategy.EAGER
        config.dynamic_shapes_kernel_specialization_strategy = strategy
        context = engine.create_execution_context(config)
    else:
        context = engine.create_execution_context()
    return context


def _check(trt: Any, engine: Any, sides: tuple[int, ...]) -> str:
    """The name of the pooled features. Raise PlanError unless it is the engine of one of edged's
    networks with these profiles."""
    names = [engine.get_tensor_name(index) for index in range(engine.num_io_tensors)]
    features = [name for name in names if name not in (INPUT_NAME, OUTPUT_NAME)]
    wanted = {INPUT_NAME: (trt.TensorIOMode.INPUT, trt.DataType.UINT8)}
    for name in (OUTPUT_NAME, *features):
        wanted[name] = trt.TensorIOMode.OUTPUT, trt.DataType.FLOAT
    found = {name: (engine.get_tensor_mode(name), engine.get_tensor_dtype(name)) for name in names}
    if found != wanted or len(features) != 1:
        raise PlanError("not an engine of one of edged's networks", got=", ".join(names))
    if engine.num_optimization_profiles != len(sides):
        what = f"the engine was not built for {len(sides)} resolutions"
        raise PlanError(what, got=engine.num_optimization_profiles)
    for profile, side in enumerate(sides):
        shapes = engine.get_tensor_profile_shape(INPUT_NAME, profile)
        if any(tuple(shape) != (1, side, side, 3) for shape in shapes):
            raise PlanError(f"the engine was not built for {side} x {side}", got=list(shapes))
    return str(features[0])
