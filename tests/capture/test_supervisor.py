from __future__ import annotations

import signal
import subprocess
import threading
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from edged.capture.liveness import TimeLimits
from edged.capture.mailbox import Mailbox, MailboxWriter
from edged.capture.messages import LONGEST_MESSAGE
from edged.capture.source import MOST_VIEWS, CaptureRequest, Failure, Granted, ViewRequest
from edged.capture.supervisor import Camera, CameraState, failed_by_death
from tests.rig.camera import next_frame, running, wait_until
from tests.rig.scripted_child import fake, faults

REQUEST = CaptureRequest("rtsp://admin:hunter2@camera.invalid/live")
QUICK = TimeLimits(
    tick=0.02, open=5.0, first_frame=0.3, stall=0.3, stop=0.5, pause=0.05, pause_longest=0.2
)
SECOND = 1_000_000_000


def open_descriptors() -> int:
    return len(list(Path("/proc/self/fd").iterdir()))


def test_a_streaming_camera(log: pytest.LogCaptureFixture) -> None:
    script = "opened()\nwhile True:\n    frame()\n    time.sleep(0.02)"
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, mailbox):
        assert next_frame(mailbox).sequence >= 1
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        assert camera.granted == Granted(8, 8, 50.0, "fake")
        time.sleep(0.5)
        assert faults(camera) == {}
        assert camera.last_error is None
    assert camera.state.value == "ended"
    assert [record.getMessage() for record in log.records] == [
        "camera porch: starting",
        "camera porch: streaming: 8x8 at 50 fps, fake",
    ]


def test_since_when_it_is_away_lasts_over_every_try(tmp_path: Path) -> None:
    script = f"""
import pathlib
mark = pathlib.Path({str(tmp_path / "mark")!r})
again = mark.exists()
mark.touch()
if not again:
    opened()
    end = time.monotonic() + 1
    while time.monotonic() < end:
        frame()
        time.sleep(0.02)
"""
    begun_ns = time.monotonic_ns()
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        first = camera.away_ns
        assert first is not None and first >= begun_ns
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        assert camera.away_ns is None
        assert wait_until(lambda: faults(camera).get("exited", 0) >= 1)
        left = camera.away_ns
        assert left is not None and left > first
        assert wait_until(lambda: faults(camera).get("exited", 0) >= 3)
        assert camera.away_ns == left


@pytest.mark.parametrize(
    "script",
    [
        "opened()\nframe()\ntime.sleep(60)",
        "opened()\ntime.sleep(60)",
        "opened()\nframe()\nos.kill(os.getpid(), signal.SIGSTOP)",
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\nopened()\ntime.sleep(60)",
        "import ctypes\nopened()\nframe()\nctypes.PyDLL(None).sleep(60)",
    ],
    ids=[
        "after a frame",
        "before the first",
        "stopped by a signal",
        "deaf to SIGTERM",
        "in a driver call that holds the interpreter",
    ],
)
def test_a_silent_camera_has_stalled_and_is_replaced(
    script: str, log: pytest.LogCaptureFixture
) -> None:
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.restarts[Failure.STALLED] >= 2)
        assert faults(camera).keys() == {"stalled"}
        assert camera.last_error == "no frame for 0.3 s"
    assert "camera porch: stalled: no frame for 0.3 s" in log.text


def test_a_camera_that_never_opens_has_stalled() -> None:
    limits = TimeLimits(tick=0.02, open=0.3, first_frame=0.2, stop=0.2, pause=0.05)
    with running(REQUEST, limits=limits, starter=fake("time.sleep(60)")) as (camera, _):
        assert wait_until(lambda: faults(camera) == {"stalled": 1})


def test_frames_that_are_only_skipped_are_no_stall() -> None:
    script = """
opened()
frame()
while True:
    writer.count(captured=1, skipped=1)
    time.sleep(0.02)
"""
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, mailbox):
        assert wait_until(lambda: mailbox.counts().skipped > 40)
        assert camera.state is CameraState.STREAMING
        assert faults(camera) == {}


@pytest.mark.parametrize(
    ("work", "state"),
    [("sum(range(10**6))", CameraState.STREAMING), ("time.sleep(0.01)", CameraState.STALLED)],
)
def test_what_loads_for_long_is_not_taken_for_dead_but_what_sleeps_is(
    work: str, state: CameraState
) -> None:
    """It takes far longer than `open` to begin; meanwhile it either computes or does not."""
    script = f"""
end = time.monotonic() + 1.5
while time.monotonic() < end:
    {work}
opened()
while True:
    frame()
    time.sleep(0.02)
"""
    limits = TimeLimits(tick=0.02, open=0.4, first_frame=0.3, stop=0.5, pause=20)
    with running(REQUEST, limits=limits, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.state is not CameraState.STARTING)
        assert camera.state is state


def test_cameras_load_one_after_the_other_where_there_is_room_for_one() -> None:
    script = """
say(status="note", message="begun")
time.sleep(60)
"""
    turns = threading.Semaphore(1)
    begun: list[float] = []

    def start(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        begun.append(time.monotonic())
        return fake("time.sleep(0.4)\n" + script)(memfd, wake_fd)

    boxes = [Mailbox.create(16) for _ in range(3)]
    cameras = [
        Camera(f"porch{n}", REQUEST, box, limits=QUICK, starter=start, turns=turns)
        for n, box in enumerate(boxes)
    ]
    for camera in cameras:
        camera.start()
    assert wait_until(lambda: len(begun) == 3)
    assert begun[1] - begun[0] >= 0.4
    assert begun[2] - begun[1] >= 0.4
    for camera, box in zip(cameras, boxes, strict=True):
        camera.stop()
        box.close()
    assert turns.acquire(blocking=False)  # all turns were given back


def test_one_that_loads_for_ever_keeps_the_others_waiting_for_a_while_only() -> None:
    turns = threading.Semaphore(0)
    mailbox = Mailbox.create(16)
    limits = TimeLimits(tick=0.02, turn=0.3, stop=0.2, pause=0.05)
    script = "opened()\nwhile True:\n    frame()\n    time.sleep(0.02)"
    camera = Camera("porch", REQUEST, mailbox, limits=limits, starter=fake(script), turns=turns)
    camera.start()
    assert wait_until(lambda: camera.state is CameraState.STREAMING)
    camera.stop()
    mailbox.close()
    assert not turns.acquire(blocking=False)  # none is given back that was not taken


def test_an_end_is_final() -> None:
    with running(REQUEST, limits=QUICK, starter=fake("opened()\nframe()\nsay(status='ended')")) as (
        camera,
        mailbox,
    ):
        assert wait_until(lambda: camera.state is CameraState.ENDED)
        time.sleep(0.3)
        assert camera.state is CameraState.ENDED
        assert faults(camera) == {}
        assert next_frame(mailbox).sequence == 1  # the last picture stays


def test_a_death_is_explained_with_the_last_words(log: pytest.LogCaptureFixture) -> None:
    script = "print('cannot load libfoo for', request['source'], file=sys.stderr)\nsys.exit(3)"
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: faults(camera).get("exited", 0) >= 3)
        assert camera.last_error is not None
        assert "status 3" in camera.last_error
        assert "cannot load libfoo" in camera.last_error
        assert "hunter2" not in camera.last_error
    warnings = [record for record in log.records if "backoff" in record.getMessage()]
    assert len(warnings) == 1  # the same failure again and again is logged once


def test_a_killed_child_is_told_apart() -> None:
    script = "opened()\nframe()\nos.kill(os.getpid(), signal.SIGKILL)"
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: faults(camera).get("killed", 0) >= 1)
        assert faults(camera).keys() == {"killed"}
        assert camera.last_error is not None
        assert "ran out of memory" in camera.last_error


def test_deaths_in_words() -> None:
    assert failed_by_death(7, "").message == "the capture process exited with status 7"
    assert failed_by_death(0, "bye").message.endswith("status 0: bye")
    assert "closed its pipes" in failed_by_death(None, "").message
    assert "another processor" in failed_by_death(-signal.SIGILL, "").message
    assert failed_by_death(-40, "").reason is Failure.KILLED  # a signal without a name


@pytest.mark.parametrize("reason", [Failure.OPEN_FAILED, Failure.READ_FAILED])
def test_a_reported_failure_is_retried(reason: Failure, log: pytest.LogCaptureFixture) -> None:
    script = (
        f"say(status='failed', reason='{reason.value}', message='broken: ' + request['source'])"
    )
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.restarts[reason] >= 2)
        assert faults(camera).keys() == {reason.value}
        assert camera.last_error is not None
        assert camera.last_error.startswith("broken: rtsp://")


def test_a_refused_login_is_not_tried_again_soon() -> None:
    script = "say(status='failed', reason='unauthorized', message='wrong password')"
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        turned_ns = camera.progress_ns
        time.sleep(1.2)
        assert camera.state is CameraState.BACKOFF
        assert faults(camera) == {"unauthorized": 1}
        assert camera.progress_ns > turned_ns  # the thread lives, and says so
        begun = time.monotonic()
    assert time.monotonic() - begun < 1  # stopping does not wait for the pause


def test_words_of_a_child_that_fit_no_line(log: pytest.LogCaptureFixture) -> None:
    """Lines of brackets are no status; a long reason arrives, on one line of the log."""
    script = """
sys.stdout.write("[" * 16000 + "\\n")
sys.stdout.flush()
print("last words\\x1b[31m of", request["source"], file=sys.stderr, flush=True)
say(status="failed", reason="no_pictures", message="no pictures\\r\\n\\x1b[31m" + "x" * 9000)
"""
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.restarts[Failure.NO_PICTURES] >= 2)
        assert faults(camera).keys() == {"no_pictures"}
        assert camera.last_error is not None
        assert camera.last_error.startswith("no pictures\\r\\n\\x1b[31mxxx")
        assert len(camera.last_error) == LONGEST_MESSAGE
    assert all(record.getMessage().isprintable() for record in log.records)
    assert len([record for record in log.records if "backoff" in record.getMessage()]) == 1


def test_garbage_and_floods_are_survived(log: pytest.LogCaptureFixture) -> None:
    script = """
sys.stdout.write("{]\\n\\x00" * 200 + "x" * 100_000 + "\\n")
sys.stdout.flush()
opened()
say(status="note", message="something odd")
print("error in", request["source"], file=sys.stderr, flush=True)
while True:
    frame()
    sys.stderr.write("error in " + request["source"] + "\\n")
    time.sleep(0.001)
"""
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, mailbox):
        assert wait_until(lambda: mailbox.captured > 300)
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        assert faults(camera) == {}
    assert 1 <= len([r for r in log.records if "driver" in r.getMessage()]) <= 6


def test_a_process_that_cannot_be_started_is_a_state() -> None:
    def refuse(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        raise OSError(11, "Resource temporarily unavailable")

    with running(REQUEST, limits=QUICK, starter=refuse) as (camera, _):
        assert wait_until(lambda: faults(camera).get("exited", 0) >= 2)
        assert camera.last_error is not None
        assert "Resource temporarily unavailable" in camera.last_error


def test_stop_ends_a_stubborn_child_and_leaves_nothing() -> None:
    script = """
signal.signal(signal.SIGTERM, signal.SIG_IGN)
opened()
while True:
    frame()
    time.sleep(0.02)
"""
    processes: list[subprocess.Popen[bytes]] = []

    def start(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        processes.append(fake(script)(memfd, wake_fd))
        return processes[-1]

    descriptors = open_descriptors()
    with running(REQUEST, limits=QUICK, starter=start) as (camera, mailbox):
        next_frame(mailbox)
        begun = time.monotonic()
        camera.stop()
        assert time.monotonic() - begun < 3
        assert processes[0].returncode == -signal.SIGKILL
        camera.stop()  # once more does no harm
    del mailbox, camera  # its memory keeps a descriptor of its own
    assert open_descriptors() == descriptors
    assert "camera-porch" not in {thread.name for thread in threading.enumerate()}


def test_a_camera_that_was_never_started_can_be_stopped() -> None:
    mailbox = Mailbox.create(16)
    camera = Camera("porch", REQUEST, mailbox)
    assert camera.state is CameraState.STARTING
    camera.stop()
    mailbox.close()


def test_failures_are_forgotten_after_good_frames() -> None:
    script = "opened()\nfor _ in range(20): frame()\ntime.sleep(0.1)\nsys.exit(1)"
    limits = TimeLimits(tick=0.02, stop=0.5, pause=0.01, pause_longest=60, good_frames=20)
    with running(REQUEST, limits=limits, starter=fake(script)) as (camera, _):
        # Ten failures in a row would take 0.01 x 2^9 = 5 s of pause for the last one alone.
        assert wait_until(lambda: camera.restarts[Failure.EXITED] >= 10, 30)


def test_counts_of_views_go_on_by_their_names() -> None:
    def camera(*names: str) -> Camera:
        views = tuple(ViewRequest(name=name) for name in names)
        mailbox = Mailbox.create(8, max(1, len(names)))
        return Camera("yard", CaptureRequest("x", square=False, views=views), mailbox)

    before, after, single = camera("gate", "bin"), camera("bin", "meter", "gate"), camera()
    writer = MailboxWriter.attach(before.mailbox.memfd, before.mailbox.wake_fd)
    writer.count(captured=5)
    writer.count_for(0, skipped=1)
    writer.count_for(1, skipped=2)
    after.take_over(before)
    single.take_over(before)
    assert after.mailbox.captured == single.mailbox.captured == 5
    assert [after.mailbox.counts(view).skipped for view in range(3)] == [2, 0, 1]
    assert single.mailbox.counts().skipped == 0
    for each in (before, after, single):
        each.stop()
        each.mailbox.close()


def test_a_process_that_reads_no_request_holds_nobody_up() -> None:
    views = tuple(ViewRequest(name=f"v{number:031}") for number in range(MOST_VIEWS))
    request = CaptureRequest("x", square=False, views=views)
    script = "opened()\nwhile True:\n    frame()\n    time.sleep(0.01)"
    with running(request, limits=QUICK, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.state is CameraState.STREAMING)
        written = 0
        while written < 4 * 65536:  # much more than a pipe holds
            camera.change(replace(request, edition=written))
            written += len(request.to_json())
            turned_ns = camera.progress_ns
            assert wait_until(lambda before=turned_ns: camera.progress_ns > before)


def test_a_request_does_not_show_its_password() -> None:
    assert "hunter2" not in repr(REQUEST)
    assert CaptureRequest.from_json(REQUEST.to_json()) == REQUEST
    full = CaptureRequest("x", (640, 480), 30.0, 10.0, 90, "vertical", True, False)
    assert CaptureRequest.from_json(full.to_json().encode()) == full


def test_a_picture_after_a_restart_is_in_the_same_mailbox() -> None:
    script = "opened()\nframe()\ntime.sleep(0.1)\nsys.exit(1)"
    with running(REQUEST, limits=QUICK, starter=fake(script)) as (camera, mailbox):
        sequences = [next_frame(mailbox).sequence for _ in range(3)]
        assert sequences == sorted(set(sequences))
        assert mailbox.captured >= 3
        assert sum(camera.restarts.values()) >= 2  # on a busy machine some have stalled
        assert mailbox.latest is not None
        assert np.all(mailbox.latest.pixels == 0)
