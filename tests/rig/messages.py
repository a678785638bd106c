"""Destinations of messages: the sink, a child process that plays a script, and a mail server."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest

from edged.result import Event
from edged.secret import Secret
from edged.sinks.notify.messenger import PATIENCE, Messenger, Patience
from edged.sinks.notify.notify import Notify
from edged.sinks.notify.options import Destination
from edged.sinks.worker import Timing
from tests.rig.ports import free_port

needs_apprise = pytest.mark.skipif(
    find_spec("apprise") is None, reason="needs apprise: pip install 'edged[notify]'"
)

EVENT = Event("door", "visitor", 10**18, None, 0.934, b"picture")
ADDRESS = Secret("ntfy://anna:s3cretpass@127.0.0.1:9/t0pic")
TAKEN = {"taken": True, "why": ""}

_CHILD = """
import json, os, sys, time
folder, script = sys.argv[1], json.loads(sys.argv[2])
def say(values):
    print(json.dumps(values), flush=True)
say({"ready": True})
for line in sys.stdin:
    with open(folder + "/orders", "a") as file:
        file.write(line)
    with open(folder + "/orders") as file:
        done = len(file.readlines())
    step = script[min(done, len(script)) - 1]
    if step == "hang":
        time.sleep(600)
    if step == "work":
        until = time.process_time() + 3
        while time.process_time() < until:
            pass
        step = {"taken": True, "why": ""}
    if step == "crash":
        os._exit(3)
    if step == "abort":
        os.abort()
    if step == "noise":
        print("x" * 100_000, flush=True)
    say(step)
"""


def failed(why: str = "connection refused", **flags: bool) -> dict[str, object]:
    """An answer of the child."""
    return {"taken": False, "why": why, "final": False, "suspect": False} | flags


class Script:
    """A child process that answers the orders of all its lives in turn, the last answer for ever.

    steps: answers, or `hang`, `work` (a second of processor time), `crash`, `abort`, `noise`."""

    def __init__(self, folder: Path, *steps: object) -> None:
        self._folder = folder
        self.program = ("-c", _CHILD, str(folder), json.dumps(steps))

    @property
    def orders(self) -> list[dict[str, Any]]:
        path = self._folder / "orders"
        lines = path.read_text().splitlines(keepends=True) if path.exists() else []
        return [json.loads(line) for line in lines if line.endswith("\n")]

    @property
    def texts(self) -> list[str]:
        return [order["text"] for order in self.orders]

    def messenger(self, patience: Patience = PATIENCE) -> Messenger:
        return Messenger(patience, program=self.program, missing=lambda: False)


@contextmanager
def started(
    *destinations: Destination, messenger: Messenger, timing: Timing | None = None, **keys: Any
) -> Iterator[Notify]:
    sink = Notify(destinations, timing or Timing(0.01, 0.02), messenger, **keys)
    sink.start()
    try:
        yield sink
    finally:
        sink.close(5)


def lost(sink: Notify) -> dict[str, int]:
    return {reason: count for reason, count in sink.dropped.items() if count}


class MailServer:
    """answer: to a message. password: of the user anna."""

    def __init__(self) -> None:
        self.port = free_port()
        self.answer = "250 OK"
        self.password = b"s3cretpass"
        self.got: list[Any] = []

    def address(self) -> str:
        login = f"anna:s3cretpass@127.0.0.1:{self.port}"
        return f"mailto://{login}?from=pi@example.org&to=anna@example.org&mode=insecure"

    async def handle_DATA(self, server: object, session: object, envelope: Any) -> str:  # noqa: N802
        self.got.append(envelope)
        return self.answer


@contextmanager
def mail_server() -> Iterator[MailServer]:
    controller = pytest.importorskip("aiosmtpd.controller")
    smtp = pytest.importorskip("aiosmtpd.smtp")
    server = MailServer()

    def login(_: object, __: object, ___: object, ____: str, data: Any) -> Any:
        right = (data.login, data.password) == (b"anna", server.password)
        return smtp.AuthResult(success=right, handled=False)

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # a login without TLS
        running = controller.Controller(
            server, hostname="127.0.0.1", port=server.port, authenticator=login,
            auth_require_tls=False, auth_required=True,
        )  # fmt: skip
        running.start()
        try:
            yield server
        finally:
            running.stop()
