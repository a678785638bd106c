"""How long a variant rests whose runs fail."""

from edged.control.setbacks import FIRST_REST_SECONDS, LONGEST_REST_SECONDS, Setbacks
from edged.variants.variant import Choice, Variant

SMALL, LARGE = Choice(Variant(0.25, 128), 1), Choice(Variant(1.0, 224), 2)


def test_a_choice_rests_and_comes_back() -> None:
    setbacks = Setbacks()
    assert setbacks.fail(LARGE, 0) == FIRST_REST_SECONDS
    assert setbacks.resting == {LARGE}
    assert not setbacks.end_rests(int(FIRST_REST_SECONDS * 1e9) - 1)
    assert setbacks.resting == {LARGE}
    assert setbacks.end_rests(int(FIRST_REST_SECONDS * 1e9))
    assert setbacks.resting == frozenset()
    assert setbacks.failures == {LARGE: 1}


def test_each_failure_doubles_the_rest_up_to_a_limit() -> None:
    setbacks = Setbacks()
    rests = [setbacks.fail(SMALL, 0) for _ in range(40)]
    assert rests[:3] == [FIRST_REST_SECONDS, 2 * FIRST_REST_SECONDS, 4 * FIRST_REST_SECONDS]
    assert rests[-1] == LONGEST_REST_SECONDS
    assert setbacks.failures == {SMALL: 40}
