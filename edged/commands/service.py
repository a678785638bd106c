"""`edged service install` and `uninstall`."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edged.commands.parts import Commands, add_command, file_or_folder


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    service = commands.add_parser(
        "service", help="run at boot, under systemd", epilog="example: edged service install"
    )
    verbs = service.add_subparsers(metavar="VERB", required=True)
    install = add_command(
        verbs,
        "install",
        _install,
        "create the systemd unit, its user and a first configuration (after pip install)",
        "edged service install --config /etc/edged/edged.yaml",
    )
    install.add_argument(
        "--config",
        type=file_or_folder,
        metavar="FILE",
        help="the configuration (default: /etc/edged/edged.yaml, created if missing)",
    )
    install.add_argument("--user", metavar="NAME", help="user of the service (default: edged)")
    install.add_argument("--print", action="store_true", help="only show the unit")
    add_command(
        verbs,
        "uninstall",
        _uninstall,
        "stop the service and remove its unit; keep configuration and state",
        "edged service uninstall",
    )


def _install(options: argparse.Namespace) -> int:
    from edged.service.install import CONFIG, USER, Service, install, unit_text

    service = Service(
        interpreter=Path(sys.executable),
        config=CONFIG if options.config is None else options.config.absolute(),
        user=options.user or USER,
    )
    if options.print:
        print(unit_text(service), end="")
        return 0
    for line in install(service):
        print(line)
    print("start it now and at every boot: sudo systemctl enable --now edged")
    return 0


def _uninstall(options: argparse.Namespace) -> int:
    from edged.service.install import uninstall

    for line in uninstall(Path(sys.executable)):
        print(line)
    return 0
