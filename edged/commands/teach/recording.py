"""`--from-camera`: records by the API of the running daemon."""

from __future__ import annotations

import http.client
import json
import os
import ssl
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from edged.commands.teach.place import Place
from edged.commands.teach.words import counted
from edged.errors import EdgedError, InputError
from edged.printable import printable

if TYPE_CHECKING:
    from edged.config.config import Config
    from edged.web.options import HttpConfig

TOKEN = "EDGED_TOKEN"
TIMEOUT_SECONDS = 10.0
HELD_SECONDS = 5.0
"""The daemon records so long after each request; the command asks again before it is over."""
_AGAIN_SECONDS = 2.0
_LOOKS, _LOOK_SECONDS = 10, 0.2
_MOST_BYTES = 4_000_000
_ANY = {"0.0.0.0": "127.0.0.1", "::": "::1"}


def record(
    place: Place, label: str, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Record one moment and print what was kept."""
    from tqdm import tqdm

    with place.classifier() as classifier:
        classifier.check_class(label)
    daemon = Daemon(_http(place.config))
    until = time.monotonic() + seconds
    moment: str | None = None
    pictures = expected = 0
    with tqdm(total=round(seconds), unit="s", disable=None, leave=False, desc=label) as bar:
        while (left := until - time.monotonic()) > 0:
            values = {"label": label, "seconds": min(HELD_SECONDS, left), "moment": moment}
            answer = daemon.post(f"{place.name}/record", values)
            if not isinstance(answer.get("moment"), str):
                raise daemon.misunderstood()
            moment = answer["moment"]
            expected = int(answer.get("pictures") or 0)
            bar.set_postfix(pictures=expected)
            sleep(min(_AGAIN_SECONDS, left))
            bar.update(round(seconds - max(0.0, until - time.monotonic())) - bar.n)
    for _ in range(_LOOKS):  # it stores them a little later
        for each in daemon.get(place.name).get("moments", ()):
            if each.get("id") == moment:
                pictures = len(each["pictures"])
        if pictures and pictures >= expected:
            break
        sleep(_LOOK_SECONDS)
    if not pictures:
        raise EdgedError(
            f"no picture of {label} was recorded",
            where=place.name,
            fix="see whether the camera delivers pictures: edged doctor",
        )
    print(f"recorded {counted(pictures, 'picture')} of {label}, which differ, in one moment")
    return 0


class Daemon:
    """The API of the daemon that the configuration describes, on this device."""

    def __init__(self, config: HttpConfig, timeout: float = TIMEOUT_SECONDS) -> None:
        self._host = _ANY.get(config.host, config.host)
        self._port = config.port
        self._tls = None if config.tls is None else _context(str(config.tls.certificate))
        self._timeout = timeout
        shown = f"[{self._host}]" if ":" in self._host else self._host
        self._address = f"{'http' if config.tls is None else 'https'}://{shown}:{self._port}"

    def get(self, path: str) -> dict[str, Any]:
        """Raises EdgedError."""
        return self._ask("GET", path, None)

    def post(self, path: str, values: dict[str, Any]) -> dict[str, Any]:
        """Raises InputError for what the daemon calls a mistake, EdgedError."""
        return self._ask("POST", path, json.dumps(values).encode())

    def _ask(self, method: str, path: str, body: bytes | None) -> dict[str, Any]:
        headers = {} if body is None else {"Content-Type": "application/json"}
        if token := os.environ.get(TOKEN, "").strip():
            if not (token.isascii() and token.isprintable()):
                raise InputError(f"{TOKEN} is not a token", fix="edged new-token makes one")
            headers["Authorization"] = f"Bearer {token}"
        connection = self._connection()
        try:
            connection.request(method, f"/api/v1/teach/{path}", body, headers)
            answer = connection.getresponse()
            content = answer.read(_MOST_BYTES)
        except (OSError, http.client.HTTPException) as error:
            raise EdgedError(
                "the daemon does not answer",
                where=self._address,
                got=getattr(error, "strerror", None) or type(error).__name__,
                fix="start it (sudo systemctl start edged), or add pictures from files",
            ) from None
        finally:
            connection.close()
        if answer.status // 100 != 2:
            raise self._refused(answer.status, content)
        try:
            values = json.loads(content)
        except ValueError:
            values = None
        if not isinstance(values, dict):
            raise self.misunderstood()
        return values

    def misunderstood(self) -> EdgedError:
        return EdgedError("an answer that is not edged's", where=self._address)

    def _connection(self) -> http.client.HTTPConnection:
        if self._tls is None:
            return http.client.HTTPConnection(self._host, self._port, timeout=self._timeout)
        return http.client.HTTPSConnection(
            self._host, self._port, timeout=self._timeout, context=self._tls
        )

    def _refused(self, status: int, content: bytes) -> EdgedError:
        """What the daemon says, in JSON or plain text."""
        kind = InputError if status // 100 == 4 else EdgedError
        if status == http.HTTPStatus.UNAUTHORIZED:
            fix = f"set {TOKEN} to a token of http.token_hashes; edged new-token makes one"
            return kind("the daemon asks for a token", where=self._address, fix=fix)
        try:
            error = json.loads(content)["error"]
            parts = [error["what"], error.get("got"), error.get("fix")]
        except (ValueError, LookupError, TypeError, AttributeError):
            said = content.decode(errors="replace").strip()
            parts = [said or f"status {status}", None, None]
        shown = [None if each is None else printable(str(each)) for each in parts]
        return kind(str(shown[0]), where=self._address, got=shown[1], fix=shown[2])


def _http(config: Config | None) -> HttpConfig:
    """Raises InputError where no daemon can be asked."""
    if config is None:
        raise InputError(
            "--from-camera needs the daemon's configuration",
            fix="name it: -c edged.yaml; or add pictures from files",
        )
    if config.http is None or config.http.port == 0:
        raise InputError(
            "the daemon has no known address: http.listen is none or has port 0",
            where=config.path,
            fix="write http: {listen: 127.0.0.1:9640}, or record on the page",
        )
    return config.http


def _context(certificate: str) -> ssl.SSLContext:
    """Trusts the daemon's own certificate, whatever names it has: it is at an address of this
    device."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    try:
        context.load_verify_locations(certificate)
    except OSError as error:
        raise EdgedError(
            "the daemon's certificate cannot be read", where=certificate, got=error.strerror
        ) from None
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context
