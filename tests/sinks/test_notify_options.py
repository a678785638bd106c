"""What the configuration says of destinations and of bodies of webhooks, right and wrong."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.errors import InputError
from edged.hours import Period
from edged.secret import Secret
from edged.sinks.notify.options import Destination
from edged.sinks.options import ResultsConfig
from tests.rig.messages import needs_apprise


def load(folder: Path, text: str, **environ: str) -> ResultsConfig:
    path = folder / "edged.yaml"
    path.write_text(
        "cameras: {door: {source: synthetic}}\n"
        f"events: {{gate: {{class: golf ball}}}}\nresults:\n{text}\n"
    )
    path.chmod(0o600)
    return load_config(path, environ).results


def test_a_destination_in_one_line(tmp_path: Path) -> None:
    results = load(tmp_path, "  notify: {phone: {url: 'ntfys://${TOPIC}'}}", TOPIC="t0pic")
    assert results.sinks["notify"] == (Destination("phone", Secret("ntfys://t0pic")),)
    assert "t0pic" not in repr(results)


def test_everything_about_a_destination(tmp_path: Path) -> None:
    (tmp_path / "mail").write_text("mailto://anna:s3cret@example.org\n")
    results = load(
        tmp_path,
        "  notify:\n    mail: {url_file: mail, events: [gate], ends: true, picture: false,\n"
        "      quiet: ['22:00-06:30', 12:00-13:00], per_hour: 12, title: $event,\n"
        "      text: $event at $place ($score %)}",
    )
    (mail,) = results.sinks["notify"]
    assert mail == Destination(
        name="mail",
        address=Secret("mailto://anna:s3cret@example.org"),
        file=tmp_path / "mail",
        events=("gate",),
        ends=True,
        picture=False,
        quiet=(Period.of("22:00-06:30"), Period.of("12:00-13:00")),
        per_hour=12,
        title="$event",
        text="$event at $place ($score %)",
    )
    assert "s3cret" not in repr(results)


def test_no_destination_is_no_sink(tmp_path: Path) -> None:
    assert "notify" not in load(tmp_path, "  notify: {}").sinks


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("notify: {phone: {}}", "notify.phone: expected exactly one of url, url_file"),
        ("notify: {phone: {url: s3cret}}", "notify.phone.url: expected the address of a service"),
        ("notify: {phone: {url: 's3cret://'}}", "expected the address of a service of Apprise"),
        ('notify: {phone: {url: "a://s3cret\\n"}}', "expected the address of a service of"),
        ("notify: {phone: {url_file: no}}", "write the address to that file"),
        ("notify: {phone: {url_file: /proc/version}}", "phone.url_file: expected the address of"),
        ("notify: {phone: {url: 'a://s3cret', url_file: /x}}", "(got url and url_file)"),
        (
            "notify: {phone: 'ntfy://s3cret'}",
            "results.notify.phone: expected lines of `key: value`",
        ),
        ("notify: 'ntfy://s3cret'", "results.notify: expected lines of `key: value`"),
        ("notify: {Phone: {url: 'a://b'}}", "results.notify.Phone: invalid name"),
        (
            "notify: {p: {url: 'a://b', events: [gat]}}",
            "p.events[0]: no such event rule (got gat); did you mean gate?",
        ),
        ("notify: {p: {url: 'a://b', events: []}}", "p.events: expected a list"),
        (
            "notify: {p: {url: 'a://b', quiet: ['22-6']}}",
            "p.quiet[0]: expected a period of the day",
        ),
        ("notify: {p: {url: 'a://b', quiet: 22:00-06:30}}", "p.quiet: expected a list"),
        ("notify: {p: {url: 'a://b', quiet: ['06:00-06:00']}}", "write 00:00-24:00 for the whole"),
        ("notify: {p: {url: 'a://b', per_hour: 0}}", "p.per_hour: expected a whole number from 1"),
        (
            "notify: {p: {url: 'a://b', text: $evnt}}",
            "p.text: unknown field at character 1; did you mean $event?",
        ),
        ("notify: {p: {url: 'a://b', text: '$snapshot'}}", "p.text: unknown field at character 1"),
        (
            "notify: {p: {url: 'a://b', text: 'at {place}'}}",
            "p.text: expected fields with a dollar sign; write $place",
        ),
        (
            "notify: {p: {url: 'a://b', title: 5 $}}",
            "p.title: unknown field at character 3; write $$",
        ),
        (
            "notify: {p: {url: 'a://b', snapshot: true}}",
            "p.snapshot: unknown key; did you mean picture?",
        ),
        (
            "webhook: {url: http://h, body: '{\"s3cret\": $event}'}",
            "webhook.body: expected JSON once",
        ),
        (
            "webhook: {url: http://h, body: '\"s3cret $evnt\"'}",
            "webhook.body: unknown field at character 9; did you mean $event?",
        ),
        ("webhook: {url: http://h, body: '\"$label\"'}", "body: unknown field at character 2"),
        ("webhook: {url: http://h, send: [results], body: '\"$event\"'}", "unknown field at char"),
        ("webhook: {url: http://h, send: [results, events], body: '\"$label\"'}", "unknown field"),
        (
            'webhook: {url: http://h, body: a, content_type: "a/b\\r\\nX: y"}',
            "expected a media type",
        ),
        (
            "webhook: {url: http://h, content_type: text/plain}",
            "webhook.body: missing; required with",
        ),
    ],
)
def test_mistakes_are_told_with_their_line_and_no_secret_is(
    tmp_path: Path, line: str, told: str
) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, f"  top_k: 3\n  {line}")
    assert told in str(error.value)
    assert "edged.yaml:5: " in str(error.value)
    assert "s3cret" not in str(error.value)


def test_at_the_top_the_key_is_out_of_place(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="it is a key of results:"):
        load(tmp_path, "  top_k: 3\nnotify: {phone: {url: 'ntfy://s3cret'}}")


def test_bodies_that_are_right(tmp_path: Path) -> None:
    body = """'{"text": "$event at $place", "score": $score}'"""
    webhook = load(tmp_path, f"  webhook: {{url: http://localhost, body: {body}}}").sinks["webhook"]
    assert webhook.body.reveal() == '{"text": "$event at $place", "score": $score}'
    assert "place" not in repr(webhook)
    form = "{url: http://localhost, body: 'user=${USER}&message=$place', content_type: text/plain}"
    webhook = load(tmp_path, f"  webhook: {form}", USER="u1").sinks["webhook"]
    assert (webhook.body.reveal(), webhook.content_type) == ("user=u1&message=$place", "text/plain")


def test_what_everybody_can_read_is_warned_of(tmp_path: Path) -> None:
    secret = tmp_path / "phone"
    secret.write_text("ntfy://t0pic")
    secret.chmod(0o644)
    text = "  notify: {phone: {url_file: phone}}"
    load(tmp_path, text)
    found = [
        each
        for each in warnings(load_config(tmp_path / "edged.yaml", {}))
        if "everybody can read" in each
    ]
    assert [each.partition(": results.notify: ")[2] for each in found] == [
        f"everybody can read {secret}; chmod o= {secret}"
    ]
    secret.chmod(0o600)
    load(tmp_path, "  notify: {phone: {url: 'ntfy://t0pic'}}")
    (tmp_path / "edged.yaml").chmod(0o644)
    found = [
        each
        for each in warnings(load_config(tmp_path / "edged.yaml", {}))
        if "everybody can read" in each
    ]
    assert len(found) == 1
    assert "which contains a password" in found[0]
    load(tmp_path, "  notify: {phone: {url: 'ntfy://${TOPIC}'}}", TOPIC="t0pic")
    (tmp_path / "edged.yaml").chmod(0o644)
    read = load_config(tmp_path / "edged.yaml", {"TOPIC": "t0pic"})
    assert not [each for each in warnings(read) if "everybody can read" in each]


@needs_apprise
def test_nothing_is_missing_where_apprise_is_there(tmp_path: Path) -> None:
    load(tmp_path, "  notify: {phone: {url: 'ntfy://t0pic'}}")
    assert warnings(load_config(tmp_path / "edged.yaml", {})) == []


def test_a_warning_tells_that_apprise_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("edged.sinks.notify.options.find_spec", lambda name: None)
    load(tmp_path, "  notify: {phone: {url: 'ntfy://t0pic'}}")
    (found,) = warnings(load_config(tmp_path / "edged.yaml", {}))
    assert "edged.yaml:4: results.notify: no message can be sent, as apprise is not" in found
    assert found.endswith("-m pip install 'edged[notify]'")
