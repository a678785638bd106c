"""Bodies of JSON, and errors as JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, TypeVar

from edged.errors import EdgedError, InputError
from edged.printable import printable
from edged.secret import redact
from edged.web.answer import Answer
from edged.web.changes.post import Body

JSON_BYTES = 64 * 1024
ANSWER_SECONDS = 60.0
"""For a change that such a body asks for."""
NO_VALUE = type(None)
_T = TypeVar("_T")
_LONGEST = 300
"""Characters of an error's parts."""
_EXCERPT = 20
"""Characters of a body that is not JSON."""
_KINDS: Mapping[type, str] = {
    bool: "true or false",
    float: "a number",
    int: "a number",
    list: "a list",
    str: "text",
    NO_VALUE: "null",
}
"""What JSON has beside objects."""


@dataclass(frozen=True, slots=True)
class Field:
    """Of a JSON body. kinds: the types of its value. what: them in words."""

    kinds: tuple[type, ...]
    what: str
    required: bool = True

    def takes(self, value: object) -> bool:
        if isinstance(value, bool) and bool not in self.kinds:
            return False
        if isinstance(value, float) and not math.isfinite(value):
            return False
        return isinstance(value, self.kinds)


TEXT_FIELD = Field((str,), "text")


def fields_of(body: Body, wanted: Mapping[str, Field]) -> dict[str, Any]:
    """An empty body has no fields. Raises InputError unless the body is a JSON object of these
    fields."""
    fix = (
        f"send a JSON object; fields: {', '.join(wanted)}" if wanted else "send {}, without fields"
    )
    given = _parsed(body.content.read() or b"{}", fix)
    if not isinstance(given, dict):
        raise InputError("expected a JSON object", got=_KINDS[type(given)], fix=fix)
    if unknown := sorted(given.keys() - wanted):
        raise InputError("unknown field", got=unknown[0], fix=fix)
    for name, field in wanted.items():
        if field.required and name not in given:
            raise InputError(f"{name} is missing", fix=fix)
        if name in given and not field.takes(given[name]):
            raise InputError(f"{name}: expected {field.what}", got=json.dumps(given[name]))
    return given


def _parsed(content: bytes, fix: str) -> object:
    try:
        return json.loads(content)
    except json.JSONDecodeError as error:
        what = f"the body is not JSON: line {error.lineno}, column {error.colno}: {error.msg}"
        found = error.doc[error.pos :]
        got = repr(printable(found, _EXCERPT)) if found else "the end"
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        column = error.start - error.object.rfind(b"\n", 0, error.start)
        what = f"the body is not JSON: line {line}, byte {column}: expected UTF-8 text"
        got = f"0x{error.object[error.start]:02x}"
    except RecursionError:
        what, got = "the body is not JSON that edged reads: too many brackets in one another", None
    except ValueError:
        what, got = "the body is not JSON that edged reads: a number has too many digits", None
    raise InputError(what, got=got, fix=fix)


def answered(act: Callable[[], _T], failed: HTTPStatus = HTTPStatus.BAD_REQUEST) -> _T | Answer:
    """What `act` returns, or its error. failed: the status of a mistake."""
    try:
        return act()
    except InputError as error:
        return error_answer(failed, error)
    except EdgedError as error:
        return error_answer(HTTPStatus.INTERNAL_SERVER_ERROR, error)


def error_answer(status: HTTPStatus, error: EdgedError, *headers: tuple[str, str]) -> Answer:
    got = None if error.got is None else _told(error.got)
    fix = None if error.fix is None else _told(error.fix)
    return Answer.error(status, _told(error.what), *headers, got=got, fix=fix)


def _told(text: object) -> str:
    return printable(redact(str(text)), _LONGEST)
