"""The add-on for Home Assistant: its files, and what the supervisor makes of its options."""

from __future__ import annotations

import json
import os
import pwd
import re
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import yaml

from tests.rig.paths import DEPLOY
from tests.rig.waiting import eventually

ADD_ON = DEPLOY / "home-assistant/edged"
sys.path.insert(0, str(ADD_ON))

import start  # noqa: E402

__all__ = ["ADD_ON", "AddOn", "accepted", "manifest", "running", "start"]

KINDS = re.compile(
    r"(?P<kind>str|password|bool|int|float|match|list|url|email|port|device)"
    r"(?:\((?P<of>.*)\))?(?P<optional>\?)?"
)
"""An element of `schema`, as supervisor/apps/options.py reads it."""


def manifest() -> dict[str, Any]:
    return dict(yaml.safe_load((ADD_ON / "config.yaml").read_text()))


def accepted(schema: Any, given: Any) -> Any:
    """`given` as the supervisor writes it to options.json. AssertionError where it refuses it; it
    drops unknown keys with a warning."""
    if isinstance(schema, list):
        assert isinstance(given, list), given
        return [accepted(schema[0], each) for each in given]
    if isinstance(schema, Mapping):
        assert isinstance(given, Mapping), given
        for key, kind in schema.items():
            optional = isinstance(kind, str) and kind.endswith("?")
            assert key in given or optional, f"missing: {key}"
        return {key: accepted(schema[key], value) for key, value in given.items() if key in schema}
    found = KINDS.fullmatch(schema)
    assert found is not None and given is not None, (schema, given)
    kind, of = found["kind"], found["of"]
    if kind in ("str", "password"):
        assert isinstance(given, str), given
    elif kind == "bool":
        assert isinstance(given, bool), given
    elif kind == "match":
        assert re.match(of, str(given)), (of, given)
    elif kind == "float":
        least, most = map(float, of.split(","))
        given = float(given)
        assert least <= given <= most, (of, given)
    else:
        raise AssertionError(f"not used by the add-on: {schema}")
    return given


class AddOn:
    """The add-on's program, with its folders below `root`."""

    def __init__(self, root: Path, process: subprocess.Popen[bytes]) -> None:
        self.root = root
        self.process = process

    @property
    def log(self) -> str:
        return (self.root / "log").read_text()

    @property
    def config(self) -> Path:
        return self.root / "run/edged/edged.yaml"

    def port(self) -> int:
        pattern = r"https?://[^/]*:(\d+)/metrics"
        eventually(lambda: re.search(pattern, self.log) or self.process.poll() is not None)
        return int(re.findall(pattern, self.log)[-1])


@contextmanager
def running(
    root: Path, options: Mapping[str, Any], supervisor: str, token: str = "token"
) -> Iterator[AddOn]:
    """On a free port. options: not as the supervisor would check them."""
    for name in ("data", "config", "run"):
        (root / name).mkdir(exist_ok=True)
    (root / "data/options.json").write_text(json.dumps(options))
    command = [
        *(sys.executable, ADD_ON / "start.py", "--root", root, "--supervisor", supervisor),
        *("--user", pwd.getpwuid(os.geteuid()).pw_name, "--listen", "127.0.0.1:0"),
    ]
    environ = {**os.environ, "SUPERVISOR_TOKEN": token, "HASSIO_TOKEN": token}
    with (root / "log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, env=environ)
    try:
        yield AddOn(root, process)
    finally:
        process.kill()
        process.wait()
