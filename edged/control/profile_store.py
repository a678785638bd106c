"""The profile on disk: one JSON file for each device and version of a runtime.

Its rows name the network by the sha256 of its file, so that families that share a network share its
times, and a family taught again keeps them.

The file's name is a hash of its key, which the file also contains. An invalid file is renamed and
never prevents a start. Several daemons may share the directory.

The size of a camera's picture is not part of the key: capture delivers pictures between once and
twice the requested resolution, whatever the camera.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import logging
import os
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from operator import itemgetter
from pathlib import Path
from typing import Any

from edged.atomic_file import open_to_write, partial_of, read_file, write_whole
from edged.clock import rfc3339
from edged.control.profile import Profile, Spread, Timing
from edged.document.json_line import Line, parse_line
from edged.errors import InputError
from edged.variants.variant import Choice, Variant

FORMAT = 2
"""The value of `edged_profile`, and part of the key: each format has files of its own."""
FILES_KEPT = 24
"""Updates of the runtimes leave old files behind."""
ROWS_KEPT = 1000
"""Retrained networks leave old rows behind."""
LARGEST_BYTES = 1_000_000
BAD = "profile.bad"
DECIMALS = 4

log = logging.getLogger("edged")

Decoding = Mapping[str, Mapping[int, Spread]]
"""By view and requested resolution."""


class ProfileStore:
    """The profiles of the runtimes in use, a file each.

    directory: created if missing; if it is not writable, one warning is logged. keys: device and
    backend of each runtime.
    """

    def __init__(
        self,
        directory: Path | None,
        keys: Iterable[Mapping[str, str]],
        *,
        unix_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._files = [_ProfileFile(key) for key in keys]
        self._unix_ns = unix_ns
        self._directory = directory
        self._told = False
        self._prepare()

    def load(self) -> Profile:
        """What the files have; nothing of one that is missing or not valid."""
        if self._directory is None:
            return {}
        found: dict[Choice, Timing] = {}
        for file in self._files:
            found |= self._load(file, self._directory / file.name)
        return found

    def save(self, profile: Profile, decoding: Decoding) -> None:
        """Write the profile, merged with the files'. May wait for a slow disk."""
        if self._directory is None:
            return
        try:
            with open_to_write(self._directory / "profile.lock", "ab") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)  # until it is closed
                for file in self._files:
                    if not any(map(file.holds, profile)):
                        continue
                    path = self._directory / file.name
                    known: Profile = {}
                    with suppress(InputError, FileNotFoundError):
                        known, _ = file.read(path)
                    older = {each: known[each] for each in known if each not in profile}
                    text = file.text({**profile, **older}, decoding, rfc3339(self._unix_ns()))
                    write_whole(path, text.encode())
                self._delete_oldest()
        except OSError as error:
            self._tell(f"{self._directory}: {error.strerror}")

    def _load(self, file: _ProfileFile, path: Path) -> Profile:
        try:
            profile, measured_at = file.read(path)
        except (FileNotFoundError, NotADirectoryError):
            log.info("no profile of this device with %s yet: measuring it now", file.runtime)
            return {}
        except OSError as error:
            log.warning("%s: %s; measuring everything again", path, error.strerror)
            return {}
        except InputError as error:
            kept = self._put_aside(path)
            log.warning("%s%s; measuring everything again", error, kept)
            return {}
        log.info("profile from %s, measured at %s", path, measured_at)
        return profile

    def _prepare(self) -> None:
        if self._directory is None:
            self._tell("HOME is not set; set STATE_DIRECTORY to a folder")
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            self._tell(f"{self._directory}: {error.strerror}")
            return
        if not os.access(self._directory, os.W_OK | os.X_OK):
            self._tell(f"no write permission for {self._directory}")

    def _tell(self, problem: str) -> None:
        if not self._told:
            log.warning("the profile is not kept for the next start: %s", problem)
        self._told = True

    def _put_aside(self, path: Path) -> str:
        aside = path.with_name(BAD)
        try:
            path.replace(aside)
        except OSError:
            return ""
        return f"; renamed to {aside}"

    def _delete_oldest(self) -> None:
        assert self._directory is not None
        own = {file.name for file in self._files}
        others = [path for path in self._directory.glob("profile-*.json") if path.name not in own]
        others.sort(key=lambda other: other.stat().st_mtime, reverse=True)
        for other in others[FILES_KEPT - len(own) :]:
            other.unlink(missing_ok=True)
            partial_of(other).unlink(missing_ok=True)


class _ProfileFile:
    """The profile of one runtime."""

    def __init__(self, key: Mapping[str, str]) -> None:
        self.runtime = key["backend"]
        self._key = {"format": str(FORMAT), **key}
        digest = hashlib.sha256(json.dumps(self._key, sort_keys=True).encode()).hexdigest()
        self.name = f"profile-{digest[:16]}.json"

    def holds(self, choice: Choice) -> bool:
        return choice.runtime == self.runtime

    def text(self, profile: Profile, decoding: Decoding, measured_at: str) -> str:
        """Of what this runtime has in the profile; what comes first is kept."""
        kept = [each for each in profile.items() if self.holds(each[0])][:ROWS_KEPT]
        rows = [
            {
                "network": choice.network,
                "variant": choice.variant.name,
                "threads": choice.threads,
                "runs": timing.runs,
                "service_ms": _rounded(timing.service),
                "preprocess_ms": _rounded(timing.preprocess),
                "inference_ms": _rounded(timing.inference),
            }
            for choice, timing in sorted(kept, key=itemgetter(0))
        ]
        values = {
            "edged_profile": FORMAT,
            "measured_at": measured_at,
            "key": self._key,
            "decode_ms": {
                view: {str(side): _rounded(spread) for side, spread in sorted(by_side.items())}
                for view, by_side in decoding.items()
            },
        }
        # One row a line: people read it.
        lines = ",\n".join(f"    {json.dumps(row)}" for row in rows)
        return json.dumps(values, indent=2)[:-2] + f',\n  "variants": [\n{lines}\n  ]\n}}\n'

    def read(self, path: Path) -> tuple[Profile, str]:
        """The profile, and when it was measured."""
        content = read_file(path, LARGEST_BYTES)
        line = parse_line(content, str(path), 1)
        version = line.take("edged_profile")
        if version != FORMAT:
            raise line.error(f"the profile's format is not {FORMAT}", repr(version))
        key = line.object_at("key")
        for name in sorted({*self._key, *key}):
            if key.get(name) != self._key.get(name):
                expected = self._key.get(name, "nothing")
                raise line.error(
                    f"the profile of another device or backend: `{name}` is not {expected}",
                    repr(key.get(name)),
                )
        rows = [
            line.inside(f"variants[{index}]", row)
            for index, row in enumerate(line.list_at("variants"))
        ]
        try:
            return dict(self._row(row) for row in rows), line.text_at("measured_at")
        except OverflowError as error:  # an integer that no float can hold
            raise line.error(str(error)) from None

    def _row(self, row: Line) -> tuple[Choice, Timing]:
        try:
            variant = Variant.parse(row.text_at("variant"))
        except InputError as error:
            raise row.error(error.what, error.got) from None
        timing = Timing(
            _spread(row, "service_ms"),
            _spread(row, "preprocess_ms"),
            _spread(row, "inference_ms"),
            _whole(row, "runs"),
        )
        threads, network = _whole(row, "threads"), row.text_at("network")
        return Choice(variant, threads, self.runtime, network), timing


def _rounded(spread: Spread) -> dict[str, Any]:
    return {"p50": round(spread.p50_ms, DECIMALS), "p95": round(spread.p95_ms, DECIMALS)}


def _spread(row: Line, key: str) -> Spread:
    spread = row.inside(key, row.take(key))
    p50_ms = spread.number_at("p50", above=key == "service_ms")
    return Spread(p50_ms, spread.number_at("p95", p50_ms))


def _whole(row: Line, key: str) -> int:
    number = row.number_at(key, 1)
    if not number.is_integer():
        raise row.error(f"`{key}` must be a whole number", number)
    return int(number)
