"""A family in memory: which sessions there are."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from edged.backends.loaded import LoadedFamily
from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import Network
from edged.variants.runtime import Runner
from edged.variants.variant import Choice, Variant
from tests.rig.families import ALPHAS, RESOLUTIONS, make_family

PICTURE = np.full((100, 100, 3), 128, np.uint8)
NARROW, WIDE = ([Variant(alpha, side) for side in RESOLUTIONS] for alpha in ALPHAS)


class CountingBackend(OrtBackend):
    def __init__(self) -> None:
        super().__init__()
        self.loads: list[tuple[float, int]] = []

    def load(self, network: Network, model: bytes, threads: int) -> Runner:
        self.loads.append((network.alpha, threads))
        return super().load(network, model, threads)


def threads_of_this_process() -> int:
    return len(list(Path("/proc/self/task").iterdir()))


def test_a_session_serves_every_resolution_of_its_file(tmp_path: Path) -> None:
    backend = CountingBackend()
    loaded = LoadedFamily(make_family(tmp_path), [backend], [1, 2])
    assert sorted(backend.loads) == [(alpha, count) for alpha in ALPHAS for count in (1, 2)]
    for variant in (*NARROW, *WIDE):
        scores, preprocessed_ns, inferred_ns = loaded.infer(Choice(variant, 2), PICTURE)
        assert scores.shape == (6,)
        assert preprocessed_ns <= inferred_ns


def test_what_is_left_out_is_not_loaded_and_its_file_not_read(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    family.networks[1].path.unlink()
    left_out = {Choice(variant, count) for variant in WIDE for count in (1, 2)}
    left_out |= {Choice(NARROW[0], 2)}
    backend = CountingBackend()
    loaded = LoadedFamily(family, [backend], [1, 2], left_out=left_out)
    assert sorted(backend.loads) == [(ALPHAS[0], 1), (ALPHAS[0], 2)]  # by two, NARROW[1] stays
    assert loaded.choices == {Choice(variant, count) for variant in NARROW for count in (1, 2)}
    loaded.infer(Choice(NARROW[1], 2), PICTURE)
    with pytest.raises(KeyError):
        loaded.infer(Choice(WIDE[0], 1), PICTURE)


def test_sessions_that_serve_nothing_wanted_are_dropped_with_their_threads(tmp_path: Path) -> None:
    before = threads_of_this_process()
    loaded = LoadedFamily(make_family(tmp_path), [OrtBackend()], [1, 3])
    assert threads_of_this_process() == before + 2 * 2
    loaded.keep({Choice(NARROW[0], 3), Choice(WIDE[1], 1)})
    assert threads_of_this_process() == before + 2
    loaded.infer(Choice(NARROW[1], 3), PICTURE)  # of a session that is needed anyway
    loaded.infer(Choice(WIDE[0], 1), PICTURE)
    for variant, count in ((NARROW[0], 1), (WIDE[0], 3)):
        with pytest.raises(KeyError):
            loaded.infer(Choice(variant, count), PICTURE)
