"""What to add next."""

from __future__ import annotations

import numpy as np

from edged.teach.advice import advice
from edged.teach.curve import Point
from edged.teach.estimate import Confusion, Estimate, Evidence, Share

GOOD = Confusion(("open", "shut", "none"), ((19, 1, 0), (0, 20, 0)))


def told(
    *moments: int,
    top1: float = 0.95,
    mixed: Confusion = GOOD,
    curve: tuple[float, ...] = (0.94, 0.95),
) -> str:
    labels = np.repeat([0, 1], moments)
    shown = Evidence(labels, np.arange(sum(moments)), 2)
    judged, rough = shown.judge()
    shares = {("net", 128): Share(top1, top1 - 0.2, 1.0)} if judged else {}
    points = [Point(2 * step + 2, 6 * step + 6, each) for step, each in enumerate(curve)]
    found = Estimate(judged, rough, sum(moments), shares)
    return "\n".join(advice(shown, ("open", "shut"), found, mixed, points if judged else ()))


def test_it_asks_for_three_moments_of_each_class() -> None:
    assert "Show 'open' in 2 more moments" in told(1, 5) and "nothing can be judged" in told(1, 5)
    assert "Show 'shut' in one more moment" in told(5, 2) and "rough" in told(5, 2)
    assert "Show" not in told(3, 3)


def test_it_names_what_is_confused() -> None:
    mixed = Confusion(("open", "shut", "none"), ((12, 8, 0), (0, 15, 5)))
    text = told(20, 20, mixed=mixed)
    assert "40 % of the pictures of 'open' are taken for 'shut'" in text
    assert "25 % of the pictures of 'shut' are taken for none" in text
    assert "taken for" not in told(20, 20)


def test_it_says_whether_more_helps() -> None:
    assert "Go on adding moments" in told(20, 20, curve=(0.7, 0.8, 0.9))
    assert "unlike those there are" in told(20, 20)
    assert "digits" in told(20, 20, top1=0.6)


def test_it_asks_for_the_class_that_lags_behind() -> None:
    assert "Add moments of 'shut' first: it has 4, another class 20." in told(20, 4)


def test_it_says_how_little_few_moments_prove() -> None:
    assert "75 %" in told(4, 4) and "comes from" not in told(20, 20)
