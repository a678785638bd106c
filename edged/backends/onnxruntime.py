"""ONNX Runtime on the processor's cores."""

from __future__ import annotations

import os
import platform
from collections.abc import Mapping
from contextlib import suppress
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from edged.errors import EdgedError, InputError, MissingPackageError
from edged.variants.features import features_name, no_features, with_features
from edged.variants.runtime import Engines, Runner

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.variants.family import Network

INPUT_NAME, OUTPUT_NAME = "image", "scores"
"""Fixed by edged/variants/weights/onnx_builder.py."""


class OrtBackend:
    """Raises MissingPackageError without ONNX Runtime, EdgedError with a version known to crash."""

    name = "onnxruntime"
    fp16 = False

    def __init__(self) -> None:
        self._runtime = _import_onnxruntime()
        self.version: str = self._runtime.__version__
        self.engines = Engines()

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        try:
            session, features = self._session(model, threads)
        except Exception as error:  # the runtime's exceptions share no base class but this
            if _is_of_memory(error):
                raise EdgedError(
                    "not enough memory to load the network",
                    where=network.path,
                    got=_first_line(error),
                ) from error
            raise InputError(
                "ONNX Runtime cannot load the network",
                where=network.path,
                got=_first_line(error),
                fix="create it again with edged models import or quantize",
            ) from error
        classes = _check_contract(network, session, features)
        return _Runner(session, self._runtime.RunOptions(), network, classes, features)

    def describe(self) -> Mapping[str, str]:
        return {
            "backend": self.name,
            "version": self.version,
            "provider": "CPUExecutionProvider",
            "machine": platform.machine(),
        }

    def _session(self, model: bytes, threads: int) -> tuple[Any, str | None]:
        """A session, and the name of its last output if that is the pooled features."""

        def session(model: bytes) -> Any:
            options = self._options(threads)
            providers = ["CPUExecutionProvider"]
            return self._runtime.InferenceSession(model, options, providers=providers)

        with suppress(Exception):  # a foreign network's Flatten may give something else
            return session(with_features(model)), features_name(model)
        return session(model), None

    def _options(self, threads: int) -> Any:
        options = self._runtime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = self._runtime.ExecutionMode.ORT_SEQUENTIAL
        # Threads that spin between frames take the core from decoding and heat a small board.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.enable_cpu_mem_arena = False  # less memory, and measured as fast
        # x86 without VNNI saturates 16-bit sums otherwise; with VNNI the scores are the same.
        options.add_session_config_entry("session.x64quantprecision", "1")
        options.log_severity_level = 3  # errors
        return options


class _Runner:
    """options: for runs that give features. features: the name of that output."""

    def __init__(
        self, session: Any, options: Any, network: Network, classes: int, features: str | None
    ) -> None:
        self._session = session
        self._network = network
        self._shape = (1, classes)
        options.only_execute_path_to_fetches = True  # not the classifier, which may be large
        self._options = options
        self._features = features

    def run(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        answer = self._answer(OUTPUT_NAME, image, None)
        if answer.shape != self._shape:  # a file may declare another shape than it returns
            raise InputError(
                f"the network returns scores of shape {answer.shape}, not {self._shape}",
                where=self._network.path,
            )
        scores: NDArray[np.float32] = answer[0]
        return scores

    def features(self, image: NDArray[np.uint8]) -> NDArray[np.float32]:
        if self._features is None:
            raise no_features(self._network.path)
        answer = self._answer(self._features, image, self._options)
        if len(answer) != 1:
            raise InputError(
                f"the network returns features of shape {answer.shape}, not (1, channels)",
                where=self._network.path,
            )
        features: NDArray[np.float32] = answer[0]
        return features

    def _answer(self, name: str, image: NDArray[np.uint8], options: Any) -> NDArray[np.float32]:
        try:
            answer: NDArray[np.float32] = self._session.run([name], {INPUT_NAME: image}, options)[0]
        except Exception as error:
            raise EdgedError(
                f"the network fails on a picture of shape {image.shape}: {_first_line(error)}",
                where=self._network.path,
            ) from error
        return answer


def check_version(found: str) -> None:
    """Raise EdgedError for a version of ONNX Runtime that must not even be imported."""
    if found.split("+")[0] == "1.21.0":
        raise EdgedError(
            "this version of ONNX Runtime crashes with an illegal instruction on a Raspberry Pi 4",
            where="onnxruntime",
            got=found,
            fix="install another version: pip install 'onnxruntime!=1.21.0'",
        )


def _import_onnxruntime() -> Any:
    with suppress(PackageNotFoundError):  # a build for the board, under another name
        check_version(version("onnxruntime"))
    # Version 1.32 creates a device id and sends telemetry from the import on, unless it believes to
    # run in a CI; later ones obey the first variable.
    os.environ["ORT_TELEMETRY_DISABLED"] = "1"
    os.environ.setdefault("TF_BUILD", "true")
    try:
        import onnxruntime
    except ImportError as error:
        raise MissingPackageError(
            f"ONNX Runtime is not installed: {_first_line(error)}",
            "pip install onnxruntime",
            in_deb=True,
        ) from error
    check_version(onnxruntime.__version__)
    onnxruntime.disable_telemetry_events()
    return onnxruntime


def _check_contract(network: Network, session: Any, features: str | None) -> int:
    """Check inputs and outputs, besides the features; returns the number of classes."""
    inputs = [(value.name, value.type, value.shape) for value in session.get_inputs()]
    outputs = [(value.name, value.type, value.shape) for value in session.get_outputs()]
    if features is not None:
        del outputs[-1]
    good_input = (
        len(inputs) == 1
        and inputs[0][:2] == (INPUT_NAME, "tensor(uint8)")
        and len(inputs[0][2]) == 4
        and all(
            _serves(inputs[0][2], (1, resolution, resolution, 3))
            for resolution in network.resolutions
        )
    )
    if not good_input:
        raise InputError(
            f"the network's input is not {INPUT_NAME}: uint8 (1, height, width, 3)",
            where=network.path,
            got=_described(inputs),
        )
    good_output = (
        len(outputs) == 1
        and outputs[0][:2] == (OUTPUT_NAME, "tensor(float)")
        and len(outputs[0][2]) == 2
        and isinstance(outputs[0][2][1], int)
    )
    if not good_output:
        raise InputError(
            f"the network's output is not {OUTPUT_NAME}: float (1, classes)",
            where=network.path,
            got=_described(outputs),
        )
    classes: int = outputs[0][2][1]
    return classes


def _serves(declared: list[int | str | None], wanted: tuple[int, ...]) -> bool:
    """Whether each declared dimension is free (a name or None) or the wanted number."""
    return all(
        not isinstance(dimension, int) or dimension == number
        for dimension, number in zip(declared, wanted, strict=True)
    )


def _described(values: list[tuple[str, str, list[int | str | None]]]) -> str:
    return ", ".join(f"{name}: {kind} {shape}" for name, kind, shape in values) or "none"


def _is_of_memory(error: Exception) -> bool:
    """Whether the runtime is out of memory, by the text of std::bad_alloc or its arena."""
    text = str(error).lower()
    return isinstance(error, MemoryError) or "bad_alloc" in text or "failed to allocate" in text


def _first_line(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0]
