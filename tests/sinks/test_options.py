"""What the configuration says of brokers, webhooks and files, right and wrong."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.errors import EdgedError, InputError
from edged.secret import Secret
from edged.sinks.jsonl.options import JsonlConfig
from edged.sinks.mqtt.options import MqttConfig
from edged.sinks.options import KINDS, ResultsConfig
from edged.sinks.tls import TlsClient
from tests.rig.results import make_result


def load(folder: Path, text: str, environ: Mapping[str, str] | None = None) -> ResultsConfig:
    path = folder / "edged.yaml"
    path.write_text(f"cameras: {{door: {{source: synthetic}}}}\nresults:\n{text}\n")
    return load_config(path, environ or {}).results


def test_a_broker_in_one_line(tmp_path: Path) -> None:
    mqtt = load(tmp_path, "  mqtt: {broker: mqtt://broker.example, device: pi}").sinks["mqtt"]
    assert mqtt == MqttConfig("broker.example", 1883, None, "pi", home_assistant="homeassistant")


def test_everything_about_a_broker(tmp_path: Path) -> None:
    (tmp_path / "secret").write_text("pass word\n")
    results = load(
        tmp_path,
        "  mqtt: {broker: 'mqtts://[::1]:8884', user: edged, password_file: secret,\n"
        "    ca_file: ca.pem, certificate_file: /pi.pem, key_file: /pi.key, version: 3.1.1,\n"
        "    topic: a/b, device: p-1, qos: 0, results: false, state_seconds: 10,\n"
        "    home_assistant: none}\n"
        "  jsonl: {path: r.jsonl, max_bytes: 1e6}",
    )
    assert results.sinks["jsonl"] == JsonlConfig(tmp_path / "r.jsonl", 1_000_000, 3)
    assert results.sinks["mqtt"] == MqttConfig(
        host="::1",
        port=8884,
        tls=TlsClient(tmp_path / "ca.pem", Path("/pi.pem"), Path("/pi.key")),
        device="p-1",
        user="edged",
        password=Secret("pass word"),
        version="3.1.1",
        topic="a/b",
        qos=0,
        results=False,
        state_seconds=10.0,
        home_assistant=None,
    )
    assert "pass word" not in repr(results)


def test_a_webhook(tmp_path: Path) -> None:
    text = "  webhook: {url: 'https://hooks.example:8443/a/${HOOK}?x=1', authorization: '${A}'}"
    webhook = load(tmp_path, text, {"HOOK": "h00k", "A": "Bearer t0ken"}).sinks["webhook"]
    assert (webhook.host, webhook.port, webhook.tls) == ("hooks.example", 8443, TlsClient())
    assert webhook.target.reveal() == "/a/h00k?x=1"
    assert (webhook.events, webhook.results, webhook.timeout_seconds) == (True, False, 10)
    assert "t0ken" not in repr(webhook)


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ("mqtt: {}", "results.mqtt.broker: missing"),
        ("mqtt: {broker: broker.example}", "write mqtt://host:1883"),
        ("mqtt: {broker: 'mqtt://h:99999'}", "expected a broker URL"),
        ("mqtt: {broker: 'mqtt://u:s3cret@h'}", "write them under user:"),
        ("mqtt: {broker: mqtt://h, password: s3cret}", "results.mqtt.user: missing"),
        ("mqtt: {broker: mqtt://h, user: a, password: 5432}", "results.mqtt.password: expected"),
        ("mqtt: {broker: mqtt://h, user: a, password_file: no}", "write the password to"),
        (
            "mqtt: {broker: mqtt://h, user: a, password: s3cret, password_file: /proc/version}",
            "results.mqtt.password_file: cannot be combined with password",
        ),
        (
            "webhook: {url: http://h, authorization: s3cret, authorization_file: /proc/version}",
            "results.webhook.authorization_file: cannot be combined with authorization",
        ),
        ("mqtt: {broker: mqtt://h, topic: 'a/#'}", "expected an MQTT topic"),
        ("mqtt: {broker: mqtt://h, device: a/b}", "results.mqtt.device: expected"),
        ("mqtt: {broker: mqtt://h, state_seconds: 0}", "results.mqtt.state_seconds: expected"),
        ("mqtt: {broker: mqtt://h, version: 4}", "expected one of 5, 3.1.1 (got 4)"),
        ("mqtt: {broker: mqtt://h, key_file: a}", "results.mqtt.certificate_file: missing"),
        ("webhook: {url: 'ftp://h/s3cret'}", "expected an http:// or https:// URL"),
        ("webhook: {url: 'http://u:s3cret@h/'}", "expected no user in the"),
        ("webhook: {url: 'http://h/s3cret path'}", "expected an http:// or https:// URL"),
        ('webhook: {url: http://h, authorization: "s3cret\\n"}', "printable ASCII"),
        ("webhook: {url: http://h, send: [all]}", "results.webhook.send[0]: expected one of"),
        ("mqtt: {broker: 'mqtt://hooks..example'}", "expected a host name"),
        (f"webhook: {{url: 'http://{64 * 'a'}.example/s3cret'}}", "expected a host name"),
        ("jsonl: .", "results.jsonl: expected a file, not a folder"),
        ("jsonl: edged.yaml", "results.jsonl: is the configuration file itself"),
        ("jsonl: {path: r.jsonl}", "results.jsonl.max_bytes: missing"),
        ("jsonl: {path: r.jsonl, max_bytes: 5}", "at least 100000"),
    ],
)
def test_mistakes_are_told_and_no_secret_is(tmp_path: Path, line: str, told: str) -> None:
    with pytest.raises(InputError) as error:
        load(tmp_path, f"  {line}")
    assert told in str(error.value)
    assert "edged.yaml:3: " in str(error.value)
    assert "s3cret" not in str(error.value)
    assert "5432" not in str(error.value)


@pytest.mark.parametrize(
    ("line", "count"),
    [
        ("mqtt: {broker: mqtt://h, user: a, password: b}", 1),
        ("mqtt: {broker: mqtts://h, user: a, password: b}", 0),
        ("mqtt: {broker: mqtt://127.0.0.1, user: a, password: b}", 0),
        ("webhook: {url: http://h/a}", 1),
        ("webhook: {url: http://localhost/a}", 0),
        ("webhook: {url: https://h/a}", 0),
    ],
)
def test_what_everybody_on_the_way_can_read_is_warned_of(
    tmp_path: Path, line: str, count: int
) -> None:
    load(tmp_path, f"  {line}")
    found = warnings(load_config(tmp_path / "edged.yaml", {}))
    assert sum("unencrypted" in each for each in found) == count


def test_the_table_opens_what_the_configuration_names(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    sink = KINDS["jsonl"].make(JsonlConfig(path), {}, None)
    assert sink.name == "jsonl"
    sink.publish(make_result(1))
    sink.close(5)
    assert sink.delivered == 1
    assert json.loads(path.read_text())["camera"] == "door"
    with pytest.raises(EdgedError, match="nowhere"):
        KINDS["jsonl"].make(JsonlConfig(tmp_path / "nowhere" / "results.jsonl"), {}, None)
