"""A ladder as it stands in the header of a recorded trace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from edged.control.profile import Candidate
from edged.document.json_line import Line
from edged.errors import InputError
from edged.variants.variant import Variant


def written(ladder: Sequence[Candidate]) -> list[dict[str, Any]]:
    return [
        {
            "variant": candidate.variant.name,
            "threads": candidate.threads,
            "runtime": candidate.runtime,
            **({"network": candidate.network} if candidate.network else {}),
            "top1": candidate.top1,
            "table_top1": candidate.table_top1,
            "p50_ms": candidate.p50_ms,
            "p95_ms": candidate.p95_ms,
            **({"joules": candidate.joules} if candidate.joules else {}),
        }
        for candidate in ladder
    ]


def ladder_at(line: Line, key: str) -> tuple[Candidate, ...]:
    ladder = []
    for index, entry in enumerate(line.list_at(key)):
        values = line.inside(f"{key}[{index}]", entry)
        present = values.values
        ladder.append(
            Candidate(
                variant_of(values, values.text_at("variant")),
                int(values.number_at("threads", 1)),
                values.number_at("top1"),
                values.number_at("p50_ms", above=True),
                values.number_at("p95_ms", above=True),
                runtime_at(values),
                values.text_at("network") if "network" in present else "",
                values.number_at("table_top1") if "table_top1" in present else math.nan,
                values.number_at("joules") if "joules" in present else 0.0,
            )
        )
    return tuple(ladder)


def variant_of(line: Line, name: str) -> Variant:
    try:
        return Variant.parse(name)
    except InputError as error:
        raise line.error(error.what, error.got) from None


def runtime_at(line: Line) -> str:
    """Release 0.1.0 had only one, and did not write it down."""
    return line.text_at("runtime") if "runtime" in line.values else "onnxruntime"
