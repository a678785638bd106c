"""What became of the inputs of `make fuzz`, by reader."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator

import pytest

from tests.rig.damage import MANY


@pytest.fixture(scope="module")
def outcomes(request: pytest.FixtureRequest) -> Iterator[Callable[[str, str], None]]:
    """Counts what became of the inputs, by reader."""
    counts: Counter[tuple[str, str]] = Counter()

    def count(reader: str, outcome: str) -> None:
        counts[reader, outcome] += 1

    yield count
    if MANY:
        lines = [f"{reader}: {n} {outcome}" for (reader, outcome), n in sorted(counts.items())]
        capture = request.config.pluginmanager.get_plugin("capturemanager")
        with capture.global_and_fixture_disabled():
            print("", *lines, f"together {counts.total()} inputs", sep="\n")  # noqa: T201
