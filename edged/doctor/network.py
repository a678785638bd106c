"""The HTTP port."""

from __future__ import annotations

import errno
import socket
import ssl
from collections.abc import Iterator
from http.client import HTTPConnection, HTTPException, HTTPSConnection
from typing import TYPE_CHECKING

from edged.doctor.finding import Finding, error, ok, warning
from edged.doctor.subject import Subject
from edged.sensors.reading import read_number

if TYPE_CHECKING:
    from edged.web.options import HttpConfig

_ANSWER_SECONDS = 2.0
_METRICS_BYTES = 1_000_000


def port(subject: Subject) -> Iterator[Finding]:
    http = None if subject.config is None else subject.config.http
    if http is None or http.port == 0:
        return
    where = f"[{http.host}]:{http.port}" if ":" in http.host else f"{http.host}:{http.port}"
    first = read_number(subject.root / "proc/sys/net/ipv4/ip_unprivileged_port_start") or 1024
    if http.port < first and subject.account is not None and subject.account.uid != 0:
        what = f"{where}: {subject.account.name} has no permission for ports below {first}"
        yield error(what, fix="set another port, http.listen: 127.0.0.1:9640")
        return
    try:
        _listen(http.host, http.port)
    except OSError as failure:
        if failure.errno == errno.EADDRINUSE:
            yield _taken(subject, where, http)
            return
        fix = {
            errno.EADDRNOTAVAIL: "set http.listen to an address of this machine; see: ip address",
        }.get(failure.errno or 0, "check http.listen in the configuration")
        yield error(f"cannot listen on {where}", failure.strerror or str(failure), fix)
    else:
        yield ok(f"{where} is free")


def _listen(host: str, port: int) -> None:
    family, kind, protocol, _, address = socket.getaddrinfo(
        host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
    )[0]
    with socket.socket(family, kind, protocol) as listener:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind(address)


def _taken(subject: Subject, where: str, http: HttpConfig) -> Finding:
    plain_or_tls = (http.tls is not None, http.tls is None)  # the file may have changed since
    if not any(_is_edged(http, tls) for tls in plain_or_tls):
        fix = f"find it: sudo ss -ltnp 'sport = :{http.port}'; or set another http.listen"
        return error(f"another program listens on {where}", fix=fix)
    if subject.unit is None or subject.service.get("ActiveState") == "active":
        return ok(f"edged listens on {where}")
    what = f"an edged other than the service listens on {where}, so the service cannot start"
    return warning(what, fix="stop it, or set another http.listen")


def _is_edged(http: HttpConfig, tls: bool) -> bool:
    address = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(http.host, http.host)
    connection = HTTPConnection(address, http.port, timeout=_ANSWER_SECONDS)
    if tls:  # unverified: the request contains no secret
        context = ssl._create_unverified_context()
        connection = HTTPSConnection(address, http.port, timeout=_ANSWER_SECONDS, context=context)
    try:
        connection.request("GET", "/metrics")
        answer = connection.getresponse()
        if 'realm="edged"' in answer.headers.get("WWW-Authenticate", ""):
            return True
        return b"edged_build_info" in answer.read(_METRICS_BYTES)
    except (OSError, HTTPException):
        return False
    finally:
        connection.close()
