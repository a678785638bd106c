"""Turns JSON Schema failures into messages for the author of the document.

edged/document/quoting.py decides which values and keys a message may show.
"""

from __future__ import annotations

import difflib
import json
import re
import unicodedata
from collections.abc import Callable, Iterator, Mapping
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from edged.document.quoting import HIDDEN_KEY, LONGEST_SHOWN, Keys, Quoting, Schema, hints, kind
from edged.errors import InputError

if TYPE_CHECKING:
    from jsonschema.exceptions import ValidationError

Formats: TypeAlias = Mapping[str, Callable[[str], object]]

MOST_FAILURES = 1000
"""Limit of failures that are examined."""
KINDS = {
    "string": "text",
    "integer": "a whole number",
    "number": "a number",
    "boolean": "true or false",
    "array": "a list",
    "object": "lines of `key: value`",
    "null": "nothing",
}


class Problem(NamedTuple):
    keys: Keys
    what: str
    got: str | None = None
    fix: str | None = None


def failures(data: Any, schema: Schema, formats: Formats) -> list[ValidationError]:
    """Failures of `data` under Draft 2020-12, wrong types first."""
    from jsonschema import Draft202012Validator, FormatChecker
    from jsonschema.validators import extend

    checker = FormatChecker(formats=())
    for name, check in formats.items():
        checker.checks(name, raises=InputError)(_for_text(check))
    # jsonschema's own check is quadratic for lists of mixed types.
    linear: Any = extend  # untyped
    validator_class = linear(Draft202012Validator, {"uniqueItems": _repeated})
    validator = validator_class(schema, format_checker=checker)
    found = islice(validator.iter_errors(data), MOST_FAILURES)
    return sorted(found, key=lambda failure: failure.validator != "type")


def _repeated(
    validator: object, wanted: object, items: object, schema: object
) -> Iterator[ValidationError]:
    from jsonschema.exceptions import ValidationError

    seen: dict[str, int] = {}
    for index, item in enumerate(items if wanted and isinstance(items, list) else []):
        whole = isinstance(item, float) and item.is_integer()
        first = seen.setdefault(json.dumps(int(item) if whole else item, sort_keys=True), index)
        if first != index:
            yield ValidationError(str(first), path=(index,), instance=item)


def _for_text(check: Callable[[str], object]) -> Callable[[object], bool]:
    def checked(value: object) -> bool:
        if isinstance(value, str):
            check(value)
        return True

    return checked


def problems(failure: ValidationError, quoting: Quoting) -> Iterator[Problem]:
    """The problems of a failure; a failure about keys has one for each key."""
    keys = tuple(failure.absolute_path)
    schema: Schema = failure.schema if isinstance(failure.schema, Mapping) else {}
    rule = failure.validator
    wanted: Any = failure.validator_value
    value: Any = failure.instance
    known = schema.get("properties", {})
    if rule == "additionalProperties" and wanted is False:
        patterns = schema.get("patternProperties", {})
        unknown = (
            key
            for key in value
            if key not in known and not any(re.search(pattern, key) for pattern in patterns)
        )
        for key in islice(unknown, MOST_FAILURES):
            place = (*keys, key)
            hidden = place in quoting.hidden
            what = HIDDEN_KEY if hidden else "unknown key"
            fix = _outdented(keys, schema) or _nearest(key, value[key], schema, hidden=hidden)
            yield Problem(place, what, fix=fix)
    elif rule == "required":
        for key in wanted:
            if key not in value:
                what = f"missing; expected {expected(known.get(key, {}))}"
                yield Problem((*keys, key), what, fix=_example(known.get(key, {})))
    elif rule == "dependentRequired":
        for key, others in wanted.items():
            for other in others if key in value else []:
                if other not in value:
                    yield Problem((*keys, other), f"missing; required with {key}")
    elif rule in ("oneOf", "anyOf") and isinstance(value, dict) and _are_required(wanted):
        names = [name for choice in wanted for name in choice["required"]]
        present = [name for name in names if name in value]
        number = "exactly one" if rule == "oneOf" else "at least one"
        what = f"expected {number} of {', '.join(names)}"
        advice = None if present else _outdented(keys, schema)
        yield Problem(keys, what, " and ".join(present) or "none of them", advice)
    elif rule == "not" and isinstance(value, dict) and _are_required([wanted]):
        first, other = wanted["required"]
        remedy = hints(schema).get(other, "remove one of them")
        yield Problem((*keys, other), f"cannot be combined with {first}", fix=remedy)
    elif rule == "uniqueItems":
        what = f"duplicate item, first at position {int(failure.message) + 1}"
        yield Problem(keys, what, quoting.value(keys, value), "remove one of them")
    elif "propertyNames" in list(failure.absolute_schema_path)[-2:-1]:
        place = (*keys, value)
        fix = None if place in quoting.hidden else _name_like(value, schema)
        yield Problem(place, f"invalid name; expected {expected(schema)}", fix=fix)
    elif rule == "format" and isinstance(failure.cause, InputError):
        cause = failure.cause
        got = None if cause.got is None else quoting.text(keys, cause.got)
        yield Problem(keys, cause.what, got=got, fix=cause.fix)
    else:
        got = quoting.value(keys, value)
        if got is None and rule == "type":
            got = kind(value)
        if isinstance(value, list) and rule in ("minItems", "maxItems"):
            got = f"a list of {len(value)}" if value else got
        fix = _fix(schema, keys, value)
        if rule == "maxProperties":
            got, fix = f"{len(value)}", f"remove {len(value) - wanted} of them"
        yield Problem(keys, f"expected {expected(schema)}", got, fix)


def _are_required(choices: list[Any]) -> bool:
    return all(isinstance(each, dict) and set(each) == {"required"} for each in choices)


def expected(schema: Schema) -> str:
    """The expected value in words: `a number above 0, at most 60000`."""
    if "enum" in schema:
        return "one of " + ", ".join(dict.fromkeys(map(_plain, schema["enum"])))
    if "const" in schema:
        return _plain(schema["const"])
    if "patternErrorMessage" in schema:  # editors show it as well
        return str(schema["patternErrorMessage"])
    choices = schema.get("anyOf", schema.get("oneOf", []))
    if choices and "type" not in schema:
        return " or ".join(expected(choice) for choice in choices)
    rules = dict(schema)
    types = schema.get("type", [])
    words = " or ".join(KINDS[name] for name in ([types] if isinstance(types, str) else types))
    if types == "array":
        each = f"each item {expected(schema['items'])}" if "items" in schema else ""
        if "minItems" in rules and rules["minItems"] == rules.get("maxItems"):
            return f"{words} of {rules['minItems']}" + (each and f", {each}")
        words += each and f" ({each})"
    if "minimum" in rules and "maximum" in rules:
        words += f" from {rules.pop('minimum')} to {rules.pop('maximum')}"
    if "minProperties" in rules and "maxProperties" in rules:
        words += f" with {rules.pop('minProperties')} to {rules.pop('maxProperties')} entries"
    if rules.get("minLength") == 1:
        del rules["minLength"]
        words = words.replace("text", "text that is not empty")
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


def _plain(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _nearest(key: str, value: Any, schema: Schema, *, hidden: bool) -> str | None:
    """A suggestion for an unknown key."""
    known = schema.get("properties", {})
    hint = hints(schema).get(key) or hints(schema).get(key.lower())
    if hint is not None:
        return f"did you mean {hint}?" if hint in known else hint
    similar = list(known)
    if isinstance(value, dict) and value:
        similar = [name for name in known if known[name].get("type") == "object"]
        for section in similar:
            inner = known[section].get("additionalProperties")
            if isinstance(inner, Mapping) and value.keys() <= inner.get("properties", {}).keys():
                return f"if it is one of {section}, indent it by two more spaces"
    close = difflib.get_close_matches(key[:LONGEST_SHOWN], similar, n=1)
    if close:
        return f"did you mean {close[0]}?"
    keys = f"valid keys: {', '.join(known)}" if known else None
    if hidden:
        quotes = "put a value with a comma or colon in quotes"
        return f"{quotes}; {keys}" if keys else quotes
    return keys


def _name_like(name: str, schema: Schema) -> str | None:
    """A valid name close to `name`."""
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    near = re.sub(r"[^a-z0-9_-]+", "_", plain.strip())[:32].strip("_")
    near = near if near[:1].isalpha() else f"no_{near}"
    right = re.search(schema.get("pattern", "$^"), near)
    return f"for example {near}" if right and near != name else None


def _example(schema: Schema) -> str | None:
    examples = schema.get("examples", [])
    return f"for example {json.dumps(examples[0], ensure_ascii=False)}" if examples else None


def _fix(schema: Schema, keys: Keys, value: Any) -> str | None:
    """The most likely correction, or an example where `expected` is not enough."""
    types = schema.get("type")
    if isinstance(value, str):
        if value.lower() in hints(schema):
            return hints(schema)[value.lower()]
        close = difflib.get_close_matches(
            value[:LONGEST_SHOWN], map(_plain, schema.get("enum", [])), n=1
        )
        if close:
            return f"did you mean {close[0]}?"
        if types == "boolean" and value.lower() in ("yes", "on", "no", "off"):
            return f"write {'true' if value.lower() in ('yes', 'on') else 'false'}"
        if types in ("integer", "number") and (fix := _number_like(keys, value)):
            return fix
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        if types == "string" and "format" not in schema:
            return "put it in quotes"
        most = schema.get("maximum", 2)
        if types == "number" and most <= 1 < value <= 100 and value / 100 <= most:
            return f"write {value / 100:g} for {value:g} %"
    if "object" in (types or ()) and keys and not isinstance(keys[-1], int):
        indent = "indent the lines below it by two more spaces"
        if value is None and not schema.get("minProperties"):
            return indent
        if outdented := _outdented(keys, schema):
            return outdented
        if types == "object" and schema.get("examples"):
            example = f"for example {keys[-1]}: {json.dumps(schema['examples'][0])}"
            return f"{indent}, {example}" if value is None else example
    return None if schema.keys() & {"enum", "patternErrorMessage"} else _example(schema)


def _outdented(keys: Keys, schema: Schema) -> str | None:
    """For a section that has the name of one of its own keys."""
    if not keys or keys[-1] not in schema.get("properties", {}):
        return None
    return f"{keys[-1]}: is a key of the section above: indent it by two more spaces"


_SECONDS = dict.fromkeys(("s", "sec", "seconds"), "_seconds")
_UNITS = {**_SECONDS, "ms": "_ms", "fps": "fps", "c": "_c"}
"""Unit → end of the name of keys in that unit."""


def _number_like(keys: Keys, value: str) -> str | None:
    """For a number in quotes or with a unit."""
    if re.fullmatch(r"-?[0-9.]+", value):
        return "remove the quotes"
    with_unit = re.fullmatch(r"([0-9]{1,9}(?:\.[0-9]{1,9})?) ?(%|[A-Za-z]{1,12})", value)
    if with_unit is None:
        return None
    number, unit = with_unit.groups()
    if unit == "%":
        return f"write {float(number) / 100:g}"
    if str(keys[-1]).endswith(_UNITS.get(unit.lower(), "?")):
        return f"write {number}, without the unit"
    return "write a number without a unit"
