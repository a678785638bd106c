"""A YAML file, checked against a JSON Schema, that remembers on which line everything stands.

Plain values are read as YAML 1.2 does, which is what editors expect: `true` and `false` are the
only booleans (`on`, `yes` and `no` are text), `1e3` is a number, `12:30` and `2026-01-31` are
text. Keys are always the text that was written: `128:` is "128", `on:` is "on". Aliases and tags
of one's own are refused, size and depth are bounded, numbers are finite.

It does not know what the file is about: schema, formats and variables come from the caller. It
never shows what a variable held; what else may be shown says edged/document/quoting.py.
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
from edged.errors import InputError, InputErrors, cannot_read
from edged.secret import MASK

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

MAX_BYTES = 256 * 1024
MAX_ERRORS = 100


@dataclass(frozen=True, slots=True)
class Document:
    """What a file holds: `data` as plain dicts, lists and scalars, and where each part stands."""

    path: Path
    data: dict[str, Any] = field(repr=False)  # variables may have brought secrets into it
    _lines: Mapping[Keys, int]
    _as_written: Mapping[Keys, str] = field(repr=False)
    """The texts that hold variables, before these were replaced."""
    _quoting: Quoting = field(repr=False)
    problems: Sequence[tuple[int, Problem]] = ()
    """All that is wrong with it, each with its line."""

    def line(self, *keys: str | int) -> int:
        """The line of a key or list item; of what would hold it, where it is not there."""
        place = self._place(keys)
        while place and place not in self._lines:
            place = place[:-1]
        return self._lines[place]

    def error(
        self, what: str, *keys: str | int, got: object = None, fix: str | None = None
    ) -> InputError:
        """An error about the value at `keys`, with file, line and key path.

        `got` is left out where it may be a secret; of a value that holds a variable the text as
        written is shown.
        """
        place = self._place(keys)
        if got is not None:
            got = self._quoting.text(place, self._as_written.get(place, str(got)))
        where = f"{self.path}:{self.line(*keys)}"
        return InputError(self._quoting.path(place) + what, where=where, got=got, fix=fix)

    def sound(self) -> dict[str, Any]:
        """A copy of `data` without what there is a problem with, and what needs it."""
        data: dict[str, Any] = deepcopy(self.data)
        wrong = {problem.keys for _, problem in self.problems}
        while sum(_cut(data, keys) for keys in wrong):
            found = failures(data, self._quoting.schema, {})
            wrong = {each.keys for one in found for each in problems(one, self._quoting)}
        return data

    def finish(self, further: Iterable[InputError] = ()) -> None:
        """Raises InputErrors with all problems and `further`, in the order of the lines."""
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
        """Keys of mappings are text here, whatever the caller counts in (`line("sizes", 128)`)."""
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
    """Remove what stands at `keys`; where there is nothing, what would hold it. Lists go whole.

    Whether there was anything to remove; never the whole document.
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
    """Where in the file an error is that `Document.error` has located."""
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
    forbidden: str = "see its owner and mode: ls -l",
) -> Document:
    """As `read_document`, but what is wrong with it is told by `Document.finish`.

    forbidden: what to do where this process may not read it. Raises InputError where it cannot be
    read on.
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
        raise InputError("not the name of a file", where=repr(str(path))) from None
    if len(content) > MAX_BYTES:
        what = f"expected at most {MAX_BYTES // 1024} KiB of YAML"
        raise InputError(what, where=path, got="a larger file")
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            "expected UTF-8 text",
            where=f"{path}:{content.count(10, 0, error.start) + 1}",
            got=f"the byte 0x{content[error.start]:02x}",
            fix="save the file as UTF-8",
        ) from None
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

    environ: where given, `${NAME}` inside a value becomes the variable, and `$${` becomes `${`.
    formats: for each `format` named in the schema a function that raises InputError (what, got,
    fix; not where) for a text that does not have it.
    Raises InputError where the text cannot be read on, InputErrors with all that is wrong with it.
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


# The schema's view of it


def _schema_problems(
    document: Document, schema: Schema, formats: Formats, unreadable: set[Keys]
) -> list[tuple[int, Problem]]:
    found = failures(document.data, schema, formats)
    if _settle_variables(document, found):
        found = failures(document.data, schema, formats)
    lists = {  # that have too many items or too few: what is wrong with each of them says less
        tuple(failure.absolute_path)
        for failure in found
        if failure.validator in ("minItems", "maxItems")
    }
    first: dict[Keys, Problem] = {}  # one for each place: the others say the same in other words
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
    """Of a value that holds a variable, as it is written."""
    text = document._as_written.get(problem.keys)
    if text is None or problem.got is None:
        return problem
    return problem._replace(got=document._quoting.text(problem.keys, text), fix=None)


def _settle_variables(document: Document, found: list[ValidationError]) -> bool:
    """A variable is text; where something else was expected, read it as if it stood in the file."""
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


# Nodes to data

_VARIABLE = re.compile(r"\$\$\{|\$\{(?P<name>[A-Za-z_][A-Za-z0-9_]*)\}|\$\{")


@dataclass(slots=True)
class _Reading:
    environ: Mapping[str, str] | None
    quoting: Quoting
    lines: dict[Keys, int] = field(default_factory=dict)
    as_written: dict[Keys, str] = field(default_factory=dict)
    problems: list[tuple[int, Problem]] = field(default_factory=list)
    unreadable: set[Keys] = field(default_factory=set)
    """Where there is a problem already, so that the schema need not complain as well."""

    def value(self, node: yaml.Node, keys: Keys) -> Any:
        self.lines.setdefault(keys, node.start_mark.line + 1)
        if isinstance(node, yaml.MappingNode) and node.tag == TAG + "map":
            return self._mapping(node, keys)
        if isinstance(node, yaml.SequenceNode) and node.tag == TAG + "seq":
            return [self.value(item, (*keys, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode) and node.tag in SCALARS:
            return self._scalar(node, keys)
        fix = "put a value that begins with ! in quotes"
        return self._refuse(Problem(keys, "tags (`!name`) are refused", fix=fix))

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        secret = False
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            if not isinstance(key_node, yaml.ScalarNode):
                problem = Problem(keys, "expected a key that is text", shown(key))
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
                what = "expected a key without control characters and special blanks"
                self.problems.append((line, Problem(place, what)))
            elif key in data:
                what = f"stands here a second time, first on line {self.lines[place]}"
                self.problems.append((line, Problem(place, what, fix="keep one of the two")))
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
                what, got = "not a number that can be used", self.quoting.value(keys, text)
                return self._refuse(Problem(keys, what, got, "put it in quotes if it is a text"))
        if len(text) > MAX_TEXT:
            return self._refuse(Problem(keys, f"expected at most {MAX_TEXT} characters"))
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            return self._refuse(Problem(keys, "expected text that UTF-8 can hold, without NUL"))
        return text

    def _variable(self, found: re.Match[str], keys: Keys) -> str:
        name, text = found["name"], found.string
        if found[0] == "$${":
            return "${"
        if name is None:
            got, fix = self.quoting.value(keys, text), "write $${ for a plain ${"
            self._refuse(Problem(keys, "expected ${NAME}", got, fix))
            return ""
        if self.environ is None or name not in self.environ:
            fix = "set it in the environment, or write $${ for a plain ${"
            # In the middle of a password, ${…} may be a part of it.
            shown = name if name.isupper() or self.quoting.shows_values_at(keys) else MASK
            self._refuse(Problem(keys, f"the variable {shown} is not set", fix=fix))
            return ""
        self.as_written[keys] = text
        return self.environ[name]

    def _refuse(self, problem: Problem) -> None:
        self.unreadable.add(problem.keys)
        self.problems.append((self.lines[problem.keys], problem))
