"""Times of variants on this device, from the profiles that a daemon has left."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path

from edged.atomic_file import read_file
from edged.control.profile_store import LARGEST_BYTES
from edged.device import device_facts
from edged.document.json_line import Line, parse_line
from edged.errors import InputError
from edged.variants.family import Family

MOST_PROFILES = 24


def times_ms(family: Family, state: Path, root: Path = Path("/")) -> dict[str, float]:
    """The median of each variant by name, in the fastest way that was measured; only of those that
    a profile of this device has. state: the folder of the profiles."""
    facts = device_facts(root)
    networks = {network.sha256 for network in family.networks}
    found: dict[str, float] = {}
    for path in sorted(state.glob("profile-*.json"))[:MOST_PROFILES]:
        try:
            for network, variant, spent in _rows(path, facts):
                if network in networks:
                    found[variant] = min(spent, found.get(variant, spent))
        except (OSError, InputError):  # noqa: PERF203  (a damaged one does not matter here)
            continue
    return found


def _rows(path: Path, facts: Mapping[str, str]) -> Iterator[tuple[str, str, float]]:
    """(network, variant, ms)"""
    line = parse_line(read_file(path, LARGEST_BYTES, links=False), str(path), 1)
    key = line.object_at("key")
    if any(key.get(name) != fact for name, fact in facts.items()):
        return
    for each in line.list_at("variants"):
        row: Line = line.inside("variants", each)
        service = row.inside("service_ms", row.take("service_ms"))
        yield row.text_at("network"), row.text_at("variant"), service.number_at("p50", above=True)
