"""The capture process: reads one source and puts each picture in the mailbox.

Started as `python -m edged.capture.worker MEMFD EVENTFD`. The request is one line of JSON on stdin,
so that the process list shows no password. The end of stdin means that the daemon has exited, and
ends this process even if a driver call hangs. Status goes to stdout, one JSON object per line;
output of libraries goes to stderr. A driver that crashes ends only this process.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from types import FrameType

from edged.capture.admission import Admission
from edged.capture.confinement.confine import confine, explanation
from edged.capture.confinement.landlock import KNOWN_ABI
from edged.capture.decode.crop import region_of
from edged.capture.decode.orientation import of_user
from edged.capture.frozen import FreezeDetector
from edged.capture.mailbox import MailboxWriter
from edged.capture.messages import Decodes, Ended, Failed, Loaded, Note, Opened, Status, to_line
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, Source, SourceError
from edged.capture.sources.table import make_source, needs_of
from edged.capture.views import Views
from edged.clock import Clock, monotonic_ns
from edged.memory import return_free_memory
from edged.process import exit_when_closed, prctl, refuse_inspection
from edged.secret import SourceUrl

_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def capture(
    request: CaptureRequest,
    source: Source,
    writer: MailboxWriter,
    report: Callable[[Status], None],
    *,
    clock: Clock = monotonic_ns,
    explain: Callable[[BaseException], str] = str,
    views: Views | None = None,
) -> None:
    """Run until the source ends. A SourceError is reported, not raised. views: those of the
    request, which another thread may change."""
    ahead_reported = False
    limit_seconds = request.frozen_after_seconds
    freeze = None if limit_seconds is None else FreezeDetector(limit_seconds)
    views = Views(request, writer) if views is None else views
    try:
        granted = source.open()
        size = granted.width, granted.height
        first = True
        for few in _too_few_pixels(request, size, writer):
            report(Note(few))
        return_free_memory()  # used by opening only
        report(Opened(granted))
        while True:
            picture = source.read(views.whole_side(size))
            if picture is None:
                report(Ended())
                return
            if first and lies_otherwise(granted, picture):
                # A video's orientation is in its frames, the first of which follows the opening.
                report(Opened(replace(granted, width=granted.height, height=granted.width)))
            first = False
            captured_ns, received_ns, ahead_ns = clamped(picture, clock())
            if ahead_ns and not ahead_reported:
                report(
                    Note(f"corrected time stamps that were {ahead_ns / 1e6:.1f} ms in the future")
                )
                ahead_reported = True
            if not picture.cropped or request.views:
                size = full_size(size, (picture.pixels.shape[1], picture.pixels.shape[0]))
            if freeze is not None and freeze.frozen(views.watched(picture), received_ns):
                raise SourceError(
                    Failure.FROZEN,
                    f"the picture has not changed for {limit_seconds:g} s",
                    where=str(SourceUrl(request.source)),
                    fix="if the source has no noise, remove frozen_after_seconds",
                )
            views.deliver(picture, captured_ns, received_ns, clock=clock)
    except SourceError as error:
        report(Failed(error.reason, explain(error)))
    except PermissionError as error:
        report(Failed(Failure.EXITED, explain(error)))
    except MemoryError:
        report(Failed(Failure.EXITED, "the capture process is out of memory"))
    finally:
        source.close()


def _too_few_pixels(
    request: CaptureRequest, size: tuple[int, int], writer: MailboxWriter
) -> Iterator[str]:
    """A note for each view whose region of interest is smaller than the network's input."""
    orientation = of_user(request.rotate, request.flip)
    for number, view in request.numbered.items():
        _, _, width, height = region_of(replace(view, square=False), orientation, size)
        wanted = writer.wanted(number)
        if view.roi is not None and min(width, height) < wanted:
            of = f" of view {view.name}" if view.name else ""
            yield (
                f"roi{of} is {width}x{height} pixels of {size[0]}x{size[1]}, less than the "
                f"{wanted} that the network uses; enlarge roi or the camera's size"
            )


def lies_otherwise(granted: Granted, picture: Picture) -> bool:
    """Whether one is portrait and the other landscape."""
    height, width, _ = picture.pixels.shape
    return not picture.cropped and (granted.width - granted.height) * (width - height) < 0


def full_size(known: tuple[int, int], seen: tuple[int, int]) -> tuple[int, int]:
    """The larger of two (width, height), in which regions are more exact; `seen` if their shapes
    differ by more than rounding."""
    alike = abs(known[0] * seen[1] - known[1] * seen[0]) <= sum(known)
    return max(known, seen) if alike else seen


def clamped(picture: Picture, now_ns: int) -> tuple[int, int, int]:
    """(captured_ns, received_ns, correction): captured <= received <= now."""
    received_ns = min(picture.received_ns, now_ns)
    captured_ns = max(0, min(picture.captured_ns, received_ns))
    ahead_ns = max(picture.received_ns - received_ns, picture.captured_ns - captured_ns)
    return captured_ns, received_ns, ahead_ns


def main(arguments: list[str], *, abi: int = KNOWN_ABI) -> int:
    """abi: the highest Landlock ABI to use."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the daemon
    signal.signal(signal.SIGTERM, _exit_orderly)
    memfd, wake_fd = (int(argument) for argument in arguments)
    status_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # keeps library output out of the status
    refuse_inspection()
    request = CaptureRequest.from_json(_newest_line(sys.stdin.fileno()))
    needs = needs_of(request)

    def report(status: Status) -> None:
        os.write(status_fd, to_line(status))

    def explain(error: BaseException) -> str:
        return explanation(error, needs) if request.confine else str(error)

    def note(message: str) -> None:
        report(Note(explain(Exception(message))))

    def decodes_with(decoder: str, why: str) -> None:
        report(Decodes(decoder, explain(Exception(why)) if why else ""))

    try:
        confine(request, needs, abi=abi)  # before there are other threads
        # For a stopped process, or a driver that holds the interpreter. Sent when the parent
        # thread ends, which is the supervisor.
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        writer = MailboxWriter.attach(memfd, wake_fd)
        admission = Admission(writer, request.max_fps, note, decodes_with)
        admission.limit_to(request.max_fps, on=request.on)
        views = Views(request, writer, admission.renew)

        def changed(line: bytes) -> None:
            other = CaptureRequest.from_json(line)
            admission.limit_to(other.max_fps, on=other.on)
            views.change(other)
            admission.renew()  # the source may wait long for a picture of the former views

        exit_when_closed(sys.stdin.fileno(), changed)
        source = make_source(request, admission)
    except (SourceError, PermissionError, ImportError) as error:
        report(Failed(getattr(error, "reason", Failure.EXITED), explain(error)))
        return 0
    report(Loaded())
    capture(request, source, writer, report, explain=explain, views=views)
    return 0


def _newest_line(fd: int) -> bytes:
    """The request; of several, as the views may change while this process starts, the last."""
    lines = b""
    while not lines.endswith(b"\n"):
        chunk = os.read(fd, 65536)
        if not chunk:
            raise SystemExit("the daemon has exited")
        lines += chunk
    return lines.splitlines()[-1]


def _exit_orderly(signum: int, _: FrameType | None) -> None:
    """Unwind the main thread, so that the source releases the hardware."""
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
