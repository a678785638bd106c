"""The child process that sends messages through Apprise.

Started as `python -m edged.sinks.notify.child`. It says `{"ready": true}`, or `{"missing": true}`
without Apprise. Then it gets orders on standard input, one JSON object a line (address, title,
text, picture: base64 or null), and answers each on standard output: `taken`, `why` not, `final` if
a retry is pointless, `suspect` if the message itself may be the cause. It ends with standard input.

`why` may quote the address: the parent masks it. Addresses come on standard input alone, so that
neither the process list nor the environment shows them.
"""

from __future__ import annotations

import json
import logging
import os
import queue
import re
import resource
import ssl
import sys
from base64 import b64decode
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

from edged.process import exit_when_closed, refuse_inspection, refuse_new_privileges, step_back

NICENESS = 10
MOST_MEMORY_BYTES = 256 * 1024 * 1024
"""Apprise takes about 45 MB, and a picture some copies of 1 MB."""
CONNECT_SECONDS, READ_SECONDS = 8.0, 12.0
"""Time-outs of Apprise, unless the address sets its own (`?cto=`, `?rto=`)."""

_LONGEST = 500
_HTTP_STATUS = re.compile(r"\berror[=: ]+([1-5]\d\d)\b", re.IGNORECASE)
_SMTP_STATUS = re.compile(r"\(([45]\d\d), b['\"]")
_LATER = (408, 421, 425, 429, 502, 503, 504)
"""HTTP status codes about the server's state, not about the message."""
_NO_PICTURE = (400, 413, 415)
"""HTTP status codes with which servers refuse attachments."""
_TROUBLES = {
    "certificate not accepted": r"CERTIFICATE_VERIFY_FAILED|certificate verify failed",
    "name lookup failed": r"NameResolution|Name or service not known|name resolution|gaierror",
    "connection refused": r"Connection refused",
    "request timed out": r"timed out|time-?out",
    "network unreachable": r"unreachable|No route to host",
    "connection lost": r"reset by peer|RemoteDisconnected|Connection aborted|unexpectedly closed",
}
"""What Apprise's log says of exceptions, whose own text contains the address."""


class _Log(logging.Handler):
    """What Apprise said of the present message."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.clear()

    def clear(self) -> None:
        self.said = ""
        """The last warning or error that names a status, else the last one."""
        self.exception = ""

    def emit(self, record: logging.LogRecord) -> None:
        with suppress(Exception):
            text = record.getMessage()[:_LONGEST]
            if record.levelno >= logging.WARNING:
                if not _HTTP_STATUS.search(self.said):
                    self.said = text
            elif "Exception: " in text:
                self.exception = text


def deliver(order: Mapping[str, Any], log: _Log) -> dict[str, Any]:
    """The answer to an order."""
    from apprise.attachment.memory import AttachMemory

    service = _service(order["address"])
    if service is None:
        why = "Apprise does not know this kind of address, or it is incomplete"
        return {"taken": False, "why": why, "final": True, "suspect": False}
    message = {"title": order["title"], "body": order["text"], "body_format": "text"}
    if order["picture"] is None:
        return _notified(service, message, log)
    picture = b64decode(order["picture"])
    attached = AttachMemory(content=picture, name="picture.jpg", mimetype="image/jpeg")
    answer = _notified(service, message | {"attach": [attached]}, log)
    if answer.get("status") in _NO_PICTURE:
        again = _notified(_service(order["address"]), message, log)
        if again["taken"]:
            return again | {"why": f"sent without the picture: {answer['why']}"}
    return answer


def _service(address: str) -> Any:
    """None if Apprise does not know the address. A new one for each attempt: a used one waits some
    seconds, for services that limit the rate."""
    import apprise

    asset = apprise.AppriseAsset(
        app_id="edged", app_desc="edged", app_url="", image_url_mask="", image_url_logo="",
        async_mode=False, storage_mode="memory",
    )  # fmt: skip
    service = apprise.Apprise(asset=asset)
    return service if service.add(address) else None


def _notified(service: Any, message: Mapping[str, Any], log: _Log) -> dict[str, Any]:
    log.clear()
    if service.notify(**message):
        return {"taken": True, "why": ""}
    return judged(log.said, log.exception)


def judged(said: str, exception: str) -> dict[str, Any]:
    """The answer to a message that was not taken. said: a warning of Apprise. exception: what its
    log says of one, or empty. status: of HTTP or None."""
    http, smtp = _HTTP_STATUS.search(said), _SMTP_STATUS.search(exception)
    status = None if http is None else int(http[1])
    if status is not None:
        final = 400 <= status < 500 and status not in _LATER
        suspect = not final and status not in _LATER
        why = said
    elif smtp is not None:
        final, suspect = smtp[1].startswith("5"), False
        why = f"the mail server answered with status {smtp[1]}"
    else:
        found = (
            what for what, text in _TROUBLES.items() if re.search(text, exception, re.IGNORECASE)
        )
        trouble = next(found, None)
        final, suspect = False, trouble is None
        why = trouble or said or "Apprise gave no reason"
    return {"taken": False, "why": why, "final": final, "suspect": suspect, "status": status}


def _trust_the_systems_authorities() -> None:
    """As the other sinks do. Apprise's HTTP library would use a list of its own."""
    paths = ssl.get_default_verify_paths()
    if paths.cafile is not None:
        os.environ["REQUESTS_CA_BUNDLE"] = paths.cafile
    elif paths.capath is not None and any(Path(paths.capath).glob("*.0")):
        os.environ["REQUESTS_CA_BUNDLE"] = paths.capath


def main() -> int:
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(**values: object) -> None:
        target.write(json.dumps(values).encode() + b"\n")
        target.flush()

    step_back(NICENESS)
    refuse_inspection()  # a capture process of the same user must not read addresses
    refuse_new_privileges()
    resource.setrlimit(resource.RLIMIT_DATA, (MOST_MEMORY_BYTES, MOST_MEMORY_BYTES))
    log = _Log()
    try:
        import apprise
    except ImportError:
        say(missing=True)
        return 0
    apprise.URLBase.socket_connect_timeout = CONNECT_SECONDS
    apprise.URLBase.socket_read_timeout = READ_SECONDS
    _trust_the_systems_authorities()
    logger = logging.getLogger("apprise")
    logger.setLevel(logging.DEBUG)
    logger.propagate = False
    logger.handlers = [log]
    orders: queue.SimpleQueue[bytes] = queue.SimpleQueue()
    say(ready=True)
    exit_when_closed(sys.stdin.fileno(), orders.put)
    while True:
        try:
            answer = deliver(json.loads(orders.get()), log)
        except Exception as error:  # of a plug-in of Apprise; its text may contain anything
            why = f"Apprise failed: {type(error).__name__}"
            answer = {"taken": False, "why": why, "final": False, "suspect": True}
        say(**answer)


if __name__ == "__main__":
    sys.exit(main())
