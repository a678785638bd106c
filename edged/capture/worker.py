"""The capture process: owns one driver, puts each picture in the mailbox, and nothing else.

Started as `python -m edged.capture.worker MEMFD EVENTFD`. The request comes as one line of JSON on
stdin, so that no password shows in the list of processes; stdin's end means that the daemon is
gone, and ends this process even while a driver call hangs. Status goes to stdout, one JSON object
a line; what libraries print goes to stderr. A driver that crashes takes only this process along.
"""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable
from dataclasses import replace
from types import FrameType

from edged.capture.admission import Intake
from edged.capture.confinement.confine import confine, explanation
from edged.capture.confinement.landlock import KNOWN_ABI
from edged.capture.decode.crop import region, shaped, whole_side
from edged.capture.frozen import Stillness
from edged.capture.mailbox import MailboxWriter
from edged.capture.messages import Ended, Failed, Loaded, Note, Opened, Status, to_line
from edged.capture.motion import Motion
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, Source, SourceError
from edged.capture.sources.table import kind_of, make_source
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
) -> None:
    """From open to the end of the source; a SourceError is reported, not raised."""
    ahead_reported = False
    stillness = Stillness(request.frozen_after_seconds)
    motion = None if request.quiet is None else Motion(request.quiet)
    try:
        granted = source.open()
        size = granted.width, granted.height
        first = True
        if few := _too_few_pixels(request, size, writer.wanted):
            report(Note(few))
        return_free_memory()  # what opening took and no frame will need
        report(Opened(granted))
        while True:
            wanted = writer.wanted
            picture = source.read(whole_side(wanted, request, size))
            if picture is None:
                report(Ended())
                return
            if first and lies_otherwise(granted, picture):
                # A video's frames tell how they lie, and the first of them comes after the opening.
                report(Opened(replace(granted, width=granted.height, height=granted.width)))
            first = False
            captured_ns, received_ns, ahead_ns = clamped(picture, clock())
            if ahead_ns and not ahead_reported:
                report(Note(f"time stamps were {ahead_ns / 1e6:.1f} ms in the future: corrected"))
                ahead_reported = True
            pixels = shaped(
                picture.pixels, request, wanted, writer.slot_bytes, cropped=picture.cropped
            )
            if not picture.cropped:
                size = picture.pixels.shape[1], picture.pixels.shape[0]
            if stillness.frozen(pixels, received_ns):
                raise SourceError(
                    Failure.FROZEN,
                    f"nothing new in the picture for {request.frozen_after_seconds:g} s",
                    where=str(SourceUrl(request.source)),
                    fix="if the scene is that still, leave frozen_after_seconds out",
                )
            if motion is None or motion.delivers(pixels, captured_ns):
                writer.publish(pixels, captured_ns, received_ns, wanted, clock=clock)
            else:
                writer.count(quiet=1)
    except SourceError as error:
        report(Failed(error.reason, explain(error)))
    except PermissionError as error:
        report(Failed(Failure.EXITED, explain(error)))
    except MemoryError:
        report(Failed(Failure.EXITED, "the capture process got no more memory"))
    finally:
        source.close()


def _too_few_pixels(request: CaptureRequest, size: tuple[int, int], wanted: int) -> str | None:
    """What to say where the part that counts is smaller than what networks look at."""
    _, _, width, height = region(request, size)
    if request.roi is None or min(width, height) >= wanted:
        return None
    return (
        f"roi is {width}x{height} pixels of {size[0]}x{size[1]}, fewer than the {wanted} that "
        "networks look at: a larger part, or a larger size of the camera, shows them more"
    )


def lies_otherwise(granted: Granted, picture: Picture) -> bool:
    """Whether one is upright and the other oblong."""
    height, width, _ = picture.pixels.shape
    return not picture.cropped and (granted.width - granted.height) * (width - height) < 0


def clamped(picture: Picture, now_ns: int) -> tuple[int, int, int]:
    """(captured_ns, received_ns, by how much they were wrong): captured <= received <= now."""
    received_ns = min(picture.received_ns, now_ns)
    captured_ns = max(0, min(picture.captured_ns, received_ns))
    ahead_ns = max(picture.received_ns - received_ns, picture.captured_ns - captured_ns)
    return captured_ns, received_ns, ahead_ns


def main(arguments: list[str], *, abi: int = KNOWN_ABI) -> int:
    """abi: of Landlock, at most."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the group; the daemon decides
    signal.signal(signal.SIGTERM, _exit_orderly)
    memfd, wake_fd = (int(argument) for argument in arguments)
    status_fd = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())  # no library's chatter among the status
    refuse_inspection()
    request = CaptureRequest.from_json(_read_line(sys.stdin.fileno()))
    needs = kind_of(request.source).needs(request.source)

    def report(status: Status) -> None:
        os.write(status_fd, to_line(status))

    def explain(error: BaseException) -> str:
        return explanation(error, needs) if request.confine else str(error)

    def note(message: str) -> None:
        report(Note(explain(Exception(message))))

    try:
        confine(request, needs, abi=abi)  # while there is one thread
        # For a process that is stopped, or whose driver holds the interpreter. The signal comes
        # with the end of the thread that started this one: its supervisor, which outlives it.
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        exit_when_closed(sys.stdin.fileno())
        writer = MailboxWriter.attach(memfd, wake_fd)
        source = make_source(request, Intake(writer, request.max_fps, note))
    except (SourceError, PermissionError, ImportError) as error:
        report(Failed(getattr(error, "reason", Failure.EXITED), explain(error)))
        return 0
    report(Loaded())
    capture(request, source, writer, report, explain=explain)
    return 0


def _read_line(fd: int) -> bytes:
    line = b""
    while not line.endswith(b"\n"):
        chunk = os.read(fd, 65536)
        if not chunk:
            raise SystemExit("the daemon is gone")
        line += chunk
    return line


def _exit_orderly(signum: int, _: FrameType | None) -> None:
    """Unwinds the main thread, so that the source gives the hardware back."""
    raise SystemExit(128 + signum)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
