"""What of a run is switched: queues of views, cameras, events, and what the sinks tell of it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from edged.config.config import Config
from edged.hours import Period
from edged.switches.switch import Kind, Target
from edged.view import camera_of

if TYPE_CHECKING:
    from edged.daemon.run import Run


def switchable(config: Config) -> Mapping[Target, tuple[Period, ...]]:
    """When each view and each event rule counts."""
    views = {Target(Kind.VIEW, view.id): view.hours for view in config.views}
    return views | {Target(Kind.EVENT, rule.name): rule.hours for rule in config.events}


def switch(run: Run) -> None:
    """Let the run follow its switches."""
    switches = run.world.switches
    for view, queue in run.queues.items():
        on = switches.of_view(view).on
        shown = run.world.live.views.get(view)  # None once a reload has removed the view
        if on and not queue.on and shown is not None:
            shown.on_ns = run.world.clock()
        queue.on = on
    needed = {camera_of(view) for view, queue in run.queues.items() if queue.on}
    for name, attached in run.cameras.items():
        attached.camera.switch(on=name in needed)
    for event in run.watch.switch(switches.count):
        run.dispatcher.dispatch(event)
    for each in run.sinks.values():
        each.sink.observe_switches(switches)
