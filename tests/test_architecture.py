"""The package's order: who may import whom, and how large a module and a folder may become."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

from tests.rig.paths import PROJECT

FLOORS = (
    {"__init__", "clock", "device", "effort", "memory", "printable", "private_file", "process"},
    {"secret"},
    {"errors", "atomic_file"},
    {"document", "sensors"},
    {"capture"},
    {"variants"},
    {"control"},
    {"backends", "tracing"},
    {"sinks"},
    {"events"},
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

NOT_YET = set[str]()
"""Test modules that are too long or lend to others still."""


def imports_of(path: Path) -> Iterator[str]:
    """What the file imports, wherever in it, as dotted names: `a.b` and also `a.b.name`."""
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: a relative import"
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def edges() -> Iterator[tuple[tuple[str, ...], tuple[str, ...]]]:
    """Importing and imported module, as parts of their paths below the package."""
    paths = [path.relative_to(ROOT).with_suffix("") for path in ROOT.rglob("*.py")]
    modules = {path.parts for path in paths}
    for module in modules:
        for name in imports_of(ROOT.joinpath(*module).with_suffix(".py")):
            package, *parts = name.split(".")
            if package == "edged":
                target = tuple(parts)
                outer = target[:-1]
                candidates = (target, outer, (*target, "__init__"), (*outer, "__init__"))
                yield module, next(each for each in candidates if each in modules)


def test_a_room_imports_only_from_lower_floors() -> None:
    floor_of = {room: floor for floor, rooms in enumerate(FLOORS) for room in rooms}
    backward = {
        f"{'.'.join(module)} imports {'.'.join(target)}"
        for module, target in edges()
        if module[0] != target[0] and floor_of[module[0]] <= floor_of[target[0]]
    }
    assert not backward


def parts_apart(
    module: tuple[str, ...], target: tuple[str, ...]
) -> tuple[tuple[str, ...], str, str] | None:
    """The folder in which the two part, and what of it each of them is or lies in."""
    for depth, (part, other) in enumerate(zip(module, target, strict=False)):
        if part != other:
            return module[:depth], part, other
    return None


def test_nothing_imports_in_a_circle() -> None:
    """In each folder its modules, and its folders as wholes, have an order."""
    graphs: dict[tuple[str, ...], dict[str, set[str]]] = {}
    for module, target in edges():
        if apart := parts_apart(module, target):
            folder, part, other = apart
            graphs.setdefault(folder, {}).setdefault(part, set()).add(other)
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
        or any(name.startswith("tests.") and ".test_" in name for name in imports_of(path))
    }
    assert failing <= NOT_YET
