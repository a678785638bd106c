"""YAML text to nodes: plain scalars as in YAML 1.2, no aliases, bounded size and depth."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import yaml

from edged.errors import InputError

MAX_DEPTH = 32
MAX_NODES = 10_000
"""More than 200 cameras with all keys have. Each takes some 0.01 ms on a desktop computer."""
MAX_TEXT = 4096
"""Characters of one key or value."""
TAG = "tag:yaml.org,2002:"


def _nothing(text: str) -> None:
    return None


def _true(text: str) -> bool:
    return text.lower() == "true"


def _integer(text: str) -> int:
    if len(text) > 32:
        raise ValueError(text)
    return int(text, 0) if text[:2] in ("0o", "0x") else int(text)


def _finite(text: str) -> float:
    value = float(text)
    if not math.isfinite(value):
        raise ValueError(text)
    return value


_PLAIN: tuple[tuple[str, re.Pattern[str], Callable[[str], Any]], ...] = (
    ("null", re.compile(r"(?:~|null|Null|NULL|)\Z"), _nothing),
    ("bool", re.compile(r"(?:true|True|TRUE|false|False|FALSE)\Z"), _true),
    ("int", re.compile(r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z"), _integer),
    ("float", re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z"), _finite),
)
"""The core schema of YAML 1.2.2, section 10.3.2, without infinities and NaN."""

SCALARS = {TAG + name: convert for name, _, convert in _PLAIN} | {TAG + "str": str}
"""How the text of a scalar becomes its value, by tag. Raises ValueError for an unusable number."""


def plain_value(text: str) -> Any:
    """The value of `text` without quotes in a file."""
    for _, regex, convert in _PLAIN:
        if regex.match(text):
            try:
                return convert(text)
            except ValueError:
                break
    return text


_HINTS = (
    ("character '\\t'", "indent with spaces, not with tabs"),
    ("cannot start any token", "put the value in quotes"),
    ("mapping values", "is a `:` missing on the line above, or a value with `: ` not in quotes?"),
    ("end of stream", "is a quote or a bracket not closed?"),
    ("stream end", "is a quote or a bracket not closed?"),
    ("expected ',' or", "is a comma or bracket missing, or ${NAME} not in quotes?"),
    ("node content", "put a value that begins with a bracket in quotes"),
    ("block end", "does the indentation match the lines above?"),
    ("expected ':'", "is a `:` missing after a key?"),
    ("aliases", "repeat the value"),
    ("another document", "keep one of the documents that `---` separates"),
    ("escape", "in double quotes a backslash begins an escape: use single quotes, or write \\\\"),
    ("tag handle", "put a value that begins with ! in quotes"),
    ("more than", "is this the right file?"),
)
_NAMED = re.compile(r"(tag handle|alias|anchor) .*", re.DOTALL)
"""PyYAML messages that show more of the file than one character."""


class _Loader(yaml.SafeLoader):
    """Composes nodes; rejects aliases and excessive size or depth."""

    yaml_implicit_resolvers: Any = {  # noqa: RUF012 - PyYAML's name; constant
        None: [(TAG + name, regex) for name, regex, _ in _PLAIN]
    }
    depth = 0
    nodes = 0

    def compose_node(self, parent: yaml.Node | None, index: Any) -> yaml.Node | None:
        mark = self.peek_event().start_mark  # type: ignore[no-untyped-call]
        if self.check_event(yaml.AliasEvent):
            raise yaml.MarkedYAMLError(None, None, "aliases (`*name`) are not supported", mark)
        if self.depth >= MAX_DEPTH:
            raise yaml.MarkedYAMLError(None, None, f"more than {MAX_DEPTH} levels", mark)
        self.nodes += 1
        if self.nodes > MAX_NODES:
            raise yaml.MarkedYAMLError(None, None, f"more than {MAX_NODES} keys and values", mark)
        self.depth += 1
        node: yaml.Node | None = super().compose_node(parent, index)
        self.depth -= 1
        if isinstance(node, yaml.ScalarNode) and len(node.value) > MAX_TEXT:
            what = f"a key or value of more than {MAX_TEXT} characters"
            raise yaml.MarkedYAMLError(None, None, what, mark)
        return node


def compose(text: str, path: Path) -> yaml.Node | None:
    """The root of the document in `text`, None if it is empty.

    Raises InputError with `path`, line and column.
    """
    try:
        loader = _Loader(text)
        try:
            return loader.get_single_node()
        except (ValueError, OverflowError):  # raised by PyYAML for "\UFFFFFFFF"
            mark = loader.get_mark()
            raise yaml.MarkedYAMLError(
                None, None, "a number or escape out of range", mark
            ) from None
    except yaml.reader.ReaderError as error:
        raise InputError(
            "not valid YAML: a control character",
            where=f"{path}:{text.count(chr(10), 0, error.position) + 1}",
            got=f"U+{ord(text[error.position]):04X}",
        ) from None
    except yaml.MarkedYAMLError as error:
        raise _syntax_error(error, path) from None


def _syntax_error(error: yaml.MarkedYAMLError, path: Path) -> InputError:
    mark, began = error.problem_mark, error.context_mark
    problem = _NAMED.sub(r"\1", error.problem or "syntax error")
    where = f"{path}:{mark.line + 1}:{mark.column + 1}" if mark else path
    if mark and began and began.line != mark.line:
        problem += f", in the block that starts on line {began.line + 1}"
    fix = next((hint for part, hint in _HINTS if part in problem), None)
    return InputError(f"not valid YAML: {problem}", where=where, fix=fix)
