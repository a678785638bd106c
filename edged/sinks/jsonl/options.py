"""`results.jsonl`: its keys, and the sink that it asks for."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.document.document import Document
from edged.document.parts import key
from edged.document.values import path_from
from edged.errors import InputError
from edged.result import to_json_line, to_text
from edged.sinks.sink import Kind, Rules, Sink


@dataclass(frozen=True, slots=True)
class JsonlConfig:
    """path: None for standard output. max_bytes: of one file, None for no rotation. keep: how many
    full files stay beside the one that is written. words: for people where standard output is a
    terminal, instead of JSON."""

    path: Path | None = None
    max_bytes: int | None = None
    keep: int = 0
    words: bool = False


def _parse(data: str | Mapping[str, Any], base: Path) -> JsonlConfig | None:
    if data == "none":
        return None
    if data == "-":
        return JsonlConfig()
    if isinstance(data, str):
        return JsonlConfig(path_from(data, base))
    return JsonlConfig(path_from(data["path"], base), int(data["max_bytes"]), int(data["keep"]))


def _check(config: JsonlConfig, document: Document) -> Iterator[InputError]:
    """For a path that leads to what holds no lines."""
    path = config.path
    with suppress(OSError):  # it is not there yet, as it should be
        if path is not None and path.is_dir():
            yield document.error("expected a file, not a folder", "results", "jsonl", got=path)
        elif path is not None and path.samefile(document.path):
            yield document.error("is this very file", "results", "jsonl", got=path)


def _warnings(config: JsonlConfig) -> Iterator[str]:
    path = config.path
    try:
        if path is not None and not path.parent.is_dir():
            yield f"there is no folder {path.parent}; make it: mkdir -p {path.parent}"
    except OSError as error:  # a folder above it is closed to us
        yield f"{path}: {error.strerror}"


def _make(config: JsonlConfig, rules: Rules, state: Path | None) -> Sink:
    from edged.sinks.jsonl.jsonl import Lines, open_lines

    words = config.words and sys.stdout is not None and sys.stdout.isatty()
    return Lines(
        open_lines(config.path),
        to_text if words else to_json_line,
        max_bytes=config.max_bytes,
        keep=config.keep,
    )


_ROTATION: dict[str, Any] = {
    "path": key(
        "File",
        "Appended to; a symbolic link stays one.",
        "results.jsonl",
        type="string",
        minLength=1,
    ),
    "max_bytes": key(
        "Bytes in a file",
        "A file that would grow beyond it becomes FILE.1, and that FILE.2.",
        10_000_000,
        type="integer",
        minimum=100_000,
    ),
    "keep": key(
        "Full files",
        "So many stay beside the one that is written: the card holds at most (keep + 1) x "
        "max_bytes of results.",
        3,
        type="integer",
        minimum=0,
        maximum=1000,
        default=3,
    ),
}

JSONL = Kind(
    schema=key(
        "JSON lines",
        'A file, "-" for standard output, or none. After logrotate, the new file is used.',
        "-",
        "results.jsonl",
        "none",
        {"path": "results.jsonl", "max_bytes": 10_000_000, "keep": 3},
        type=["string", "object"],
        pattern=".",
        patternErrorMessage='a file, "-" or none',
        default="-",
        additionalProperties=False,
        required=["path", "max_bytes"],
        properties=_ROTATION,
    ),
    parse=_parse,
    make=_make,
    check=_check,
    warnings=_warnings,
    words=("json", "file", "path", "log", "output"),
)
