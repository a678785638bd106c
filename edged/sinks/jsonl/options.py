"""`results.jsonl`: options and table entry."""

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
    """path: None for standard output. max_bytes: of one file, None for no rotation. keep: number of
    full files kept. words: plain text instead of JSON if standard output is a terminal."""

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
    path = config.path
    with suppress(OSError):  # it does not exist yet
        if path is not None and path.name in ("stdout", "stderr") and not path.exists():
            fix = 'write "-" for standard output'
            yield document.error("expected a file", "results", "jsonl", got=path, fix=fix)
        elif path is not None and path.is_dir():
            yield document.error("expected a file, not a folder", "results", "jsonl", got=path)
        elif path is not None and path.parent.is_file():
            what = "expected a file in a folder, not in another file"
            yield document.error(what, "results", "jsonl", got=path.parent)
        elif path is not None and path.samefile(document.path):
            yield document.error("is the configuration file itself", "results", "jsonl", got=path)


def _warnings(config: JsonlConfig) -> Iterator[str]:
    path = config.path
    try:
        if path is not None and not path.parent.exists():
            yield f"the folder {path.parent} does not exist; create it: mkdir -p {path.parent}"
    except OSError as error:  # no permission for a folder above it
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
        "File to append to. A symbolic link is preserved.",
        "results.jsonl",
        type="string",
        minLength=1,
    ),
    "max_bytes": key(
        "Size of a file (bytes)",
        "A file that would exceed this size becomes FILE.1, FILE.1 becomes FILE.2, and so on.",
        10_000_000,
        type="integer",
        minimum=100_000,
    ),
    "keep": key(
        "Full files",
        "Number of full files to keep. Results take at most (keep + 1) x max_bytes.",
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
        'A file, "-" for standard output, or none. edged follows rotation by logrotate. Without '
        "the key, edged run shows its screen instead where standard output is a terminal.",
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
