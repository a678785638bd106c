"""Everything that one configuration starts; a reload builds the next `Run` from it, part by part.

A part whose settings are unchanged is taken over. Everything that can fail happens while the old
run still works; then the frames in progress finish, what was learnt about cameras and the model is
handed over, and the new run starts: frames wait in their mailboxes for milliseconds.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from edged.capture.sources.table import kind_of
from edged.capture.supervisor import CameraState
from edged.clock import Clock
from edged.config.config import Config
from edged.control.profile import Candidate
from edged.control.profile_store import Decoding
from edged.daemon.cameras import Attached, attach, away_seconds, queue_of, stop_together
from edged.daemon.loaded_models import LoadedModels
from edged.daemon.models import Models
from edged.daemon.sinks import OpenSink, open_sinks, take_over
from edged.daemon.subjects import configured, subjects
from edged.daemon.switching import switch, switchable
from edged.daemon.thermal import Thermostat
from edged.effort import Silence, Turn, Turns, effort_of_thread
from edged.errors import EdgedError
from edged.events.dispatcher import Dispatcher
from edged.events.events import Watch
from edged.events.journal import EventJournal
from edged.history.history import History
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import ViewQueue
from edged.pipeline.sent import SentPictures
from edged.result import Event, Result
from edged.sensors.sensors import Sensors
from edged.sinks.sink import Kind
from edged.state import state_directory
from edged.switches.switches import Switches
from edged.teach.backbone import ways_on
from edged.teach.teaching import Teaching
from edged.telemetry.health import Health
from edged.telemetry.metrics import Metrics
from edged.tracing.recorder import Recorder
from edged.web.endpoints import Endpoints
from edged.web.live import Live
from edged.web.options import HttpConfig
from edged.web.server import HttpServer

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

log = logging.getLogger("edged")

STOP_SECONDS = 1.0
"""How long the pipeline and each sink may take to finish."""
HANGING_SECONDS = 10.0
"""A frame that takes longer without using the processor counts as hanging."""
WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class World:
    """What stays the same over all configurations.

    kinds: sink kinds by name. ended: called when the pipeline ends by itself, with its exception
    or None.
    """

    kinds: Mapping[str, Kind]
    metrics: Metrics
    live: Live
    history: History
    health: Health
    sensors: Sensors
    clock: Clock
    recorder: Recorder | None
    teaching: Teaching
    sent: SentPictures
    switches: Switches
    frames_wanted: int | None
    ended: Callable[[BaseException | None], None]


class Run:
    """Steps: construction, `load`, `start_cameras` (before or after `load`), `start_pipeline`.

    before (in all methods): the present run. Construction opens what is new; it raises EdgedError
    if that fails, and then leaves nothing open.
    """

    def __init__(self, config: Config, world: World, before: Run | None = None) -> None:
        self.config = config
        world.teaching.look()
        self.models: Models = Models.of(
            config,
            None if before is None else before.models,
            world.teaching.store,
            world.teaching.views,
            # A new configuration has to fit what is deployed; what is deployed must stop nothing.
            replacing=before is None or before.config is config or bool(before.models.instead),
        )
        self.cameras: dict[str, Attached] = {}
        self.sinks: dict[str, OpenSink] = {}
        self.server: HttpServer | None = None
        self.loaded_models: LoadedModels | None = None
        self.pipeline: Pipeline | None = None
        thermostat = None if before is None else before.thermostat
        self.thermostat: Thermostat = Thermostat.of(config, world.sensors, thermostat)
        self.world = world
        self._thread = threading.Thread(target=self._run_pipeline, name="pipeline", daemon=True)
        self._turns = Turns()
        self._replaced = False
        """Another run takes this one's place: ended cameras do not end the daemon."""
        self._stopped = False
        self._hopeless_reported = False
        labels = {view: model.family.labels for view, model in self.models.by_view.items()}
        self.watch = Watch.of(config.events, labels, away_seconds(config.views))
        self.dispatcher: Dispatcher = (
            Dispatcher(EventJournal(state_directory(os.environ)))
            if before is None
            else before.dispatcher
        )
        try:
            self._open(before)
        except BaseException:
            self.close(but=before)
            raise

    def _open(self, before: Run | None) -> None:
        sinks = {} if before is None else before.sinks
        for name, sink in open_sinks(self.config, self.world.kinds, sinks):
            self.sinks[name] = sink
        for settings in self.config.cameras:
            camera = None if before is None else before.cameras.get(settings.name)
            self.cameras[settings.name] = attach(settings, self.models, camera)
        if before is None:
            self.world.live.follow(subjects(self))
            self.world.history.follow(self.config.history, self.config.events)
        http, old = self.config.http, None if before is None else before.server
        if before is not None and before.config.http == http:
            self.server = old
            if old is not None:
                old.renew()
        elif http is not None:
            self.server = self._listen(http, old)
        if before is None:
            self._tell_classes()
            self._tell_address()

    def _listen(self, http: HttpConfig, beside: HttpServer | None) -> HttpServer:
        world = self.world
        of_daemon = world.metrics.registry, world.health, world.live
        endpoints = Endpoints(*of_daemon, world.teaching, world.history, world.sent, world.switches)
        uploads = state_directory(os.environ)
        server = HttpServer(http, endpoints, beside=beside, uploads=uploads)
        server.start()
        return server

    def _tell_classes(self) -> None:
        """The shipped family is there to try it with: real cameras show it other things."""
        kinds = {kind_of(each.capture.source).name for each in self.config.cameras}
        for family in self.models.families:
            if family.is_shipped and kinds != {"synthetic"}:
                knows = f"{family.name} knows {family.classes}, and takes all else for one of them"
                for line in (knows, *ways_on(self.world.teaching.store.root)):
                    log.info("%s", line)

    def _tell_address(self) -> None:
        if self.server is not None:
            url = self.server.url
            log.info("page: %s/  metrics for Prometheus: %s/metrics", url, url)

    def load(self, before: Run | None, progress: Callable[[int, int], None]) -> None:
        """Load and check the networks; an exception of `progress` cancels that."""
        if before is not None and before.models.loads_the_same(self.models):
            self.loaded_models = before.loaded_models
        else:
            known = None if before is None else before.loaded_models
            self.loaded_models = LoadedModels(self.models, known, progress)
            if before is not None:  # while frames still run
                self.loaded_models.measure_cheapest()

    def start_cameras(self, before: Run | None = None) -> None:
        """Start the new cameras after stopping those whose devices they may need."""
        old = {} if before is None else before.cameras
        if before is not None:
            before._replaced = True
        kept = {id(each.camera) for each in self.cameras.values()}
        stop_together(each.camera for each in old.values() if id(each.camera) not in kept)
        for name, each in self.cameras.items():
            each.start(old.get(name))

    def start_pipeline(self, before: Run | None = None) -> None:
        """Start running frames as soon as those of `before` have finished."""
        assert self.loaded_models is not None
        world = self.world
        if before is not None and not before.await_pipeline(HANGING_SECONDS):
            raise EdgedError(f"a network has not returned for {HANGING_SECONDS:.0f} s")
        sinks = [each.sink for each in self.sinks.values()]
        if before is not None:
            take_over(self.sinks, before.sinks)
        if self.loaded_models.models is not self.models:
            self.loaded_models.serve(self.models)
        snapshots = frozenset(rule.name for rule in self.config.events if rule.snapshot)
        world.history.follow(self.config.history, self.config.events)
        self.dispatcher.follow([world.history, *sinks], snapshots)
        comparable = any(len(model.variants) > 1 for model in self.models.by_view.values())
        pipeline = Pipeline(
            queues=list(self._new_queues(before)),
            loaded=self.loaded_models.loaded,
            profiler=self.loaded_models.profiler,
            sinks=sinks,
            observer=world.live,
            cores=len(os.sched_getaffinity(0)),
            keep_warm=self.config.keep_warm,
            probe=self.config.probe if comparable else 0.0,
            frames_wanted=world.frames_wanted,
            clock=world.clock,
            finished=self._all_ended,
            watch=self.watch,
            announce=self.dispatcher.dispatch,
            show=self._show,
            seen=world.teaching.observe,
            least_side=world.teaching.least_side,
            show_camera=world.live.pictures.offer_camera,
            sent=world.sent,
            recorder=world.recorder,
            about=self.loaded_models.about,
            allowance=self.thermostat.allowance,
        )
        if before is not None and before.pipeline is not None:
            pipeline.take_over(before.pipeline)
        self.pipeline = pipeline
        world.switches.follow(switchable(self.config))
        switch(self)
        for sink in sinks:
            sink.start()
        world.live.follow(subjects(self))
        families = {view: each.family for view, each in self.models.by_view.items()}
        world.teaching.follow(families, configured(self.config))
        for view in self.config.views:
            self.models.by_view[view.id].warn_of_min_top1(view)
        self._thread.start()
        if before is not None and before.server is not self.server:
            self._tell_address()

    def _show(self, result: Result, pixels: NDArray[np.uint8]) -> None:
        self.world.live.pictures.offer(result, pixels)
        self.world.teaching.show(result, pixels)

    def tick(self, now_ns: int) -> None:
        """Call it a few times a second."""
        if self.pipeline is None or self.loaded_models is None:
            return
        if not self._replaced:  # the switches are the next run's by then
            switch(self)
        self.pipeline.allowance = self.thermostat.tick(now_ns, self.loaded_models.loaded.used)
        if any(view.goal == "power" for view in self.config.views):
            self.pipeline.joules = self.thermostat.energy.joules
        self._announce(self.watch.tick(now_ns))
        streaming = {
            name: each.camera.state is CameraState.STREAMING for name, each in self.cameras.items()
        }
        for each in self.sinks.values():
            each.sink.observe_cameras(streaming)
        self.loaded_models.tick(now_ns, self._decoding)
        if self.pipeline.profiled:
            self.loaded_models.report_profile()
        if all(self.loaded_models.profiler.ladders.values()) and not self._hopeless_reported:
            self._hopeless_reported = True
            for view in self.config.views:
                self.loaded_models.warn_of_budget(view)
        for name, attached in self.cameras.items():
            attached.camera.mailbox.show_whole = self.world.live.pictures.watched(name)

    def await_pipeline(self, seconds: float) -> bool:
        """Stop the pipeline; False if a frame hangs for `seconds`."""
        silence = Silence(self.world.clock())
        while not self.stop_pipeline(WAIT_SECONDS):
            assert self.pipeline is not None
            effort = partial(effort_of_thread, self.pipeline.turn.thread)
            if silence.look(self.world.clock(), effort) > seconds:
                return False
        return True

    def stop_pipeline(self, seconds: float = STOP_SECONDS) -> bool:
        """Stop after the frames in progress; False if they take longer than `seconds`."""
        if self.pipeline is None or self._stopped or self._thread.ident is None:
            return True
        self.pipeline.stop()
        self._thread.join(seconds)
        self._stopped = not self._thread.is_alive()
        if self._stopped:
            self.pipeline.close()
        return self._stopped

    def close(self, but: Run | None = None) -> None:
        """Close everything that `but` does not share. The pipeline must have stopped."""
        kept = set() if but is None else {id(part) for part in but._parts()}
        stop_together(each.camera for each in self.cameras.values() if id(each.camera) not in kept)
        for each in self.cameras.values():
            if id(each.camera.mailbox) not in kept:
                each.camera.mailbox.close()
        if self.loaded_models is not None and id(self.loaded_models) not in kept:
            self.loaded_models.store_profile(self._decoding, STOP_SECONDS)
        if self.server is not None and id(self.server) not in kept:
            self.server.close()
        if but is None:
            self._announce(self.watch.end())
            self.dispatcher.close(STOP_SECONDS)
        for sink in self.sinks.values():
            if id(sink) not in kept:
                sink.close(STOP_SECONDS)

    def _announce(self, events: Iterable[Event]) -> None:
        for event in events:
            self.dispatcher.dispatch(event)

    # status, from any thread

    @property
    def queues(self) -> Mapping[str, ViewQueue]:
        """By view."""
        return {} if self.pipeline is None else {each.view: each for each in self.pipeline.queues}

    def loops(self) -> dict[str, int]:
        """By name, when each loop last made progress (ns). Cameras whose source has ended are left
        out. Sinks, the event dispatcher and the history may wait forever: they appear only if their
        thread has died."""
        loops = {
            f"camera {name}": each.camera.turn
            for name, each in self.cameras.items()
            if each.camera.state is not CameraState.ENDED
        }
        if self.pipeline is not None and not self._stopped:
            loops["pipeline"] = self.pipeline.turn
        if self.server is not None:
            loops["http"] = self.server.turn
        waiting = {f"sink {kind}": each.sink.alive for kind, each in self.sinks.items()}
        waiting |= {"events": self.dispatcher.alive, "history": self.world.history.alive}
        loops |= {name: Turn(0, 0) for name, alive in waiting.items() if not alive}
        return self._turns.moments(loops, self.world.clock())

    def ladder(self, view: str) -> Sequence[Candidate]:
        return () if self.loaded_models is None else self.loaded_models.profiler.ladders[view]

    def slowdown(self) -> float:
        return 1.0 if self.pipeline is None else self.pipeline.controller.slowdown.ratio

    def _decoding(self) -> Decoding:
        return {name: queue.decode_times.spreads() for name, queue in self.queues.items()}

    def _all_ended(self) -> bool:
        ended = all(each.camera.state is CameraState.ENDED for each in self.cameras.values())
        return ended and not self._replaced

    def _parts(self) -> Iterator[object]:
        for each in self.cameras.values():
            yield from (each.camera, each.camera.mailbox)
        yield from (self.loaded_models, self.server, *self.sinks.values())

    def _run_pipeline(self) -> None:
        assert self.pipeline is not None
        failure = None
        try:
            self.pipeline.run()
        except BaseException as error:  # the main thread raises it, whatever it is
            failure = error
        if failure is not None or not self._replaced:
            self.world.ended(failure)

    def _new_queues(self, before: Run | None) -> Iterator[ViewQueue]:
        queues = {} if before is None else before.queues
        for settings in self.config.cameras:
            name = settings.name
            attached = self.cameras[name]
            known = None if before is None else before.cameras.get(name)
            for view in settings.views:
                model, number = self.models.by_view[view.id], attached.number(view)
                yield queue_of(
                    view,
                    number,
                    attached,
                    model,
                    self.config.results,
                    queues.get(view.id),
                    same_source=known is not None
                    and known.camera is attached.camera
                    and known.request.numbered.get(number) == attached.request.numbered[number],
                    same_model=before is not None and before.models.by_view.get(view.id) == model,
                )
