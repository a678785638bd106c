"""Every function of CUDA's runtime that the code uses, against the real bindings."""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys

import pytest

from tests.rig.paths import PROJECT
from tests.rig.tensorrt import CUDA, unpacked

pytestmark = pytest.mark.tensorrt


FILES = (
    "edged/backends/tensorrt/cuda.py",
    "tests/jetson/checks.py",
    "tests/jetson/cuda_checks.py",
)


def cuda_uses() -> tuple[set[str], dict[str, set[int]]]:
    """Names of the module, dotted; and of the functions, how many arguments they get."""
    names: set[str] = set()
    calls: dict[str, set[int]] = {}
    trees = [ast.parse((PROJECT / file).read_text()) for file in FILES]
    for node in (each for tree in trees for each in ast.walk(tree)):
        text = ast.unparse(node)
        if isinstance(node, ast.Attribute) and text.startswith(("self._cudart.", "cudart.")):
            names.add(text.removeprefix("self.").split(".", 1)[1])
        if isinstance(node, ast.Attribute) and text.startswith("attributes."):
            names.add(text.replace("attributes", "cudaDeviceAttr"))
        if isinstance(node, ast.Call) and ast.unparse(node.func).endswith(("_ask", "_quietly")):
            arguments = [each for each in node.args if ast.unparse(each) != "cudart"]
            if isinstance(arguments[0], ast.Constant):
                calls.setdefault(str(arguments[0].value), set()).add(len(arguments) - 1)
    return names, calls


CUDA_DUMP = """
import inspect, json, sys
from edged.backends.tensorrt.cuda import Cuda, GpuError, import_cuda
names, calls = json.loads(sys.argv[1])
cudart = import_cuda()
missing = []
for name in names:
    value = cudart
    for part in name.split("."):
        value = getattr(value, part, None)
    if value is None:
        missing.append(name)
for name, counts in calls.items():
    function = getattr(cudart, name, None)
    if function is None:
        missing.append(name)
        continue
    text = (function.__doc__ or "").splitlines()[0]
    inside = text.split("(", 1)[1].rsplit(")", 1)[0] if "(" in text else None
    parameters = [each for each in (inside or "").split(",") if each.strip()]
    if inside is None or any(count > len(parameters) for count in counts):
        missing.append(f"{name}{counts}: {text}")
if not hasattr(cudart.cudaStream_t, "__int__"):  # what TensorRT is given
    missing.append("cudaStream_t.__int__")
try:
    said = str(Cuda(cudart))
except GpuError as error:
    said = str(error)
print(json.dumps([cudart.__name__, missing, said]))
"""


@pytest.mark.parametrize("version", CUDA)
def test_cuda_has_every_function_and_says_when_there_is_no_device(version: str) -> None:
    names, calls = cuda_uses()
    assert {"cudaError_t.cudaSuccess", "cudaHostAllocMapped", "cudaMemGetInfo"} <= names
    assert {"cudaHostAlloc", "cudaMemsetAsync"} <= set(calls)
    assert len(calls) > 15
    environment = {**os.environ, "PYTHONPATH": str(PROJECT)}
    argument = json.dumps([sorted(names), {name: sorted(counts) for name, counts in calls.items()}])
    program = f"import sys; sys.path.insert(0, {str(unpacked(*CUDA[version]))!r})\n{CUDA_DUMP}"
    done = subprocess.run(
        [sys.executable, "-c", program, argument],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    module, missing, said = json.loads(done.stdout)
    assert module == ("cuda.cudart" if version.startswith("12.2") else "cuda.bindings.runtime")
    assert missing == []
    assert re.match(r"no usable GPU \(got (cudaError|.*libcuda)", said)
