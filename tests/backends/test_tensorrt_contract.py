"""Every name, enumeration and signature of TensorRT and CUDA that the code uses, against the real
bindings of each version that is served.

What is checked is read from the code itself (its syntax tree), so the two cannot drift apart. The
bindings are NVIDIA's own, over stub libraries: their classes are real, nothing executes. The CUDA
bindings are whole, and answer without a driver.
"""

from __future__ import annotations

import ast
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import pytest

import edged.backends.tensorrt.tensorrt
from tests.rig.paths import PROJECT
from tests.rig.tensorrt import BINDINGS, CUDA, RTX, stubbed, unpacked

pytestmark = pytest.mark.tensorrt

BACKENDS = Path(edged.backends.tensorrt.tensorrt.__file__).parent
FILES = ("engine.py", "build_worker.py", "tensorrt.py", "bindings.py")
VERSIONS = [*BINDINGS, "rtx"]

DUMP = """
import inspect, json, sys
import {module} as trt
found = {{}}
def note(name, kind):
    found[name] = {{each: (inspect.getdoc(getattr(kind, each)) or "") for each in dir(kind)}}
    found[name]["__init__"] = kind.__init__.__doc__ or ""
    for each in dir(kind):
        inner = getattr(kind, each)
        if inspect.isclass(inner) and not each.startswith("__"):
            note(name + "." + each, inner)
found[""] = {{each: "" for each in dir(trt)}}
for each in dir(trt):
    if inspect.isclass(getattr(trt, each)):
        note(each, getattr(trt, each))
from edged.backends.tensorrt import build_worker as made
from edged.backends.tensorrt.onnx_forms import EnginePrecision
logger = made.logger_class(trt)()
logger.log(trt.ILogger.Severity.WARNING, "not this")
logger.log(trt.ILogger.Severity.ERROR, "this\\none")
told = []
if hasattr(trt, "IProgressMonitor"):
    monitor = made._monitor_class(trt)(told.append)
    monitor.phase_start("whole", None, 2)
    monitor.phase_start("part", "whole", 4)
    goes_on = [monitor.step_complete("part", step) for step in range(4)]
    monitor.phase_finish("part")
    goes_on.append(monitor.step_complete("whole", 0))
    assert goes_on == [True] * 5
behaves = dict(
    said=logger.said(), said_then=logger.said(), told=told, network_flags=made._network_flags(trt),
    flags=[made.flag_names(trt, each) for each in EnginePrecision], version=trt.__version__,
)
json.dump([found, behaves], sys.stdout)
"""


@cache
def dumped(version: str) -> tuple[dict[str, dict[str, str]], dict[str, Any]]:
    """Of each class its attributes and what is written of them; and how our own classes behave."""
    if version == "rtx":
        folder, module = unpacked(*RTX), "tensorrt_rtx_bindings"
    else:
        folder, module = stubbed(version), "tensorrt_bindings"
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "stub")}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(PROJECT)])
    program = DUMP.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    found, behaves = json.loads(done.stdout)
    return found, behaves


@dataclass(frozen=True)
class Use:
    """kind: the class, `` for the module. arguments: of a call, positional ones and names.
    condition: a name of the module without which this is not reached."""

    where: str
    kind: str
    name: str
    arguments: tuple[int, tuple[str, ...]] | None = None
    condition: str = ""


class Reader:
    """Follows what comes from `trt` through one file; the bindings tell what methods return."""

    def __init__(self, file: str, api: dict[str, dict[str, str]]) -> None:
        self.uses: set[Use] = set()
        self.overridden: set[tuple[str, str]] = set()
        self._file, self._api = file, api
        self._kinds: dict[str, str] = {"trt": "", "self._trt": ""}
        self._classes: set[str] = set()
        tree = ast.parse((BACKENDS / file).read_text())
        assignments = [node for node in ast.walk(tree) if isinstance(node, ast.Assign)]
        for node in 2 * assignments:  # some give a second name to what a later one makes
            if kind := self._kind(node.value):
                for target in node.targets:
                    self._kinds[ast.unparse(target)] = kind
        self._read(tree, "")

    def _kind(self, node: ast.expr) -> str | None:
        """Of a name, or of a class named through the module; None for what is not TensorRT's."""
        text = ast.unparse(node)
        if text in self._kinds:
            return self._kinds[text]
        if isinstance(node, ast.Call):
            return self._made(node)
        if isinstance(node, ast.Attribute):
            owner = self._kind(node.value)
            if owner is not None and (full := f"{owner}.{node.attr}".lstrip(".")) in self._api:
                return full
        return None

    def _made(self, node: ast.expr) -> str | None:
        """The class of what a call gives."""
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Attribute):
            return None
        owner = self._kind(node.func.value)
        if owner is None:
            return None
        if owner == "":
            return node.func.attr
        found = re.findall(rf"{node.func.attr}\(.*\) -> ([\w.:\[\], |]+)",
                           self._api[owner].get(node.func.attr, ""))  # fmt: skip
        if node.func.attr not in self._api[owner]:
            return None  # test_every_name_is_there tells of it
        assert found, f"{self._file}: what {owner}.{node.func.attr} returns is not known"
        made = re.split(r"[.:]+", found[0])[-1]
        return made if made in self._api else made.removeprefix("I")  # nvonnxparser::IParserError

    def _read(self, node: ast.AST, condition: str) -> None:
        if isinstance(node, ast.If) and (name := _asked(node.test)):
            self._visit(node.test, condition)
            for each in node.body:
                self._read(each, name)
            for each in node.orelse:
                self._read(each, condition)
            return
        if isinstance(node, ast.ClassDef):
            for base in node.bases:
                if (kind := self._kind(base)) is not None:
                    own = {each.name for each in node.body if isinstance(each, ast.FunctionDef)}
                    public = {each for each in own if not each.startswith("_")} - {"said"}
                    self.overridden |= {(kind, each) for each in public}
        self._visit(node, condition)
        for child in ast.iter_child_nodes(node):
            self._read(child, condition)

    def _visit(self, node: ast.AST, condition: str) -> None:
        call = node if isinstance(node, ast.Call) else None
        used = node.func if call is not None else node
        if not isinstance(used, ast.Attribute) or (kind := self._kind(used.value)) is None:
            return
        if used.attr in OPTIONAL and kind == "":
            condition = used.attr
        if kind in OPTIONAL:
            condition = kind
        arguments = None
        if call is not None:
            owner = used.value  # called on its class, a method gets self as well
            unbound = isinstance(owner, ast.Attribute) and ast.unparse(owner) not in self._kinds
            names = tuple(each.arg or "**" for each in call.keywords)
            arguments = len(call.args) - unbound, names
        where = f"{self._file}:{used.lineno}"
        self.uses.add(Use(where, kind, used.attr, arguments, condition))


def _asked(test: ast.expr) -> str:
    """X of `hasattr(trt, "X")`."""
    found = re.fullmatch(r"hasattr\(trt, '(\w+)'\)", ast.unparse(test))
    return found[1] if found else ""


OPTIONAL = {
    "IProgressMonitor",
    "ComputeCapability",
    "DynamicShapesKernelSpecializationStrategy",
}
"""Not in every version; the code asks before it uses it."""


def readers(version: str) -> Iterator[Reader]:
    for file in FILES:
        yield Reader(file, dumped(version)[0])


def test_the_reading_finds_what_is_used() -> None:
    """Were it blind, everything would agree."""
    uses = {(use.kind, use.name) for reader in readers("10.3.0") for use in reader.uses}
    assert {
        ("IExecutionContext", "execute_async_v3"), ("IExecutionContext", "set_tensor_address"),
        ("ICudaEngine", "get_tensor_profile_shape"), ("Runtime", "deserialize_cuda_engine"),
        ("Builder", "create_network"), ("ITimingCache", "serialize"),
        ("IBuilderConfig", "progress_monitor"), ("MemoryPoolType", "WORKSPACE"),
        ("ILogger.Severity", "ERROR"), ("IOptimizationProfile", "set_shape"), ("", "OnnxParser"),
        ("OnnxParser", "get_error"), ("DataType", "UINT8"), ("ParserError", "desc"),
    } <= uses  # fmt: skip
    assert len(uses) > 40


@pytest.mark.parametrize("version", VERSIONS)
def test_every_name_is_there(version: str) -> None:
    api, _ = dumped(version)
    missing = [
        f"{use.where}: {use.kind}.{use.name}"
        for reader in readers(version)
        for use in reader.uses
        if use.name not in api.get(use.kind, {})
        and not (use.condition in OPTIONAL and use.condition not in api[""])
        and (use.kind, use.name) != ("ILogger", "__init__")
    ]
    assert missing == []


@pytest.mark.parametrize("version", VERSIONS)
def test_every_call_has_arguments_that_are_taken(version: str) -> None:
    api, _ = dumped(version)
    wrong, checked = [], 0
    for reader in readers(version):
        for use in reader.uses:
            if use.arguments is None or use.condition not in {"", *api[""]}:
                continue
            full = f"{use.kind}.{use.name}".lstrip(".")
            if full in api:
                signatures = list(_signatures("__init__", api[full]["__init__"]))
            else:
                signatures = list(_signatures(use.name, api[use.kind][use.name]))
            if not any(_takes(each, use.arguments) for each in signatures):
                wrong.append(f"{use.where}: {full}{use.arguments}: {signatures}")
            checked += 1
    assert wrong == []
    assert checked > 25


def _signatures(name: str, text: str) -> Iterator[list[str]]:
    for found in re.findall(rf"\b{name}\((self: [^)]*|[^)]*)\) ->", text):
        parts, depth = [""], 0
        for letter in found:
            depth += {"[": 1, "(": 1, "<": 1, "]": -1, ")": -1, ">": -1}.get(letter, 0)
            if letter == "," and not depth:
                parts.append("")
            else:
                parts[-1] += letter
        yield [part.strip() for part in parts]


def _takes(parameters: list[str], arguments: tuple[int, tuple[str, ...]]) -> bool:
    count, names = arguments
    parameters = [each for each in parameters if not each.startswith("self")]
    needed = sum("=" not in each for each in parameters)
    known = {each.split(":")[0] for each in parameters}
    return needed <= count + len(names) <= len(parameters) and set(names) <= known


@pytest.mark.parametrize("version", VERSIONS)
def test_what_is_overridden_is_there(version: str) -> None:
    api, _ = dumped(version)
    overridden = {each for reader in readers(version) for each in reader.overridden}
    expected = {("ILogger", "log")}
    if "IProgressMonitor" in api[""]:
        names = ("phase_start", "step_complete", "phase_finish")
        expected |= {("IProgressMonitor", name) for name in names}
    assert overridden == expected
    assert all(name in api[kind] for kind, name in overridden)


@pytest.mark.parametrize("version", VERSIONS)
def test_precision_is_asked_for_the_way_the_version_wants_it(version: str) -> None:
    api, behaves = dumped(version)
    strong = version in ("11.4.0.106", "rtx")
    if version == "rtx":
        assert behaves["flags"] == [["REQUIRE_USER_ALLOCATION"]] * 3
    else:
        assert behaves["flags"] == ([[], [], []] if strong else [[], ["FP16"], ["FP16", "INT8"]])
    flags = api["NetworkDefinitionCreationFlag"]
    assert ("EXPLICIT_BATCH" in flags) is not strong
    assert behaves["network_flags"] == 1  # the first one is either of them, by its version
    for flag in behaves["flags"][-1]:
        assert flag in api["BuilderFlag"]


@pytest.mark.parametrize("version", VERSIONS)
def test_our_logger_and_monitor_work_under_the_real_base_classes(version: str) -> None:
    api, behaves = dumped(version)
    assert (behaves["said"], behaves["said_then"]) == ("this one", "no reason")
    assert behaves["version"].startswith("1.7" if version == "rtx" else version)
    told = [0.125, 0.25, 0.375, 0.5] if "IProgressMonitor" in api[""] else []
    assert behaves["told"] == told
    assert bool(told) is (version != "8.6.1")


BACKEND = """
import importlib, sys
from edged.backends.tensorrt.tensorrt import TensorRtBackend
from edged.errors import EdgedError
sys.path.insert(0, sys.argv[1])
try:
    TensorRtBackend(import_tensorrt=lambda: importlib.import_module("tensorrt_bindings"))
except EdgedError as error:
    print(error)
"""


@pytest.mark.parametrize("version", BINDINGS)
@pytest.mark.parametrize("libraries", [True, False])
def test_the_backend_says_what_is_missing(version: str, libraries: bool) -> None:
    """With libraries, be they empty: the device. Without: the libraries, and the package."""
    folder = stubbed(version)
    environment = {**os.environ, "LD_LIBRARY_PATH": str(folder / "stub") if libraries else ""}
    environment["PYTHONPATH"] = os.pathsep.join([str(folder), str(PROJECT)])
    done = subprocess.run(
        [sys.executable, "-c", BACKEND, str(unpacked(*CUDA["12.9 (both layouts)"]))],
        env=environment,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    if libraries:
        assert done.stdout.startswith("no usable GPU (got cudaError")
    else:
        assert re.match(
            r"a TensorRT library is missing \(got libnv\w+\.so.*sudo apt install nvidia-jetpack",
            done.stdout,
        )
