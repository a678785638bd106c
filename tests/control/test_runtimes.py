"""The runtime as a part of what is chosen: the ladder, its profile and its sessions."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path

import pytest

from edged.control.profile import Candidate, Profile, Spread, Timing, candidates, ladder
from edged.control.profile_store import ProfileStore
from edged.control.profiler import Profiler
from edged.variants.family import load_family
from edged.variants.variant import Choice, Precision, Variant
from tests.rig.paths import PROJECT

COUNTS = json.loads((PROJECT / "tests" / "benchmarks" / "arm" / "counts.json").read_text())
"""Millions of instructions for each inference, by `processor/runtime/variant`."""
NARROW, WIDE = Variant(0.25, 128), Variant(1.0, 224)


def timing(milliseconds: float, runs: int = 15) -> Timing:
    spread = Spread(milliseconds, milliseconds)
    return Timing(spread, Spread(0, 0), spread, runs)


def counted(processor: str) -> dict[Variant, dict[Choice, float]]:
    """The variants that run in both runtimes: INT8 ones only with dot-product instructions."""
    found: dict[Variant, dict[Choice, float]] = defaultdict(dict)
    for name, runs in COUNTS.items():
        where, runtime, variant = name.split("/", 2)
        if where == processor and runtime in ("onnxruntime", "ncnn"):
            choice = Choice(Variant.parse(variant), 1, runtime)
            found[choice.variant][choice] = runs[0]["all"]
    return {variant: each for variant, each in found.items() if len(each) == 2}


@pytest.mark.parametrize(("processor", "variants"), [("a72", 16), ("a76", 32)])
def test_with_counts_as_times_the_ladder_takes_for_each_variant_what_needs_fewer(
    processor: str, variants: int
) -> None:
    family = load_family("imagenette", PROJECT)
    counts = counted(processor)
    assert len(counts) == variants
    for variant, needs in counts.items():
        profile = {choice: timing(count) for choice, count in needs.items()}
        (rung,) = ladder(candidates(profile, dict.fromkeys(profile, family.top1(variant))))
        assert rung.choice == min(needs, key=lambda choice: needs[choice])
    ahead = [min(needs, key=lambda choice: needs[choice]).runtime for needs in counts.values()]
    assert ahead.count("ncnn") >= 8


def test_a_cell_that_ncnn_loses_goes_to_onnx_runtime() -> None:
    lost = Variant(0.75, 224)
    runs = {
        Choice(NARROW, 1, "ncnn"): 5.0,
        Choice(NARROW, 1): 12.0,
        Choice(lost, 1, "ncnn"): 60.0,
        Choice(lost, 1): 50.0,
    }
    profile = {choice: timing(run_ms) for choice, run_ms in runs.items()}
    top1 = {choice: 0.5 if choice.variant == NARROW else 0.7 for choice in profile}
    rungs = ladder(candidates(profile, top1))
    assert [each.choice for each in rungs] == [Choice(lost, 1), Choice(NARROW, 1, "ncnn")]


def test_float16_is_as_accurate_and_takes_the_place_of_float32() -> None:
    half = NARROW.fp16
    assert half.name == "mobilenet_v1_0.25_128_fp16"
    assert Variant.parse(half.name) == half
    assert half.precision is Precision.FP16
    family = load_family("imagenette", PROJECT)
    assert family.top1(half) == family.top1(NARROW)
    profile = {Choice(NARROW, 1, "ncnn"): timing(5), Choice(half, 1, "ncnn"): timing(3)}
    (rung,) = ladder(candidates(profile, {each: family.top1(each.variant) for each in profile}))
    assert rung.variant == half


def test_every_runtime_is_measured_and_none_is_foretold_from_another() -> None:
    """One runtime may be several times as fast: what the other took says nothing."""
    choices = [Choice(NARROW, 1), Choice(NARROW, 1, "ncnn"), Choice(WIDE, 1)]
    known = {Choice(NARROW, 1): timing(1.0), Choice(WIDE, 1): timing(90.0)}
    wide = Choice(WIDE, 1, "ncnn")
    profiler = Profiler(
        [*choices, wide],
        {"door": {each: 0.4 if each.variant == NARROW else 0.7 for each in (*choices, wide)}},
        {NARROW: 10, WIDE: 200},
        known={**known, Choice(NARROW, 1, "ncnn"): timing(0.5)},
        rest_gaps=0,
    )
    assert profiler.waiting == [wide]
    log: list[Choice] = []

    def measure(choice: Choice) -> tuple[float, float]:
        log.append(choice)
        return 0.0, 10.0

    profiler.use_gap(9.0, 9.0, measure)  # 0.5 ms x 20 is expected
    assert log == []
    profiler.use_gap(14.0, 14.0, measure)
    assert log == [wide]


def store(folder: Path, *runtimes: str) -> ProfileStore:
    return ProfileStore(folder, [{"backend": name, "cpu": "A72"} for name in runtimes])


def narrow(runtime: str = "onnxruntime") -> Choice:
    return Choice(NARROW, 1, runtime, "5" * 64)


def test_each_runtime_has_a_file_that_others_find_again(tmp_path: Path) -> None:
    """A device that gets ncnn keeps what it measured with ONNX Runtime, and the other way."""
    first: Profile = {narrow(): timing(12)}
    store(tmp_path, "onnxruntime").save(first, {})
    both = {**first, narrow("ncnn"): timing(5)}
    assert store(tmp_path, "onnxruntime", "ncnn").load() == first
    store(tmp_path, "onnxruntime", "ncnn").save(both, {})
    assert len(list(tmp_path.glob("profile-*.json"))) == 2
    assert store(tmp_path, "onnxruntime", "ncnn").load() == both
    assert store(tmp_path, "ncnn").load() == {narrow("ncnn"): timing(5)}


def test_a_candidate_is_named_with_its_runtime() -> None:
    assert Candidate(NARROW, 2, 0.5, 5, 6, "ncnn").name == "mobilenet_v1_0.25_128 x2 ncnn"
