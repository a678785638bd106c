"""Keeps one camera's capture process alive: starting, streaming, stalled, backoff, ended.

A missing, hanging or crashing camera is a state, never an exception: its process is killed and
started again, after growing, jittered pauses. One thread per camera, so that a camera's fault
stays its own. What is in the pictures, and whether anybody takes them, is not known here.
"""

from __future__ import annotations

import logging
import os
import random
import signal
import threading
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import Enum
from functools import partial
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING

from edged.capture.confinement.needs import CONFINED
from edged.capture.device_watch import LOOK_SECONDS, Node, node_of
from edged.capture.messages import Ended, Failed, Loaded, Opened, from_line, shown
from edged.capture.process import Child, Noise, Starter, start_worker
from edged.capture.source import SILENT_SECONDS, CaptureRequest, Failure, Granted
from edged.capture.sources import KINDS, SourceKind, kind_of
from edged.capture.sources.v4l2.discovery import IN_USE, holders
from edged.clock import Clock, monotonic_ns
from edged.effort import Effort, Silence, Turn
from edged.secret import redact

if TYPE_CHECKING:
    from edged.capture.mailbox import Mailbox

logger = logging.getLogger("edged.capture")

PACE_ARRIVALS = 3
"""After so many it is known how frames come."""
PAUSE_HALF_LIFE_SECONDS = 60.0
"""In this time the longest pause counts for half of what it was."""


class CameraState(str, Enum):
    STARTING = "starting"
    STREAMING = "streaming"
    STALLED = "stalled"
    BACKOFF = "backoff"
    ENDED = "ended"


@dataclass(frozen=True, slots=True)
class Patience:
    """How long to wait for what, in seconds."""

    tick: float = 0.25
    """How often the frame counter is looked at; a child's words and end are noticed at once."""
    open: float = 15.0
    """From the start to `opened`, of which a camera in the network may take `first_frame` more to
    answer. Sources give up earlier by themselves, and say why."""
    first_frame: float = SILENT_SECONDS
    """For each frame until it is known how they come."""
    stall: float = 2.0
    stall_frames: int = 10
    stall_pauses: int = 3
    """Stalled = no frame for `stall_frames` times their usual distance and for `stall_pauses` times
    the longest one of late, and at least `stall`."""
    turn: float = 10.0
    """For other cameras' processes to be loaded first, on a device that is busy with them."""
    stop: float = 1.0
    end_of_daemon: float = 0.2
    pause: float = 0.5
    """Before the first restart; it doubles with each failure up to pause_longest."""
    pause_longest: float = 30.0
    pause_unauthorized: float = 300.0
    """Cameras lock accounts after a few wrong passwords."""
    good_frames: int = 300
    """After this many frames the failures before are forgotten."""

    def for_first_frames(self, fps: float | None) -> float:
        """fps: as announced; a slow rate is believed, a fast one is not."""
        return max(self.first_frame, self.stall_frames / fps if fps else 0)

    def before_restart(self, reason: Failure, failures: int, chance: float) -> float:
        """failures: 1 for the first in a row. chance: uniform in [0, 1); it takes off up to half,
        so that cameras which failed together do not come back together.
        """
        if reason is Failure.UNAUTHORIZED:
            longest = self.pause_unauthorized
        else:
            longest = min(self.pause_longest, self.pause * 2.0 ** min(failures - 1, 30))
        return longest * (1 - chance / 2)


@dataclass(frozen=True, slots=True)
class Fault:
    reason: Failure
    message: str


class Pace:
    """How a camera's frames come: in time with each other, in bursts, faster by day than by night.
    Pure. What it announces is another matter."""

    def __init__(self) -> None:
        self.known = False
        self._arrivals = 0
        self._came_ns = 0
        self._usual = 0.0
        self._longest = 0.0

    def came(self, frames: int, now_ns: int) -> None:
        """So many frames since the last time."""
        seconds, self._came_ns = (now_ns - self._came_ns) / 1e9, now_ns
        if self._arrivals:
            self._usual += (seconds / frames - self._usual) / min(self._arrivals, PACE_ARRIVALS)
            fading = 0.5 ** (seconds / PAUSE_HALF_LIFE_SECONDS)
            self._longest = max(seconds, self._longest * fading)
        self._arrivals += 1
        self.known = self._arrivals > PACE_ARRIVALS

    def seconds(self, patience: Patience) -> float:
        """How long the next frame may be waited for."""
        usual, longest = patience.stall_frames * self._usual, patience.stall_pauses * self._longest
        return max(patience.stall, usual, longest)


class Vigil:
    """Judges by the frame counter whether one life of a capture process goes on. No clock, no I/O.

    captured: frames that the driver handed over; delivered: pictures made of them. Both count
    from earlier lives on. stalled_after_seconds: instead of what the pace says. remote: the camera
    is asked over a network.
    """

    def __init__(
        self,
        patience: Patience,
        captured: int,
        delivered: int,
        now_ns: int,
        *,
        stalled_after_seconds: float | None = None,
        remote: bool = False,
    ) -> None:
        self.streaming = False
        self.frames = 0
        self._patience = patience
        self._captured_at_start = captured
        self._delivered_at_start = delivered
        self._own_seconds = stalled_after_seconds
        self._first_seconds = stalled_after_seconds or patience.first_frame
        self._limit_seconds = patience.open + (self._first_seconds if remote else 0)
        self._silence = Silence(now_ns)
        self._pace = Pace()
        self._good_ns: int | None = None

    def opened(self, fps: float | None, now_ns: int) -> None:
        self._silence.end(now_ns)
        if self._own_seconds is None:
            self._first_seconds = self._patience.for_first_frames(fps)
        self._limit_seconds = self._first_seconds

    def look(
        self,
        captured: int,
        delivered: int,
        now_ns: int,
        effort: Callable[[], Effort | None] = lambda: None,
    ) -> Fault | None:
        """The fault, once the next frame is overdue. Call it a few times a second. effort: what the
        process has done."""
        frames = captured - self._captured_at_start
        if frames != self.frames:
            self._pace.came(frames - self.frames, now_ns)
            self.frames = frames
            self._silence.end(now_ns)
        if self._good_ns is None and frames >= self._patience.good_frames:
            self._good_ns = now_ns
        if delivered != self._delivered_at_start:
            self.streaming = True
            if self._own_seconds is None and self._pace.known:
                self._limit_seconds = self._pace.seconds(self._patience)
        if self._silence.look(now_ns, effort) <= self._limit_seconds:
            return None
        return Fault(Failure.STALLED, f"no frame for {self._limit_seconds:.1f} s")

    def good_for(self, seconds: float, now_ns: int) -> bool:
        """Whether patience.good_frames came more than that ago."""
        return self._good_ns is not None and now_ns - self._good_ns > seconds * 1e9


class Camera:
    """One camera under supervision. The attributes may be read from any thread.

    device: the path of the source where it is a local device; its return ends a pause at once.
    turns: for as many processes as may load their libraries at once; each camera's own if None.
    """

    def __init__(
        self,
        name: str,
        request: CaptureRequest,
        mailbox: Mailbox,
        *,
        device: Path | None = None,
        patience: Patience | None = None,
        clock: Clock = monotonic_ns,
        chance: Callable[[], float] = random.random,
        starter: Starter | None = None,
        turns: threading.Semaphore | None = None,
    ) -> None:
        self.name = name
        self.state = CameraState.STARTING
        self.last_error: str | None = None
        """What went wrong last, without credentials."""
        self.granted: Granted | None = None
        """What the source delivers while it is open."""
        self.progress_ns = clock()
        """When the supervising thread last turned; a camera that is away does not stop it, only
        the end of the source or of the supervision does."""
        self._request = request
        self.mailbox = mailbox
        self._device = device
        self._patience = Patience() if patience is None else patience
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
    def turn(self) -> Turn:
        return Turn(self.progress_ns, self._thread.native_id or 0)

    @property
    def restarts(self) -> Mapping[Failure, int]:
        """How often the process had to be started anew, by reason."""
        return MappingProxyType(self._restarts)

    def take_over(self, before: Camera) -> None:
        """Before `start`: go on counting where `before`, which has stopped, did."""
        self._restarts.update(before._restarts)
        if self.mailbox is not before.mailbox:
            self.mailbox.go_on_from(before.mailbox)

    def start(self) -> None:
        self._thread.start()

    def begin_stop(self) -> None:
        """Tell the thread to end its process and itself, and do not wait for that."""
        if not self._stopping.is_set():
            self._stopping.set()
            os.eventfd_write(self._stop_fd, 1)

    def stop(self) -> None:
        """Ends the process and the thread; the process has `patience.stop` seconds to tidy up."""
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
            self.granted = None
            self._enter(CameraState.STARTING, logging.DEBUG if self._failures else logging.INFO)
            node = node_of(self._device)
            self._take_turn()
            try:
                fault = self._run_child()
            finally:
                self._give_turn()
            # A signal to the whole group ends the child first, and the daemon a moment later.
            if self._stopping.wait(self._patience.end_of_daemon if fault else 0):
                return
            if fault is None:
                self._enter(CameraState.ENDED, logging.INFO)
                return
            self._restarts[fault.reason] += 1
            self._failures += 1
            self._back_off(fault, node)
            if self._stopping.is_set():
                return

    def _run_child(self) -> Fault | None:
        """One life of the process; None when its source came to its end, or on `stop`."""
        self.mailbox.prepare()
        try:
            process = self._starter(self.mailbox.memfd, self.mailbox.wake_fd)
        except OSError as error:
            return Fault(Failure.EXITED, f"the capture process cannot be started: {error}")
        with Child(process, self._stop_fd) as child:
            fault = self._watch(child)
            if fault is not None and fault.reason in (Failure.STALLED, Failure.FROZEN):
                self._enter(CameraState.STALLED, self._warning(fault.message), fault.message)
            if not child.closed:
                child.terminate(self._patience.stop)
        return fault

    def _take_turn(self) -> None:
        """Processes that all load their libraries at once would hold each other up. One that takes
        its time there does not keep the others from it for long."""
        end_ns = self._clock() + int(self._patience.turn * 1e9)
        while not (self._stopping.is_set() or self._has_turn or self._clock() >= end_ns):
            self._has_turn = self._turns.acquire(timeout=self._patience.tick)
            self.progress_ns = self._clock()

    def _give_turn(self) -> None:
        if self._has_turn:
            self._has_turn = False
            self._turns.release()

    def _watch(self, child: Child) -> Fault | None:
        mailbox = self.mailbox
        decoded = mailbox.sequence + mailbox.quiet
        vigil = Vigil(
            self._patience,
            mailbox.captured,
            decoded,
            self._clock(),
            stalled_after_seconds=self._request.stalled_after_seconds,
            remote=kind_of(self._request.source) in (SourceKind.STREAM, SourceKind.HTTP),
        )
        last_words = ""
        child.send(self._request)
        while not self._stopping.is_set():
            status_lines, chatter = child.listen(self._patience.tick)
            self.progress_ns = now_ns = self._clock()
            for last_words in chatter:
                self._noise.line(last_words, now_ns)
            for line in status_lines:
                status = from_line(line)
                self._give_turn()  # whatever it says, it is past loading
                if isinstance(status, Opened):
                    self.granted = status.granted
                    vigil.opened(status.granted.fps, now_ns)
                elif isinstance(status, Failed):
                    return Fault(status.reason, self._with_holders(status.message))
                elif isinstance(status, Ended):
                    return None
                elif not isinstance(status, Loaded):
                    self._noise.line(line if status is None else status.message, now_ns)

            decoded = mailbox.sequence + mailbox.quiet
            fault = vigil.look(mailbox.captured, decoded, now_ns, lambda: child.effort)
            if vigil.streaming and self.state is not CameraState.STREAMING:
                self._logged_error = None
                self._enter(CameraState.STREAMING, logging.INFO, str(self.granted))
            # A frozen picture comes in good frames, too, until it is noticed.
            if vigil.good_for(self._request.frozen_after_seconds or 0, now_ns):
                self._failures = 0
            if child.closed:
                confined = self._request.confine and not vigil.streaming
                return fault_of_death(child.wait(self._patience.stop), last_words, confined)
            if fault is not None:
                return Fault(fault.reason, fault.message + self._perhaps_confined())
        return None

    def _back_off(self, fault: Fault, node: Node | None) -> None:
        """node: what the device was when the process was started that failed."""
        pause = self._patience.before_restart(fault.reason, self._failures, self._chance())
        message = redact(fault.message)
        level = self._warning(message)
        self.last_error = self._logged_error = message
        self.granted = None
        self._enter(CameraState.BACKOFF, level, f"{message}; next try in {pause:.1f} s")
        end_ns = self._clock() + int(pause * 1e9)
        while not self._stopping.is_set() and (left_ns := end_ns - self._clock()) > 0:
            self.progress_ns = self._clock()
            if node_of(self._device) not in (node, None):
                self._failures = 0
                return
            self._stopping.wait(min(left_ns / 1e9, LOOK_SECONDS if self._device else 1.0))

    def _perhaps_confined(self) -> str:
        """Of one that was never opened, by libraries that may need more than is known here."""
        source = self._request.source
        if self.granted is not None or not self._request.confine:
            return ""
        return "" if KINDS[kind_of(source)].needs(source).certain else CONFINED

    def _with_holders(self, message: str) -> str:
        """The child may not look at other processes."""
        if self._device is None or IN_USE not in message:
            return message
        found = holders(os.path.realpath(self._device))
        others = [f"{each.command} (pid {each.pid})" for each in found]
        if not others:
            return message
        begin, _, _ = message.partition(IN_USE)
        return f"{begin}another program is using the camera: {', '.join(others)}"

    def _warning(self, message: str) -> int:
        """The same failure again and again, without a picture in between, is logged once."""
        return logging.DEBUG if message == self._logged_error else logging.WARNING

    def _enter(self, state: CameraState, level: int, message: str = "") -> None:
        self.state = state
        colon = ": " if message else ""
        logger.log(level, "camera %s: %s%s%s", self.name, state.value, colon, redact(message))


def fault_of_death(returncode: int | None, last_words: str, confined: bool = False) -> Fault:
    """Why a process that reported nothing is gone. confined: and gave no picture."""
    perhaps = CONFINED if confined else ""
    if returncode is not None and returncode < 0:
        name = signal.strsignal(-returncode)
        hint = {
            int(signal.SIGKILL): "; if nobody killed it, memory ran out: see the kernel's log",
            int(signal.SIGILL): "; a library was built for another processor",
        }.get(-returncode, perhaps)
        return Fault(
            Failure.KILLED, f"signal {-returncode} ({name}) ended the capture process{hint}"
        )
    status = "its pipes closed" if returncode is None else f"status {returncode}"
    said = f", saying: {shown(last_words)}" if last_words else ""
    return Fault(Failure.EXITED, f"the capture process ended with {status}{said}{perhaps}")
