"""The section `results`: the table of sink kinds, and the content of results."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from edged.document.document import Document
from edged.document.parts import key, section
from edged.document.problems import Formats
from edged.errors import InputError
from edged.sinks.jsonl.options import JSONL, JsonlConfig
from edged.sinks.mqtt.options import MQTT
from edged.sinks.notify.options import NOTIFY
from edged.sinks.sink import Kind
from edged.sinks.webhook.options import WEBHOOK

KINDS: Mapping[str, Kind] = {
    "jsonl": JSONL,
    "mqtt": MQTT,
    "webhook": WEBHOOK,
    "notify": NOTIFY,
}
"""By key in the section, which is also the metrics' label."""


@dataclass(frozen=True, slots=True)
class ResultsConfig:
    """sinks: name in KINDS → configuration, of the configured ones."""

    sinks: Mapping[str, Any]
    top_k: int
    min_score: float


DEMO = ResultsConfig({"jsonl": JsonlConfig(words=True)}, top_k=3, min_score=0.1)
"""Standard output: text on a terminal, else JSON."""


def results_config(data: Mapping[str, Any], base: Path) -> ResultsConfig:
    """data: the section, checked. base: where relative paths start."""
    parsed = {name: kind.parse(data[name], base) for name, kind in KINDS.items() if name in data}
    sinks = {name: config for name, config in parsed.items() if config is not None}
    return ResultsConfig(sinks, int(data["top_k"]), float(data["min_score"]))


def results_formats(base: Path) -> Formats:
    return {name: check for kind in KINDS.values() for name, check in kind.formats(base).items()}


def results_errors(results: ResultsConfig, document: Document) -> Iterator[InputError]:
    for name, config in results.sinks.items():
        yield from KINDS[name].check(config, document)


def results_warnings(results: ResultsConfig) -> Iterator[tuple[tuple[str, ...], str]]:
    """(keys, one line)"""
    for name, config in results.sinks.items():
        for warning in KINDS[name].warnings(config):
            yield ("results", name), warning


_HINTS = {
    **{word: name for name, kind in KINDS.items() for word in kind.words},
    **dict.fromkeys(("threshold", "confidence"), "min_score"),
    "top": "top_k",
}

RESULTS = key(
    "Results",
    "Where results go, and what they contain.",
    {"jsonl": "-", "top_k": 3, "min_score": 0.1},
    default={},
    **section(
        [],
        _HINTS,
        **{name: kind.schema for name, kind in KINDS.items()},
        top_k=key(
            "Classes in a result",
            "Number of classes in a result, best first.",
            3,
            type="integer",
            minimum=1,
            maximum=100,
            default=3,
        ),
        min_score=key(
            "Minimum score",
            "Classes with a lower score are omitted.",
            0.1,
            type="number",
            minimum=0,
            maximum=1,
            default=0.1,
        ),
    ),
)
