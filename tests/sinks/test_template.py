"""Texts with fields: what is refused where, how values are escaped, and what the fields say."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import replace
from urllib.parse import parse_qs

import pytest

from edged.errors import InputError
from edged.result import Event, Score
from edged.sinks.template import (
    FIELDS,
    check_json,
    check_template,
    escape_for,
    event_fields,
    fill,
    result_fields,
)
from tests.rig.results import make_result

EVENT = Event("yard/gate", "open", 1_700_000_000_000_000_000, None, 0.934, b"picture")


@pytest.fixture
def berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "Europe/Berlin")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_the_fields_are_those_that_are_promised() -> None:
    assert set(event_fields(EVENT)) == set(FIELDS["events"])
    assert set(result_fields(make_result())) == set(FIELDS["results"])


def test_an_event_in_local_time(berlin: None) -> None:
    fields = event_fields(replace(EVENT, ended_unix_ns=EVENT.started_unix_ns + 61 * 10**9))
    told = "$event|$place|$camera|$view|$score|$date|$time|$ended|$state|$started_at|$ended_at"
    assert fill(told, fields) == (
        "open|yard/gate|yard|gate|93|2023-11-14|23:13|23:14|ended|"
        "2023-11-14T22:13:20.000000Z|2023-11-14T22:14:21.000000Z"
    )
    begun = event_fields(replace(EVENT, view="door", snapshot=None))
    assert fill("$place|$view|$ended|$state|$ended_at|$snapshot", begun) == "door|||started||"


def test_a_result_without_a_class() -> None:
    fields = result_fields(make_result()._replace(top=()))
    assert (fields["label"], fields["score"]) == ("", "0")


def test_a_score_that_is_no_number_is_an_error() -> None:
    with pytest.raises(ValueError, match="NaN"):
        result_fields(make_result(score=float("nan")))


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("$evnt", "unknown field at character 1; did you mean $event?"),
        ("at $Place", "unknown field at character 4; did you mean $place?"),
        ("${evnt}", "did you mean $event?"),
        ("costs 5 $", "unknown field at character 9; write $$ for a dollar sign"),
        ("$event.__class__ $__class__", "unknown field at character 18"),
        ("${event.name}", "write $$ for a dollar sign"),
        ("${event[0]}", "write $$ for a dollar sign"),
        ("$label", "the fields are $event, $place"),
    ],
)
def test_a_mistake_has_its_place(text: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        check_template(text, FIELDS["events"])
    assert told in str(error.value)
    assert "class" not in str(error.value)


def test_what_is_no_field_stays() -> None:
    text = "$$5 {event} %s %(event)s $event.x"
    check_template(text, FIELDS["events"])
    assert fill(text, event_fields(EVENT)) == "$5 {event} %s %(event)s open.x"


@pytest.mark.parametrize(
    "text",
    [
        *('{"a": $event}', '{"a": "$event}', "$event", '{"a": 1,}', ""),
        *(r'{"a": "\$event"}', '{"a": NaN}', '{"a": -Infinity}'),
    ],
)
def test_a_body_that_would_not_be_json(text: str) -> None:
    with pytest.raises(InputError, match="expected JSON once its fields are filled in"):
        check_json(text)


@pytest.mark.parametrize("text", ['{"a": "$event", "b": [$score, $latency_ms]}', '"$event"', "{}"])
def test_a_body_that_is_json(text: str) -> None:
    check_json(text)


LABELS = [
    'say "hi"',
    "line\nbreak\r\t",
    "back\\slash \\u0041",
    "größer 猫 \U0001f600",
    "\x00\x7f",
    "$event",
]


@pytest.mark.parametrize("label", LABELS)
@pytest.mark.parametrize("media", ["application/json", "Application/LD+JSON; charset=utf-8"])
def test_any_label_is_json(label: str, media: str) -> None:
    fields = result_fields(make_result()._replace(top=(Score(label, 0.5),)))
    body = fill('{"text": "$label at $place", "score": $score}', fields, escape_for(media))
    assert json.loads(body.encode()) == {"text": f"{label} at door", "score": 50}


@pytest.mark.parametrize("label", LABELS)
def test_any_label_is_a_value_of_a_form(label: str) -> None:
    fields = result_fields(make_result()._replace(top=(Score(f"{label}&x=1", 0.5),)))
    media = "application/x-www-form-urlencoded"
    assert parse_qs(fill("token=t&message=$label", fields, escape_for(media))) == {
        "token": ["t"],
        "message": [f"{label}&x=1"],
    }


def test_plain_text_is_as_it_is() -> None:
    fields = result_fields(make_result()._replace(top=(Score('"<&', 0.5),)))
    assert fill("$label", fields, escape_for("text/plain")) == '"<&'
