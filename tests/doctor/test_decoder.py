"""What the hardware decoder saves, measured with a stand-in that saves nothing."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from edged.doctor.child import run
from edged.doctor.decoder import measured
from tests.rig import stand_in_decoder as stand_in

pytestmark = stand_in.needs_stand_in


def test_both_are_measured(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    element = stand_in.install(tmp_path, monkeypatch)
    found = measured(run, [sys.executable])
    assert found is not None
    assert (found.element, found.why) == (element, "")
    assert found.software_ms > 0
    assert found.hardware_ms > 0
    assert f"{element} takes {found.hardware_ms:g} ms" in str(found)


def test_no_decoder(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nonexistent")
    assert measured(run, [sys.executable]) is None
