"""The HTTP server: metrics, health checks, API and page.

Bounded: one request per connection, one thread per connection, a limit on connections and on the
seconds of each. endpoints.py produces the answers, access.py authorizes, changes/ receives what
changes something, connections.py decides which connection makes room for a new one.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import math
import os
import socket
import ssl
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from edged.clock import monotonic_ns
from edged.effort import Turn
from edged.errors import EdgedError
from edged.state import in_container
from edged.web.access import Access, own_names
from edged.web.changes.body import Bodies
from edged.web.changes.peer import is_service
from edged.web.connections import Connections
from edged.web.endpoints import Endpoints
from edged.web.handler import Context, Handler
from edged.web.options import HttpConfig
from edged.web.tls import fingerprint, server_context

CONNECTIONS = 64
"""Simultaneous connections, not counting streams. One more displaces the oldest."""
CONNECTION_SECONDS = 5.0
"""Limit for a whole request and its answer. For a stream: for each part, and four times that for
data that the peer does not acknowledge."""
SWEEP_SECONDS = 0.25
"""Interval of the checks for overdue connections and for shutdown."""
CROWDED_SECONDS = 0.005
"""Delay of a connection that displaces another one, so that a flood does not occupy a core."""
_SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)
"""accept(2) fails with these, and the connection stays pending: its socket remains readable."""

log = logging.getLogger("edged.telemetry.http")


class HttpServer:
    """Listens from its construction, answers from `start` to `close`, or inside `with`. `close`
    takes a second at most.

    Raises EdgedError when it cannot listen, or cannot use its certificate. beside: a server of
    this process that is about to close; it may use the same port on another address. uploads: the
    folder for what clients send, while it is used.
    """

    def __init__(
        self,
        http: HttpConfig,
        endpoints: Endpoints,
        *,
        connections: int = CONNECTIONS,
        connection_seconds: float = CONNECTION_SECONDS,
        beside: HttpServer | None = None,
        uploads: Path | None = None,
    ) -> None:
        self._tls = http.tls
        self._certificate = b"" if http.tls is None else fingerprint(http.tls)
        context = None if http.tls is None else server_context(http.tls)
        access = Access(
            http,
            names=own_names(http, socket.gethostname()),
            service_user=os.getuid() if http.ingress or is_service(os.environ) else None,
            own_health=in_container(os.environ),
        )
        try:
            family, _, _, _, address = socket.getaddrinfo(
                http.host, http.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            self._server = _Server(
                family,
                address,
                endpoints,
                access,
                Bodies(uploads),
                context,
                connections,
                connection_seconds,
            )
            self._server.listen(None if beside is None else beside._server)
        except (socket.gaierror, UnicodeError) as error:  # Unicode: an empty label, or a long one
            raise EdgedError(
                "cannot resolve the host name",
                where=f"http.listen: {_written(http.host, http.port)}",
                got=error.strerror if isinstance(error, OSError) else "not a host name",
                fix="write an address of this machine such as 127.0.0.1, 0.0.0.0 for all, "
                "or a name that `getent hosts NAME` resolves",
            ) from None
        except OSError as error:
            if error.errno == errno.EMFILE:  # no other port would help
                raise
            raise EdgedError(
                "cannot listen for HTTP",
                where=_written(http.host, http.port),
                got=error.strerror,
                fix="choose another address or port in the configuration, http: {listen: …}; "
                "`sudo ss -ltnp` shows which program uses a port",
            ) from None
        self.port = int(self._server.server_address[1])
        shown = _written(_reached(http.host), self.port)
        self.url = f"{'http' if context is None else 'https'}://{shown}"
        """URL that a browser can open: never the wildcard address."""
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(SWEEP_SECONDS,), name="http", daemon=True
        )

    def start(self) -> None:
        self._server.progress_ns = monotonic_ns()
        self._thread.start()

    @property
    def turn(self) -> Turn:
        """The last turn of the accept loop."""
        return Turn(self._server.progress_ns, self._thread.native_id or 0)

    def renew(self) -> None:
        """Reload the certificate from its files. On EdgedError the old one stays in use."""
        if self._tls is None or fingerprint(self._tls) == self._certificate:
            return
        self._server.tls = server_context(self._tls)
        self._certificate = fingerprint(self._tls)
        log.info("%s: certificate reloaded", self._tls.certificate)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()
        self._server.connections.cut_off(math.inf)

    def __enter__(self) -> HttpServer:
        self.start()
        return self

    def __exit__(self, *error: object) -> None:
        self.close()


def _reached(host: str) -> str:
    """An address under which others reach this machine if `host` is the wildcard; loopback without
    a route. Nothing is sent: connecting a datagram socket only selects a route."""
    if host.strip("0.:"):
        return host
    for family, anywhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as asking:
            asking.connect((anywhere, 9))
            return str(asking.getsockname()[0])
    return "127.0.0.1"


def _written(host: str, port: int) -> str:
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


class _Server(Context):
    allow_reuse_address = True
    daemon_threads = True
    request_queue_size = 128

    def __init__(
        self,
        family: socket.AddressFamily,
        address: Any,
        endpoints: Endpoints,
        access: Access,
        bodies: Bodies,
        tls: ssl.SSLContext | None,
        connections: int,
        connection_seconds: float,
    ) -> None:
        self.address_family = family
        self.endpoints = endpoints
        self.access = access
        self.bodies = bodies
        self.tls = tls
        self.connections = Connections(connections, connection_seconds)
        self.connection_seconds = connection_seconds
        self.failing_paths = set()
        self.progress_ns = monotonic_ns()
        super().__init__(address, Handler, bind_and_activate=False)

    def listen(self, beside: _Server | None) -> None:
        sockets = () if beside is None else (self.socket, beside.socket)
        try:
            with _sharing_ports(*sockets):
                self.server_bind()
                self.server_activate()
        except OSError:
            self.server_close()
            raise

    def get_request(self) -> tuple[socket.socket, Any]:
        """Reads nothing: the accepting thread must not block on a client."""
        try:
            connection, address = super().get_request()
        except OSError as error:
            if error.errno in _SHORTAGES:  # retrying at once would occupy a core
                time.sleep(SWEEP_SECONDS)
            raise
        connection.settimeout(self.connection_seconds)
        if self.tls is None:
            return connection, address
        try:
            return self.tls.wrap_socket(connection, True, do_handshake_on_connect=False), address
        except (OSError, ValueError) as error:  # the client has disconnected
            connection.close()
            raise OSError(str(error)) from None

    def process_request(self, request: Any, client_address: Any) -> None:
        if self.connections.admit(request, time.monotonic()):
            time.sleep(CROWDED_SECONDS)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.connections.leave(request)
        if isinstance(request, ssl.SSLSocket):
            self.close_request(request)
        else:
            super().shutdown_request(request)

    def service_actions(self) -> None:
        self.progress_ns = monotonic_ns()
        self.connections.cut_off(time.monotonic())

    def handle_error(self, request: Any, client_address: Any) -> None:
        log.debug("a request failed", exc_info=True)


@contextlib.contextmanager
def _sharing_ports(*sockets: socket.socket) -> Iterator[None]:
    """Allow these to bind overlapping addresses, as 0.0.0.0:9640 and 127.0.0.1:9640. Only during
    the bind: a second daemon on the port must fail."""
    try:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        yield
    finally:
        for each in sockets:
            each.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 0)
