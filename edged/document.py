"""A YAML file, checked against a JSON Schema, that remembers on which line everything stands.

Plain values are read as YAML 1.2 does, which is what editors expect: `true` and `false` are the
only booleans (`on`, `yes` and `no` are text), `1e3` is a number, `12:30` and `2026-01-31` are
text. Keys are always the text that was written: `128:` is "128", `on:` is "on". Aliases and tags
of one's own are refused, size and depth are bounded, numbers are finite.

It does not know what the file is about: schema, formats and variables come from the caller. It
never shows what a variable held, nor user and password of a URL.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from edged.errors import InputError, InputErrors, cannot_read
from edged.schema_errors import KINDS, Formats, Keys, Problem, Schema, failures, problems, shown
from edged.secret import redact
from edged.whole_file import read_file
from edged.yaml_nodes import SCALARS, TAG, compose, plain_value

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
    _as_written: Mapping[Keys, str]
    """The texts that hold variables, before these were replaced."""

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

        `got` is redacted; of a value that holds a variable the text as written is shown.
        """
        if got is not None:
            got = self._as_written.get(self._place(keys), redact(str(got)))
        where = f"{self.path}:{self.line(*keys)}"
        return InputError(_key_path(keys) + what, where=where, got=got, fix=fix)

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


def read_document(
    path: Path,
    schema: Schema,
    *,
    environ: Mapping[str, str] | None = None,
    formats: Formats | None = None,
) -> Document:
    """Read and check a file; arguments and errors as in `parse_document`."""
    try:
        content = read_file(path, MAX_BYTES + 1)
    except FileNotFoundError:
        raise InputError("no such file", where=path) from None
    except IsADirectoryError:
        raise InputError("expected a YAML file", where=path, got="a folder") from None
    except PermissionError:
        fix = f"see its owner and mode: ls -l {path}"
        raise InputError("no permission to read it", where=path, fix=fix) from None
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
    return parse_document(text, path, schema, environ=environ, formats=formats)


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
    root = compose(text, path)
    if root is None:
        required = ", ".join(schema.get("required", [])) or "lines of `key: value`"
        raise InputError(f"expected at least {required}", where=path, got="an empty file")
    reading = _Reading(environ)
    data = reading.value(root, ())
    if not isinstance(data, dict):
        if reading.problems:
            raise InputErrors([_located(path, *problem) for problem in reading.problems])
        where = f"{path}:{reading.lines[()]}"
        raise InputError(f"expected {KINDS['object']}", where=where, got=shown(data))
    document = Document(path, data, reading.lines, reading.as_written)
    found = reading.problems + _schema_problems(document, schema, formats or {}, reading.unreadable)
    if found:
        found.sort(key=lambda item: item[0])
        errors = [_located(path, line, problem) for line, problem in found[:MAX_ERRORS]]
        if len(found) > MAX_ERRORS:
            errors.append(InputError(f"{len(found) - MAX_ERRORS} more errors", where=path))
        raise InputErrors(errors)
    return document


def _located(path: Path, line: int, problem: Problem) -> InputError:
    what = _key_path(problem.keys) + problem.what
    return InputError(what, where=f"{path}:{line}", got=problem.got, fix=problem.fix)


def _key_path(keys: Keys) -> str:
    """`cameras.door.rotate: `, `threads[1]: `, and nothing for the whole document."""
    path = ""
    for key in keys:
        if isinstance(key, int):
            path += f"[{key}]"
        else:
            path += "." + (key if re.fullmatch(r"[\w-]+", key) else shown(key))
    return f"{path.removeprefix('.')}: " if path else ""


# The schema's view of it


def _schema_problems(
    document: Document, schema: Schema, formats: Formats, unreadable: set[Keys]
) -> list[tuple[int, Problem]]:
    found = failures(document.data, schema, formats)
    if _settle_variables(document, found):
        found = failures(document.data, schema, formats)
    first: dict[Keys, Problem] = {}  # one for each place: the others say the same in other words
    for failure in found:
        keys = tuple(failure.absolute_path)
        if not any(keys[:length] in unreadable for length in range(len(keys) + 1)):
            for problem in problems(failure):
                first.setdefault(problem.keys, problem)
    return [
        (
            document.line(*keys),
            problem._replace(got=document._as_written[keys], fix=None)
            if keys in document._as_written and problem.got is not None
            else problem,
        )
        for keys, problem in first.items()
    ]


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
        tag = shown(str(node.tag).replace(TAG, "!!"))
        return self._refuse(Problem(keys, "tags are refused", tag, "write the plain value"))

    def _mapping(self, node: yaml.MappingNode, keys: Keys) -> dict[str, Any]:
        data: dict[str, Any] = {}
        for key_node, value_node in node.value:
            line, key = key_node.start_mark.line + 1, key_node.value
            place = (*keys, key)
            if not isinstance(key_node, yaml.ScalarNode):
                self.problems.append(
                    (line, Problem(keys, "expected a key that is text", shown(key)))
                )
            elif not key.isprintable():
                what = "expected a key without control characters and special blanks"
                self.problems.append((line, Problem(keys, what, shown(key))))
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
                return self._refuse(Problem(keys, "not a number that can be used", shown(text)))
        if any(char == "\0" or "\ud800" <= char <= "\udfff" for char in text):
            return self._refuse(Problem(keys, "expected text that UTF-8 can hold, without NUL"))
        return text

    def _variable(self, found: re.Match[str], keys: Keys) -> str:
        name, text = found["name"], found.string
        if found[0] == "$${":
            return "${"
        if name is None:
            problem = Problem(keys, "expected ${NAME}", shown(text), "write $${ for a plain ${")
            self._refuse(problem)
            return ""
        if self.environ is None or name not in self.environ:
            fix = "set it in the environment, or write $${ for a plain ${"
            self._refuse(Problem(keys, f"the variable {name} is not set", fix=fix))
            return ""
        self.as_written[keys] = redact(text)
        return self.environ[name]

    def _refuse(self, problem: Problem) -> None:
        self.unreadable.add(problem.keys)
        self.problems.append((self.lines[problem.keys], problem))
