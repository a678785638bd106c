#!/usr/lib/edged/bin/python3 -I
"""Start edged as an add-on of Home Assistant: its options become edged.yaml.

As root, which alone may read the options and ask the supervisor; then as the user edged. The
daemon does not get the supervisor's token.
"""

from __future__ import annotations

import argparse
import grp
import json
import os
import pwd
import re
import subprocess
import sys
import urllib.error
import urllib.request
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import quote

import yaml

from edged.atomic_file import write_whole
from edged.errors import EdgedError, InputError, cannot_read

HTTP = {"listen": "0.0.0.0:8099", "ingress": "172.30.32.2", "open": ["healthz"]}
"""What ingress and the health check of the image need."""
OF_A_CAMERA = ("latency_budget_ms", "max_fps", "model")
LOGIN_SCHEMES = ("rtsp", "rtsps", "http", "https")
SUPERVISOR_SECONDS = 10.0
TOKENS = ("SUPERVISOR_TOKEN", "HASSIO_TOKEN")


def configuration(options: Mapping[str, Any], mqtt: Mapping[str, str]) -> dict[str, Any]:
    """The content of edged.yaml. mqtt: the broker's variables, none without a broker. Raises
    InputError."""
    cameras: dict[str, Any] = {}
    for each in options["cameras"]:
        if (name := each["name"]) in cameras:
            what, fix = "two cameras have this name", "give each a name of its own"
            raise InputError(what, where=f"cameras: {name}", fix=fix)
        own = {key: each[key] for key in OF_A_CAMERA if key in each}
        cameras[name] = {"source": _source(each), **own}
    users = [f"ingress:{name}" for name in options["may_change"]]
    content: dict[str, Any] = _literal(
        {
            "latency_budget_ms": options["latency_budget_ms"],
            "cameras": cameras,
            "http": {**HTTP, "may": {"teach": users, "control": users}},
            "results": {"jsonl": "none"},
        }
    )
    if mqtt:
        keys = {"MQTT_BROKER": "broker", "MQTT_USER": "user", "MQTT_PASSWORD": "password"}
        named = {key: f"${{{name}}}" for name, key in keys.items() if name in mqtt}
        content["results"]["mqtt"] = {**named, "version": "3.1.1", "device": "home-assistant"}
    return content


def _source(camera: Mapping[str, Any]) -> str:
    """With the login in it."""
    source, user, password = (camera.get(key, "") for key in ("source", "username", "password"))
    if not user and not password:
        return str(source)
    where = f"cameras: {camera['name']}"
    scheme, _, rest = source.partition("://")
    if scheme.lower() not in LOGIN_SCHEMES or not rest:
        what = "username and password need a source that begins with rtsp:// or http://"
        raise InputError(what, where=where, fix="remove them, or correct source")
    if not user:
        raise InputError("password without username", where=where, fix="add username")
    if "@" in re.split(r"[/?#]", rest)[0]:
        fix = "write it under username and password only"
        raise InputError("source has a login too", where=where, fix=fix)
    return f"{scheme}://{quote(user, '')}:{quote(password, '')}@{rest}"


def _literal(value: Any) -> Any:
    """A copy in which no text refers to an environment variable."""
    if isinstance(value, str):
        return value.replace("${", "$${")
    if isinstance(value, Mapping):
        return {key: _literal(each) for key, each in value.items()}
    return [_literal(each) for each in value] if isinstance(value, list) else value


def mqtt_variables(supervisor: str, token: str) -> dict[str, str]:
    """The broker of Home Assistant as variables for edged.yaml; empty if there is none. Raises
    EdgedError."""
    request = urllib.request.Request(
        f"{supervisor}/services/mqtt", headers={"Authorization": f"Bearer {token}"}
    )
    try:
        with urllib.request.urlopen(request, timeout=SUPERVISOR_SECONDS) as answer:
            return dict(_variables(json.load(answer)["data"]))
    except urllib.error.HTTPError as error:
        with error:
            if error.code == 400:  # no add-on provides it
                return {}
        raise _no_answer(supervisor, error) from None
    except (OSError, ValueError, KeyError) as error:
        raise _no_answer(supervisor, error) from None


def _variables(service: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    scheme = "mqtts" if service.get("ssl") else "mqtt"
    yield "MQTT_BROKER", f"{scheme}://{service['host']}:{service['port']}"
    for name, key in (("MQTT_USER", "username"), ("MQTT_PASSWORD", "password")):
        if service.get(key):
            yield name, service[key]


def _no_answer(supervisor: str, error: Exception) -> EdgedError:
    what = "the supervisor did not say which MQTT broker to use"
    return EdgedError(what, where=supervisor, got=error, fix="start again, or switch off mqtt")


def expert_warnings(text: str) -> Iterator[str]:
    """text: a configuration that the user has written. Its errors are reported by the daemon."""
    try:
        http = yaml.safe_load(text)["http"]
        fits = http["listen"] == HTTP["listen"] and http["ingress"] == HTTP["ingress"]
        fits = fits and "healthz" in http["open"]
    except (yaml.YAMLError, KeyError, TypeError):
        fits = False
    if not fits:
        yield (
            "Home Assistant can neither show the page nor watch over edged without "
            f"`http: {json.dumps(HTTP)}`"
        )


def own_configuration(root: Path, name: str) -> Path:
    path = root / "config" / name
    try:
        for what in expert_warnings(path.read_text(errors="replace")):
            _say(f"{path}: {what}")
    except OSError as error:
        fix = "put it into the folder of this add-on in addon_configs, or empty the option"
        raise cannot_read(path, error, fix) from None
    return path


def write_configuration(root: Path, content: Mapping[str, Any], group: int) -> Path:
    """JSON is YAML. Only root and the group may read it."""
    path = root / "run/edged/edged.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_whole(path, json.dumps(content, indent=2, ensure_ascii=False).encode())
    for each in (path.parent, path):
        os.chown(each, -1, group)
    return path


def become(user: pwd.struct_passwd, devices: Iterator[Path]) -> None:
    """Drop root. devices: whose groups the user needs; the host numbers them."""
    groups = {grp.getgrnam("video").gr_gid, *(each.stat().st_gid for each in devices)} - {0}
    os.setgroups(sorted({user.pw_gid, *groups}))
    os.setgid(user.pw_gid)
    os.setuid(user.pw_uid)


def start(root: Path, supervisor: str, user: pwd.struct_passwd, listen: str) -> None:
    """Becomes the daemon. Raises EdgedError."""
    tokens = [os.environ.pop(name, "") for name in TOKENS]
    path = root / "data/options.json"
    try:
        options = json.loads(path.read_bytes())
    except OSError as error:
        raise cannot_read(path, error) from None
    mqtt = mqtt_variables(supervisor, tokens[0]) if options["mqtt"] else {}
    if options["mqtt"] and not mqtt:
        _say("no MQTT broker: install the add-on Mosquitto broker, or switch off mqtt")
    if options.get("configuration"):
        config = own_configuration(root, options["configuration"])
    else:
        content = configuration(options, mqtt)
        content["http"]["listen"] = listen
        config = write_configuration(root, content, user.pw_gid)
    state = root / "data/edged"
    state.mkdir(exist_ok=True)
    if user.pw_uid != os.geteuid():
        # Another image may have another number for the user.
        owner = f"{user.pw_uid}:{user.pw_gid}"
        subprocess.run(["chown", "--recursive", "--no-dereference", owner, state], check=True)
        become(user, Path("/dev").glob("video*"))
    environ = {**os.environ, **mqtt, "HOME": str(state), "STATE_DIRECTORY": str(state)}
    os.chdir("/")
    command = [sys.executable, "-m", "edged", "run", "-c", str(config)]
    os.execve(sys.executable, command, environ)


def _say(what: str) -> None:
    sys.stderr.write(f"edged: {what}\n")
    sys.stderr.flush()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--root", type=Path, default=Path("/"), help="has data/, config/ and run/")
    parser.add_argument("--supervisor", default="http://supervisor")
    parser.add_argument("--user", default="edged")
    parser.add_argument("--listen", default=HTTP["listen"])
    given = parser.parse_args()
    os.umask(0o027)
    try:
        start(given.root, given.supervisor, pwd.getpwnam(given.user), given.listen)
    except EdgedError as error:
        _say(str(error))
        return error.exit_status
    return 0


if __name__ == "__main__":
    sys.exit(main())
