"""A small family of real networks for the backends."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.variants.family import Family
from tests.rig.families import make_family


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family(tmp_path / "family")
