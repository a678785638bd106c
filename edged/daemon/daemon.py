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

from edged import __version__
from edged.clock import Clock, WallClock, monotonic_ns
from edged.config.config import Config
from edged.config.warnings import warnings
from edged.daemon.changes import changes, refusal
from edged.daemon.run import STOP_SECONDS, Running, World
from edged.daemon.signals import Orders
from edged.effort import Silence, effort_of_thread
from edged.errors import EdgedError
from edged.memory import keep_memory_small, return_free_memory
from edged.sensors.sensors import Sensors
from edged.service.notify import Notifier
from edged.service.status_line import StatusLine, building
from edged.sinks.options import KINDS
from edged.sinks.sink import Kind
from edged.telemetry.health import CameraHealth, Health, stuck_loops
from edged.telemetry.metrics import Metrics
from edged.tracing.recorder import Recorder
from edged.web.endpoints import STUCK_SECONDS
from edged.web.live import Live

log = logging.getLogger("edged")

TICK_SECONDS = 0.25
START_SECONDS = 60
"""What systemd is asked for again and again while a start makes progress, however slowly."""
LOADING_SECONDS = 5.0
"""How long a reload that is no longer wanted may take to notice: it looks between two networks."""


class Stopped(Exception):  # noqa: N818  (nothing is wrong)
    """There was an order to stop while something was being made ready."""


class Daemon:
    """One run. `frames` and `duration_seconds` end it by themselves; sources that end, too.

    kinds: of sinks, by the names of the configuration. reread: the configuration as it is now;
    None where there is no file. root: the folder that stands for `/` where sensors are read.
    """

    def __init__(
        self,
        config: Config,
        kinds: Mapping[str, Kind] = KINDS,
        *,
        orders: Orders | None = None,
        reread: Callable[[], Config] | None = None,
        frames: int | None = None,
        duration_seconds: float | None = None,
        trace: Path | None = None,
        clock: Clock = monotonic_ns,
        root: Path = Path("/"),
    ) -> None:
        self._config = config
        self._orders = orders or Orders()
        self._reread = reread
        self._duration_seconds = duration_seconds
        self._clock = clock
        self._wall_clock = WallClock()
        self._notifier = Notifier(os.environ)
        self._status_line = StatusLine()
        self._metrics = Metrics(__version__, time.time())
        self._world = World(
            kinds=kinds,
            metrics=self._metrics,
            live=Live(self._metrics, clock),
            health=Health(self._loops, self._health),
            sensors=Sensors(root),
            clock=clock,
            recorder=None if trace is None else Recorder(trace),
            frames_wanted=frames,
            ended=self._ended,
        )
        self._running: Running | None = None
        self._failure: BaseException | None = None
        self._ready = False
        self._refused = ""
        """Why the configuration that was read last has not been taken over."""
        self._reload = threading.Thread(name="reload")
        """Takes a turn of its own, so that everything goes on while networks are loaded."""
        self._reading = False
        """Whether a reload is still at the file, which ends nothing and holds nothing."""
        self._changing = threading.Lock()
        """Held while `_running` is replaced, and when it ends."""

    def run(self) -> None:
        """Until stopped or finished. Raises EdgedError where it cannot start."""
        try:
            self._start()
            self._main_loop()
            self._notifier.stopping()
        except Stopped:
            pass
        finally:
            self._orders.stop()  # a reload under way gives up
            with self._changing:
                self._close()
            if self._reload.is_alive() and not self._reading:
                self._reload.join(LOADING_SECONDS)
        if self._failure is not None:
            raise self._failure
        log.info("%s", self.summary())

    def summary(self) -> str:
        """One line: results, their share on time, and which variants made them."""
        lanes = () if self._running is None else tuple(self._running.lanes.values())
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

    def _start(self) -> None:
        keep_memory_small()
        gc.freeze()  # what is imported stays: to look through it would hold frames up
        self._go_on()
        self._running = running = Running(self._config, self._world)
        running.start_cameras()  # while the networks load: drivers take their time as well
        self._load(running)
        running.run()

    def _load(self, running: Running) -> None:
        """In a thread of its own, so that a network that never answers keeps no order waiting."""
        outcome: list[BaseException | None] = []

        def load() -> None:
            try:
                running.load(None, self._loading)
                outcome.append(None)
            except BaseException as error:  # the main thread raises it, whatever it is
                outcome.append(error)
            self._orders.wake()

        thread = threading.Thread(target=load, name="loading", daemon=True)
        thread.start()
        silence = Silence(self._clock())
        effort = partial(effort_of_thread, thread.native_id or 0)
        while not outcome:
            self._orders.wait(TICK_SECONDS)
            if silence.look(self._clock(), effort) < STUCK_SECONDS:
                self._notifier.starting(START_SECONDS)
            if self._orders.stopped:
                thread.join(STOP_SECONDS)
                raise Stopped
        if outcome[0] is not None:
            raise outcome[0]

    def _close(self) -> None:
        if self._running is not None:
            self._running.stop_pipeline()
        if self._world.recorder is not None:
            self._world.recorder.close(STOP_SECONDS)
        if self._running is not None:
            self._running.close()

    # run

    def _main_loop(self) -> None:
        begun_ns = self._clock()
        while not self._orders.stopped:
            self._orders.wait(TICK_SECONDS)
            now_ns = self._clock()
            limit = self._duration_seconds
            if limit is not None and now_ns - begun_ns >= limit * 1e9:
                return
            self._tick(now_ns)

    def _tick(self, now_ns: int) -> None:
        running = self._running
        assert running is not None
        if any(each.sink.broken_pipe for each in running.sinks.values()):
            self._orders.stop()
            return
        running.tick(now_ns)
        if step_seconds := self._wall_clock.step_seconds():
            self._metrics.clock_stepped()
            log.warning(
                "the wall clock was set by %+.1f s: times in results follow it, latencies do not",
                step_seconds,
            )
        if not stuck_loops(running.loops(), now_ns, STUCK_SECONDS):
            self._notifier.watchdog()
            if not self._ready:
                self._notifier.starting(START_SECONDS)
        if not self._ready and any(camera.settled for camera in running.health()):
            self._ready = True
            self._notifier.ready()
            self._tell_status(now_ns, at_once=True)
        if not self._reload.is_alive() and self._orders.take_reload():
            self._begin_reload()
        self._tell_status(now_ns)

    def _tell_status(self, now_ns: int, at_once: bool = False) -> None:
        assert self._running is not None
        cameras = self._status_line.text(self._running.now(), now_ns)
        parts = (self._refused, building(self._running.model.backend.engines), cameras)
        self._notifier.status("; ".join(filter(None, parts)), at_once=at_once)

    def _loading(self, number: int, of: int) -> None:
        """Building engines needs no such time: networks run on the CPU until then."""
        self._go_on()
        self._notifier.status(f"loading network {number} of {of}", at_once=True)

    def _go_on(self) -> None:
        if self._orders.stopped:
            raise Stopped

    def _ended(self, failure: BaseException | None) -> None:
        """The pipeline ended by itself."""
        self._failure = failure or self._failure
        self._orders.stop()

    def _loops(self) -> Mapping[str, int]:
        return {} if self._running is None else self._running.loops()

    def _health(self) -> list[CameraHealth]:
        return [] if self._running is None else self._running.health()

    # reload

    def _begin_reload(self) -> None:
        if self._reread is None:
            log.warning("there is no configuration file to read again: nothing is reloaded")
            return
        self._reload = threading.Thread(
            target=self._reload_from, args=(self._reread,), name="reload", daemon=True
        )
        self._reload.start()

    def _reload_from(self, reread: Callable[[], Config]) -> None:
        """Nothing that is wrong with the file, and with what it names, ends the daemon."""
        ready = self._ready  # before that, systemd would take the end of this for the start's
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
        gc.collect()  # what is no longer needed refers to itself
        return_free_memory()
        self._refused = refusal(reasons, self._config.path)
        self._metrics.reloaded(not reasons, time.time())
        if not self._orders.stopped:  # systemd has been told of the end
            if ready:
                self._notifier.ready()
            self._tell_status(self._clock(), at_once=True)
        for reason in reasons:
            log.error("configuration not reloaded, everything goes on as before: %s", reason)
        if reasons:
            log.error("mend it, check it with: edged check %s, and reload again", self._config.path)
        else:
            log.info("configuration reloaded: %s", "; ".join(done) or "nothing has changed")

    def _change_to(self, config: Config) -> list[str]:
        """What has changed. Raises EdgedError, or whatever it may be, with nothing changed."""
        before = self._running
        assert before is not None
        for warning in warnings(config):
            log.warning("%s", warning)
        after = Running(config, self._world, before)
        try:
            same_networks = before.model == after.model
            done = changes(before.config, config, same_networks=same_networks)
            if not done:
                return done
            after.load(before, self._loading)
            with self._changing:
                self._go_on()
                self._replace(before, after)
        except BaseException:
            after.close(but=before)
            raise
        before.close(but=after)
        return done

    def _replace(self, before: Running, after: Running) -> None:
        try:
            after.start_cameras(before)
            after.run(before)
        except BaseException as error:  # neither of them works any more
            self._ended(error)
            raise Stopped from error
        self._running = after
