"""What the backend needs of CUDA, without an engine: copies, memory that the GPU maps, graphs.

Everything goes through edged/backends/tensorrt/cuda.py, but for what makes the GPU touch memory
(cudaMemsetAsync, a copy between two of its buffers).
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np

from edged.backends.tensorrt.cuda import Buffer, Cuda, GpuError
from tests.jetson.checks import MEMORY_MB, Row, free_bytes

SHAPE = (1, 224, 224, 3)
STREAMS = 4
ROUNDS = 50
MARK = 0x5A


def cuda_checks(cudart: Any) -> list[Row]:
    """Each checks what it gets back, byte for byte."""
    checks: dict[str, Callable[[Any], str]] = {
        "copies on several streams": copies,
        "mapped memory": mapped,
        "a recorded graph": graph,
        "a recording that fails": failed_recording,
        "allocating while another thread records": allocating_beside,
        "memory given back": given_back,
    }
    return [_row(name, check, cudart) for name, check in checks.items()]


def _row(name: str, check: Callable[[Any], str], cudart: Any) -> Row:
    try:
        return Row(name, {"figure": check(cudart)}, True)
    except (GpuError, ValueError) as error:
        return Row(name, {"figure": f"failed: {error}"}, False)


def copies(cudart: Any) -> str:
    cuda = _cuda(cudart, shares=False)
    streams = [cuda.stream() for _ in range(STREAMS)]
    buffers = [cuda.buffer(SHAPE, np.uint8) for _ in streams]
    random = np.random.default_rng(0)
    with kept(cuda, streams=streams, buffers=buffers):
        for _ in range(ROUNDS):
            sent = [random.integers(0, 256, SHAPE, np.uint8) for _ in streams]
            for stream, buffer, picture in zip(streams, buffers, sent, strict=True):
                buffer.host[:] = picture
                cuda.to_device(buffer, stream)
            for stream, buffer in zip(streams, buffers, strict=True):
                cuda.synchronise(stream)
                buffer.host[:] = 0
                cuda.to_host(buffer, stream)
            for stream, buffer, picture in zip(streams, buffers, sent, strict=True):
                cuda.synchronise(stream)
                _same(buffer.host, picture)
    return f"{ROUNDS * STREAMS} pictures on {STREAMS} streams"


def mapped(cudart: Any) -> str:
    """The GPU writes into the CPU's memory, and reads from it."""
    cuda = _cuda(cudart, shares=True)
    stream = cuda.stream()
    shared, other = cuda.buffer(SHAPE, np.uint8), cuda.buffer(SHAPE, np.uint8)
    picture = np.random.default_rng(0).integers(0, 256, SHAPE, np.uint8)
    with kept(cuda, streams=[stream], buffers=[shared, other]):
        shared.host[:] = 0
        _fill(cudart, shared, stream)
        cuda.synchronise(stream)
        _same(shared.host, np.full(SHAPE, MARK, np.uint8))
        shared.host[:] = picture
        kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
        size = shared.host.nbytes
        _ask(cudart, "cudaMemcpyAsync", other.address, shared.address, size, kind, stream)
        cuda.synchronise(stream)
        _same(other.host, picture)
    return "written and read by the GPU without a copy"


def graph(cudart: Any) -> str:
    """As an engine's run: the picture in, work on the GPU, the scores out."""
    cuda = _cuda(cudart, shares=False)
    stream = cuda.stream()
    picture, scores = cuda.buffer(SHAPE, np.uint8), cuda.buffer(SHAPE, np.uint8)
    random = np.random.default_rng(0)
    kind = cudart.cudaMemcpyKind.cudaMemcpyDeviceToDevice
    size = picture.host.nbytes

    def work() -> None:
        cuda.to_device(picture, stream)
        _ask(cudart, "cudaMemcpyAsync", scores.address, picture.address, size, kind, stream)
        cuda.to_host(scores, stream)

    with kept(cuda, streams=[stream], buffers=[picture, scores]):
        cuda.begin_capture(stream)
        work()
        recorded = cuda.end_capture(stream)
        times: dict[bool, list[float]] = {True: [], False: []}
        with kept(cuda, graphs=[recorded]):
            for turn in range(2 * ROUNDS):
                picture.host[:] = random.integers(0, 256, SHAPE, np.uint8)
                scores.host[:] = 0
                start = time.perf_counter()
                if turn % 2:
                    work()
                else:
                    cuda.launch(recorded, stream)
                cuda.synchronise(stream)
                times[turn % 2 == 0].append(1e6 * (time.perf_counter() - start))
                _same(scores.host, picture.host)
    launched, called = median(times[True]), median(times[False])
    return f"{ROUNDS} launches; p50 {launched:.0f} us, without a graph {called:.0f} us"


def failed_recording(cudart: Any) -> str:
    """What is not allowed while recording fails, and the stream works afterwards."""
    cuda = _cuda(cudart, shares=False)
    stream = cuda.stream()
    buffer = cuda.buffer(SHAPE, np.uint8)
    with kept(cuda, streams=[stream], buffers=[buffer]):
        cuda.begin_capture(stream)
        try:
            cuda.synchronise(stream)
        except GpuError as error:
            refused = error.got
        else:
            raise ValueError("a stream that records could be waited for")
        cuda.give_up_capture(stream)
        _fill(cudart, buffer, stream)
        cuda.to_host(buffer, stream)
        cuda.synchronise(stream)
        _same(buffer.host, np.full(SHAPE, MARK, np.uint8))
    return f"refused with {refused}; the stream works afterwards"


def allocating_beside(cudart: Any) -> str:
    """Two networks are loaded and run at once: one records while the other takes memory."""
    cuda = _cuda(cudart, shares=False)
    stream = cuda.stream()
    buffer = cuda.buffer(SHAPE, np.uint8)
    failures: list[GpuError] = []

    def allocate() -> None:
        try:
            for _ in range(ROUNDS):
                cuda.free(cuda.buffer(SHAPE, np.uint8))
        except GpuError as error:
            failures.append(error)

    with kept(cuda, streams=[stream], buffers=[buffer]):
        cuda.begin_capture(stream)
        thread = threading.Thread(target=allocate)
        thread.start()
        thread.join()
        _fill(cudart, buffer, stream)
        cuda.to_host(buffer, stream)
        recorded = cuda.end_capture(stream)
        with kept(cuda, graphs=[recorded]):
            cuda.launch(recorded, stream)
            cuda.synchronise(stream)
        _same(buffer.host, np.full(SHAPE, MARK, np.uint8))
    if failures:
        raise failures[0]
    return f"{ROUNDS} allocations"


def given_back(cudart: Any) -> str:
    """All of the above, again and again, once CUDA has taken what it keeps."""
    before = free_bytes(cudart)
    for _ in range(ROUNDS):
        mapped(cudart)
        failed_recording(cudart)
    grown_mb = (before - free_bytes(cudart)) / 2**20
    if grown_mb > MEMORY_MB and not Cuda(cudart).gpu.shares_memory:
        raise ValueError(f"{grown_mb:.1f} MB are missing")
    return f"{grown_mb:.1f} MB less after {ROUNDS} rounds"


@contextmanager
def kept(
    cuda: Cuda,
    streams: Sequence[Any] = (),
    buffers: Sequence[Buffer] = (),
    graphs: Sequence[Any] = (),
) -> Iterator[None]:
    """Gives all of it back."""
    try:
        yield
    finally:
        for graph in graphs:
            cuda.give_back_graph(graph)
        for stream in streams:
            cuda.give_back_stream(stream)
        for buffer in buffers:
            cuda.free(buffer)


def _cuda(cudart: Any, shares: bool) -> Cuda:
    """The GPU as if it had memory of its own, or shared the CPU's."""
    cuda = Cuda(cudart)
    cuda.gpu = replace(cuda.gpu, shares_memory=shares)
    return cuda


def _fill(cudart: Any, buffer: Buffer, stream: Any) -> None:
    _ask(cudart, "cudaMemsetAsync", buffer.address, MARK, buffer.host.nbytes, stream)


def _ask(cudart: Any, function: str, *arguments: Any) -> None:
    code, *_ = getattr(cudart, function)(*arguments)
    if code != cudart.cudaError_t.cudaSuccess:
        raise GpuError(f"the GPU refused {function}", got=getattr(code, "name", code))


def _same(found: Any, expected: Any) -> None:
    wrong = int((found != expected).sum())
    if wrong:
        raise ValueError(f"{wrong} of {expected.size} bytes are wrong")
