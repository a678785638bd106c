"""What one configuration has brought about; a reload makes the next one from it, part by part.

A part whose settings are the same is taken over as it is. Everything that can fail happens while
the old one still works; then the frames under way end, what was learnt of cameras and networks
changes hands, and the new one begins: for milliseconds, frames wait in their mailboxes.
Knows nothing of signals and systemd, nor of when a reload is wanted.
"""

from __future__ import annotations

import logging
import os
import threading
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial

from edged.capture.supervisor import Camera, CameraState
from edged.clock import Clock
from edged.config.camera import CameraConfig
from edged.config.config import Config
from edged.control.profile_store import Decoding, state_directory
from edged.daemon.cameras import Attached, attach, away_seconds, lane_of, stop_together
from edged.daemon.model import Model, Networks
from edged.daemon.sinks import OpenSink, open_sinks, take_over
from edged.daemon.thermal import Thermostat
from edged.effort import Silence, Turn, Turns, effort_of_thread
from edged.errors import EdgedError
from edged.events.dispatcher import Dispatcher
from edged.events.events import Watch
from edged.events.journal import EventJournal
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import Lane
from edged.result import Event
from edged.sensors.sensors import Sensors
from edged.service.status_line import CameraNow
from edged.sinks.sink import Kind
from edged.telemetry.exposition import Subjects
from edged.telemetry.health import DOWN_STATES, CameraHealth, Health
from edged.telemetry.metrics import Metrics
from edged.tracing.recorder import Recorder
from edged.web.endpoints import Endpoints
from edged.web.live import Live
from edged.web.options import HttpConfig
from edged.web.server import HttpServer

log = logging.getLogger("edged")

STOP_SECONDS = 1.0
"""What the pipeline and each sink get to finish what they have in hand."""
HANGING_SECONDS = 10.0
"""What takes longer on one frame, and does not even compute, will never end."""
WAIT_SECONDS = 0.25


@dataclass(frozen=True, slots=True)
class World:
    """What outlasts every configuration.

    kinds: of sinks, by name. ended: called when the pipeline has ended by itself, with what it
    failed of or None.
    """

    kinds: Mapping[str, Kind]
    metrics: Metrics
    live: Live
    health: Health
    sensors: Sensors
    clock: Clock
    recorder: Recorder | None
    frames_wanted: int | None
    ended: Callable[[BaseException | None], None]


class Running:
    """Its steps: construction, `load`, `start_cameras` (before or after that), `run`.

    before, everywhere: what has run until now. Construction opens what is new; where that is not
    possible it raises EdgedError and leaves nothing open.
    """

    def __init__(self, config: Config, world: World, before: Running | None = None) -> None:
        self.config = config
        self.model = Model.of(config)
        self.cameras: dict[str, Attached] = {}
        self.sinks: dict[str, OpenSink] = {}
        self.server: HttpServer | None = None
        self.networks: Networks | None = None
        self.pipeline: Pipeline | None = None
        self._thermostat = Thermostat(world.sensors, config.max_temperature_c)
        if before is not None and before.config.max_temperature_c == config.max_temperature_c:
            self._thermostat = before._thermostat
        self._world = world
        self._thread = threading.Thread(target=self._run_pipeline, name="pipeline", daemon=True)
        self._turns = Turns()
        self._replaced = False
        """What ends now ends because something else takes its place."""
        self._stopped = False
        self._hopeless_reported = False
        self._watch = Watch.of(
            config.events, self.model.family.labels, away_seconds(config.cameras)
        )
        self._dispatcher: Dispatcher = (
            Dispatcher(EventJournal(state_directory(os.environ)))
            if before is None
            else before._dispatcher
        )
        try:
            self._open(before)
        except BaseException:
            self.close(but=before)
            raise

    def _open(self, before: Running | None) -> None:
        sinks = {} if before is None else before.sinks
        for name, sink in open_sinks(self.config, self._world.kinds, sinks):
            self.sinks[name] = sink
        for settings in self.config.cameras:
            camera = None if before is None else before.cameras.get(settings.name)
            self.cameras[settings.name] = attach(settings, self.model.family, camera)
        if before is None:
            self._world.live.follow(self._subjects())
        http, old = self.config.http, None if before is None else before.server
        if before is not None and before.config.http == http:
            self.server = old
            if old is not None:
                old.renew()
        elif http is not None:
            self.server = self._listen(http, old)
        if before is None:
            self._tell_address()

    def _listen(self, http: HttpConfig, beside: HttpServer | None) -> HttpServer:
        world = self._world
        endpoints = Endpoints(world.metrics.registry, world.health, world.live)
        server = HttpServer(http, endpoints, beside=beside)
        server.start()
        return server

    def _tell_address(self) -> None:
        if self.server is not None:
            url = self.server.url
            log.info("%s/ shows what happens; %s/metrics is for Prometheus", url, url)

    def load(self, before: Running | None, progress: Callable[[int, int], None]) -> None:
        """Load and check the networks, which may take a while; what `progress` raises ends it."""
        if before is not None and before.model == self.model:
            self.networks = before.networks
        else:
            known = None if before is None else before.networks
            self.networks = Networks(self.model, known, progress)
            if before is not None:  # while frames still flow
                self.networks.measure_cheapest()

    def start_cameras(self, before: Running | None = None) -> None:
        """The new ones, when those are gone whose devices they may want."""
        old = {} if before is None else before.cameras
        if before is not None:
            before._replaced = True
        stop_together(
            each.camera for name, each in old.items() if self.cameras.get(name) is not each
        )
        for name, each in self.cameras.items():
            if old.get(name) is not each:
                if name in old:
                    each.camera.take_over(old[name].camera)
                each.camera.start()

    def run(self, before: Running | None = None) -> None:
        """Begin with frames, when those of `before` that are under way have ended."""
        assert self.networks is not None
        world, results = self._world, self.config.results
        if before is not None and not before.await_pipeline(HANGING_SECONDS):
            raise EdgedError(f"a network has not answered for {HANGING_SECONDS:.0f} s")
        sinks = [each.sink for each in self.sinks.values()]
        if before is not None:
            take_over(self.sinks, before.sinks)
        snapshots = frozenset(rule.name for rule in self.config.events if rule.snapshot)
        self._dispatcher.follow(sinks, snapshots)
        pipeline = Pipeline(
            lanes=[self._lane(settings, before) for settings in self.config.cameras],
            loaded=self.networks.loaded,
            profiler=self.networks.profiler,
            output=Output(self.model.family.labels, results.top_k, results.min_score),
            sinks=sinks,
            observer=world.live,
            cores=len(os.sched_getaffinity(0)),
            keep_warm=self.config.keep_warm,
            frames_wanted=world.frames_wanted,
            clock=world.clock,
            finished=self._all_ended,
            watch=self._watch,
            announce=self._dispatcher.dispatch,
            show=world.live.pictures.offer,
            recorder=world.recorder,
            about=self.networks.about,
            allowance=self._thermostat.allowance,
        )
        if before is not None and before.pipeline is not None:
            pipeline.take_over(before.pipeline)
        self.pipeline = pipeline
        for sink in sinks:
            sink.start()
        world.live.follow(self._subjects())
        for camera in self.config.cameras:
            self.model.report_hopeless(camera)
        self._thread.start()
        if before is not None and before.server is not self.server:
            self._tell_address()

    def tick(self, now_ns: int) -> None:
        """Call it a few times a second."""
        if self.pipeline is None or self.networks is None:
            return
        self.pipeline.allowance = self._thermostat.tick(now_ns)
        self._announce(self._watch.tick(now_ns))
        streaming = {
            name: each.camera.state is CameraState.STREAMING for name, each in self.cameras.items()
        }
        for each in self.sinks.values():
            each.sink.observe_cameras(streaming)
        self.networks.tick(now_ns, self._decoding)
        if self.pipeline.profiled:
            self.networks.report_profile()
        if self.networks.profiler.ladder and not self._hopeless_reported:
            self._hopeless_reported = True
            for camera in self.config.cameras:
                self.networks.report_hopeless(camera)

    def await_pipeline(self, seconds: float) -> bool:
        """Stop it; whether the frames under way have ended before they hung for so long."""
        silence = Silence(self._world.clock())
        while not self.stop_pipeline(WAIT_SECONDS):
            assert self.pipeline is not None
            effort = partial(effort_of_thread, self.pipeline.turn.thread)
            if silence.look(self._world.clock(), effort) > seconds:
                return False
        return True

    def stop_pipeline(self, seconds: float = STOP_SECONDS) -> bool:
        """After the frames under way, which have so long to end; whether they did."""
        if self.pipeline is None or self._stopped or self._thread.ident is None:
            return True
        self.pipeline.stop()
        self._thread.join(seconds)
        self._stopped = not self._thread.is_alive()
        if self._stopped:
            self.pipeline.close()
        return self._stopped

    def close(self, but: Running | None = None) -> None:
        """Give up all that `but` does not have. The pipeline has been stopped before."""
        kept = set() if but is None else {id(part) for part in but._parts()}
        stop_together(each.camera for each in self.cameras.values() if id(each.camera) not in kept)
        for each in self.cameras.values():
            if id(each.camera.mailbox) not in kept:
                each.camera.mailbox.close()
        if self.networks is not None and id(self.networks) not in kept:
            self.networks.store_profile(self._decoding, STOP_SECONDS)
        if self.server is not None and id(self.server) not in kept:
            self.server.close()
        if but is None:
            self._announce(self._watch.end())
            self._dispatcher.close(STOP_SECONDS)
        for sink in self.sinks.values():
            if id(sink) not in kept:
                sink.close(STOP_SECONDS)

    def _announce(self, events: Iterable[Event]) -> None:
        for event in events:
            self._dispatcher.dispatch(event)

    # what is told of it; from any thread

    @property
    def lanes(self) -> Mapping[str, Lane]:
        return {} if self.pipeline is None else {lane.camera: lane for lane in self.pipeline.lanes}

    def loops(self) -> dict[str, int]:
        """When every loop that must turn last did, or was seen at work. A camera whose source has
        ended has none. Sinks and the dispatcher wait for as long as nothing comes: theirs are there
        only when their thread has ended by itself."""
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
        waiting["events"] = self._dispatcher.alive
        loops |= {name: Turn(0, 0) for name, alive in waiting.items() if not alive}
        return self._turns.moments(loops, self._world.clock())

    def health(self) -> list[CameraHealth]:
        lanes = self.lanes
        return [
            CameraHealth(
                name,
                each.camera.state.value,
                name in lanes and lanes[name].results > 0,
                each.camera.last_error,
            )
            for name, each in self.cameras.items()
        ]

    def now(self) -> list[CameraNow]:
        lanes = self.lanes
        return [
            self._now(name, each.camera, lanes.get(name)) for name, each in self.cameras.items()
        ]

    def _now(self, name: str, camera: Camera, lane: Lane | None) -> CameraNow:
        trouble = None
        if camera.state.value in DOWN_STATES:
            trouble = ", ".join(filter(None, (camera.state.value, camera.last_error)))
        if lane is None or self.pipeline is None:
            return CameraNow(name, trouble, "", 0, 0)
        in_use = self.pipeline.controller.cameras[name].previous
        variant = "" if in_use is None else in_use.variant.name
        on_time = lane.results - lane.late
        return CameraNow(name, trouble, variant, lane.results + lane.stale, on_time)

    def _subjects(self) -> Subjects:
        return Subjects(
            budgets_ms={each.name: each.latency_budget_ms for each in self.config.cameras},
            on_time={each.name: each.on_time for each in self.config.cameras},
            top1=self.model.known_top1(),
            variants=self.model.variants,
            cameras=[each.camera for each in self.cameras.values()],
            sinks=[each.sink for each in self.sinks.values()],
            backend=self.model.backend.name,
            runtime=self.model.backend.describe(),
            loading=lambda: self.pipeline is None,
            engines=lambda: self.model.backend.engines,
            family=self.model.family.name,
            labels=self.model.family.labels,
            max_temperature_c=self.config.max_temperature_c,
            sensors=lambda: self._world.sensors.gauges,
            slowdown=self._slowdown,
            busy_share=lambda: self._thermostat.allowance.share,
            events=self._watch.counts,
            events_dropped=lambda: self._dispatcher.dropped,
            snapshots_dropped=lambda: self._dispatcher.snapshots_dropped,
            ladder=lambda: () if self.networks is None else self.networks.profiler.ladder,
            failures=lambda: {} if self.pipeline is None else self.pipeline.setbacks.failures,
        )

    def _slowdown(self) -> float:
        return 1.0 if self.pipeline is None else self.pipeline.controller.slowdown.ratio

    def _decoding(self) -> Decoding:
        return {name: lane.decode_times.spreads() for name, lane in self.lanes.items()}

    def _all_ended(self) -> bool:
        ended = all(each.camera.state is CameraState.ENDED for each in self.cameras.values())
        return ended and not self._replaced

    def _parts(self) -> Iterator[object]:
        for each in self.cameras.values():
            yield from (each.camera, each.camera.mailbox)
        yield from (self.networks, self.server, *self.sinks.values())

    def _run_pipeline(self) -> None:
        assert self.pipeline is not None
        failure = None
        try:
            self.pipeline.run()
        except BaseException as error:  # the main thread raises it, whatever it is
            failure = error
        if failure is not None or not self._replaced:
            self._world.ended(failure)

    def _lane(self, settings: CameraConfig, before: Running | None) -> Lane:
        """The one of that name goes on, with these settings."""
        name = settings.name
        return lane_of(
            settings,
            self.cameras[name].camera.mailbox,
            {variant.resolution for variant in self.model.variants},
            None if before is None else before.lanes.get(name),
            same_source=before is not None and before.cameras.get(name) is self.cameras[name],
            same_model=before is not None and before.model == self.model,
        )
