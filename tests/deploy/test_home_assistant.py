"""The add-on for Home Assistant: its files against what the linter of add-ons and the supervisor
take, its options as three kinds of users write them, and its start beside a supervisor's API."""

from __future__ import annotations

import json
import os
import re
import shutil
import stat
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml

from edged.config.config import Config, load_config
from edged.config.warnings import warnings
from edged.errors import InputError
from tests.rig.add_on import ADD_ON, accepted, manifest, running, start
from tests.rig.broker import Listener, needs_mosquitto, running_broker
from tests.rig.home_assistant import supervisor
from tests.rig.http_server import serving
from tests.rig.package import build
from tests.rig.waiting import eventually

_TEXT, _FLAG = {"type": "string"}, {"type": "boolean"}
LINTER: dict[str, Any] = {
    "$schema": "http://json-schema.org/draft-07/schema#",
    "type": "object",
    "additionalProperties": False,
    "required": ["arch", "description", "name", "slug", "version"],
    "properties": {
        **dict.fromkeys(("name", "version", "slug", "description"), _TEXT),
        "arch": {
            "type": "array",
            "items": {"enum": ["aarch64", "amd64", "armhf", "armv7", "i386"]},
        },
        "stage": {"enum": ["deprecated", "experimental", "stable"], "default": "stable"},
        "ingress": {**_FLAG, "default": False},
        "panel_icon": {**_TEXT, "default": "mdi:puzzle"},
        "services": {
            "type": "array",
            "items": {"pattern": "^(mqtt|mysql):(provide|want|need)$"},
        },
        "video": {**_FLAG, "default": False},
        "map": {
            "type": "array",
            "items": {
                "type": "object",
                "additionalProperties": False,
                "required": ["type"],
                "properties": {
                    "type": {"enum": ["addon_config", "app_config", "media", "share", "ssl"]},
                    "read_only": _FLAG,
                    "path": _TEXT,
                },
            },
        },
        "options": {"type": "object", "default": {}},
        "schema": {"type": "object", "default": {}},
    },
}
"""config.schema.json of frenck/action-addon-linter: what it says of the keys that are used."""
ELEMENT = re.compile(
    r"(str|password|url|email|port|bool)\??"
    r"|float\((-?\d*\.?\d+)?,(-?\d*\.?\d+)?\)\??|match\(.*\)\??"
)
"""Of `schema`, as supervisor/apps/options.py takes it."""

USB: dict[str, Any] = manifest()["options"]
RTSP: dict[str, Any] = {
    **USB,
    "latency_budget_ms": 100,
    "cameras": [
        {
            "name": "door",
            "source": "rtsp://192.0.2.7/stream1",
            "username": "viewer@home",
            "password": 'pa/ss#$${wörd}"',
            "latency_budget_ms": 50,
        },
        {
            "name": "yard",
            "source": "rtsp://192.0.2.8:554/main",
            "max_fps": 5,
            "model": "imagenette",
        },
    ],
    "may_change": ["anna", "jürgen"],
}
EXPERT: dict[str, Any] = {**USB, "configuration": "edged.yaml"}
MQTT = {"MQTT_BROKER": "mqtt://core-mosquitto:1883", "MQTT_USER": "addons", "MQTT_PASSWORD": "pw"}


def loaded(folder: Path, options: dict[str, Any], mqtt: dict[str, str]) -> Config:
    """The configuration that the daemon makes of options, which the supervisor accepts."""
    content = start.configuration(accepted(manifest()["schema"], options), mqtt)
    return load_config(start.write_configuration(folder, content, os.getegid()), mqtt)


def test_the_linter_of_add_ons_takes_it() -> None:
    config = manifest()
    jsonschema.Draft7Validator(LINTER).validate(config)
    for key, about in LINTER["properties"].items():
        assert "default" not in about or config.get(key) != about["default"], key
    # Further rules of its lint.py, which calls `watchdog` obsolete and wants HEALTHCHECK.
    assert not {"webui", "watchdog", "full_access", "ingress_port", "advanced"} & set(config)
    assert config["version"] == build.version()
    # Those that the package is built for, in the supervisor's names.
    assert {each.replace("aarch64", "arm64") for each in config["arch"]} == set(build.MACHINES)


def elements(schema: Any) -> list[str]:
    if isinstance(schema, str):
        return [schema]
    parts = schema if isinstance(schema, list) else schema.values()
    return [element for part in parts for element in elements(part)]


def test_the_supervisor_takes_the_schema_and_each_option_has_a_text() -> None:
    schema = manifest()["schema"]
    assert [each for each in elements(schema) if not ELEMENT.fullmatch(each)] == []
    texts = yaml.safe_load((ADD_ON / "translations/en.yaml").read_text())["configuration"]
    assert list(texts) == list(schema)
    assert all(each["name"] and each["description"] for each in texts.values())


def test_a_user_of_one_usb_camera_changes_nothing(tmp_path: Path) -> None:
    config = loaded(tmp_path, USB, {})
    (camera,) = config.cameras
    assert camera.name == "camera" and str(camera.capture.source) == "/dev/video0"
    assert camera.views[0].latency_budget_ms == 33
    assert config.http is not None
    assert (config.http.host, config.http.port) == ("0.0.0.0", 8099)
    assert config.http.ingress == "172.30.32.2" and config.http.open == {"healthz"}
    assert config.http.may == {}
    assert list(config.results.sinks) == []
    assert [each for each in warnings(config) if "http" in each] == []


def test_a_user_of_network_cameras_gives_logins_and_budgets(tmp_path: Path) -> None:
    config = loaded(tmp_path, RTSP, MQTT)
    door, yard = config.cameras
    assert door.capture.source == (
        "rtsp://viewer%40home:pa%2Fss%23%24%24%7Bw%C3%B6rd%7D%22@192.0.2.7/stream1"
    )
    assert yard.capture.source == "rtsp://192.0.2.8:554/main"
    assert [each.views[0].latency_budget_ms for each in (door, yard)] == [50, 100]
    assert yard.views[0].max_fps == 5
    assert config.http is not None
    users = frozenset({"ingress:anna", "ingress:jürgen"})
    assert config.http.may == {"teach": users, "control": users}
    mqtt: Any = config.results.sinks["mqtt"]
    assert (mqtt.host, mqtt.port, mqtt.tls, mqtt.user) == ("core-mosquitto", 1883, None, "addons")
    assert mqtt.password.reveal() == "pw" and mqtt.home_assistant == "homeassistant"


def test_an_expert_brings_a_file(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    options = accepted(manifest()["schema"], EXPERT)
    file = tmp_path / "config/edged.yaml"
    file.parent.mkdir()
    (example,) = re.findall(r"^```yaml\n(.*?)^```", (ADD_ON / "DOCS.md").read_text(), re.M | re.S)
    file.write_text(example)
    assert start.own_configuration(tmp_path, options["configuration"]) == file
    config = load_config(file, MQTT)
    assert config.http is not None and config.http.ingress == "172.30.32.2"
    assert capfd.readouterr().err == ""
    for text in ("cameras: {door: {source: synthetic}}\n", "http: [", "- 1\n", ""):
        file.write_text(text)
        start.own_configuration(tmp_path, options["configuration"])
        assert '"ingress": "172.30.32.2"' in capfd.readouterr().err
    file.unlink()
    with pytest.raises(InputError, match=r"edged\.yaml: cannot be read: .*in addon_configs"):
        start.own_configuration(tmp_path, options["configuration"])


@pytest.mark.parametrize(
    ("camera", "said"),
    [
        ({"source": "/dev/video0", "password": "s3cr3t"}, "need a source that begins with rtsp://"),
        ({"source": "rtsp://192.0.2.7/", "password": "s3cr3t"}, "password without username"),
        (
            {"source": "rtsp://a:s3cr3t@192.0.2.7/", "username": "b", "password": "s3cr3t"},
            "source has a login too",
        ),
    ],
)
def test_a_mistake_is_one_message_without_the_password(camera: dict[str, str], said: str) -> None:
    options = {**USB, "cameras": [{"name": "door", **camera}]}
    with pytest.raises(InputError) as caught:
        start.configuration(options, {})
    assert str(caught.value).startswith("cameras: door: ") and said in str(caught.value)
    assert "s3cr3t" not in str(caught.value)


def test_two_cameras_of_one_name_are_refused() -> None:
    camera = {"name": "door", "source": "synthetic"}
    with pytest.raises(InputError, match="cameras: door: two cameras have this name"):
        start.configuration({**USB, "cameras": [camera, camera]}, {})


def test_no_option_reads_the_environment(tmp_path: Path) -> None:
    """Only what `start.py` writes itself does."""
    camera = {"name": "door", "source": "rtsp://192.0.2.7/${MQTT_PASSWORD}"}
    config = loaded(tmp_path, {**USB, "cameras": [camera]}, MQTT)
    assert config.cameras[0].capture.source == "rtsp://192.0.2.7/${MQTT_PASSWORD}"


BROKER = {"host": "127.0.0.1", "ssl": False, "protocol": "3.1.1", "addon": "core_mosquitto"}
SYNTHETIC = {"name": "door", "source": "synthetic:320x240@20"}


@needs_mosquitto
@pytest.mark.timeout(300)
def test_it_starts_and_uses_the_broker_of_home_assistant(tmp_path: Path) -> None:
    folder = tmp_path / "broker"
    folder.mkdir()
    (folder / "passwords").write_text("addons:br0ker\n")
    (folder / "passwords").chmod(0o600)
    subprocess.run(["mosquitto_passwd", "-U", folder / "passwords"], check=True)
    # A wrong password is refused; who only looks on gives none.
    settings = ("allow_anonymous true", f"password_file {folder / 'passwords'}")
    options = accepted(manifest()["schema"], {**USB, "cameras": [SYNTHETIC]})
    with running_broker(folder, *settings) as broker, Listener(broker.port) as seen:
        service = {**BROKER, "port": broker.port, "username": "addons", "password": "br0ker"}
        with (
            supervisor("t0ken", service) as url,
            running(tmp_path, options, url, "t0ken") as add_on,
        ):
            eventually(lambda: seen.json("edged/home-assistant/door/result"), 120)
            found = [each.topic for each in seen.messages if "homeassistant/" in each.topic]
            assert any(topic.endswith("/config") for topic in found)
            environ = Path(f"/proc/{add_on.process.pid}/environ").read_bytes()
            assert b"t0ken" not in environ and b"MQTT_PASSWORD=br0ker" in environ
            assert "br0ker" not in add_on.config.read_text()
            assert "br0ker" not in add_on.log and "t0ken" not in add_on.log
            add_on.process.terminate()
            assert add_on.process.wait(30) == 0


@pytest.mark.timeout(300)
def test_a_password_is_in_no_log_and_no_file_that_others_read(tmp_path: Path) -> None:
    login = {"username": "u", "password": "s3cr3t"}
    options = {**USB, "cameras": [{"name": "door", "source": "rtsp://127.0.0.1:1/x", **login}]}
    with (
        supervisor("t0ken", None) as url,
        running(tmp_path, options, url, "t0ken") as add_on,
    ):
        eventually(lambda: "Connection refused" in add_on.log, 120)
        assert "no MQTT broker: install the add-on Mosquitto broker" in add_on.log
        assert "s3cr3t" not in add_on.log
        holding = [
            path
            for path in tmp_path.rglob("*")
            if path.is_file() and b"s3cr3t" in path.read_bytes() and path.name != "options.json"
        ]
        assert holding == [add_on.config]
        for path, mode in ((add_on.config, 0o640), (add_on.config.parent, 0o750)):
            assert stat.S_IMODE(path.stat().st_mode) == mode


def test_a_supervisor_that_refuses_is_one_message(tmp_path: Path) -> None:
    with supervisor("other", None) as url, running(tmp_path, USB, url, "t0ken") as add_on:
        assert add_on.process.wait(60) == 1
        assert add_on.log == (
            f"edged: {url}: the supervisor did not say which MQTT broker to use "
            "(got HTTP Error 403: Forbidden); start again, or switch off mqtt\n"
        )


def test_the_health_check_of_the_image_follows_healthz() -> None:
    text = (ADD_ON / "Dockerfile").read_text()
    (text,) = re.findall(r"^HEALTHCHECK .*\\\n +CMD (.*)$", text, re.M)
    with serving() as server:
        command = json.loads(text.replace("8099", str(server.port)))
        command[0] = sys.executable
        assert subprocess.run(command, check=False).returncode == 0
    done = subprocess.run(command, check=False, stderr=subprocess.DEVNULL)
    assert done.returncode == 1


def test_root_becomes_the_user_with_the_groups_of_the_devices() -> None:
    if os.geteuid() != 0:
        pytest.skip("needs root")
    script = (
        f"import sys, pwd, os, pathlib; sys.path.insert(0, {str(ADD_ON)!r}); import start\n"
        "start.become(pwd.getpwnam('nobody'), iter([pathlib.Path('/etc/shadow')]))\n"
        "for each in os.getresuid(), os.getresgid(), os.getgroups(): print(*each)"
    )
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )
    user, group, groups = map(str.split, done.stdout.splitlines())
    assert user == group == ["65534"] * 3
    assert str(Path("/etc/shadow").stat().st_gid) in groups and "0" not in groups


def test_apparmor_reads_the_profile() -> None:
    parser = shutil.which("apparmor_parser", path="/usr/sbin:/sbin:/usr/bin")
    if parser is None:
        pytest.skip("needs Debian's apparmor")
    path = ADD_ON / "apparmor.txt"
    command = [parser, "--skip-kernel-load", "--skip-cache", "--names", path]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout.split()) == (0, [manifest()["slug"]]), done.stderr
