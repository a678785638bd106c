"""`edged status`: the state of the running daemon, by its API."""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any

from edged.commands.access import read_password
from edged.commands.parts import Commands, add_command, add_config, config_of, find_config
from edged.errors import EdgedError, InputError
from edged.printable import printable

if TYPE_CHECKING:
    from edged.commands.api import Daemon
    from edged.commands.status.screen import Style
    from edged.commands.status.terminal import Terminal

DEFAULT_URL = "http://127.0.0.1:9640"
PASSWORD = "EDGED_PASSWORD"
EVERY_SECONDS = 1.0


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    status = add_command(
        commands,
        "status",
        _status,
        "show the state of the running daemon: whether all is well, and each view",
        "edged status --watch",
    )
    status.epilog = (
        "exit status: 0 all is well, 1 it is not, 2 wrong usage or login, 3 no daemon answers\n\n"
        f"{status.epilog}"
    )
    add_config(
        status,
        "the daemon's configuration, for its address (default: ./edged.yaml, else "
        "/etc/edged/edged.yaml, if there is one)",
    )
    status.add_argument("--url", metavar="URL", help="its address instead, as of the page")
    status.add_argument(
        "--user",
        metavar="NAME",
        help=f"a user of http.users; the password is taken from {PASSWORD}, else asked for, else "
        "read from standard input. Without a user, EDGED_TOKEN may hold a token",
    )
    status.add_argument(
        "--watch", action="store_true", help="show it every second, until q or Ctrl-C"
    )
    status.add_argument("--json", action="store_true", help="print the JSON of /api/v1/status")
    status.add_argument(
        "--health",
        action="store_true",
        help="ask only whether every loop of the daemon makes progress (/healthz), as the "
        "container image does every 30 seconds",
    )


def _status(options: argparse.Namespace) -> int:
    if options.watch + options.json + options.health > 1:
        raise InputError("expected only one of --watch, --json and --health")
    daemon = _daemon(options)
    if options.health:
        return _health(daemon)
    if options.json:
        from edged.commands.status.screen import Style

        status = _ask(daemon)
        _drawn(status, daemon, Style())  # for its check
        print(json.dumps(status, indent=2))
        return _exit_status(status)
    from edged.commands.status.terminal import Terminal

    if sys.stdout is None:
        raise EdgedError("standard output is closed")
    terminal = Terminal(sys.stdout, os.environ)
    if options.watch:
        return _watch(daemon, terminal)
    status = _ask(daemon)
    terminal.print(_drawn(status, daemon, terminal.style()))
    return _exit_status(status)


def _daemon(options: argparse.Namespace) -> Daemon:
    from edged.commands.api import Daemon, basic

    login = None
    if options.user is not None:
        password = os.environ.get(PASSWORD) or read_password()
        login = basic(options.user, password)
    also, given = "--user NAME, or ", config_of(options)
    if options.url is not None:
        if given is not None:
            raise InputError("expected --url or a configuration, not both")
        return Daemon(options.url, login=login, also=also, here=options.url == DEFAULT_URL)
    config = find_config(given)
    if config is None:
        return Daemon(DEFAULT_URL, login=login, also=also, here=True)
    if config.http is None or config.http.port == 0:
        raise InputError(
            "the daemon has no known address: http.listen is none or has port 0",
            where=config.path,
            fix="name it: --url http://127.0.0.1:PORT; the log has the port",
        )
    return Daemon.of(config.http, login, also)


def _ask(daemon: Daemon) -> dict[str, Any]:
    status = daemon.get("status")
    if isinstance(status.get("verdict"), dict):
        return status
    if "cameras" in status:
        raise EdgedError(
            "this daemon is older than the command",
            where=daemon.url,
            fix="restart it: sudo systemctl restart edged",
        )
    raise daemon.misunderstood()


def _health(daemon: Daemon) -> int:
    stuck = daemon.health().get("stuck_seconds")
    if not isinstance(stuck, dict):
        raise daemon.misunderstood()
    for loop, seconds in stuck.items():
        print(f"{printable(str(loop))}: no progress for {seconds} s")
    if not stuck:
        print("every loop makes progress")
    return 1 if stuck else 0


def _exit_status(status: Mapping[str, Any]) -> int:
    return 0 if status["verdict"].get("ok") is True else 1


def _drawn(status: Mapping[str, Any], daemon: Daemon, style: Style) -> list[str]:
    from edged.commands.status.screen import draw

    try:
        return draw(status, style)
    except (LookupError, TypeError, ValueError, AttributeError, ArithmeticError):
        raise daemon.misunderstood() from None


def _watch(daemon: Daemon, terminal: Terminal) -> int:
    """Until somebody ends it. A daemon that goes away is waited for."""
    from edged.commands.status.screen import gone
    from edged.commands.status.terminal import keys

    gone_since, wait_seconds = "", 0.0
    with suppress(KeyboardInterrupt), keys() as pressed:
        while "q" not in pressed(wait_seconds).lower():
            style = terminal.style()
            try:
                lines = _drawn(_ask(daemon), daemon, style)
                gone_since = ""
            except InputError:
                raise
            except EdgedError as error:
                gone_since = gone_since or time.strftime("%H:%M:%S")
                lines = gone(f"no daemon since {gone_since}: {error}", style)
            terminal.show(lines, style.width)
            wait_seconds = EVERY_SECONDS
    return 0
