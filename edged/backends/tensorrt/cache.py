"""Engines on disk: building one takes minutes, and it fits one device and version only.

A file is a line of JSON, the key with length and hash, followed by the content. Its name is a hash
of the key, so that engines of several TensorRT versions coexist; the least recently used ones are
deleted when the total is too large. A damaged file is built again. If the folder is not writable,
one warning is logged.
"""

from __future__ import annotations

import hashlib
import json
import logging
import os
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from edged.atomic_file import partial_of, read_file, write_whole

FORMAT = 2
"""Part of every key; to be increased with any change that makes other engines: onnx_forms.py, the
builder's settings. 2: engines give the pooled features as well."""
TIMING_FORMAT = 1
"""Of the timing cache, which outlives engines: what was timed for them shortens the next build."""
LARGEST_BYTES = 512 * 1024 * 1024
"""Of all files together. The shipped family's engines of one version take about 100 MB."""
_SUFFIX = ".engine"
_TIMING_SUFFIX = ".timing"

log = logging.getLogger("edged")


@dataclass(frozen=True, slots=True)
class EngineKey:
    """Everything that an engine depends on.

    files: sha256 of the network's file and of those used with it. sides: its profiles.
    """

    files: tuple[str, ...]
    tensorrt: str
    gpu: str
    capability: str
    precision: str
    sides: tuple[int, ...]
    flags: tuple[str, ...]
    format: int = FORMAT

    @property
    def name(self) -> str:
        return _digest(asdict(self))[:32] + _SUFFIX

    @property
    def timing(self) -> dict[str, Any]:
        """The key of the timing cache, which all builds of a device and version share."""
        whole = asdict(self) | {"format": TIMING_FORMAT}
        return {name: whole[name] for name in ("tensorrt", "gpu", "capability", "format")}


def cache_directory(environ: Mapping[str, str]) -> Path | None:
    """systemd's CacheDirectory=, or the cache folder of the XDG Base Directory Specification."""
    given = environ.get("CACHE_DIRECTORY", "").split(":")[0]
    cache, home = environ.get("XDG_CACHE_HOME", ""), environ.get("HOME", "")
    if given:
        return Path(given)
    if cache.startswith("/"):
        return Path(cache) / "edged"
    return Path(home) / ".cache/edged" if home.startswith("/") else None


def engines_directory(environ: Mapping[str, str]) -> Path | None:
    cache = cache_directory(environ)
    return None if cache is None else cache / "engines"


class EngineCache:
    """directory: created on the first write; None: nothing is kept."""

    def __init__(self, directory: Path | None, largest_bytes: int = LARGEST_BYTES) -> None:
        self._directory = directory
        self._largest_bytes = largest_bytes
        self.problem = ""
        """Why engines are not kept; empty while they are."""

    def load(self, key: EngineKey) -> bytes | None:
        """The plan; None if there is none or it is damaged."""
        plan = self._read(key.name, asdict(key))
        if plan is not None and self._directory is not None:
            with suppress(OSError):  # in a read-only folder, age does not matter
                os.utime(self._directory / key.name)
        return plan

    def store(self, key: EngineKey, plan: bytes, timing: bytes) -> None:
        """timing: the builder's timing cache, for the next build."""
        self._write(key.name, asdict(key), plan)
        if timing:
            self._write(_timing_name(key), key.timing, timing)
        self._prune(key.name)

    def discard(self, key: EngineKey) -> None:
        """Delete a plan that TensorRT rejects or that gives wrong scores."""
        if self._directory is not None:
            with suppress(OSError):
                (self._directory / key.name).unlink()

    def timing(self, key: EngineKey) -> bytes:
        """The timing cache; empty if there is none."""
        return self._read(_timing_name(key), key.timing) or b""

    def _read(self, name: str, key: Mapping[str, Any]) -> bytes | None:
        if self._directory is None:
            return None
        path = self._directory / name
        try:
            stored = read_file(path, LARGEST_BYTES)
        except (FileNotFoundError, NotADirectoryError):
            return None
        except OSError as error:
            log.warning("%s: %s; building it again", path, error.strerror)
            return None
        header, line_end, content = stored.partition(b"\n")
        del stored
        if header + line_end == _header(key, content):
            return content
        log.warning("%s: damaged, or for another device or version; building it again", path)
        return None

    def _write(self, name: str, key: Mapping[str, Any], content: bytes) -> None:
        if self._directory is None:
            self._tell("HOME is not set; set CACHE_DIRECTORY to a folder")
            return
        try:
            self._directory.mkdir(parents=True, exist_ok=True)
            write_whole(self._directory / name, _header(key, content) + content)
        except OSError as error:
            self._tell(f"{self._directory}: {error.strerror}")

    def _tell(self, problem: str) -> None:
        if not self.problem:
            log.warning("engines are not kept, each start builds them again: %s", problem)
        self.problem = problem

    def _prune(self, kept: str) -> None:
        if self._directory is None:
            return
        with suppress(OSError):  # another daemon may prune as well
            files = [
                (path.name == kept, path.stat().st_mtime_ns, path.stat().st_size, path)
                for path in self._directory.iterdir()
                if path.suffix == _SUFFIX
            ]
            total = 0
            for _, _, size, path in sorted(files, reverse=True):
                total += size
                if total > self._largest_bytes and path.name != kept:
                    path.unlink(missing_ok=True)
                    partial_of(path).unlink(missing_ok=True)


def _timing_name(key: EngineKey) -> str:
    return _digest(key.timing)[:32] + _TIMING_SUFFIX


def _header(key: Mapping[str, Any], content: bytes) -> bytes:
    sha256 = hashlib.sha256(content).hexdigest()
    whole = {"edged_engine": key["format"], "key": key, "bytes": len(content), "sha256": sha256}
    return json.dumps(whole, sort_keys=True).encode() + b"\n"


def _digest(key: Mapping[str, Any]) -> str:
    return hashlib.sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
