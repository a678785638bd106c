from __future__ import annotations

from edged.result import Event
from edged.sinks.backlog import Backlog, Entry
from tests.rig.results import make_result

EVENTS = [Event("door", "visitor", number, None, 0.7) for number in range(5)]
RESULTS = [make_result(number) for number in range(5)]


def backlog(most_results: int = 3, most_events: int = 2) -> Backlog:
    return Backlog(lambda: None, most_results, most_events)


def taken(each: Backlog) -> list[Entry]:
    found = []
    while (waiting := each.take()) is not None:
        found.append(waiting[1])
    return found


def test_events_leave_first_and_the_oldest_gives_way() -> None:
    each = backlog()
    for number in range(5):
        each.put(RESULTS[number])
        each.put(EVENTS[number])
    assert (each.received, each.dropped, len(each)) == (10, 5, 5)
    assert taken(each) == [*EVENTS[3:], *RESULTS[2:]]


def test_what_has_not_left_is_the_next_again_unless_it_has_to_give_way() -> None:
    each = backlog()
    for result in RESULTS[:3]:
        each.put(result)
    put_ns, first = each.take() or (0, RESULTS[4])
    each.put_back(put_ns, first)
    assert each.take() == (put_ns, first)
    each.put(RESULTS[3])
    each.put_back(put_ns, first)
    assert (each.received, each.dropped) == (4, 1)
    assert taken(each) == RESULTS[1:4]


def test_a_successor_gets_all_and_whatever_comes_later() -> None:
    before, after = backlog(), backlog(4, 4)
    for number in range(3):
        before.put(RESULTS[number])
    before.put(EVENTS[0])
    in_hand = before.take()
    assert in_hand is not None
    after.put(RESULTS[3])
    before.move_to(after)
    before.put(EVENTS[1])
    before.put_back(*in_hand)
    assert (before.received, before.dropped, len(before)) == (0, 0, 0)
    assert (after.received, after.dropped) == (6, 0)
    assert taken(after) == [*EVENTS[:2], *RESULTS[:4]]


def test_after_the_end_nothing_is_counted_twice() -> None:
    each = backlog(1, 1)
    each.put(RESULTS[0])
    in_hand = each.take()
    assert in_hand is not None
    each.put(RESULTS[1])
    each.close()
    each.put_back(*in_hand)
    assert (each.received, each.dropped, len(each)) == (2, 0, 1)
