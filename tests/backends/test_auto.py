"""Which runtime is picked, and what is said about it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys

import pytest

from edged.backends.auto import load_backend
from edged.errors import EdgedError, InputError
from tests.rig.paths import PROJECT


def test_auto_picks_onnx_runtime_and_says_why() -> None:
    backend, why = load_backend("auto")
    assert backend.name == "onnxruntime"
    assert why


def test_a_backend_is_loaded_by_the_name_it_has() -> None:
    backend, why = load_backend("onnxruntime")
    assert backend.name == "onnxruntime"
    assert "configuration" in why


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-fp32"])
def test_without_tensorrt_its_backend_fails_and_says_what_brings_it(
    name: str, no_tensorrt: None
) -> None:
    with pytest.raises(EdgedError, match="not installed for this Python; sudo apt install nvidia"):
        load_backend(name)


def test_auto_says_why_it_is_not_the_gpu(no_tensorrt: None) -> None:
    backend, why = load_backend("auto")
    assert backend.name == "onnxruntime"
    assert "TensorRT is not installed for this Python" in why


WITH_A_GPU = """
import sys, types
from tests.rig.paths import PROJECT
from tests.rig.gpu_stand_in import Device, fake_tensorrt
cuda, bindings, device = types.ModuleType("cuda"), types.ModuleType("cuda.bindings"), Device()
bindings.runtime = device.cudart()
sys.modules |= {"cuda": cuda, "cuda.bindings": bindings, "tensorrt": fake_tensorrt(device)}
from edged.backends.auto import load_backend
for name in ("auto", "tensorrt", "tensorrt-fp32", "onnxruntime"):
    backend, why = load_backend(name)
    print(name, backend.name, backend.describe().get("precision"), why, sep=": ")
"""


def test_auto_takes_tensorrt_where_there_is_a_gpu() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITH_A_GPU],
        capture_output=True,
        text=True,
        cwd=PROJECT,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines() == [
        "auto: tensorrt: fp16: TensorRT and a GPU are available",
        "tensorrt: tensorrt: fp16: the configuration names it",
        "tensorrt-fp32: tensorrt: fp32: the configuration names it",
        "onnxruntime: onnxruntime: None: the configuration names it",
    ]


def test_a_process_has_one_of_each() -> None:
    """So that engines, and their building, outlive a reload."""
    assert load_backend("onnxruntime")[0] is load_backend("onnxruntime")[0]


@pytest.fixture
def no_tensorrt() -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")


@pytest.mark.parametrize("name", ["tensorflow", "", "ONNXRuntime"])
def test_an_unknown_name_lists_the_choices(name: str) -> None:
    with pytest.raises(InputError, match=rf"no such backend \(got '{name}'\).*auto or .*onnxrunti"):
        load_backend(name)


def test_no_runtime_is_imported_before_it_is_wanted() -> None:
    program = "import sys, edged.backends.auto; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {"onnxruntime", "cv2", "numpy"}.isdisjoint(done.stdout.split())
