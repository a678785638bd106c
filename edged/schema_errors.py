"""What JSON Schema finds wrong with a document, in the words of the person who wrote it.

It does not know files or lines: it speaks of data, keys and a schema. Contents of lists and
mappings are never shown, nor what a schema calls `writeOnly`; texts are redacted.
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from edged.errors import InputError
from edged.secret import redact

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Keys: TypeAlias = "tuple[str | int, ...]"
Schema: TypeAlias = Mapping[str, Any]
Formats: TypeAlias = Mapping[str, Callable[[str], object]]

KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "lines of `key: value`",
    "null": "nothing",
}
_LONGEST_SHOWN = 60


class Problem(NamedTuple):
    keys: Keys
    what: str
    got: str | None = None
    fix: str | None = None


def failures(data: Any, schema: Schema, formats: Formats) -> list[ValidationError]:
    """All failures of `data` under Draft 2020-12, those of a wrong type first."""
    from jsonschema import Draft202012Validator, FormatChecker

    checker = FormatChecker(formats=())
    for name, check in formats.items():
        checker.checks(name, raises=InputError)(_for_text(check))
    validator = Draft202012Validator(schema, format_checker=checker)
    return sorted(validator.iter_errors(data), key=lambda failure: failure.validator != "type")


def _for_text(check: Callable[[str], object]) -> Callable[[object], bool]:
    def checked(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return checked


def problems(failure: ValidationError) -> Iterator[Problem]:
    """What each part of a failure is about, what was expected, what was got, and what to do."""
    keys = tuple(failure.absolute_path)
    schema: Schema = failure.schema if isinstance(failure.schema, Mapping) else {}
    rule = failure.validator
    wanted: Any = failure.validator_value
    value: Any = failure.instance
    known = schema.get("properties", {})
    if rule == "additionalProperties" and wanted is False:
        patterns = schema.get("patternProperties", {})
        for key in value:
            if key not in known and not any(re.search(pattern, key) for pattern in patterns):
                yield Problem((*keys, key), "unknown key", fix=_nearest(key, known))
    elif rule == "required":
        for key in wanted:
            if key not in value:
                what = f"is missing; expected {expected(known.get(key, {}))}"
                yield Problem((*keys, key), what, fix=_example(known.get(key, {})))
    elif rule == "dependentRequired":
        for key, others in wanted.items():
            for other in others if key in value else []:
                if other not in value:
                    yield Problem((*keys, other), f"is missing; it goes with {key}")
    elif rule in ("oneOf", "anyOf") and isinstance(value, dict) and _are_required(wanted):
        names = [name for choice in wanted for name in choice["required"]]
        present = [name for name in names if name in value]
        number = "exactly one" if rule == "oneOf" else "at least one"
        what = f"expected {number} of {', '.join(names)}"
        yield Problem(keys, what, got=" and ".join(present) or "none of them")
    elif rule == "not" and isinstance(value, dict) and _are_required([wanted]):
        first, *others = wanted["required"]
        yield Problem((*keys, *others), f"is given beside {first}", fix="leave one of them out")
    elif "propertyNames" in list(failure.absolute_schema_path)[-2:-1]:
        yield Problem((*keys, value), f"expected a name that is {expected(schema)}")
    elif rule == "format" and isinstance(failure.cause, InputError):
        cause = failure.cause
        got = None if cause.got is None else _short(redact(str(cause.got)), 200)
        yield Problem(keys, cause.what, got=got, fix=cause.fix)
    else:
        got = None if schema.get("writeOnly") else shown(value)
        yield Problem(keys, f"expected {expected(schema)}", got, _fix(schema, value))


def _are_required(choices: list[Any]) -> bool:
    return all(isinstance(each, dict) and set(each) == {"required"} for each in choices)


def expected(schema: Schema) -> str:
    """A value in words: `a number above 0, at most 60000`."""
    if "enum" in schema:
        return "one of " + ", ".join(map(_plain, schema["enum"]))
    if "const" in schema:
        return _plain(schema["const"])
    if "patternErrorMessage" in schema:  # what editors show, too
        return str(schema["patternErrorMessage"])
    choices = schema.get("anyOf", schema.get("oneOf", []))
    if choices and "type" not in schema:
        return " or ".join(expected(choice) for choice in choices)
    types = schema.get("type", [])
    words = " or ".join(KINDS[name] for name in ([types] if isinstance(types, str) else types))
    if "items" in schema and types == "array":
        words += f" (each item {expected(schema['items'])})"
    rules = dict(schema)
    if "minimum" in rules and "maximum" in rules:
        words += f" from {rules.pop('minimum')} to {rules.pop('maximum')}"
    limits = [phrase.format(rules[rule]) for rule, phrase in _LIMITS.items() if rule in rules]
    if not words:
        words = "text" if rules.keys() & {"pattern", "minLength", "maxLength"} else "another value"
    return f"{words} {', '.join(limits)}".rstrip()


_LIMITS = {
    "minimum": "at least {}",
    "exclusiveMinimum": "above {}",
    "maximum": "at most {}",
    "exclusiveMaximum": "below {}",
    "pattern": "like {}",
    "minLength": "of {} or more characters",
    "maxLength": "of at most {} characters",
    "minItems": "of {} or more",
    "maxItems": "of at most {}",
    "uniqueItems": "all different",
    "minProperties": "with {} or more entries",
    "maxProperties": "with at most {} entries",
}


def shown(value: Any) -> str:
    """A value as a message shows it: short, on one line, without credentials or contents."""
    if isinstance(value, str):
        return repr(_short(redact(value), _LONGEST_SHOWN))
    if isinstance(value, (list, dict)):
        kind = "list" if isinstance(value, list) else "mapping"
        return f"a {kind}" if value else f"an empty {kind}"
    return "nothing" if value is None else _plain(value)


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1] + "…"


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nearest(key: str, known: Mapping[str, Any]) -> str | None:
    close = difflib.get_close_matches(key[:_LONGEST_SHOWN], known, n=1)
    if close:
        return f"did you mean {close[0]}?"
    return f"the keys here: {', '.join(known)}" if known else None


def _example(schema: Schema) -> str | None:
    examples = schema.get("examples", [])
    return f"for example {json.dumps(examples[0], ensure_ascii=False)}" if examples else None


def _fix(schema: Schema, value: Any) -> str | None:
    """The likeliest slip, or an example where `expected` does not say it all."""
    types = schema.get("type")
    if isinstance(value, str):
        close = difflib.get_close_matches(
            value[:_LONGEST_SHOWN], map(_plain, schema.get("enum", [])), n=1
        )
        if close:
            return f"did you mean {close[0]}?"
        if types == "boolean" and value.lower() in ("yes", "on", "no", "off"):
            return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
        if types in ("integer", "number") and re.fullmatch(r"-?[0-9.]+", value):
            return "take the quotes away"
    if types == "string" and isinstance(value, (bool, int, float)):
        return _example(schema) or "put it in quotes"
    return None if schema.keys() & {"enum", "patternErrorMessage"} else _example(schema)
