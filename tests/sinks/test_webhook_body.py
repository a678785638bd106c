"""Webhooks with a body of one's own, at a real server."""

from __future__ import annotations

import json
from dataclasses import replace
from urllib.parse import parse_qs

from edged.result import Score
from edged.secret import Secret
from edged.sinks.webhook.options import WebhookConfig
from tests.rig.results import make_result
from tests.rig.waiting import eventually
from tests.rig.webhook import EVENT, config_for, serving, started

HOSTILE = 'say "hi",\n\\u0041 größer 猫 \U0001f600 $event &x=1'


def with_body(port: int, body: str, content_type: str = "application/json") -> WebhookConfig:
    return replace(config_for(port), body=Secret(body), content_type=content_type)


def test_an_event_in_a_services_own_form() -> None:
    body = '{"text": "$event at $place: $score %", "image": "$snapshot", "sure": $score}'
    with serving(200) as server, started(with_body(server.server_port, body)) as sink:
        sink.publish_event(EVENT)
        sink.publish_event(replace(EVENT, snapshot=None, view="yard/gate"))
        eventually(lambda: sink.delivered == 2)
    (_, headers, first), (_, _, second) = server.got
    assert headers["Content-Type"] == "application/json"
    assert json.loads(first) == {
        "text": "visitor at door: 70 %",
        "image": "cGljdHVyZQ==",
        "sure": 70,
    }
    assert json.loads(second)["text"] == "visitor at yard/gate: 70 %"
    assert json.loads(second)["image"] == ""


def test_any_label_arrives_as_it_is() -> None:
    result = make_result()._replace(top=(Score(HOSTILE, 0.5),))
    with serving(200) as server:
        port = server.server_port
        for body, content_type in (
            ('{"text": "$label"}', "application/json; charset=utf-8"),
            ("text=$label", "application/x-www-form-urlencoded"),
            ("$label", "text/plain; charset=utf-8"),
        ):
            config = replace(with_body(port, body, content_type), results=True)
            with started(config) as sink:
                sink.publish(result)
                eventually(lambda sink=sink: sink.delivered == 1)
    (_, _, as_json), (_, headers, as_form), (_, _, as_text) = server.got
    assert json.loads(as_json) == {"text": HOSTILE}
    assert headers["Content-Type"] == "application/x-www-form-urlencoded"
    assert parse_qs(as_form.decode()) == {"text": [HOSTILE]}
    assert as_text.decode() == HOSTILE


def test_what_cannot_be_encoded_is_refused_and_holds_up_nothing() -> None:
    with serving(200) as server:
        config = replace(with_body(server.server_port, '{"score": $score}'), results=True)
        with started(config) as sink:
            sink.publish(make_result(1, score=float("nan")))
            sink.publish(make_result(2))
            eventually(lambda: sink.delivered == 1)
        assert sink.dropped["refused"] == 1
    assert [body for _, _, body in server.got] == [b'{"score": 50}']
