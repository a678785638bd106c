"""What a run lets follow its switches."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from edged.daemon.switching import switch


def run_of(*views: str, shown: tuple[str, ...]) -> Any:
    """A run whose views were off and are on now, of which the page shows some."""
    switches = SimpleNamespace(of_view=lambda view: SimpleNamespace(on=True), count=None)
    live = SimpleNamespace(views={view: SimpleNamespace(on_ns=0) for view in shown})
    return SimpleNamespace(
        world=SimpleNamespace(switches=switches, live=live, clock=lambda: 7),
        queues={view: SimpleNamespace(on=False) for view in views},
        cameras={},
        watch=SimpleNamespace(switch=lambda count: ()),
        sinks={},
    )


@pytest.mark.parametrize("shown", [("door", "yard"), ("yard",), ()])
def test_a_view_that_a_reload_has_just_removed(shown: tuple[str, ...]) -> None:
    """The run before is asked until the next one has taken its place."""
    run = run_of("door", "yard", shown=shown)
    switch(run)
    assert all(queue.on for queue in run.queues.values())
    assert {view.on_ns for view in run.world.live.views.values()} <= {7}
