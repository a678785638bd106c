"""A stand-in for a GPU: the CUDA runtime over memory of the host, engines that compute with ONNX
Runtime, and as much of the `tensorrt` module as edged uses.

An engine's plan is anything, then MARK, its resolutions and the ONNX file that the parser was
given. Nothing here is NVIDIA's; tests/rig/tensorrt.py puts NVIDIA's real builder in front of it.
"""

# ruff: noqa: N802, N815  (CUDA's own names)

from __future__ import annotations

import ctypes
import json
import time
from collections.abc import Callable
from enum import Enum, IntEnum
from types import SimpleNamespace
from typing import Any

import numpy as np
import onnxruntime

MARK = b"\nthe network that the stand-in runs:"
LAUNCH_SECONDS = 0.002
"""How much longer a launch outside a CUDA graph takes: the graph is the faster way here as well."""


class Error(IntEnum):
    cudaSuccess = 0
    cudaErrorMemoryAllocation = 2
    cudaErrorInsufficientDriver = 35
    cudaErrorStreamCaptureUnsupported = 900
    cudaErrorDeviceUnavailable = 46


class Device:
    """A GPU and its CUDA runtime: what streams are given is done when they are waited for.

    failing: what each function of that name, or `execute_async_v3`, answers in place of doing.
    """

    def __init__(
        self,
        *,
        shares_memory: bool = True,
        name: str = "Stand-in",
        count: int = 1,
        capability: tuple[int, int] = (8, 7),
    ) -> None:
        self.shares_memory = shares_memory
        self.name = name
        self.count = count
        self.capability = capability
        self.failing: dict[str, Error] = {}
        self.calls: dict[str, int] = {}
        self.owned: set[int] = set()
        self._sizes: dict[int, int] = {}
        self._kept: list[Any] = []
        self._memory: dict[int, Any] = {}
        self._streams: dict[int, list[Callable[[], None]]] = {}
        self._captures: dict[int, list[Callable[[], None]]] = {}

    def cudart(self) -> Any:
        functions = {
            name.removeprefix("_do_"): self._counted(name.removeprefix("_do_"), getattr(self, name))
            for name in dir(self)
            if name.startswith("_do_")
        }
        return SimpleNamespace(
            cudaError_t=Error,
            cudaHostAllocMapped=2,
            cudaHostAllocDefault=0,
            cudaStreamNonBlocking=1,
            cudaDeviceAttr=Enum(
                "cudaDeviceAttr",
                "cudaDevAttrComputeCapabilityMajor cudaDevAttrComputeCapabilityMinor "
                "cudaDevAttrIntegrated cudaDevAttrCanMapHostMemory",
            ),
            cudaMemcpyKind=Enum(
                "cudaMemcpyKind",
                "cudaMemcpyHostToDevice cudaMemcpyDeviceToHost cudaMemcpyDeviceToDevice",
            ),
            cudaStreamCaptureMode=Enum("cudaStreamCaptureMode", "cudaStreamCaptureModeThreadLocal"),
            **functions,
        )

    def submit(self, stream: int, work: Callable[[], None]) -> None:
        queues = self._captures if stream in self._captures else self._streams
        queues[stream].append(work)

    def records(self, stream: int) -> bool:
        return stream in self._captures

    def view(self, address: int, shape: tuple[int, ...], kind: Any) -> np.ndarray[Any, Any]:
        size = int(np.prod(shape)) * np.dtype(kind).itemsize
        assert address in self._memory, "not memory that the GPU can reach"
        memory = (ctypes.c_uint8 * size).from_address(address)
        return np.frombuffer(memory, kind).reshape(shape)

    def _counted(self, name: str, function: Callable[..., Any]) -> Callable[..., Any]:
        def call(*arguments: Any) -> Any:
            self.calls[name] = self.calls.get(name, 0) + 1
            if name in self.failing:
                if name == "cudaStreamEndCapture":  # a capture that fails is over as well
                    function(*arguments)
                return (self.failing[name], None)
            if name == "cudaStreamSynchronize" and arguments[0] in self._captures:
                return (Error.cudaErrorStreamCaptureUnsupported,)
            values = function(*arguments)
            if name == "cudaMemGetInfo":
                return (Error.cudaSuccess, *values)
            return (Error.cudaSuccess, *(() if values is None else (values,)))

        return call

    def _allocated(self, size: int, reachable: bool) -> int:
        memory = ctypes.create_string_buffer(size)
        address = ctypes.addressof(memory)
        self.owned.add(address)
        self._sizes[address] = size
        self._kept.append(memory)
        if reachable:
            self._memory[address] = memory
        return address

    def _do_cudaGetDeviceCount(self) -> int:
        return self.count

    def _do_cudaDeviceGetAttribute(self, attribute: Any, device: int) -> int:
        return {
            "cudaDevAttrComputeCapabilityMajor": self.capability[0],
            "cudaDevAttrComputeCapabilityMinor": self.capability[1],
        }.get(attribute.name, int(self.shares_memory))

    def _do_cudaGetDeviceProperties(self, device: int) -> Any:
        return SimpleNamespace(name=self.name.encode() + b"\0\0")

    def _do_cudaStreamCreateWithFlags(self, flags: int) -> int:
        handle = 1000 + len(self._streams)
        self._streams[handle] = []
        self.owned.add(handle)
        return handle

    def _do_cudaStreamDestroy(self, stream: int) -> None:
        self.owned.remove(stream)

    def _do_cudaHostAlloc(self, size: int, flags: int) -> int:
        return self._allocated(size, reachable=flags == 2)

    def _do_cudaHostGetDevicePointer(self, pointer: int, flags: int) -> int:
        return pointer

    def _do_cudaMalloc(self, size: int) -> int:
        return self._allocated(size, reachable=True)

    def _do_cudaFree(self, address: int) -> None:
        self.owned.remove(address)

    def _do_cudaFreeHost(self, address: int) -> None:
        self.owned.remove(address)

    def _do_cudaMemcpyAsync(self, to: int, source: int, size: int, kind: Any, stream: int) -> None:
        def copy() -> None:
            ctypes.memmove(to, source, size)

        self.submit(stream, copy)

    def _do_cudaMemsetAsync(self, address: int, value: int, size: int, stream: int) -> None:
        memory = self.view(address, (size,), np.uint8)
        self.submit(stream, lambda: memory.fill(value))

    def _do_cudaMemGetInfo(self) -> tuple[int, int]:
        total = 1 << 30
        return total - sum(self._sizes.get(each, 0) for each in self.owned), total

    def _do_cudaStreamSynchronize(self, stream: int) -> None:
        work, self._streams[stream] = self._streams[stream], []
        for each in work:
            each()

    def _do_cudaStreamBeginCapture(self, stream: int, mode: Any) -> None:
        self._captures[stream] = []

    def _do_cudaStreamEndCapture(self, stream: int) -> Any:
        return self._captures.pop(stream, [])

    def _do_cudaGraphInstantiate(self, graph: Any, flags: int) -> Any:
        return tuple(graph)

    def _do_cudaGraphDestroy(self, graph: Any) -> None: ...

    def _do_cudaGraphExecDestroy(self, graph: Any) -> None: ...

    def _do_cudaGraphLaunch(self, graph: Any, stream: int) -> None:
        for work in graph:
            self.submit(stream, work)

    def _do_cudaGetLastError(self) -> None: ...


DEVICE_OF_THE_PROCESS = Device()
"""For modules that take the place of NVIDIA's (tests/backends/test_tensorrt_daemon.py)."""


class Runtime:
    """What `deserialize_cuda_engine` gives computes with ONNX Runtime."""

    def __init__(self, trt: Any, device: Device) -> None:
        self._trt = trt
        self._device = device

    def deserialize_cuda_engine(self, plan: bytes) -> Any:
        _, mark, rest = plan.partition(MARK)
        if not mark:
            return None
        sides, _, model = rest.partition(b"\n")
        return _Engine(self._trt, self._device, json.loads(sides), model)


class _Engine:
    def __init__(self, trt: Any, device: Device, sides: list[int], model: bytes) -> None:
        self._trt, self._sides = trt, sides
        self.device = device
        self.session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
        self._names = ("image", *(each.name for each in self.session.get_outputs()))
        self.num_io_tensors = len(self._names)
        self.num_optimization_profiles = len(sides)

    def get_tensor_name(self, index: int) -> str:
        return str(self._names[index])

    def get_tensor_mode(self, name: str) -> Any:
        return getattr(self._trt.TensorIOMode, "INPUT" if name == "image" else "OUTPUT")

    def get_tensor_dtype(self, name: str) -> Any:
        return getattr(self._trt.DataType, "UINT8" if name == "image" else "FLOAT")

    def get_tensor_profile_shape(self, name: str, profile_index: int) -> list[Any]:
        side = self._sides[profile_index]
        return [(1, side, side, 3)] * 3

    def create_runtime_config(self) -> Any:
        return SimpleNamespace(dynamic_shapes_kernel_specialization_strategy=None)

    def create_execution_context(self, config: Any = None) -> Any:
        return _Context(self, self._sides)


class _Context:
    def __init__(self, engine: _Engine, sides: list[int]) -> None:
        self._engine, self._sides = engine, sides
        self._shape: tuple[int, ...] = ()
        self._addresses: dict[str, int] = {}
        self._allowed: list[int] = []

    def set_optimization_profile_async(self, index: int, stream: int) -> bool:
        self._allowed = self._sides[index : index + 1]
        return bool(self._allowed)

    def set_input_shape(self, name: str, shape: tuple[int, ...]) -> bool:
        self._shape = shape
        return name == "image" and shape[1] in self._allowed

    def get_tensor_shape(self, name: str) -> tuple[int, ...]:
        outputs = {each.name: each.shape for each in self._engine.session.get_outputs()}
        return tuple(outputs[name])

    def set_tensor_address(self, name: str, memory: int) -> bool:
        self._addresses[name] = memory
        return True

    def execute_async_v3(self, stream_handle: int) -> bool:
        device = self._engine.device
        if "execute_async_v3" in device.failing:
            return False
        if not device.records(stream_handle):
            time.sleep(LAUNCH_SECONDS)
        device.submit(stream_handle, self._compute)
        return True

    def _compute(self) -> None:
        device = self._engine.device
        image = device.view(self._addresses["image"], self._shape, np.uint8)
        names = [each.name for each in self._engine.session.get_outputs()]
        for name, values in zip(
            names, self._engine.session.run(names, {"image": image}), strict=True
        ):
            device.view(self._addresses[name], values.shape, np.float32)[:] = values


def fake_tensorrt(device: Device | None = None, version: str = "10.3.0") -> Any:
    """As much of the module as edged uses; nothing is NVIDIA's."""
    trt: Any = SimpleNamespace(__version__=version)
    trt.ILogger = type("ILogger", (), {"Severity": Enum("Severity", "INTERNAL_ERROR ERROR INFO")})
    trt.BuilderFlag = Enum("BuilderFlag", "FP16 INT8 TF32")
    trt.NetworkDefinitionCreationFlag = IntEnum("Flag", "EXPLICIT_BATCH", start=0)
    trt.MemoryPoolType = Enum("MemoryPoolType", "WORKSPACE")
    trt.TensorIOMode = Enum("TensorIOMode", "INPUT OUTPUT")
    trt.DataType = Enum("DataType", "UINT8 FLOAT")
    trt.IProgressMonitor = type("IProgressMonitor", (), {})
    trt.Builder = lambda logger: _Builder()
    trt.OnnxParser = _Parser
    trt.Runtime = lambda logger: Runtime(trt, device or Device())
    return trt


class _Builder:
    def create_network(self, flags: int) -> Any:
        assert flags == 1
        return SimpleNamespace(model=b"")

    def create_builder_config(self) -> Any:
        return _Config()

    def create_optimization_profile(self) -> Any:
        return _Profile()

    def build_serialized_network(self, network: Any, config: Any) -> bytes:
        config.progress_monitor.phase_start("build", None, 4)
        for step in range(4):
            config.progress_monitor.step_complete("build", step)
        config.progress_monitor.phase_finish("build")
        return with_network(b"plan", config.sides, network.model)


class _Profile:
    side = 0

    def set_shape(self, name: str, least: Any, usual: Any, most: Any) -> None:
        self.side = usual[1]


class _Config:
    progress_monitor: Any = None

    def __init__(self) -> None:
        self.sides: list[int] = []

    def set_memory_pool_limit(self, pool: Any, size: int) -> None: ...

    def add_optimization_profile(self, profile: _Profile) -> int:
        self.sides.append(profile.side)
        return len(self.sides) - 1

    def set_flag(self, flag: Any) -> None: ...

    def clear_flag(self, flag: Any) -> None: ...

    def create_timing_cache(self, content: bytes) -> bytes:
        return content

    def set_timing_cache(self, cache: bytes, ignore_mismatch: bool) -> bool:
        self._timing = cache
        return True

    def get_timing_cache(self) -> Any:
        return SimpleNamespace(serialize=lambda: self._timing + b"+")


class _Parser:
    num_errors = 0

    def __init__(self, network: Any, logger: Any) -> None:
        self._network = network

    def parse(self, model: bytes) -> bool:
        self._network.model = model
        return True


def with_network(plan: bytes, sides: list[int], model: bytes) -> bytes:
    return plan + MARK + json.dumps(sides).encode() + b"\n" + model
