"""A YAML file, checked against a JSON Schema, with the line of each value.

Plain values follow YAML 1.2, as editors do: `true` and `false` are the only booleans (`on`, `yes`
and `no` are text), `1e3` is a number, `12:30` and `2026-01-31` are text. Keys are always text:
`128:` is "128", `on:` is "on". Aliases and custom tags are rejected, size and depth are bounded,
numbers are finite.

Errors never show the value of a variable; edged/document/quoting.py decides what else they show.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from copy import deepcopy
from dataclasses import dataclass, field, replace
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edged.atomic_file import read_file
from edged.document.nodes import MAX_TEXT, SCALARS, TAG, compose, plain_value
from edged.document.problems import KINDS, MOST_FAILURES, Formats, Problem, failures, problems
from edged.document.quoting import Keys, Quoting, Schema, shown
from edged.errors import InputError, InputErrors, cannot_read, not_utf8
from edged.secret import MASK

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_BYTES = 256 * 1024
MAX_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Document:
    """The content of a file: `data` as dicts, lists and scalars, and the line of each part."""

    path: Path
    data: dict[str, Any] = field(repr=False)  # may contain secrets from variables
    _lines: Mapping[Keys, int]
    _as_written: Mapping[Keys, str] = field(repr=False)
    """Texts with variables, before these were replaced."""
    _quoting: Quoting = field(repr=False)
    problems: Sequence[tuple[int, Problem]] = ()
    """(line, problem)."""

    def line(self, *keys: str | int) -> int:
        """The line of a key or list item, or of its nearest existing parent."""
        place = self._place(keys)
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def has(self, *keys: str | int) -> bool:
        """Whether the file has a value there, valid or not."""
        return self._place(keys) in self._lines

    def error(
        self, what: str, *keys: str | int, got: object = None, fix: str | None = None
    ) -> InputError:
        """An error about the value at `keys`, with file, line and key path.

        Omits `got` if it may be a secret; shows a value with a variable as it is written.
        """
        place = self._place(keys)
        if got is not None:
            got = self._quoting.text(place, self._as_written.get(place, str(got)))
        where = f"{self.path}:{self.line(*keys)}"
        return InputError(self._quoting.path(place) + what, where=where, got=got, fix=fix)

    def sound(self, schema: Schema) -> dict[str, Any]:
        """A copy of `data` without invalid values, and without what then fails under `schema`."""
        data: dict[str, Any] = deepcopy(self.data)
        wrong = {problem.keys for _, problem in self.problems}
        while sum(_cut(data, keys) for keys in wrong):
            found = failures(data, schema, {})
            wrong = {each.keys for one in found for each in problems(one, self._quoting)}
        return data

    def finish(self, further: Iterable[InputError] = ()) -> None:
        """Raise InputErrors with all problems and `further`, if any, by line."""
        found = [(line, self._located(line, problem)) for line, problem in self.problems]
        others = list(islice(further, MAX_ERRORS + 1))
        found += [(_line_in(error), error) for error in others]
        found.sort(key=lambda item: item[0])
        errors = [error for _, error in found[:MAX_ERRORS]]
        if len(found) > MAX_ERRORS:
            counted = len(others) <= MAX_ERRORS and len(self.problems) < MOST_FAILURES
            what = f"{len(found) - MAX_ERRORS if counted else 'many'} more errors"
            errors.append(InputError(what, where=self.path))
        if errors:
            raise InputErrors(errors)

    def _located(self, line: int, problem: Problem) -> InputError:
        what = self._quoting.path(problem.keys) + problem.what
        return InputError(what, where=f"{self.path}:{line}", got=problem.got, fix=problem.fix)

    def _place(self, keys: Keys) -> Keys:
        """Mapping keys as text, also for callers that pass numbers (`line("sizes", 128)`)."""
        place: Keys = ()
        holder: Any = self.data
        for key in keys:
            key = key if isinstance(holder, list) else str(key)
            place = (*place, key)
            try:
                holder = holder[key]
            except (KeyError, IndexError, TypeError):
                holder = None
        return place


def _cut(data: Any, keys: Keys) -> bool:
    """Remove the value at `keys`, or its nearest existing parent; a list is removed whole.

    Returns whether anything was removed. Never removes the whole document.
    """
    if not keys:
        return False
    holders = [data]
    try:
        for key in keys[:-1]:
            holders.append(holders[-1][key])
    except (KeyError, IndexError, TypeError):  # removed already
        return False
    for holder, key in zip(reversed(holders), reversed(keys), strict=True):
        if isinstance(holder, dict) and key in holder:
            del holder[key]
            return True
    return False


def _line_in(error: InputError) -> int:
    """The line of an error made by `Document.error`."""
    found = re.search(r":(\d+)(?:: |$)", error.where or "")
    return int(found[1]) if found else 0


def read_document(
    path: Path,
    schema: Schema,
    *,
    environ: Mapping[str, str] | None = None,
    formats: Formats | None = None,
) -> Document:
    """Read and check a file; arguments and errors as in `parse_document`."""
    document = examine_file(path, schema, environ=environ, formats=formats)
    document.finish()
    return document


def examine_file(
    path: Path,
    schema: Schema,
    *,
    environ: Mapping[str, str] | None = None,
    formats: Formats | None = None,
    forbidden: str = "check its owner and mode: ls -l",
) -> Document:
    """As `read_document`, but `Document.finish` reports the problems.

    forbidden: the fix if it is not readable. Raises InputError if the file cannot be parsed.
    """
    try:
        content = read_file(path, MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except IsADirectoryError:
        raise InputError("expected a YAML file", where=path, got="a folder") from None
    except PermissionError:
        raise InputError("no permission to read it", where=path, fix=forbidden) from None
    except OSError as error:
        raise cannot_read(path, error) from None
    except ValueError:  # a NUL
        raise InputError("not a file name", where=repr(str(path))) from None
    if len(content) > MAX_BYTES:
        what = f"expected at most {MAX_BYTES // 1024} KiB of YAML"
        raise InputError(what, where=path, got="a larger file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise not_utf8("expected UTF-8 text", path, error) from None
    return _examine(text, path, schema, environ, formats or {})


def parse_document(
    text: str,
    path: Path,
    schema: Schema,
    *,
    environ: Mapping[str, str] | None = None,
    formats: Formats | None = None,
) -> Document:
    """Check YAML text that came from `path` against a JSON Schema (Draft 2020-12).

    environ: if given, `${NAME}` in a value is replaced by the variable, and `$${` by `${`.
    formats: for each `format` in the schema a function that raises InputError (what, got, fix; not
    where) for an invalid text.
    Raises InputError if the text cannot be parsed, InputErrors with all problems.
    """
    document = _examine(text, path, schema, environ, formats or {})
    document.finish()
    return document


def _examine(
    text: str, path: Path, schema: Schema, environ: Mapping[str, str] | None, formats: Formats
) -> Document:
    root = compose(text, path)
    if root is None:
        required = ", ".join(schema.get("required", [])) or "lines of `key: value`"
        raise InputError(f"expected at least {required}", where=path, got="an empty file")
    quoting = Quoting(schema)
    reading = _Reading(environ, quoting)
    data = reading.value(root, ())
    document = Document(path, {}, reading.lines, reading.as_written, quoting)
    if not isinstance(data, dict):
        replace(document, problems=reading.problems).finish()
        where = f"{path}:{reading.lines[()]}"
        got = quoting.value((), data)
        raise InputError(f"expected {KINDS['object']}", where=where, got=got)
    document = replace(document, data=data)
    found = reading.problems + _schema_problems(document, schema, formats, reading.unreadable)
    return replace(document, problems=tuple(found))


# Checking against the schema


def _schema_problems(
    document: Document, schema: Schema, formats: Formats, unreadable: set[Keys]
) -> list[tuple[int, Problem]]:
    found = failures(document.data, schema, formats)
    if _settle_variables(document, found):
        found = failures(document.data, schema, formats)
    lists = {  # of a wrong length: errors of their items say less
        tuple(failure.absolute_path)
        for failure in found
        if failure.validator in ("minItems", "maxItems")
    }
    first: dict[Keys, Problem] = {}  # one for each place: the others repeat it
    for failure in found:
        keys = tuple(failure.absolute_path)
        above = {keys[:length] for length in range(len(keys))}
        if not unreadable & {*above, keys} and not lists & above:
            for problem in problems(failure, document._quoting):
                first.setdefault(problem.keys, problem)
    return [
        (document.line(*keys), _with_variables(problem, document))
        for keys, problem in first.items()
    ]


def _with_variables(problem: Problem, document: Document) -> Problem:
    """Show a value with a variable as it is written."""
    text = document._as_written.get(problem.keys)
    if text is None or problem.got is None:
        return problem
    return problem._replace(got=document._quoting.text(problem.keys, text), fix=None)


def _settle_variables(document: Document, found: list[ValidationError]) -> bool:
    """Parse the text of a variable as YAML where the schema expects another type."""
    settled = False
    for failure in found:
        keys = tuple(failure.absolute_path)
        text = failure.instance
        if failure.validator != "type" or keys not in document._as_written:
            continue
        if isinstance(text, str) and not isinstance(value := plain_value(text), str):
            holder: Any = document.data
            for key in keys[:-1]:
                holder = holder[key]
            holder[keys[-1]] = value
            settled = True
    return settled


# Converting nodes to data

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass(slots=True)
class _Reading:
    environ: Mapping[str, str] | None
    quoting: Quoting
    lines: dict[Keys, int] = field(default_factory=dict)
    as_written: dict[Keys, str] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    unreadable: set[Keys] = field(default_factory=set)
    """Places with a problem already, which the schema check skips."""

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        self.lines.setdefault(keys, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in SCALARS:
            return self._scalar(node, keys)
        fix = "put a value that begins with ! in quotes"
        return self._refuse(Problem(keys, "tags (`!name`) are not supported", fix=fix))

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        secret = False
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                problem = Problem(keys, "expected a text key", shown(key))
                self.problems.append((line, problem))
                continue
            place = (*keys, key)
            self.quoting.judge_key(
                place,
                braces=bool(node.flow_style),
                bare=value_node.start_mark.index == value_node.end_mark.index,
                follows_secret=secret,
            )
            unquoted = isinstance(value_node, yaml.ScalarNode) and value_node.style is None
            secret |= unquoted and not self.quoting.shows_values_at(place)
            if not key.isprintable():
                what = "expected a key without control characters and special spaces"
                self.problems.append((line, Problem(place, what)))
            elif key in data:
                what = f"duplicate key, first on line {self.lines[place]}"
                self.problems.append((line, Problem(place, what, fix="remove one of them")))
            else:
                self.lines[place] = line
                data[key] = self.value(value_node, place)
        return data

    def _scalar(self, node: yaml.ScalarNode, keys: Keys) -> Any:
        text: str = node.value
        if self.environ is not None and "${" in text:
            text = _VARIABLE.sub(lambda found: self._variable(found, keys), text)
        elif node.tag != TAG + "str":
            try:
                return SCALARS[node.tag](text)
            except ValueError:
                what, got = "number out of range", self.quoting.value(keys, text)
                return self._refuse(Problem(keys, what, got, "put it in quotes if it is text"))
        if len(text) > MAX_TEXT:
            return self._refuse(Problem(keys, f"expected at most {MAX_TEXT} characters"))
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            return self._refuse(Problem(keys, "expected text that UTF-8 can encode, without NUL"))
        return text

    def _variable(self, found: re.Match[str], keys: Keys) -> str:
        name, text = found["name"], found.string
        if found[0] == "$${":
            return "${"
        if name is None:
            got, fix = self.quoting.value(keys, text), "write $${ for a literal ${"
            self._refuse(Problem(keys, "expected ${NAME}", got, fix))
            return ""
        if self.environ is None or name not in self.environ:
            fix = "set it in the environment, or write $${ for a literal ${"
            # ${…} may be part of a password.
            shown = name if name.isupper() or self.quoting.shows_values_at(keys) else MASK
            self._refuse(Problem(keys, f"the variable {shown} is not set", fix=fix))
            return ""
        self.as_written[keys] = text
        return self.environ[name]

    def _refuse(self, problem: Problem) -> None:
        self.unreadable.add(problem.keys)
        self.problems.append((self.lines[problem.keys], problem))
