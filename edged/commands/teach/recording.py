"""`--from-camera`: records by the API of the running daemon."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from edged.commands.api import Daemon
from edged.commands.teach.place import Place
from edged.commands.teach.words import counted
from edged.errors import EdgedError, InputError

if TYPE_CHECKING:
    from edged.config.config import Config
    from edged.web.options import HttpConfig

HELD_SECONDS = 5.0
"""The daemon records so long after each request; the command asks again before it is over."""
_AGAIN_SECONDS = 2.0
_LOOKS, _LOOK_SECONDS = 10, 0.2


def record(
    place: Place, label: str, seconds: float, sleep: Callable[[float], None] = time.sleep
) -> int:
    """Record one moment and print what was kept."""
    from tqdm import tqdm

    with place.classifier() as classifier:
        classifier.check_class(label)
    daemon = Daemon.of(_http(place.config))
    until = time.monotonic() + seconds
    moment: str | None = None
    pictures = expected = 0
    with tqdm(total=round(seconds), unit="s", disable=None, leave=False, desc=label) as bar:
        while (left := until - time.monotonic()) > 0:
            values = {"label": label, "seconds": min(HELD_SECONDS, left), "moment": moment}
            answer = daemon.post(f"teach/{place.name}/record", values)
            if not isinstance(answer.get("moment"), str):
                raise daemon.misunderstood()
            moment = answer["moment"]
            expected = int(answer.get("pictures") or 0)
            bar.set_postfix(pictures=expected)
            sleep(min(_AGAIN_SECONDS, left))
            bar.update(round(seconds - max(0.0, until - time.monotonic())) - bar.n)
    for _ in range(_LOOKS):  # it stores them a little later
        for each in daemon.get(f"teach/{place.name}").get("moments", ()):
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
