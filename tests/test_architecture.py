"""The package's order: who may import whom, and how large a module and a folder may become."""

from __future__ import annotations

import ast
import importlib
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import NamedTuple

from tests.rig.paths import PROJECT

FLOORS = (
    {"__init__", "backoff", "clock", "device", "effort", "memory", "view"},
    {"printable", "process", "secret"},
    {"errors", "atomic_file"},
    {"hours"},
    {"document", "sensors", "state"},
    {"capture", "private_file", "switches"},
    {"variants"},
    {"result", "control"},
    {"backends", "tracing"},
    {"sinks"},
    {"events"},
    {"history", "teach"},
    {"pipeline", "telemetry"},
    {"web"},
    {"service"},
    {"config"},
    {"daemon", "doctor"},
    {"commands"},
    {"cli"},
    {"__main__"},
)
"""The rooms of the package, lowest first. A room imports only from floors below its own."""

MOST_LINES = 400
MOST_MODULES = 16
ROOT = PROJECT / "edged"


class Import(NamedTuple):
    """Modules as parts of their paths below the package. at_load: not in a function or for types
    alone."""

    module: tuple[str, ...]
    target: tuple[str, ...]
    at_load: bool


def imports_of(path: Path) -> Iterator[tuple[str, bool]]:
    """What the file imports, as dotted names, `a.b` and also `a.b.name`; and whether at load."""
    tree = ast.parse(path.read_bytes())
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node in tree.body) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from ((f"{node.module}.{alias.name}", node in tree.body) for alias in node.names)


def imports() -> Iterator[Import]:
    paths = [path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py")]
    modules = {path.parts for path in paths}
    for module in modules:
        for name, at_load in imports_of(ROOT.joinpath(*module).with_suffix(".py")):
            package, *parts = name.split(".")
            if package == "edged":
                target = tuple(parts)
                outer = target[:-1]
                candidates = (target, outer, (*target, "__init__"), (*outer, "__init__"))
                found = next(each for each in candidates if each in modules)
                yield Import(module, found, at_load)


def test_a_room_imports_only_from_lower_floors() -> None:
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    backward = {
        f"{'.'.join(module)} imports {'.'.join(target)}"
        for module, target, _ in imports()
        if module[0] != target[0] and floor_of[module[0]] <= floor_of[target[0]]
    }
    assert not backward


def test_nothing_imports_in_a_circle() -> None:
    """In each folder its modules, and its folders as wholes, have an order. A module may name
    another one of its folder later, in a function: options that make what they are of do so."""
    graphs: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for module, target, at_load in imports():
        if module != target:
            pairs = enumerate(zip(module, target, strict=False))
            depth = next(depth for depth, (part, other) in pairs if part != other)
            beside = len(module) == len(target) == depth + 1
            if at_load or not beside:
                graph = graphs.setdefault(module[:depth], {})
                graph.setdefault(module[depth], set()).add(target[depth])
    assert not [circle for each in graphs.values() if (circle := circle_of(each))]


def circle_of(graph: dict[str, set[str]]) -> str:
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        return " <- ".join(error.args[1])
    return ""


def lines(path: Path) -> int:
    return len(path.read_text().splitlines())


def test_modules_and_folders_stay_small() -> None:
    modules = [each for each in ROOT.rglob("*.py") if each.name != "__init__.py"]
    assert not [str(each) for each in ROOT.rglob("*.py") if lines(each) > MOST_LINES]
    beside = Counter(each.parent for each in modules)
    crowded = {folder for folder, count in beside.items() if count > MOST_MODULES}
    assert crowded <= {ROOT / "commands"}  # which is a list


def test_test_modules_are_small_and_nobodys_helpers() -> None:
    """What several tests use is in tests/rig."""
    failing = {
        str(path.relative_to(PROJECT))
        for path in (PROJECT / "tests").rglob("test_*.py")
        if lines(path) > MOST_LINES
        or any(name.startswith("tests.") and ".test_" in name for name, _ in imports_of(path))
    }
    assert not failing


def test_the_checks_of_the_virtual_device_can_be_imported() -> None:
    """They run only there: `make test-device`."""
    for path in sorted((PROJECT / "tests/device/checks").glob("*.py")):
        if path.stem != "__main__":
            importlib.import_module(f"tests.device.checks.{path.stem}")


def test_programs_that_tests_import_have_names_of_their_own() -> None:
    """Their folders lie on sys.path together: of two modules with one name only one is imported."""
    folders = ("deploy/home-assistant/edged", "deploy/package", "models/recipe")
    found = [sorted((PROJECT / folder).glob("[!_]*.py")) for folder in folders]
    assert all(found)
    names = Counter(path.stem for paths in found for path in paths)
    assert {name for name, count in names.items() if count > 1} == set()
