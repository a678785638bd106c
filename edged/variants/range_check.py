from __future__ import annotations

from edged.variants.network import ImportedWeights


def range_warning(imported: ImportedWeights, model: bytes) -> str | None:
    return None
