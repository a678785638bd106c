"""Supervises one camera's capture process: starting, streaming, stalled, backoff, ended.

A missing, hung or crashed camera is a state, not an exception: its process is killed and restarted
after growing pauses with jitter. One thread per camera keeps a fault from affecting the others.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import replace
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from edged.capture.confinement.needs import CONFINED
from edged.capture.device_watch import LOOK_SECONDS, Node, node_of
from edged.capture.liveness import Liveness, TimeLimits
from edged.capture.messages import Decodes, Ended, Failed, Loaded, Opened, from_line, shown
from edged.capture.process import Child, Noise, Starter, start_worker
from edged.capture.source import CaptureRequest, Failure, Granted
from edged.capture.sources.hardware.decoders import SOFTWARE
from edged.capture.sources.table import kind_of, needs_of
from edged.capture.sources.v4l2.discovery import IN_USE, holders
from edged.clock import Clock, monotonic_ns
from edged.effort import Turn
from edged.secret import redact

if TYPE_CHECKING:
    from edged.capture.mailbox import Mailbox

logger = logging.getLogger("edged.capture")


class CameraState(str, Enum):
    STARTING = "starting"
    STREAMING = "streaming"
    STALLED = "stalled"
    BACKOFF = "backoff"
    ENDED = "ended"


class Camera:
    """One supervised camera. Any thread may read the attributes.

    device: the path of a local device; when it returns, a pause ends at once. turns: limits how
    many processes load their libraries at the same time; None for no limit.
    """

    def __init__(
        self,
        name: str,
        request: CaptureRequest,
        mailbox: Mailbox,
        *,
        device: Path | None = None,
        limits: TimeLimits | None = None,
        clock: Clock = monotonic_ns,
        chance: Callable[[], float] = random.random,
        starter: Starter | None = None,
        turns: threading.Semaphore | None = None,
    ) -> None:
        self.name = name
        self.state = CameraState.STARTING
        self.last_error: str | None = None
        """The last error, without credentials."""
        self.away_ns: int | None = clock()
        """Since when it has not been streaming; None while it is."""
        self.granted: Granted | None = None
        """Set while the source is open."""
        self.decoder: str | None = None
        """`software` or a GStreamer element; None if the source is not compressed video, or has not
        been opened."""
        self.progress_ns = clock()
        """Last iteration of the thread, which runs until the source ends or `stop`, even while the
        camera is absent."""
        self._request = request
        self._kind = kind_of(request.source)
        self.mailbox = mailbox
        self._device = device
        self._limits = TimeLimits() if limits is None else limits
        self._clock = clock
        self._chance = chance
        self._starter = starter or partial(start_worker, whole_environment=not request.confine)
        self._turns = threading.Semaphore() if turns is None else turns
        self._has_turn = False
        self._restarts = dict.fromkeys(Failure, 0)
        self._failures = 0
        self._logged_error: str | None = None
        self._noise = Noise(lambda text: logger.warning("camera %s: driver: %s", name, text))
        self._stopping = threading.Event()
        self._stopped = False
        self._stop_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = threading.Thread(target=self._supervise, name=f"camera-{name}", daemon=True)

    @property
    def max_fps(self) -> float | None:
        return self._request.max_fps

    @property
    def is_stream(self) -> bool:
        """Whether it sends compressed video over a network."""
        return self._kind.video and self._kind.remote

    @property
    def turn(self) -> Turn:
        return Turn(self.progress_ns, self._thread.native_id or 0)

    @property
    def restarts(self) -> Mapping[Failure, int]:
        """Number of restarts of the process, by reason."""
        return MappingProxyType(self._restarts)

    def take_over(self, before: Camera) -> None:
        """Continue the counters of `before`, which has stopped; those of views by their names. Call
        it before `start`."""
        self._restarts.update(before._restarts)
        if self.mailbox is not before.mailbox:
            self.mailbox.go_on_from(before.mailbox, self._request.continued(before._request))

    def change(self, request: CaptureRequest) -> None:
        """Go over to a request of the same source with other views, without a restart."""
        self._request = replace(request, on=self._request.on)

    def switch(self, *, on: bool) -> None:
        """Whether any view is on. While none is, hardly a frame is decoded. Once one is again, a
        camera that is away is tried at once, unless it refused the login."""
        if on != self._request.on:
            self._request = replace(self._request, on=on)

    def start(self) -> None:
        self._thread.start()

    def begin_stop(self) -> None:
        """Make the thread end its process and itself, without waiting for it."""
        if not self._stopping.is_set():
            self._stopping.set()
            os.eventfd_write(self._stop_fd, 1)

    def stop(self) -> None:
        """End the process, which has `limits.stop` seconds to clean up, and the thread."""
        if self._stopped:
            return
        self._stopped = True
        self.begin_stop()
        if self._thread.ident is not None:
            self._thread.join()
        os.close(self._stop_fd)
        self.state = CameraState.ENDED

    def _supervise(self) -> None:
        while True:
            self.granted = self.decoder = None
            self._enter(CameraState.STARTING, logging.DEBUG if self._failures else logging.INFO)
            node = node_of(self._device)
            self._take_turn()
            try:
                failed = self._run_child()
            finally:
                self._give_turn()
            # A signal to the process group may end the child a moment before the daemon.
            if self._stopping.wait(self._limits.end_of_daemon if failed else 0):
                return
            if failed is None:
                self._enter(CameraState.ENDED, logging.INFO)
                return
            self._restarts[failed.reason] += 1
            self._failures += 1
            self._back_off(failed, node)
            if self._stopping.is_set():
                return

    def _run_child(self) -> Failed | None:
        """Run the process once; None at the end of its source and after `stop`."""
        self.mailbox.prepare()
        try:
            process = self._starter(self.mailbox.memfd, self.mailbox.wake_fd)
        except OSError as error:
            return Failed(Failure.EXITED, f"could not start the capture process: {error}")
        with Child(process, self._stop_fd) as child:
            failed = self._watch(child)
            if failed is not None and failed.reason in (Failure.STALLED, Failure.FROZEN):
                self.last_error = redact(failed.message)
                self._enter(CameraState.STALLED, self._warning(failed.message), failed.message)
            if not child.closed:
                child.terminate(self._limits.stop)
        return failed

    def _take_turn(self) -> None:
        """Wait for a turn to load libraries, at most `limits.turn` seconds: processes that load
        them at the same time slow each other down."""
        end_ns = self._clock() + int(self._limits.turn * 1e9)
        while not (self._stopping.is_set() or self._has_turn or self._clock() >= end_ns):
            self._has_turn = self._turns.acquire(timeout=self._limits.tick)
            self.progress_ns = self._clock()

    def _give_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.release()

    def _watch(self, child: Child) -> Failed | None:
        mailbox = self.mailbox
        liveness = Liveness(
            self._limits,
            mailbox.captured,
            mailbox.decoded,
            self._clock(),
            stalled_after_seconds=self._request.stalled_after_seconds,
            remote=self._kind.remote,
        )
        last_words = ""
        child.send(request := self._request)
        while not self._stopping.is_set():
            latest = self._request
            if latest is not request and child.send(latest):
                request = latest
            status_lines, chatter = child.listen(self._limits.tick)
            self.progress_ns = now_ns = self._clock()
            for last_words in chatter:
                self._noise.line(last_words, now_ns)
            for line in status_lines:
                status = from_line(line)
                self._give_turn()  # every status follows loading
                if isinstance(status, Opened):
                    self.granted = status.granted
                    liveness.opened(status.granted.fps, now_ns)
                elif isinstance(status, Failed):
                    return Failed(status.reason, self._with_holders(status.message))
                elif isinstance(status, Ended):
                    return None
                elif isinstance(status, Decodes):
                    self._decodes(status)
                elif not isinstance(status, Loaded):
                    self._noise.line(line if status is None else status.message, now_ns)

            failed = liveness.look(mailbox.captured, mailbox.decoded, now_ns, lambda: child.effort)
            if liveness.streaming and self.state is not CameraState.STREAMING:
                self._logged_error = None
                self._enter(CameraState.STREAMING, logging.INFO, str(self.granted))
            # A frozen picture also arrives in good frames until it is detected.
            if liveness.good_for(self._request.frozen_after_seconds or 0, now_ns):
                self._failures = 0
            if child.closed:
                confined = self._request.confine and not liveness.streaming
                return failed_by_death(child.wait(self._limits.stop), last_words, confined)
            if failed is not None:
                return Failed(failed.reason, failed.message + self._perhaps_confined())
        return None

    def _decodes(self, status: Decodes) -> None:
        self.decoder = status.decoder
        if status.message:
            text = f"decoding in {status.decoder}: {status.message}"
            logger.warning("camera %s: %s", self.name, redact(text))
        elif status.decoder != SOFTWARE:
            logger.info("camera %s: decoding with %s", self.name, status.decoder)

    def _back_off(self, failed: Failed, node: Node | None) -> None:
        """node: the device when the failed process was started."""
        pause = self._limits.before_restart(failed.reason, self._failures, self._chance())
        message = redact(failed.message)
        level = self._warning(message)
        self.last_error = self._logged_error = message
        self.granted = self.decoder = None
        self._enter(CameraState.BACKOFF, level, f"{message}; next try in {pause:.1f} s")
        end_ns = self._clock() + int(pause * 1e9)
        on = True
        while not self._stopping.is_set() and (left_ns := end_ns - self._clock()) > 0:
            self.progress_ns = self._clock()
            was_on, on = on, self._request.on
            wanted_again = on and not was_on and failed.reason is not Failure.UNAUTHORIZED
            if wanted_again or node_of(self._device) not in (node, None):
                self._failures = 0
                return
            self._stopping.wait(min(left_ns / 1e9, LOOK_SECONDS if self._device else 1.0))

    def _perhaps_confined(self) -> str:
        """A hint for a source that did not open and may need more access than its row states."""
        if self.granted is not None or not self._request.confine:
            return ""
        return "" if needs_of(self._request).certain else CONFINED

    def _with_holders(self, message: str) -> str:
        """Add who uses the device; the confined child cannot inspect other processes."""
        if self._device is None or IN_USE not in message:
            return message
        found = holders(os.path.realpath(self._device))
        others = [f"{each.command} (pid {each.pid})" for each in found]
        if not others:
            return message
        begin, _, _ = message.partition(IN_USE)
        return f"{begin}the camera is in use by {', '.join(others)}"

    def _warning(self, message: str) -> int:
        """A repeated failure without a picture in between is logged once."""
        return logging.DEBUG if message == self._logged_error else logging.WARNING

    def _enter(self, state: CameraState, level: int, message: str = "") -> None:
        if state is CameraState.STREAMING:
            self.away_ns = None
        elif self.away_ns is None:
            self.away_ns = self._clock()
        self.state = state
        colon = ": " if message else ""
        logger.log(level, "camera %s: %s%s%s", self.name, state.value, colon, redact(message))


def failed_by_death(returncode: int | None, last_words: str, confined: bool = False) -> Failed:
    """Why a process ended without a status. confined: it was, and delivered no picture."""
    perhaps = CONFINED if confined else ""
    if returncode is not None and returncode < 0:
        name = signal.strsignal(-returncode)
        hint = {
            int(
                signal.SIGKILL
            ): "; if nobody killed it, the system ran out of memory: see the kernel log",
            int(signal.SIGILL): "; a library was built for another processor",
        }.get(-returncode, perhaps)
        return Failed(
            Failure.KILLED, f"the capture process was killed by signal {-returncode} ({name}){hint}"
        )
    how = "closed its pipes" if returncode is None else f"exited with status {returncode}"
    said = f": {shown(last_words)}" if last_words else ""
    return Failed(Failure.EXITED, f"the capture process {how}{said}{perhaps}")
