"""Start-up → run → shutdown. Puts the rooms together and knows none of their details."""

from __future__ import annotations

import contextlib
import logging
import os
import signal
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import FrameType

from edged import __version__
from edged.backends.auto import load_backend
from edged.backends.loaded import LoadedFamily
from edged.capture import CaptureRequest
from edged.capture.mailbox import Mailbox
from edged.capture.supervisor import Camera, CameraState
from edged.clock import Clock, monotonic_ns
from edged.config import CameraConfig, Config
from edged.control.decode_times import DecodeTimes
from edged.control.profile import Profile, dominated
from edged.control.profile_store import ProfileStore, state_directory
from edged.control.profiler import Profiler
from edged.control.recorder import Recorder
from edged.device import device_facts
from edged.errors import InputError
from edged.lane import Lane
from edged.memory import keep_memory_small, return_free_memory
from edged.pipeline import Output, Pipeline
from edged.sensors import Sensors
from edged.sinks import Sink
from edged.telemetry import CameraHealth, Health, stuck_loops
from edged.telemetry.http import STUCK_SECONDS, HttpServer
from edged.telemetry.metrics import Metrics
from edged.telemetry.systemd import Notifier
from edged.thermostat import Thermostat
from edged.variants.family import Family, Fit, load_family
from edged.variants.mobilenet import Architecture, cost
from edged.variants.variant import Variant

log = logging.getLogger("edged")

TICK_SECONDS = 0.25
STOP_SECONDS = 1.0
"""What the pipeline and each sink get to finish what they have in hand."""
STORE_SECONDS = 600
"""A profile that has changed is written after each round of measuring, then this often at most."""


class Daemon:
    """One run. `frames` and `duration_seconds` end it by themselves; sources that end, too.

    root: the folder that stands for `/` where sensors are read.
    """

    def __init__(
        self,
        config: Config,
        sinks: Sequence[Sink],
        *,
        frames: int | None = None,
        duration_seconds: float | None = None,
        trace: Path | None = None,
        clock: Clock = monotonic_ns,
        root: Path = Path("/"),
    ) -> None:
        self._config = config
        self._sinks = sinks
        self._frames = frames
        self._duration_seconds = duration_seconds
        self._trace = trace
        self._clock = clock
        self._sensors = Sensors(root)
        self._thermostat = Thermostat(self._sensors, config.max_temperature_c)
        self._stop = threading.Event()
        self._failure: BaseException | None = None
        self._notifier = Notifier(os.environ)
        self._cameras: list[Camera] = []
        self._pipeline: Pipeline | None = None
        self._store: ProfileStore | None = None
        self._stored: Profile = {}
        """What its file has been given."""

    def run(self) -> None:
        """Until stopped or finished. Raises EdgedError where it cannot start."""
        with contextlib.ExitStack() as stack:
            stack.enter_context(_signals(self._stop.set))
            for sink in self._sinks:
                stack.callback(sink.close, STOP_SECONDS)
            self._run_pipeline_in_thread(stack, self._start(stack))
            self._main_loop()
            self._notifier.stopping()
        if self._failure is not None:
            raise self._failure
        log.info("%s", self.summary())

    def summary(self) -> str:
        """One line: results, their share on time, and which variants made them."""
        lanes = self._pipeline.lanes if self._pipeline is not None else ()
        results = sum(lane.results for lane in lanes)
        stale = sum(lane.stale for lane in lanes)
        late = sum(lane.late for lane in lanes)
        if not results + stale:
            return "no results yet"
        counts: dict[str, int] = {}
        for lane in lanes:
            for variant, count in lane.by_variant.items():
                counts[variant.name] = counts.get(variant.name, 0) + count
        used = sorted(counts.items(), key=lambda item: -item[1])[:3]
        on_time = 100 * (results - late) / (results + stale)
        shares = ", ".join(f"{name} {100 * count / results:.0f} %" for name, count in used)
        dropped = f", {stale} frames came too late to run" if stale else ""
        if shed := sum(lane.shed for lane in lanes):
            dropped += f", {shed} frames left out to stay cool"
        return f"{results} results, {on_time:.1f} % on time{dropped}" + (shares and f"; {shares}")

    # start-up

    def _start(self, stack: contextlib.ExitStack) -> Pipeline:
        keep_memory_small()
        config = self._config
        family = load_family(config.model, config.base)
        allowed = _allowed(family, config)
        _report_hopeless_accuracies(family, allowed, config)
        backend, why = load_backend(config.backend)
        self._cameras = [_camera(camera, family) for camera in config.cameras]
        metrics = Metrics(
            {camera.name: camera.latency_budget_ms for camera in config.cameras},
            variants=allowed,
            cameras=self._cameras,
            sinks=self._sinks,
            version=__version__,
            backend=backend.name,
            family=family.name,
            max_temperature_c=config.max_temperature_c,
        )
        metrics.sensors = lambda: self._sensors.gauges
        metrics.busy_share = lambda: self._thermostat.allowance.share
        if config.http is not None:
            health = Health(self._loops, self._camera_health)
            server = HttpServer(config.http.host, config.http.port, metrics.registry, health)
            log.info("http://%s/metrics", stack.enter_context(server).address)
        for camera in self._cameras:
            camera.start()  # while the networks load: drivers take their time as well
        stack.callback(_stop_together, self._cameras)
        top1 = {variant: family.top1(variant) for variant in allowed}
        key = {**device_facts(), **backend.describe(), "family": family.fingerprint}
        store = ProfileStore(state_directory(os.environ), key, family.variants())
        known = store.load()
        left_out = dominated(known, top1) | {
            (variant, count)
            for variant in set(family.variants()) - set(allowed)
            for count in config.threads
        }
        loaded = LoadedFamily(family, backend, config.threads, left_out=left_out)
        recorder = None if self._trace is None else Recorder(self._trace)
        if recorder is not None:
            stack.callback(recorder.close, STOP_SECONDS)
        pipeline = Pipeline(
            lanes=[
                Lane(
                    camera.name,
                    camera.mailbox,
                    settings.latency_budget_ms,
                    settings.on_time,
                    settings.min_fps or 0.0,
                    settings.min_top1,
                    decode_times=DecodeTimes({variant.resolution for variant in allowed}),
                )
                for camera, settings in zip(self._cameras, config.cameras, strict=True)
            ],
            loaded=loaded,
            profiler=Profiler(
                top1,
                {variant: _multiply_adds(variant, len(family.labels)) for variant in allowed},
                config.threads,
                known=known,
                left_out=left_out - loaded.choices,
            ),
            output=Output(family.labels, config.results.top_k, config.results.min_score),
            sinks=self._sinks,
            observer=metrics,
            cores=len(os.sched_getaffinity(0)),
            frames_wanted=self._frames,
            clock=self._clock,
            finished=self._all_ended,
            recorder=recorder,
            about={**key, "family": family.name, "hash": family.fingerprint},
        )
        self._store, self._stored = store, pipeline.profiler.profile
        stack.callback(self._store_profile, STOP_SECONDS)
        return_free_memory()
        metrics.slowdown = lambda: pipeline.controller.slowdown.ratio
        log.info(
            "edged %s: family %s, %d variants, %s %s (%s)",
            *(__version__, family.name, len(allowed), backend.name, backend.version, why),
        )
        return pipeline

    def _run_pipeline_in_thread(self, stack: contextlib.ExitStack, pipeline: Pipeline) -> None:
        def run() -> None:
            try:
                pipeline.run()
            except BaseException as error:  # the main thread raises it, whatever it is
                self._failure = error
            finally:
                self._stop.set()

        def stop() -> None:
            pipeline.stop()
            thread.join(STOP_SECONDS)

        self._pipeline = pipeline
        thread = threading.Thread(target=run, name="pipeline", daemon=True)
        thread.start()
        stack.callback(stop)

    # run

    def _main_loop(self) -> None:
        begun_ns = self._clock()
        ready = hopeless_told = profiled = False
        assert self._pipeline is not None
        profiler = self._pipeline.profiler
        rounds, stored_ns = profiler.rounds, begun_ns
        while not self._stop.wait(TICK_SECONDS):
            now_ns = self._clock()
            limit = self._duration_seconds
            if limit is not None and now_ns - begun_ns >= limit * 1e9:
                return
            if any(getattr(sink, "broken_pipe", False) for sink in self._sinks):
                return
            self._pipeline.allowance = self._thermostat.tick(now_ns)
            if not stuck_loops(self._loops(), now_ns, STUCK_SECONDS):
                self._notifier.watchdog()
            if not ready and any(camera.ready for camera in self._camera_health()):
                ready = True
                self._notifier.ready()
            if not hopeless_told:
                hopeless_told = self._report_hopeless_budgets()
            if not profiled:
                profiled = self._report_profile()
            if rounds != profiler.rounds or now_ns - stored_ns >= STORE_SECONDS * 1e9:
                rounds, stored_ns = profiler.rounds, now_ns
                self._store_profile()
            self._notifier.status(self.summary())

    def _report_hopeless_budgets(self) -> bool:
        """Say once which budgets even the cheapest variant breaks; False until it is measured."""
        assert self._pipeline is not None
        if not self._pipeline.profiler.ladder:
            return False
        cheapest = min(self._pipeline.profiler.ladder, key=lambda candidate: candidate.p50_ms)
        for camera in self._config.cameras:
            if cheapest.p50_ms > camera.latency_budget_ms:
                log.warning(
                    "camera %s: no variant reaches latency_budget_ms %g on this device; the "
                    "cheapest, %s, takes %.1f ms: it runs, and its misses are counted",
                    *(camera.name, camera.latency_budget_ms, cheapest.variant, cheapest.p50_ms),
                )
        return True

    def _report_profile(self) -> bool:
        """Say once what the measuring found; False while it is not finished."""
        assert self._pipeline is not None
        if not self._pipeline.profiled:
            return False
        return_free_memory()
        log.info(
            "measured, most accurate first: %s",
            ", ".join(
                f"{each.variant} x{each.threads} {each.p50_ms:.1f} ms"
                for each in self._pipeline.profiler.ladder
            ),
        )
        return True

    def _store_profile(self, wait_seconds: float = 0.0) -> None:
        """If it has changed. In a thread, because a worn memory card may take its time."""
        pipeline, store = self._pipeline, self._store
        if pipeline is None or store is None or pipeline.profiler.profile is self._stored:
            return
        self._stored = pipeline.profiler.profile
        decoding = {lane.camera: lane.decode_times.spreads() for lane in pipeline.lanes}
        thread = threading.Thread(
            target=store.save, args=(self._stored, decoding), name="profile", daemon=True
        )
        thread.start()
        thread.join(wait_seconds)

    def _loops(self) -> dict[str, int]:
        """Every loop that must turn. A camera whose source has ended has none."""
        loops = {
            f"camera {camera.name}": camera.progress_ns
            for camera in self._cameras
            if camera.state is not CameraState.ENDED
        }
        if self._pipeline is not None:
            loops["pipeline"] = self._pipeline.progress_ns
        return loops

    def _camera_health(self) -> list[CameraHealth]:
        lanes = self._pipeline.lanes if self._pipeline is not None else ()
        results = {lane.camera: lane.results for lane in lanes}
        return [
            CameraHealth(
                camera.name, camera.state.value, results.get(camera.name, 0) > 0, camera.last_error
            )
            for camera in self._cameras
        ]

    def _all_ended(self) -> bool:
        return all(camera.state is CameraState.ENDED for camera in self._cameras)


def _allowed(family: Family, config: Config) -> tuple[Variant, ...]:
    if config.variants is None:
        return family.variants()
    for name in config.variants:
        if Variant.parse(name) not in family.variants():
            raise InputError(
                f"the family {family.name} has no such variant",
                where=f"{config.path}: variants",
                got=name,
                fix="it has " + ", ".join(variant.name for variant in family.variants()),
            )
    return tuple(variant for variant in family.variants() if variant.name in config.variants)


def _report_hopeless_accuracies(family: Family, allowed: Sequence[Variant], config: Config) -> None:
    """Say which cameras ask for more than the family can do."""
    best = max(allowed, key=family.top1)
    for camera in config.cameras:
        if family.top1(best) < camera.min_top1:
            log.warning(
                "camera %s: no variant reaches min_top1 %g; the most accurate, %s with %.3f, runs",
                *(camera.name, camera.min_top1, best, family.top1(best)),
            )


def _camera(settings: CameraConfig, family: Family) -> Camera:
    request = CaptureRequest(
        source=settings.source.reveal(),
        size=settings.size,
        fps=settings.fps,
        max_fps=settings.max_fps,
        rotate=settings.rotate,
        flip=settings.flip,
        loop=settings.loop,
        square=family.input.fit is Fit.CROP,
    )
    # The worker shrinks to below twice what is wanted, which is at most the largest resolution.
    largest = max(variant.resolution for variant in family.variants())
    mailbox = Mailbox.create(2 * largest)
    mailbox.want(largest)
    return Camera(settings.name, request, mailbox)


def _multiply_adds(variant: Variant, classes: int) -> int:
    return cost(Architecture(variant.alpha, classes), variant.resolution).multiply_adds


def _stop_together(cameras: Sequence[Camera]) -> None:
    """A driver that does not let go costs its second once, not once a camera."""
    threads = [threading.Thread(target=camera.stop) for camera in cameras]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


@contextlib.contextmanager
def _signals(stop: Callable[[], None]) -> Iterator[None]:
    """SIGTERM, SIGINT and SIGHUP end the run; what they did before comes back afterwards."""

    def handle(number: int, frame: FrameType | None) -> None:
        stop()

    ends = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
    before = {number: signal.signal(number, handle) for number in ends}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
