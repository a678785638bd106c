"""Start-up → run → shutdown, with reloads in between."""

from __future__ import annotations

import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from edged import __version__
from edged.clock import Clock, WallClock, monotonic_ns
from edged.config.config import Config
from edged.config.warnings import warnings
from edged.daemon.changes import (
    CLASSIFIERS,
    CONFIGURATION,
    STAYS,
    changed_classifiers,
    changes,
    refusal,
)
from edged.daemon.run import STOP_SECONDS, Run, World
from edged.daemon.signals import Signals
from edged.daemon.subjects import health, now
from edged.effort import Silence, effort_of_thread
from edged.errors import EdgedError
from edged.history.history import History
from edged.memory import keep_memory_small, return_free_memory
from edged.pipeline.sent import SentPictures
from edged.sensors.sensors import Sensors
from edged.service.notify import Notifier
from edged.service.status_line import StatusLine, building
from edged.sinks.options import KINDS
from edged.sinks.sink import Kind
from edged.state import state_directory
from edged.switches.memory import Memory
from edged.switches.switches import Switches
from edged.teach.store import TeachStore, teach_directory
from edged.teach.teaching import Teaching
from edged.telemetry.health import CameraHealth, Health, stuck_loops
from edged.telemetry.metrics import Metrics
from edged.tracing.recorder import Recorder
from edged.web.endpoints import STUCK_SECONDS
from edged.web.live import Live
from edged.web.status.status import status

log = logging.getLogger("edged")

TICK_SECONDS = 0.25
LOADING_SECONDS = 5.0
"""How long the end waits for a reload in progress; nothing interrupts one that loads a network."""
START_SECONDS = 60
"""Time-out extension requested from systemd while a start makes progress."""


class Stopped(Exception):  # noqa: N818  (nothing is wrong)
    """A stop was requested during start-up or a reload."""


class Daemon:
    """Runs until stopped, all sources end, or `frames` or `duration_seconds` is reached.

    kinds: sink kinds by their name in the configuration. reread: loads the configuration again;
    None without a file. ending: called at the end, before anything is closed. root: replaces `/`
    for the sensors.
    """

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, Kind] = KINDS,
        *,
        signals: Signals | None = None,
        reread: Callable[[], Config] | None = None,
        frames: int | None = None,
        duration_seconds: float | None = None,
        trace: Path | None = None,
        ending: Callable[[], object] = lambda: None,
        clock: Clock = monotonic_ns,
        root: Path = Path("/"),
    ) -> None:
        self._config = config
        self._signals = signals or Signals()
        self._reread = reread
        self._duration_seconds = duration_seconds
        self._ending = ending
        self._clock = clock
        self._wall_clock = WallClock()
        self._notifier = Notifier(os.environ)
        self._status_line = StatusLine()
        self._metrics = Metrics(__version__, time.time())
        directory = state_directory(os.environ)
        history = History(directory)
        memory = None if directory is None else Memory(directory)
        switches = Switches(memory, changed=self._signals.wake)
        store = TeachStore(teach_directory(os.environ))
        self._world = World(
            kinds=kinds,
            metrics=self._metrics,
            live=Live(self._metrics, clock, history.minutes),
            history=history,
            health=Health(self._loops, self._health),
            sensors=Sensors(root),
            clock=clock,
            recorder=None if trace is None else Recorder(trace),
            teaching=Teaching(store, switch=switches.of_view, clock=clock),
            sent=SentPictures(),
            switches=switches,
            frames_wanted=frames,
            ended=self._ended,
        )
        self._run: Run | None = None
        self._failure: BaseException | None = None
        self._ready = False
        self._refused: dict[str, str] = {}
        """Why the last reload was refused, by what was to be read again."""
        self._reload = threading.Thread(name="reload")
        self._reading = False
        """A reload is reading the file; a stop need not wait for it."""
        self._changing = threading.Lock()
        """Held while `_run` is replaced or closed."""

    def run(self) -> None:
        """Run until stopped or finished. Raises EdgedError if it cannot start."""
        try:
            self._start()
            self._main_loop()
            self._ending()
            self._notifier.stopping()
        except Stopped:
            pass
        finally:
            self._signals.stop()  # cancels a reload in progress
            with self._changing:
                self._close()
            if self._reload.is_alive() and not self._reading:
                self._reload.join(LOADING_SECONDS)
        if self._failure is not None:
            raise self._failure
        log.info("%s", self.summary())

    @property
    def config(self) -> Config:
        """Of the present run."""
        return self._config if self._run is None else self._run.config

    def status(self) -> dict[str, Any]:
        """As `/api/v1/status`; without cameras at the very beginning. For any thread."""
        return status(self._world.live)

    def summary(self) -> str:
        """One line: number of results, their share on time, and the variants used."""
        queues = () if self._run is None else tuple(self._run.queues.values())
        results = sum(queue.results for queue in queues)
        stale = sum(queue.stale for queue in queues)
        late = sum(queue.late for queue in queues)
        if not results + stale:
            return "no results yet"
        counts: dict[str, int] = {}
        for queue in queues:
            for variant, count in queue.by_variant.items():
                counts[variant] = counts.get(variant, 0) + count
        used = sorted(counts.items(), key=lambda item: -item[1])[:3]
        on_time = 100 * (results - late) / (results + stale)
        shares = ", ".join(f"{name} {100 * count / results:.0f} %" for name, count in used)
        dropped = f", {stale} frames too old to run" if stale else ""
        if shed := sum(queue.shed for queue in queues):
            dropped += f", {shed} frames skipped to limit temperature or power"
        return f"{results} results, {on_time:.1f} % on time{dropped}" + (shares and f"; {shares}")

    def _start(self) -> None:
        keep_memory_small()
        gc.freeze()  # modules stay: scanning them would delay frames
        self._go_on()
        self._run = run = Run(self._config, self._world)
        run.start_cameras()  # in parallel with loading: drivers are slow as well
        self._load(run)
        run.start_pipeline()

    def _load(self, run: Run) -> None:
        """Load in a thread, so that a stop need not wait for a network that hangs."""
        outcome: list[BaseException | None] = []

        def load() -> None:
            try:
                run.load(None, self._loading)
                outcome.append(None)
            except BaseException as error:  # the main thread raises it, whatever it is
                outcome.append(error)
            self._signals.wake()

        thread = threading.Thread(target=load, name="loading", daemon=True)
        thread.start()
        silence = Silence(self._clock())
        effort = partial(effort_of_thread, thread.native_id or 0)
        while not outcome:
            self._signals.wait(TICK_SECONDS)
            if silence.look(self._clock(), effort) < STUCK_SECONDS:
                self._notifier.starting(START_SECONDS)
            if self._signals.stopped:
                thread.join(STOP_SECONDS)
                raise Stopped
        if outcome[0] is not None:
            raise outcome[0]

    def _close(self) -> None:
        if self._run is not None:
            self._run.stop_pipeline()
        self._world.teaching.close()
        if self._world.recorder is not None:
            self._world.recorder.close(STOP_SECONDS)
        if self._run is not None:
            self._run.close()
        self._world.history.close(STOP_SECONDS)
        self._world.switches.close(STOP_SECONDS)

    # run

    def _main_loop(self) -> None:
        begun_ns = self._clock()
        while not self._signals.stopped:
            self._signals.wait(TICK_SECONDS)
            now_ns = self._clock()
            limit = self._duration_seconds
            if limit is not None and now_ns - begun_ns >= limit * 1e9:
                return
            self._tick(now_ns)

    def _tick(self, now_ns: int) -> None:
        run = self._run
        assert run is not None
        if any(each.sink.broken_pipe for each in run.sinks.values()):
            self._signals.stop()
            return
        self._world.switches.tick()
        run.tick(now_ns)
        if step_seconds := self._wall_clock.step_seconds():
            self._metrics.clock_stepped()
            log.warning(
                "the system clock changed by %+.1f s; times in results follow it, latencies do not",
                step_seconds,
            )
        if not stuck_loops(run.loops(), now_ns, STUCK_SECONDS):
            self._notifier.watchdog()
            if not self._ready:
                self._notifier.starting(START_SECONDS)
        if not self._ready and any(camera.settled for camera in health(run)):
            self._ready = True
            self._notifier.ready()
            self._tell_status(now_ns, at_once=True)
        if not self._reload.is_alive():
            if self._signals.take_reload():
                self._begin_reload(self._reread, CONFIGURATION)
            elif self._world.teaching.changed():
                self._begin_reload(lambda: run.config, CLASSIFIERS)
        self._tell_status(now_ns)

    def _tell_status(self, now_ns: int, at_once: bool = False) -> None:
        if not (at_once or self._notifier.status_due):
            return
        assert self._run is not None
        cameras = self._status_line.text(now(self._run), now_ns)
        parts = (*self._refused.values(), building(self._run.models.engines), cameras)
        self._notifier.status("; ".join(filter(None, parts)), at_once=at_once)

    def _loading(self, number: int, of: int) -> None:
        """Report progress to systemd; building engines needs none, as networks run on the CPU."""
        self._go_on()
        self._notifier.status(f"loading network {number} of {of}", at_once=True)

    def _go_on(self) -> None:
        if self._signals.stopped:
            raise Stopped

    def _ended(self, failure: BaseException | None) -> None:
        """The pipeline ended by itself."""
        self._failure = failure or self._failure
        self._signals.stop()

    def _loops(self) -> Mapping[str, int]:
        return {} if self._run is None else self._run.loops()

    def _health(self) -> list[CameraHealth]:
        return [] if self._run is None else health(self._run)

    # reload

    def _begin_reload(self, reread: Callable[[], Config] | None, what: str) -> None:
        """what: CONFIGURATION, or CLASSIFIERS for a reload with the present configuration."""
        if reread is None:
            log.warning("reload ignored: edged runs without a configuration file")
            return
        self._reload = threading.Thread(
            target=self._reload_from, args=(reread, what), name="reload", daemon=True
        )
        self._reload.start()

    def _reload_from(self, reread: Callable[[], Config], what: str) -> None:
        """Reload; errors in the file, or in what it names, leave the present run as it is."""
        ready = self._ready  # earlier, systemd would take READY=1 for the end of the start
        if ready:
            self._notifier.reloading()
        done, reasons = [], []
        try:
            self._reading = True
            config = reread()
            self._go_on()
            self._reading = False
            done = self._change_to(config)
        except Stopped:
            return
        except EdgedError as error:
            reasons = str(error).splitlines()
        except Exception as error:
            log.exception("a reload failed")
            reasons = [f"{type(error).__name__}: {error}"]
        finally:
            self._reading = False
        gc.collect()  # the replaced parts form reference cycles
        return_free_memory()
        self._refused[what] = refusal(what, reasons, self._config.path)
        if what is CONFIGURATION:
            self._metrics.reloaded(not reasons, time.time())
        if not self._signals.stopped:  # otherwise STOPPING=1 was sent
            if ready:
                self._notifier.ready()
            self._tell_status(self._clock(), at_once=True)
        for reason in reasons:
            log.error("%s not reloaded, %s active: %s", what, STAYS[what], reason)
        if reasons and what is CONFIGURATION:
            log.error("fix it, check it with: edged check %s, and reload again", self._config.path)
        if not reasons:
            log.info("%s reloaded: %s", what, "; ".join(done) or "no changes")

    def _change_to(self, config: Config) -> list[str]:
        """Replace the run, and return what changed. An exception leaves the present run alone."""
        before = self._run
        assert before is not None
        for warning in warnings(config):
            log.warning("%s", warning)
        after = Run(config, self._world, before)
        try:
            done = changes(
                before.config,
                config,
                same_model=before.models.loads_the_same(after.models),
                classifiers=[*changed_classifiers(before.models, after.models)],
            )
            if not done:
                return done
            after.load(before, self._loading)
            with self._changing:
                self._go_on()
                self._replace(before, after)
        except BaseException:
            after.close(but=before)
            raise
        try:
            before.close(but=after)
        except Exception:  # of the former run: the new one works
            log.exception("what the former configuration had running is not all ended")
        return done

    def _replace(self, before: Run, after: Run) -> None:
        try:
            after.start_cameras(before)
            after.start_pipeline(before)
        except BaseException as error:  # neither run works any more
            self._ended(error)
            raise Stopped from error
        self._run = after
