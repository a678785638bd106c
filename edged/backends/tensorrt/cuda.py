"""The few functions of the CUDA runtime that an engine needs, with errors checked.

They come from cuda-bindings, or from a cuda-python that is older than that package. Numbers of
errors and flags are looked up by their names. Developed without a GPU: names and arguments are
checked against the real packages (tests/backends/test_tensorrt_contract.py), which answer without
a driver as well, but none of this has run on a device yet (tests/jetson/README.md says how to).
"""

from __future__ import annotations

import ctypes
import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray

from edged.errors import EdgedError, MissingPackageError

INSTALL = "pip install 'edged[jetson]'"


class GpuError(EdgedError):
    """A call to the GPU or its driver failed."""


@dataclass(frozen=True, slots=True)
class Gpu:
    """capability: `8.7`. shares_memory: the GPU reads the CPU's memory without a copy."""

    name: str
    capability: str
    shares_memory: bool


@dataclass(frozen=True, slots=True)
class Buffer:
    """host: written and read by the CPU. address: for the GPU. copies: the two are different
    memory."""

    host: NDArray[Any]
    host_address: int
    address: int
    copies: bool


def import_cuda() -> Any:
    """The CUDA runtime's module. Raises MissingPackageError without it."""
    try:
        from cuda.bindings import runtime
    except ImportError:
        try:
            from cuda import cudart as runtime
        except ImportError as error:
            raise MissingPackageError(
                f"the CUDA bindings for Python are not installed: {error}", INSTALL
            ) from None
    return runtime


class Cuda:
    """The first GPU. Raises GpuError without one.

    cudart: the module. Its functions return a tuple that begins with an error code.
    """

    def __init__(self, cudart: Any) -> None:
        self._cudart = cudart
        try:
            count = self._ask("cudaGetDeviceCount")
        except GpuError as error:
            raise GpuError("no usable GPU", got=error.got) from None
        if not count:
            raise GpuError("no GPU")
        attributes = cudart.cudaDeviceAttr
        major, minor, integrated, mapped = (
            int(self._ask("cudaDeviceGetAttribute", attribute, 0))
            for attribute in (
                attributes.cudaDevAttrComputeCapabilityMajor,
                attributes.cudaDevAttrComputeCapabilityMinor,
                attributes.cudaDevAttrIntegrated,
                attributes.cudaDevAttrCanMapHostMemory,
            )
        )
        name = self._ask("cudaGetDeviceProperties", 0).name
        name = name.decode(errors="replace") if isinstance(name, bytes) else str(name)
        self.gpu = Gpu(name.strip("\0 "), f"{major}.{minor}", bool(integrated and mapped))

    def stream(self) -> Any:
        return self._ask("cudaStreamCreateWithFlags", self._cudart.cudaStreamNonBlocking)

    def buffer(self, shape: tuple[int, ...], kind: DTypeLike) -> Buffer:
        """Pinned memory of the host, with the GPU's mapping or copy of it."""
        size = math.prod(shape) * np.dtype(kind).itemsize
        shares = self.gpu.shares_memory
        flags = self._cudart.cudaHostAllocMapped if shares else self._cudart.cudaHostAllocDefault
        pointer = int(self._ask("cudaHostAlloc", size, flags))
        try:
            if shares:
                address = int(self._ask("cudaHostGetDevicePointer", pointer, 0))
            else:
                address = int(self._ask("cudaMalloc", size))
        except GpuError:
            self._quietly("cudaFreeHost", pointer)
            raise
        memory = (ctypes.c_uint8 * size).from_address(pointer)
        host = np.frombuffer(memoryview(memory), np.dtype(kind)).reshape(shape)
        return Buffer(host, pointer, address, not shares)

    def free(self, buffer: Buffer) -> None:
        if buffer.copies:
            self._quietly("cudaFree", buffer.address)
        self._quietly("cudaFreeHost", buffer.host_address)

    def to_device(self, buffer: Buffer, stream: Any) -> None:
        if buffer.copies:
            kind = self._cudart.cudaMemcpyKind.cudaMemcpyHostToDevice
            self._copy(buffer.address, buffer.host_address, buffer, kind, stream)

    def to_host(self, buffer: Buffer, stream: Any) -> None:
        if buffer.copies:
            kind = self._cudart.cudaMemcpyKind.cudaMemcpyDeviceToHost
            self._copy(buffer.host_address, buffer.address, buffer, kind, stream)

    def synchronise(self, stream: Any) -> None:
        self._ask("cudaStreamSynchronize", stream)

    def begin_capture(self, stream: Any) -> None:
        """Record this thread's work on the stream instead of running it."""
        mode = self._cudart.cudaStreamCaptureMode.cudaStreamCaptureModeThreadLocal
        self._ask("cudaStreamBeginCapture", stream, mode)

    def end_capture(self, stream: Any) -> Any:
        """A graph that `launch` runs."""
        graph = self._ask("cudaStreamEndCapture", stream)
        try:
            return self._ask("cudaGraphInstantiate", graph, 0)
        finally:
            self._quietly("cudaGraphDestroy", graph)

    def give_up_capture(self, stream: Any) -> None:
        """End a failed capture, so that the stream can be used again."""
        self._quietly("cudaStreamEndCapture", stream)
        self._quietly("cudaGetLastError")

    def launch(self, graph: Any, stream: Any) -> None:
        self._ask("cudaGraphLaunch", graph, stream)

    def give_back_stream(self, stream: Any) -> None:
        self._quietly("cudaStreamDestroy", stream)

    def give_back_graph(self, graph: Any) -> None:
        self._quietly("cudaGraphExecDestroy", graph)

    def _copy(self, to: int, source: int, buffer: Buffer, kind: Any, stream: Any) -> None:
        self._ask("cudaMemcpyAsync", to, source, buffer.host.nbytes, kind, stream)

    def _ask(self, function: str, *arguments: Any) -> Any:
        """Call it; returns its value, if any. Raises GpuError on failure."""
        try:
            code, *values = getattr(self._cudart, function)(*arguments)
        except RuntimeError as error:  # older bindings, where there is no driver
            raise GpuError(f"the GPU refused {function}", got=error) from None
        if code != self._cudart.cudaError_t.cudaSuccess:
            name = getattr(code, "name", str(code))
            raise GpuError(f"the GPU refused {function}", got=name)
        return values[0] if values else None

    def _quietly(self, function: str, *arguments: Any) -> None:
        """Call it and ignore failures: after an earlier one, releasing may fail as well."""
        getattr(self._cudart, function)(*arguments)
