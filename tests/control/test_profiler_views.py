"""Ladders of several views, whose models share networks or not."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

from edged.control.profile import MEASURED_RUNS, Spread, Timing
from edged.control.profiler import SETTLING_RUNS, Profiler
from edged.variants.variant import Choice, Variant

SMALL, MIDDLE, LARGE = Variant(0.25, 128), Variant(0.5, 160), Variant(1.0, 224)
COSTS = {SMALL: 10, MIDDLE: 50, LARGE: 200}
RUNS = SETTLING_RUNS + MEASURED_RUNS


def choice(variant: Variant, network: str = "shared") -> Choice:
    return Choice(variant, 1, "onnxruntime", network)


class Device:
    """Takes a tenth of a millisecond for each unit of cost, twice that with the network `slow`."""

    def __init__(self) -> None:
        self.runs: Counter[Choice] = Counter()

    def measure(self, choice: Choice) -> tuple[float, float]:
        self.runs[choice] += 1
        return 0.0, COSTS[choice.variant] / 10 * (2 if choice.network == "slow" else 1)


def make(top1: Mapping[str, Mapping[Choice, float]], **more: int) -> Profiler:
    return Profiler(sorted({each for own in top1.values() for each in own}), top1, COSTS, **more)


def measured(profiler: Profiler, device: Device) -> Profiler:
    profiler.measure_cheapest(device.measure)
    while not profiler.complete:
        profiler.use_gap(1000, 1000, device.measure)
    return profiler


def names(profiler: Profiler, view: str) -> list[tuple[str, float]]:
    return [(each.variant.name, each.p50_ms) for each in profiler.ladders[view]]


def test_a_shared_network_is_measured_once_and_ranked_by_each_familys_accuracy() -> None:
    device = Device()
    gate = {choice(SMALL): 0.6, choice(MIDDLE): 0.8, choice(LARGE): 0.9}
    bin_ = {choice(SMALL): 0.97, choice(MIDDLE): 0.96, choice(LARGE): 0.99}
    profiler = measured(make({"yard/gate": gate, "yard/bin": bin_}, rest_gaps=0), device)
    assert names(profiler, "yard/gate") == [(LARGE.name, 20), (MIDDLE.name, 5), (SMALL.name, 1)]
    # Slower and no better there than the small one.
    assert names(profiler, "yard/bin") == [(LARGE.name, 20), (SMALL.name, 1)]
    assert [each.top1 for each in profiler.ladders["yard/bin"]] == [0.99, 0.97]
    assert device.runs == dict.fromkeys(gate, 2 * RUNS)  # two rounds
    assert profiler.useful == gate.keys()  # the middle one is, for one of them


def test_networks_of_one_name_are_measured_apart() -> None:
    fast, slow = ({choice(SMALL, name): 0.6, choice(LARGE, name): 0.9} for name in ("fast", "slow"))
    profiler = measured(make({"yard/gate": fast, "yard/bin": slow}, rest_gaps=0), Device())
    assert names(profiler, "yard/gate") == [(LARGE.name, 20), (SMALL.name, 1)]
    assert names(profiler, "yard/bin") == [(LARGE.name, 40), (SMALL.name, 2)]
    assert {each.network for each in profiler.ladders["yard/bin"]} == {"slow"}


def test_before_the_first_frame_every_view_has_something_to_run() -> None:
    device = Device()
    gate = {choice(SMALL, "gate"): 0.6, choice(LARGE, "gate"): 0.9}
    bin_ = {choice(SMALL, "bin"): 0.6, choice(LARGE, "bin"): 0.9}
    only = {choice(LARGE, "bin"): 0.9}
    profiler = make({"yard/gate": gate, "yard/bin": bin_, "yard/lane": only})
    profiler.measure_cheapest(device.measure)
    assert names(profiler, "yard/gate") == [(SMALL.name, 1)]
    assert names(profiler, "yard/lane") == [(LARGE.name, 20)]
    assert names(profiler, "yard/bin") == [(LARGE.name, 20), (SMALL.name, 1)]
    assert choice(LARGE, "gate") not in device.runs


def test_a_view_with_a_choice_of_variants_keeps_to_it() -> None:
    whole = {choice(SMALL): 0.6, choice(MIDDLE): 0.8, choice(LARGE): 0.9}
    few = {choice(MIDDLE): 0.8}
    views = {"door": whole, "yard/gate": few, "yard/bin": whole}
    profiler = measured(make(views, rest_gaps=0), Device())
    assert names(profiler, "yard/gate") == [(MIDDLE.name, 5)]
    assert len(profiler.ladders["door"]) == 3
    assert profiler.ladders["door"] is profiler.ladders["yard/bin"]


def test_what_rests_leaves_every_ladder_and_one_view_without_any_is_not_usable() -> None:
    own = choice(SMALL, "bin")
    gate = {choice(SMALL): 0.6, choice(LARGE): 0.9}
    profiler = measured(make({"yard/gate": gate, "yard/bin": {own: 0.9}}, rest_gaps=0), Device())
    profiler.rest(frozenset({choice(LARGE)}))
    assert names(profiler, "yard/gate") == [(SMALL.name, 1)]
    assert names(profiler, "yard/bin") == [(SMALL.name, 1)]
    assert profiler.usable
    profiler.rest(frozenset({own}))
    assert not profiler.usable  # although the other view has both of its own
    profiler.rest(frozenset())
    assert profiler.usable


def test_what_is_known_of_a_network_serves_every_family_that_has_it() -> None:
    spread = Spread(3.0, 3.0)
    known = {choice(SMALL): Timing(spread, Spread(0, 0), spread, 30)}
    one, other = {choice(SMALL): 0.6}, {choice(SMALL): 0.9, choice(LARGE, "other"): 0.95}
    profiler = Profiler(
        [choice(SMALL), choice(LARGE, "other")],
        {"yard/gate": one, "yard/bin": other},
        COSTS,
        known=known,
    )
    assert profiler.waiting == [choice(LARGE, "other")]
    assert [(each.top1, each.p50_ms) for each in profiler.ladders["yard/gate"]] == [(0.6, 3.0)]
    assert [(each.top1, each.p50_ms) for each in profiler.ladders["yard/bin"]] == [(0.9, 3.0)]


def test_a_view_ranks_by_what_it_has_learnt_and_others_by_the_table() -> None:
    top1 = {choice(SMALL): 0.6, choice(MIDDLE): 0.8, choice(LARGE): 0.9}
    profiler = measured(make({"door": top1, "yard": top1}, rest_gaps=0), Device())
    before = profiler.ladders
    profiler.use({"door": {SMALL: 0.89, MIDDLE: 0.5}})
    assert profiler.ladders is not before  # so that a trace gets a new header
    door, yard = profiler.ladders["door"], profiler.ladders["yard"]
    assert [(each.top1, each.table_top1) for each in door] == [(0.9, 0.9), (0.89, 0.6)]
    assert [each.top1 for each in yard] == [0.9, 0.8, 0.6]
    assert choice(MIDDLE) in profiler.useful  # it may come back
    known = profiler.ladders
    profiler.use({"door": {SMALL: 0.89, MIDDLE: 0.5}})
    assert profiler.ladders is known
    profiler.use({})
    assert [each.top1 for each in profiler.ladders["door"]] == [0.9, 0.8, 0.6]


def test_ladders_tell_what_a_result_costs_and_follow_no_small_change() -> None:
    top1 = {"door": {choice(SMALL): 0.6, choice(LARGE): 0.9}}
    profiler = measured(make(top1, rest_gaps=0), Device())
    before = profiler.ladders
    profiler.weigh({choice(SMALL): 0.1})
    assert [each.joules for each in profiler.ladders["door"]] == [0.0, 0.1]
    ladders = profiler.ladders
    assert ladders is not before
    profiler.weigh({choice(SMALL): 0.105})
    assert profiler.ladders is ladders
    profiler.weigh({choice(SMALL): 0.12})
    assert profiler.ladders["door"][1].joules == 0.12
    profiler.weigh({})
    assert profiler.ladders == before
