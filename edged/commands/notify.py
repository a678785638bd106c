"""`edged notify --test`."""

from __future__ import annotations

import argparse
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from edged.commands.parts import Commands, add_command, file_or_folder
from edged.errors import InputError, InputErrors, MissingPackageError

if TYPE_CHECKING:
    from edged.config.config import Config
    from edged.result import Event
    from edged.sinks.notify.options import Destination

_SIDE = 320
_QUALITY = 85


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    notify = add_command(
        commands,
        "notify",
        _notify,
        "send a test message with a drawn picture to the destinations of results.notify",
        "edged notify --test phone -c edged.yaml",
    )
    notify.add_argument(
        "--test",
        action="store_true",
        required=True,
        help="send one message to each, also in quiet hours; exit status 1 if one is not taken",
    )
    notify.add_argument(
        "name", nargs="*", metavar="NAME", help="names of destinations (default: all)"
    )
    notify.add_argument(
        "-c",
        "--config",
        type=file_or_folder,
        metavar="FILE",
        help="the configuration (default: the service's, else /etc/edged/edged.yaml)",
    )


def _notify(options: argparse.Namespace) -> int:
    from edged.process import refuse_inspection
    from edged.sinks.notify.messenger import Messenger
    from edged.sinks.notify.notify import composed
    from edged.sinks.notify.options import INSTALL, apprise_is_missing

    refuse_inspection()  # before an address is read
    config = _config_of(options.config)
    destinations = _destinations(config, options.name)
    if apprise_is_missing():
        raise MissingPackageError("apprise is not installed", INSTALL, in_deb=True)
    event, messenger = _event(config), Messenger()
    taken = True
    try:
        for each in destinations:
            message = composed(each, event)
            answer = messenger.send(
                each.address, message._replace(text=f"Test of edged: {message.text}")
            )
            taken = taken and answer.taken
            word = "taken" if answer.taken else "not taken"
            print(f"{each.name}: {word}{answer.why and f': {answer.why}'}", flush=True)
    finally:
        messenger.close()
    return 0 if taken else 1


def _config_of(path: Path | None) -> Config:
    """With the environment of the running service, as far as this user may read it."""
    from edged.doctor.subject import subject_of

    subject = subject_of(path, os.environ)
    if subject.config is not None:
        return subject.config
    if subject.config_path is None:
        raise InputError("no configuration found", fix="name one: edged notify --test -c FILE")
    raise InputErrors(
        [InputError(each.what, got=each.got, fix=each.fix) for each in subject.config_errors]
    )


def _destinations(config: Config, names: list[str]) -> list[Destination]:
    known = {each.name: each for each in config.results.sinks.get("notify", ())}
    if not known:
        fix = 'for example results: {notify: {phone: {url: "ntfys://…"}}}'
        raise InputError("there is no destination under results.notify", where=config.path, fix=fix)
    for name in names:
        if name not in known:
            fix = f"the destinations are {', '.join(known)}"
            raise InputError("no such destination", where=config.path, fix=fix)
    return [known[name] for name in names] or list(known.values())


def _event(config: Config) -> Event:
    """What a message about the first rule in its first view would tell."""
    from edged.capture.decode.jpeg import encode_jpeg
    from edged.capture.sources.synthetic.scene import Scene
    from edged.result import Event

    rule = config.events[0] if config.events else None
    view = rule.views[0] if rule is not None and rule.views else config.views[0].id
    snapshot = encode_jpeg(Scene(_SIDE, _SIDE).draw(0.0), _QUALITY)
    return Event(view, "test" if rule is None else rule.name, time.time_ns(), None, 0.93, snapshot)
