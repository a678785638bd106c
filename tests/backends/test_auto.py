"""Which runtime is picked, and what is said about it."""

from __future__ import annotations

import importlib.util
import subprocess
import sys
from contextlib import nullcontext
from pathlib import Path
from unittest.mock import Mock

import pytest

from edged.backends import auto
from edged.backends.auto import load_backends
from edged.errors import EdgedError, InputError, MissingPackageError
from edged.variants.family import load_family
from edged.variants.golden import check_golden
from edged.variants.runtime import UnsupportedNetworkError
from edged.variants.variant import Precision, Variant
from tests.rig.paths import PROJECT


def test_auto_takes_every_runtime_of_the_cpu_and_says_why() -> None:
    pytest.importorskip("ncnn")
    backends, why = load_backends("auto")
    assert [backend.name for backend in backends] == ["onnxruntime", "ncnn"]
    assert why


def test_auto_goes_on_without_ncnn(caplog: pytest.LogCaptureFixture) -> None:
    """Silent where it is not installed; a version that cannot be used is told."""
    for error, told in (
        (MissingPackageError("not installed", "pip"), ""),
        (EdgedError("too old"), "continuing without ncnn: too old"),
    ):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(auto, "_made", {})
            patch.setitem(auto.BACKENDS, "ncnn", Mock(side_effect=error))
            backends, _ = load_backends("auto")
        assert [backend.name for backend in backends] == ["onnxruntime"]
        assert told in caplog.text
        assert bool(told) == bool(caplog.text)


BROKEN_NCNN = """
import logging, sys
sys.path[:0] = sys.argv[1:]
from edged.backends.auto import load_backends
from edged.errors import EdgedError
logging.basicConfig(stream=sys.stdout)
print([backend.name for backend in load_backends("auto")[0]])
try:
    load_backends("ncnn")
except EdgedError as error:
    print(error)
"""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("raise ImportError('libgomp.so.1: cannot open shared object file')", "libgomp.so.1: cann"),
        ("import a_part_of_it", "No module named 'a_part_of_it'"),
        (
            "raise OSError('cannot allocate memory in static TLS block')",
            "cannot allocate memory in",
        ),
        ("", "module 'ncnn' has no attribute '__version__'"),
    ],
)
def test_an_ncnn_that_cannot_be_imported_is_told_and_auto_goes_on(
    tmp_path: Path, text: str, why: str
) -> None:
    (tmp_path / "ncnn.py").write_text(text)
    done = subprocess.run(
        [sys.executable, "-c", BROKEN_NCNN, str(tmp_path), str(PROJECT)],
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    logged, chosen, refused = done.stdout.splitlines()
    what = f"ncnn is installed, but cannot be imported: {why}"
    assert f"continuing without ncnn: {what}" in logged
    assert chosen == "['onnxruntime']"
    assert refused.startswith(what) and "--force-reinstall ncnn" in refused


@pytest.mark.parametrize("dot_product", [True, False, None])
def test_ncnn_gets_int8_networks_where_the_processor_has_a_dot_product(
    dot_product: bool | None,
) -> None:
    pytest.importorskip("ncnn")
    family = load_family("imagenette", PROJECT)
    network = family.network(Variant(0.25, 128, Precision.INT8))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(auto, "_made", {})
        patch.setattr(auto, "has_dot_product", lambda: dot_product)
        backend = load_backends("ncnn")[0][0]
    with nullcontext() if dot_product else pytest.raises(UnsupportedNetworkError):
        check_golden(
            backend.load(network, network.read(), 1), family, network, family.golden_picture()
        )


def test_a_backend_is_loaded_by_the_name_it_has() -> None:
    (backend,), why = load_backends("onnxruntime")
    assert backend.name == "onnxruntime"
    assert "configuration" in why


@pytest.mark.parametrize("name", ["tensorrt", "tensorrt-fp32"])
def test_without_tensorrt_its_backend_fails_and_says_what_brings_it(
    name: str, no_tensorrt: None
) -> None:
    with pytest.raises(EdgedError, match="not installed for this Python; sudo apt install nvidia"):
        load_backends(name)


def test_auto_says_why_it_is_not_the_gpu(no_tensorrt: None) -> None:
    backends, why = load_backends("auto")
    assert backends[0].name == "onnxruntime"
    assert "TensorRT is not installed for this Python" in why


WITH_A_GPU = """
import sys, types
from tests.rig.paths import PROJECT
from tests.rig.gpu_stand_in import Device, fake_tensorrt
cuda, bindings, device = types.ModuleType("cuda"), types.ModuleType("cuda.bindings"), Device()
bindings.runtime = device.cudart()
sys.modules |= {"cuda": cuda, "cuda.bindings": bindings, "tensorrt": fake_tensorrt(device)}
from edged.backends.auto import load_backends
for name in ("auto", "tensorrt", "tensorrt-fp32", "onnxruntime"):
    (backend,), why = load_backends(name)
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
    assert load_backends("onnxruntime")[0][0] is load_backends("onnxruntime")[0][0]


@pytest.fixture
def no_tensorrt() -> None:
    if importlib.util.find_spec("tensorrt") is not None:
        pytest.skip("TensorRT is installed here")


@pytest.mark.parametrize("name", ["tensorflow", "", "ONNXRuntime"])
def test_an_unknown_name_lists_the_choices(name: str) -> None:
    with pytest.raises(InputError, match=rf"no such backend \(got '{name}'\).*auto or .*onnxrunti"):
        load_backends(name)


def test_no_runtime_is_imported_before_it_is_wanted() -> None:
    program = "import sys, edged.backends.auto; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert {"onnxruntime", "cv2", "numpy"}.isdisjoint(done.stdout.split())
