from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml

from edged.document.document import MAX_ERRORS, Document, parse_document, read_document
from edged.document.nodes import MAX_DEPTH
from edged.errors import InputError, InputErrors
from tests.rig.zoo import ANY, FILE, ZOO


def _even(text: str) -> None:
    if len(text) % 2:
        raise InputError("expected an even length", got=repr(text), fix="add a letter")


def zoo(text: str, environ: Mapping[str, str] | None = None) -> Document:
    return parse_document(text, FILE, ZOO, environ=environ, formats={"even": _even})


def complaints(text: str, environ: Mapping[str, str] | None = None) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        zoo(text, environ)
    return [str(error) for error in caught.value.errors]


def values(text: str, environ: Mapping[str, str] | None = None) -> dict[str, Any]:
    return parse_document(text, FILE, ANY, environ=environ).data


# Values and keys


@pytest.mark.parametrize(
    ("written", "value"),
    [
        ("", None),
        ("~", None),
        ("null", None),
        ("true", True),
        ("False", False),
        ("yes", "yes"),
        ("on", "on"),
        ("no", "no"),
        ("33", 33),
        ("-7", -7),
        ("033", 33),
        ("0x1F", 31),
        ("0o17", 15),
        ("1_000", "1_000"),
        ("0.95", 0.95),
        (".5", 0.5),
        ("1e3", 1000.0),
        ("12:30", "12:30"),
        ("127.0.0.1:9640", "127.0.0.1:9640"),
        ("2026-01-31", "2026-01-31"),
        (".inf", ".inf"),
        (".nan", ".nan"),
        ("1280x720", "1280x720"),
        ("'33'", "33"),
        ('"true"', "true"),
        ("!!str 33", "33"),
        ("!!int '33'", 33),
        ("[1, a]", [1, "a"]),
        ("{a: {b: 1}}", {"a": {"b": 1}}),
        ("|\n  two\n  lines", "two\nlines"),
        ("&anchor 1", 1),
    ],
)
def test_values_are_read_as_yaml_1_2_does(written: str, value: object) -> None:
    read = values(f"key: {written}")["key"]
    assert read == value
    assert type(read) is type(value)


@pytest.mark.parametrize("key", ["on", "off", "yes", "null", "128", "0.25", "true", "<<", "1e3"])
def test_keys_are_the_text_that_was_written(key: str) -> None:
    assert values(f"{key}: 1") == {key: 1}


def test_a_dump_of_plain_data_reads_back(tmp_path: Path) -> None:
    written = {
        "labels": ["no", "yes", "on", "12:30", "0x1f", "null", "~", "a: b", "é", "", " x", "1_0"],
        "resolutions": {"128": {"top1": 0.5}, "224": {"top1": 1e-05}},
        "on": None,
        "flag": True,
    }
    (tmp_path / "a.yaml").write_text(yaml.safe_dump(written))
    assert read_document(tmp_path / "a.yaml", ANY).data == written


# Lines


def test_lines_of_keys_items_and_what_is_not_there() -> None:
    document = parse_document(
        "# a comment\nfirst: 1\nlist:\n  - a\n  -\n    b: 1\n"
        "sizes:\n  128: x\n  flow: {p: 1,\n    q: 2}\n",
        FILE,
        ANY,
    )
    assert document.line() == 2
    assert document.line("first") == 2
    assert document.line("list") == 3
    assert document.line("list", 0) == 4
    assert document.line("list", 1, "b") == 6
    assert document.line("sizes", 128) == document.line("sizes", "128") == 8
    assert document.line("sizes", "flow", "q") == 10
    assert document.line("sizes", "absent", "deeper") == 7
    assert document.line("absent") == 2


def test_error_has_file_line_key_path_and_no_credentials() -> None:
    document = parse_document("cameras:\n  - source: x\n", FILE, ANY)
    error = document.error("no", "cameras", 0, "source", got="rtsp://u:hunter2@h/", fix="do")
    assert isinstance(error, InputError)
    assert str(error) == "zoo.yaml:2: cameras[0].source: no; do"
    assert "no (got this)" in str(document.error("no", "cameras", got="this"))
    assert str(document.error("no")) == "zoo.yaml:1: no"


# What the schema finds


def test_a_document_that_fits_is_given_as_it_is() -> None:
    text = "animals:\n  cat: {legs: 4, weight: 4.5, food: [fish], tag: ab}\nsizes: {128: a}\n"
    assert zoo(text).data == {
        "animals": {"cat": {"legs": 4, "weight": 4.5, "food": ["fish"], "tag": "ab"}},
        "sizes": {"128": "a"},
    }


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("x: 1", "zoo.yaml:1: x: unknown key; valid keys: animals, sizes, born"),
        ("animls: 1", "zoo.yaml:1: animls: unknown key; did you mean animals?"),
        ("sizes: {}", "zoo.yaml:1: animals: missing; expected lines of `key: value` with 1"),
        ("animals: {}", "zoo.yaml:1: animals: expected lines of `key: value` with 1 or more "),
        ("animals: [a]", "zoo.yaml:1: animals: expected lines of `key: value` with 1 or more "),
        ("animals:", "entries (got nothing)"),
        ("animals: {Cat: {legs: 4}}", "zoo.yaml:1: animals.Cat: invalid name; expected text"),
        ("animals: {cat: {}}", "animals.cat: expected exactly one of legs, legs_file (got none "),
        ("animals: {cat: {legs: 4, legs_file: x}}", "(got legs and legs_file)"),
        ("animals: {cat: {legs: four}}", "expected one of 0, 2, 4 (got 'four')"),
        ("animals: {cat: {legs: 3}}", "animals.cat.legs: expected one of 0, 2, 4 (got 3)"),
        ("animals: {cat: {legs: false}}", "expected one of 0, 2, 4 (got false)"),
        ("animals: {cat: {legs: 4, colour: blak}}", "(got 'blak'); did you mean black?"),
        ("animals: {cat: {legs: 4, weight: 0}}", "a number above 0, at most 9 (got 0)"),
        ("animals: {cat: {legs: 4, weight: 10}}", "a number above 0, at most 9 (got 10)"),
        ("animals: {cat: {legs: 4, weight: .nan}}", "a number above 0, at most 9 (got '.nan')"),
        ("animals: {cat: {legs: 4, weight: '5'}}", "(got '5'); remove the quotes"),
        ("animals: {cat: {legs: 4, weight: true}}", "a number above 0, at most 9 (got true)"),
        ("animals: {cat: {legs: 4, tame: no}}", "true or false (got 'no'); write false"),
        ("animals: {cat: {legs: 4, food: fish}}", "a list (each item text) of 1 or more (got "),
        ("animals: {cat: {legs: 4, food: []}}", "(got an empty list)"),
        ("animals: {cat: {legs: 4, food: [a, 1]}}", "food[1]: expected text (got 1); put it in q"),
        ("animals: {cat: {legs: 4, name: 5}}", "(got 5); put it in quotes"),
        ("animals: {cat: {legs: 4, name: {a: 1}}}", "(got a mapping)"),
        ("animals: {cat: {legs: 4, tag: abc}}", "tag: expected an even length (got 'abc'); add"),
        ("animals: {cat: {legs: 4}}\nsizes: {x: 1}", "zoo.yaml:2: sizes.x: unknown key"),
        ("animals: {cat: {legs: 4}}\nborn: {year: 1}", "born.month: missing; required with year"),
    ],
)
def test_what_was_expected_what_was_got_and_what_to_do(text: str, complaint: str) -> None:
    found = complaints(text)
    assert any(complaint in each for each in found), found
    assert len(found) == (2 if text in ("x: 1", "animls: 1") else 1)


def test_every_error_at_once_in_the_order_of_the_lines() -> None:
    found = complaints(
        "animals:\n"
        "  cat:\n"
        "    legs: 3\n"
        "    wieght: 4\n"
        "    food: ${FOOD}\n"
        "  dog: {legs: 4}\n"
        "  dog: {legs: 2}\n"
        "  ? [odd]\n"
        "  : 1\n"
        "  eel: !snake {legs: 0}\n"
        '  "no\\nname": {legs: 4}\n'
        "  fly: {legs: 1e999, tag: abc}\n",
        {},
    )
    assert [each.split(" ", 1)[0] for each in found] == [
        f"zoo.yaml:{line}:" for line in (3, 4, 5, 7, 8, 10, 11, 12, 12)
    ]
    assert "animals.cat.wieght: unknown key; did you mean weight?" in found[1]
    assert "animals.cat.food: the variable FOOD is not set" in found[2]
    assert "animals.dog: duplicate key, first on line 6" in found[3]
    assert "expected a text key (got a list)" in found[4]
    assert (
        "animals.eel: tags (`!name`) are not supported; put a value that begins with !" in found[5]
    )
    assert "expected a key without control characters" in found[6]
    assert "number out of range (got '1e999')" in found[7]


def test_more_errors_than_anybody_reads_are_counted() -> None:
    found = complaints("animals: {cat: {legs: 4}}\n" + "".join(f"x{n}: 1\n" for n in range(250)))
    assert len(found) == MAX_ERRORS + 1
    assert found[-1] == "zoo.yaml: 150 more errors"


def test_messages_never_show_credentials_nor_what_a_list_or_mapping_holds() -> None:
    url = "rtsp://admin:hunter2@h/"  # of an odd length, which `tag` refuses
    for value in (url, f"[{url}]", f"{{a: '{url}'}}", f"'{url}{'x' * 90}'"):
        for place in ("legs", "tame", "food", "weight", "colour", "tag"):
            assert "hunter2" not in "".join(complaints(f"animals: {{cat: {{{place}: {value}}}}}"))
    assert "hunter2" not in "".join(complaints(f"'{url}': 1"))
    assert "hunter2" not in "".join(complaints(f"animals: {{'{url}': {{legs: 4}}}}"))
    assert "hunter2" not in repr(data_with_secret())


def data_with_secret() -> Document:
    return parse_document("a: ${A}", FILE, ANY, environ={"A": "hunter2"})


# Variables


def test_variables_in_values() -> None:
    environ = {"A": "one", "B_2": "two", "NUMBER": "33", "EMPTY": ""}
    read = values(
        "plain: x${A}y${B_2}\nquoted: '${A}'\nlist: ['${A}', {k: '${A}'}]\nempty: ${EMPTY}\n"
        "escaped: $${A} $A $$ $$${A}\n${A}: key\nnumber: ${NUMBER}\n",
        environ,
    )
    assert read == {
        "plain": "xoneytwo",
        "quoted": "one",
        "list": ["one", {"k": "one"}],
        "empty": "",
        "escaped": "${A} $A $$ $${A}",
        "${A}": "key",
        "number": "33",
    }
    assert values("a: ${A}", None) == {"a": "${A}"}


def test_a_variable_is_a_number_or_a_boolean_where_one_is_expected() -> None:
    text = (
        "animals:\n  cat:\n    legs: ${LEGS}\n    tame: ${TAME}\n    weight: ${W}\n    name: ${W}\n"
    )
    read = zoo(text, {"LEGS": "4", "TAME": "true", "W": "5"}).data
    assert read["animals"]["cat"] == {"legs": 4, "tame": True, "weight": 5, "name": "5"}


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("${NOPE}", "zoo.yaml:2: key: the variable NOPE is not set; set it in the environment"),
        (
            "a ${} b",
            "zoo.yaml:2: key: expected ${NAME} (got 'a ${} b'); write $${ for a literal ${",
        ),
        ("${A", "expected ${NAME} (got '${A')"),
        ("${1A}", "expected ${NAME} (got '${1A}')"),
        ("${A:-b}", "expected ${NAME} (got '${A:-b}')"),
        ("${SURROGATE}", "expected text that UTF-8 can encode"),
    ],
)
def test_variables_that_cannot_be_replaced(value: str, complaint: str) -> None:
    with pytest.raises(InputErrors) as caught:
        values(f"# first\nkey: {value}", {"A": "1", "SURROGATE": "\udce9"})
    assert complaint in str(caught.value)
    assert len(caught.value.errors) == 1


def test_what_a_variable_held_is_never_shown() -> None:
    environ = {"SECRET": "hunter2", "LONG": "hunter2" * 99}
    for key in ("legs", "tame", "weight", "food", "colour", "tag"):
        for name in environ:
            text = f"animals:\n  cat:\n    legs_file: x\n    {key}: ${{{name}}}\n"
            message = "".join(complaints(text, environ))
            assert "hunter2" not in message
            assert f"got ${{{name}}}" in message or key == "legs"


# Text that cannot be read


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("a: 1\n\tb: 2", "zoo.yaml:2:1: not valid YAML: found character '\\t' that cannot start"),
        ("a:\n\tb: 2", "indent with spaces, not with tabs"),
        ("a: 'x\nb: 1", "is a quote or a bracket not closed?"),
        ("a: [1,\nb", "in the block that starts on line 1; is a quote or a bracket not closed?"),
        ("a: [1 2\nb: 3]", "is a comma or bracket missing, or"),
        ("a: b: c", "zoo.yaml:1:5: not valid YAML: mapping values are not allowed here; is a `:`"),
        ("a: @x", "zoo.yaml:1:4: not valid YAML: found character '@'"),
        ("a: [::1]:80", "put a value that begins with a bracket in quotes"),
        ("a: {b: ${C}}", "or ${NAME} not in quotes?"),
        ("- a\nb: 1", "does the indentation match the lines above?"),
        ("a: 1\n---\nb: 1", "keep one of the documents that `---` separates"),
        (
            "a: &x 1\nb: *x",
            "zoo.yaml:2:4: not valid YAML: aliases (`*name`) are not supported; repeat",
        ),
        ("a: *x", "aliases (`*name`) are not supported"),
        ('a: "\\UFFFFFFFF"', "zoo.yaml:1:7: not valid YAML: a number or escape out of range"),
        ("a: 1\nb: \x07", "zoo.yaml:2: not valid YAML: a control character (got U+0007)"),
        ("", "zoo.yaml: expected at least animals (got an empty file)"),
        ("# nothing\n", "zoo.yaml: expected at least animals (got an empty file)"),
        ("- a", "zoo.yaml:1: expected lines of `key: value` (got a list)"),
        ("\njust text", "zoo.yaml:2: expected lines of `key: value` (got 'just text')"),
        ("null", "zoo.yaml:1: expected lines of `key: value` (got nothing)"),
        ("!!set {a, b}", "zoo.yaml:1: tags (`!name`) are not supported"),
        ("animals: !!python/object/apply:os.system [x]", "tags (`!name`) are not supported"),
        ('animals: "\\0"', "expected text that UTF-8 can encode, without NUL"),
        pytest.param("animals: " + "9" * 4000, "(got '99999", id="4000 digits"),
        ("animals: !!int x", "animals: number out of range (got 'x')"),
    ],
)
def test_one_clear_message_for_text_that_cannot_be_read(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        zoo(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


def test_a_billion_laughs_and_a_bottomless_pit_end_at_once() -> None:
    laughs = "a: &a [x]\n" + "".join(
        f"{b}: &{b} [*{a},*{a}]\n" for a, b in [*zip("abcd", "bcde", strict=True)]
    )
    pits = ["[" * 100_000, "- " * 100_000, "{a: " * 50_000, "? " * 100_000]
    for text in (laughs, *pits):
        with pytest.raises(InputError, match=rf"aliases|more than {MAX_DEPTH} levels"):
            zoo(text)
    deepest = "a: " + "[" * (MAX_DEPTH - 1) + "]" * (MAX_DEPTH - 1)
    assert values(deepest)["a"] != []
