"""The child process that builds one engine, which may take minutes and all available memory.

`python -m edged.backends.tensorrt.build_worker` reads a line of JSON, the request, then the network
and the timing cache from standard input, and writes a line of JSON for every step of progress, then
what it made. It ends when standard input closes, with its parent or by its request. It is the first
to go when memory runs out, and yields to everything else.
Names that not every version has are looked up; the builder and the parser need no GPU to be
tried, and the tests build every shipped network with TensorRT-RTX, which shares them.
"""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import IO, Any

from edged.backends.tensorrt.bindings import import_tensorrt
from edged.backends.tensorrt.onnx_forms import EnginePrecision
from edged.errors import EdgedError, InputError
from edged.process import exit_when_closed, refuse_new_privileges, step_back
from edged.variants.weights.onnx_builder import INPUT_NAME

Progress = Callable[[float], None]
"""Receives the finished share of a build, from 0 to 1, if TensorRT reports it."""


@dataclass(frozen=True, slots=True)
class BuildRequest:
    """name: of the network, for messages. sides: one profile each. capability: of the GPU, `8.7`.
    model_bytes, timing_bytes: lengths of what follows the request."""

    name: str
    sides: tuple[int, ...]
    precision: EnginePrecision
    capability: str
    workspace_bytes: int
    model_bytes: int
    timing_bytes: int

    def to_json(self) -> bytes:
        return json.dumps(asdict(self)).encode() + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> BuildRequest:
        values = json.loads(line)
        precision, sides = EnginePrecision(values["precision"]), tuple(values["sides"])
        return cls(**{**values, "precision": precision, "sides": sides})


def logger_class(trt: Any) -> Any:
    """A TensorRT logger class that keeps errors instead of printing them."""

    class Logger(trt.ILogger):  # type: ignore[misc]  # the module is known at run time only
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self._errors: list[str] = []

        def log(self, severity: Any, message: str) -> None:
            if severity in (trt.ILogger.Severity.ERROR, trt.ILogger.Severity.INTERNAL_ERROR):
                self._errors = [*self._errors, message][-5:]

        def said(self) -> str:
            """The errors since the last call, on one line."""
            errors, self._errors = self._errors, []
            return " / ".join(" ".join(error.split())[:300] for error in errors) or "no reason"

    return Logger


def strongly_typed(trt: Any) -> bool:
    """Whether TensorRT computes in the types of the file (version 11 and later)."""
    return not hasattr(trt.BuilderFlag, "FP16")


def flag_names(trt: Any, precision: EnginePrecision) -> tuple[str, ...]:
    """Builder flags for types beyond FP32, unless the file states the types. TensorRT-RTX needs one
    for engines that a CUDA graph can record."""
    if hasattr(trt.BuilderFlag, "REQUIRE_USER_ALLOCATION"):
        return ("REQUIRE_USER_ALLOCATION",)
    if strongly_typed(trt) or precision is EnginePrecision.FP32:
        return ()
    return ("FP16", "INT8") if precision is EnginePrecision.INT8 else ("FP16",)


def build_engine(
    trt: Any, request: BuildRequest, model: bytes, timing: bytes, progress: Progress
) -> tuple[bytes, bytes]:
    """The plan, and the timing cache as it is then.

    Raises InputError for a network that TensorRT rejects, EdgedError if no engine comes out.
    """
    logger = logger_class(trt)()
    builder = trt.Builder(logger)
    definition = builder.create_network(_network_flags(trt))
    parser = trt.OnnxParser(definition, logger)
    if not parser.parse(model):
        raise InputError(
            "TensorRT cannot read the network",
            where=request.name,
            got=_parser_said(parser, logger),
            fix="run it on the CPU with backend: onnxruntime",
        )
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, request.workspace_bytes)
    for side in request.sides:
        profile = builder.create_optimization_profile()
        shape = (1, side, side, 3)
        profile.set_shape(INPUT_NAME, shape, shape, shape)
        if config.add_optimization_profile(profile) < 0:
            raise _refused(f"pictures of {side} x {side}", request, logger)
    for flag in flag_names(trt, request.precision):
        config.set_flag(getattr(trt.BuilderFlag, flag))
    if request.precision is EnginePrecision.FP32:
        config.clear_flag(trt.BuilderFlag.TF32)
    if hasattr(trt, "ComputeCapability"):  # else TensorRT-RTX builds for several GPUs, without 7.5
        target = f"SM{request.capability.replace('.', '')}"
        if hasattr(trt.ComputeCapability, target):
            config.num_compute_capabilities = 1
            config.set_compute_capability(getattr(trt.ComputeCapability, target), 0)
    known = config.create_timing_cache(timing)
    if not config.set_timing_cache(known, False):  # of another device
        config.set_timing_cache(config.create_timing_cache(b""), False)
    if hasattr(trt, "IProgressMonitor"):
        config.progress_monitor = _monitor_class(trt)(progress)
    plan = builder.build_serialized_network(definition, config)
    if plan is None:
        raise _refused("the network", request, logger)
    learnt = config.get_timing_cache()
    return bytes(plan), b"" if learnt is None else bytes(learnt.serialize())


def _parser_said(parser: Any, logger: Any) -> str:
    """The first error; some versions name the operator only in the log."""
    logged = logger.said()
    said = parser.get_error(0).desc() if parser.num_errors else logged
    node = re.search(r"node number \d+ \[[^]]*\]", logged)
    return " ".join(said.split())[:300] + (f", at {node[0]}" if node else "")


def _refused(what: str, request: BuildRequest, logger: Any) -> EdgedError:
    return EdgedError(
        f"TensorRT could not build an engine for {what}", where=request.name, got=logger.said()
    )


def _network_flags(trt: Any) -> int:
    flags = trt.NetworkDefinitionCreationFlag
    wanted = "STRONGLY_TYPED" if strongly_typed(trt) else "EXPLICIT_BATCH"
    return 1 << int(getattr(flags, wanted)) if hasattr(flags, wanted) else 0


def _monitor_class(trt: Any) -> Any:
    class Monitor(trt.IProgressMonitor):  # type: ignore[misc]  # as above
        """Phases are nested: one step of an outer phase is a whole inner one."""

        def __init__(self, progress: Progress) -> None:
            trt.IProgressMonitor.__init__(self)
            self._progress = progress
            self._phases: dict[str, list[int]] = {}
            """Steps done and in total, the outermost phase first."""
            self._told = 0.0

        def phase_start(self, phase_name: str, parent_phase: str | None, num_steps: int) -> None:
            self._phases[phase_name] = [0, max(1, num_steps)]

        def step_complete(self, phase_name: str, step: int) -> bool:
            if phase_name in self._phases:
                self._phases[phase_name][0] = step + 1
                self._tell()
            return True  # go on

        def phase_finish(self, phase_name: str) -> None:
            self._phases.pop(phase_name, None)

        def _tell(self) -> None:
            share, part = 0.0, 1.0
            for done, steps in self._phases.values():
                share += part * min(done, steps) / steps
                part /= steps
            if min(share, 1.0) > self._told + 0.01:
                self._told = min(share, 1.0)
                self._progress(self._told)

    return Monitor


def main(trt: Any, source: IO[bytes], target: IO[bytes]) -> None:
    """One build. Writes {"progress": …}, then {"plan": bytes, "timing": bytes} followed by both,
    or {"what": …, "got": …, "fix": …}."""

    def say(**values: object) -> None:
        target.write(json.dumps(values).encode() + b"\n")
        target.flush()

    request = BuildRequest.from_json(source.readline())
    model, timing = source.read(request.model_bytes), source.read(request.timing_bytes)
    exit_when_closed(source.fileno())
    try:
        plan, timing = build_engine(
            trt, request, model, timing, lambda share: say(progress=round(share, 3))
        )
    except EdgedError as error:
        say(what=error.what, got=error.got, fix=error.fix)
        return
    say(plan=len(plan), timing=len(timing))
    target.write(plan + timing)
    target.flush()


def child(load: Callable[[], Any]) -> None:
    """Run as a process; what libraries print goes to standard error, not to the parent."""
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    step_back(19)
    refuse_new_privileges()
    main(load(), sys.stdin.buffer, target)


if __name__ == "__main__":
    child(import_tensorrt)
