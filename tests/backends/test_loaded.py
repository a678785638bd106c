"""A family in memory: which sessions there are."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.control.energy import Use
from edged.variants.family import Network, write_family
from edged.variants.runtime import RunError, Runner
from edged.variants.variant import Variant
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
    family = make_family(tmp_path)
    loaded = LoadedNetworks([family], [backend], [1, 2])
    assert sorted(backend.loads) == [(alpha, count) for alpha in ALPHAS for count in (1, 2)]
    for variant in (*NARROW, *WIDE):
        scores, preprocessed_ns, inferred_ns = loaded.infer(family.choice(variant, 2), PICTURE)
        assert scores.shape == (6,)
        assert preprocessed_ns <= inferred_ns


def test_what_ran_is_counted_also_over_a_reload(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    moments = iter(range(0, 10**12, 5_000_000))
    loaded = LoadedNetworks([family], [OrtBackend()], clock=lambda: next(moments))
    narrow, wide = family.choice(NARROW[0], 1), family.choice(WIDE[0], 1)
    assert loaded.used() == {}
    for choice in (narrow, wide, narrow):
        loaded.infer(choice, PICTURE)
    before = loaded.used()
    assert before == {narrow: Use(0.02, 2), wide: Use(0.01, 1)}
    after = LoadedNetworks([family], [OrtBackend()], before=loaded, clock=lambda: next(moments))
    after.infer(wide, PICTURE)
    assert after.used() == {narrow: Use(0.02, 2), wide: Use(0.02, 2)}
    assert before[wide].runs == 1  # what was told does not change
    with pytest.raises(RunError):
        after.infer(wide, np.zeros((0, 0, 3), np.uint8))
    assert after.used()[wide].runs == 2


def test_what_is_left_out_is_not_loaded_and_its_file_not_read(tmp_path: Path) -> None:
    family = make_family(tmp_path)
    family.networks[1].path.unlink()
    wanted = {family.choice(NARROW[0], 1), family.choice(NARROW[1], 1), family.choice(NARROW[1], 2)}
    backend = CountingBackend()
    loaded = LoadedNetworks([family], [backend], [1, 2], wanted=wanted)
    assert sorted(backend.loads) == [(ALPHAS[0], 1), (ALPHAS[0], 2)]  # by two, NARROW[1] stays
    assert loaded.choices == {family.choice(each, count) for each in NARROW for count in (1, 2)}
    loaded.infer(family.choice(NARROW[1], 2), PICTURE)
    with pytest.raises(KeyError):
        loaded.infer(family.choice(WIDE[0], 1), PICTURE)


def test_sessions_that_serve_nothing_wanted_are_dropped_with_their_threads(tmp_path: Path) -> None:
    before = threads_of_this_process()
    family = make_family(tmp_path)
    loaded = LoadedNetworks([family], [OrtBackend()], [1, 3])
    assert threads_of_this_process() == before + 2 * 2
    loaded.keep({family.choice(NARROW[0], 3), family.choice(WIDE[1], 1)})
    assert threads_of_this_process() == before + 2
    loaded.infer(family.choice(NARROW[1], 3), PICTURE)  # of a session that is needed anyway
    loaded.infer(family.choice(WIDE[0], 1), PICTURE)
    for variant, count in ((NARROW[0], 1), (WIDE[0], 3)):
        with pytest.raises(KeyError):
            loaded.infer(family.choice(variant, count), PICTURE)


def test_families_that_share_a_file_share_its_session(tmp_path: Path) -> None:
    one = make_family(tmp_path / "one")
    labels = tuple(reversed(one.labels))
    other = replace(one, name="other", directory=tmp_path / "other", labels=labels)
    other = write_family(other, {})
    backend = CountingBackend()
    loaded = LoadedNetworks([one, other], [backend])
    assert sorted(backend.loads) == [(alpha, 1) for alpha in ALPHAS]
    assert one.choice(WIDE[0]) == other.choice(WIDE[0])
    assert loaded.choices == {one.choice(variant) for variant in (*NARROW, *WIDE)}


def test_what_is_already_loaded_is_used_again(tmp_path: Path) -> None:
    family, backend = make_family(tmp_path), CountingBackend()
    narrow = replace(family, networks=family.networks[:1])
    before = LoadedNetworks([narrow], [backend])
    backend.loads.clear()
    progress: list[tuple[int, int]] = []
    after = LoadedNetworks(
        [family], [backend], before=before, progress=lambda *each: progress.append(each)
    )
    assert backend.loads == [(ALPHAS[1], 1)]
    assert progress == [(1, 2), (2, 2)]
    after.infer(family.choice(NARROW[0]), PICTURE)
