"""Which runtime is picked, and what is said about it."""

from __future__ import annotations

import subprocess
import sys

import pytest

from edged.backends.auto import BACKENDS, load_backend
from edged.errors import InputError


def test_auto_picks_onnx_runtime_and_says_why() -> None:
    backend, why = load_backend("auto")
    assert backend.name == "onnxruntime"
    assert why


@pytest.mark.parametrize("name", sorted(BACKENDS))
def test_a_backend_is_loaded_by_the_name_it_has(name: str) -> None:
    backend, why = load_backend(name)
    assert backend.name == name
    assert "configuration" in why


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
