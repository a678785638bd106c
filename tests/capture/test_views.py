"""Several views of a camera in one capture process."""

from __future__ import annotations

import os
import signal
import subprocess
from dataclasses import replace
from itertools import product

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.capture.liveness import TimeLimits
from edged.capture.messages import Failed, Note
from edged.capture.process import start_worker
from edged.capture.source import CaptureRequest, Failure, Quiet, ViewRequest
from edged.capture.supervisor import CameraState
from tests.rig.board import COLUMNS, HANGS, ROWS, Pixels, board, field, hung, is_field
from tests.rig.camera import only_worker, running, wait_until
from tests.rig.film import BOARD, Film

STEADY = [100.0] * 100
"""Ten seconds at 10 fps."""
WHOLE, CORNER = ViewRequest(square=False, name="yard"), ViewRequest(field(3, 2), name="bin")
SELDOM = replace(CORNER, max_fps=1)
SCALE, CORNER_SCALE = 50, 288
"""The corner is a third of the picture's height, and 96 pixels are wanted of it."""


def request(*views: ViewRequest, **more: object) -> CaptureRequest:
    rates = [view.max_fps for view in views]
    most_fps = None if None in rates else max(rate for rate in rates if rate is not None)
    return CaptureRequest("x", square=False, views=views, max_fps=most_fps, **more)  # type: ignore[arg-type]


def accounted(film: Film) -> bool:
    """Whether each view has seen each frame, or has counted it once. All have been taken."""
    mailbox = film.mailbox
    return all(
        len(seen) + mailbox.broken + sum(mailbox.counts(view)) == mailbox.captured
        for view, seen in enumerate(film.frames)
    )


@pytest.mark.parametrize(("rotate", "flip"), HANGS)
def test_each_view_is_cut_out_upright(rotate: int, flip: str | None) -> None:
    fields = list(product(range(COLUMNS), range(ROWS)))
    views = [ViewRequest(field(column, row)) for column, row in fields]
    source = hung(board(), rotate, flip)
    asked = request(*views, rotate=rotate, flip=flip)
    film = Film(asked, [100], [0] * len(views), picture=lambda _: source)
    assert film.sides == [0]
    for (column, row), (frame,) in zip(fields, film.frames, strict=True):
        assert frame.pixels.shape == (160, 160, 3)
        assert frame.region == (160 * column, 160 * row, 160, 160)
        assert is_field(frame.pixels, column, row, tolerance=0)
    assert np.array_equal(film.latest[0].pixels, board())


def test_a_view_determines_the_scale_only_when_it_is_due() -> None:
    film = Film(request(WHOLE, SELDOM), STEADY, [SCALE, 96])
    assert len(film.frames[0]) == 100
    assert np.diff(film.seconds(1)) == pytest.approx([1.0] * 9)
    assert set(film.sides) == {SCALE, CORNER_SCALE}
    assert film.sides.count(CORNER_SCALE) <= 3 * len(film.frames[1])
    for frame in film.frames[1]:
        assert frame.pixels.shape == (96, 96, 3)
        assert frame.leads
        assert (frame.wanted, frame.serves) == (96, 96)
        assert is_field(frame.pixels, 3, 2)
    assert [frame.leads for frame in film.frames[0]] == [side == SCALE for side in film.sides]
    assert accounted(film)


def test_a_view_that_comes_due_unexpectedly_waits_for_a_picture_of_its_scale() -> None:
    gaps_ms = [100.0] * 16 + [800.0] + [100.0] * 5  # frames at 0.1 to 1.6 s, then 2.4, 2.5 …
    film = Film(request(WHOLE, SELDOM), gaps_ms, [SCALE, 96])
    assert film.seconds(1) == pytest.approx([0.1, 1.1, 2.5])
    assert {frame.pixels.shape for frame in film.frames[1]} == {(96, 96, 3)}
    assert accounted(film)


@pytest.mark.parametrize("each", [2, 3, 7, 8])
def test_a_late_reader_loses_no_look(each: int) -> None:
    film = Film(
        request(WHOLE, SELDOM), STEADY, [SCALE, 96], takes=lambda n: n % each == 0 or n == 100
    )
    looks = film.frames[1]
    assert len(looks) == 10
    assert {frame.pixels.shape for frame in looks} == {(96, 96, 3)}
    assert film.mailbox.counts(1).overwritten == 0
    assert film.mailbox.counts(0).overwritten == 100 - len(film.frames[0]) > 0
    assert accounted(film)
    newest = {frame.sequence for frame in film.frames[0]}
    assert {frame.sequence for frame in looks} <= newest


def test_a_reader_that_returns_gets_one_picture_for_all() -> None:
    film = Film(request(WHOLE, SELDOM), STEADY, [SCALE, 96], takes=lambda n: n == 95)
    ((whole,), (corner,)) = film.frames
    assert whole.sequence == corner.sequence == 95
    assert min(corner.pixels.shape[:2]) == 96


def appears(view: int, frame: int) -> Pixels:
    """Something in the first or the last field."""
    picture = BOARD.copy()
    if frame >= 60:
        (picture[:50, :50] if view == 0 else picture[-50:, -50:])[:] = 255
    return picture


@pytest.mark.parametrize("moving", [0, 1])
def test_motion_is_looked_for_in_the_views_own_region(moving: int) -> None:
    quiet = Quiet(at_least_every_seconds=1000, hold_seconds=0.5)
    views = [ViewRequest(field(0, 0), quiet=quiet), replace(CORNER, quiet=quiet)]
    film = Film(request(*views), STEADY, [96, 96], picture=lambda n: appears(moving, n))
    ends = [seen[-1].sequence for seen in film.frames]
    assert film.seconds(moving)[-6:] == pytest.approx([6.1, 6.2, 6.3, 6.4, 6.5, 6.6])
    assert film.seconds(1 - moving)[-1] < 1
    assert ends[moving] > ends[1 - moving]
    assert film.mailbox.counts(1 - moving).quiet == 100 - len(film.frames[1 - moving])
    assert film.latest[-1].pixels.shape == (96, 96, 3)  # nothing of the other one
    assert film.mailbox.decoded == 100
    assert accounted(film)


def test_motion_is_seen_though_the_scale_changes_all_the_time() -> None:
    quiet = Quiet(at_least_every_seconds=1000, hold_seconds=0.3)
    views = [replace(WHOLE, quiet=quiet), SELDOM]
    for frame in range(40, 50):  # also with the first picture of another scale
        changed = BOARD.copy()
        changed[:100, :100] = 255
        film = Film(
            request(*views),
            STEADY,
            [SCALE, 96],
            picture=lambda n, frame=frame, changed=changed: changed if n >= frame else BOARD,
        )
        assert set(film.sides) == {SCALE, CORNER_SCALE}
        assert (frame + 1) / 10 in np.round(film.seconds(0), 6)
        assert accounted(film)


def test_the_picture_is_what_its_views_share_or_the_whole() -> None:
    views = [ViewRequest(field(1, 0)), ViewRequest(field(2, 1)), SELDOM]
    film = Film(request(*views), STEADY, [96] * 3)
    shapes = [frame.pixels.shape for frame in film.latest]
    looks = {frame.sequence for frame in film.frames[2]}
    assert set(shapes) == {(192, 192, 3), (288, 288, 3)}
    assert [frame.sequence in looks for frame in film.latest] == [
        s == (288, 288, 3) for s in shapes
    ]
    assert not any(frame.whole for frame in film.latest)
    film = Film(request(*views), STEADY, [96] * 3, whole=True)
    assert {frame.pixels.shape for frame in film.latest} == {(288, 384, 3)}
    assert all(frame.whole for frame in film.latest)
    for seen, (column, row) in zip(film.frames, ((1, 0), (2, 1), (3, 2)), strict=True):
        assert seen[-1].region == (96 * column, 96 * row, 96, 96)
        assert is_field(seen[-1].pixels, column, row)


@pytest.mark.parametrize(
    ("wanted", "side"), [((0, 50), 160), ((150, 50), 160), ((80, 50), 80), ((37, 50), 53)]
)
def test_what_a_source_does_not_scale_is_shrunk_by_what_leaves_enough_for_all(
    wanted: tuple[int, int], side: int
) -> None:
    film = Film(request(ViewRequest(field(0, 0)), CORNER), [100], [*wanted], scales=False)
    assert film.sides == [0 if 0 in wanted else 3 * max(wanted)]
    for (frame,), (column, row) in zip(film.frames, ((0, 0), (3, 2)), strict=True):
        assert frame.pixels.shape == (side, side, 3)
        assert is_field(frame.pixels, column, row)


def test_a_stream_is_not_shrunk_again_for_those_who_need_less() -> None:
    film = Film(request(WHOLE, SELDOM), STEADY, [SCALE, 96])
    shapes = [min(frame.pixels.shape[:2]) for frame in film.frames[0]]
    assert shapes == film.sides


def test_views_alike_share_their_pixels() -> None:
    film = Film(request(CORNER, replace(CORNER, name="other"), WHOLE), [100], [128, 96, SCALE])
    first, second, _ = (seen[0] for seen in film.frames)
    assert first.pixels is second.pixels
    assert first.region == second.region
    assert (first.wanted, second.wanted) == (128, 96)
    assert (first.leads, second.leads) == (True, False)


GAPS = st.lists(st.sampled_from((20.0, 33.0, 34.0, 100.0, 400.0, 3000.0)), max_size=50)
RATES = st.sampled_from((None, 0.5, 3.0, 10.0, 25.0))
QUIETS = st.sampled_from((None, Quiet(0.3, 0.0), Quiet(1000.0, 0.2)))
VIEWS = st.builds(
    ViewRequest, st.sampled_from((None, field(0, 0), field(3, 2))), st.booleans(), RATES, QUIETS
)


@settings(deadline=None)
@given(
    st.lists(VIEWS, min_size=1, max_size=4),
    GAPS,
    st.lists(st.booleans(), min_size=7, max_size=7),
    st.lists(st.booleans(), min_size=5, max_size=5),
)
def test_each_view_accounts_for_each_frame(
    views: list[ViewRequest], gaps_ms: list[float], takes: list[bool], moves: list[bool]
) -> None:
    small = board(64, 48)
    film = Film(
        request(*views),
        gaps_ms,
        [8 + 4 * number for number in range(len(views))],
        picture=lambda n: small[:, ::-1] if moves[n % 5] else small,
        takes=lambda n: takes[n % 7],
    )
    film.take()
    assert accounted(film)
    assert film.mailbox.broken == 0
    for seen, wanted in zip(film.frames, (8, 12, 16, 20), strict=False):
        for frame in seen:
            assert min(frame.pixels.shape[:2]) >= min(wanted, 16 if frame.region[2] < 40 else 48)


def test_a_camera_is_frozen_if_nothing_at_all_changes() -> None:
    def clock(frame: int) -> Pixels:
        picture = BOARD.copy()
        picture[250:260, 250:260] = frame
        return picture

    asked = request(CORNER, SELDOM, frozen_after_seconds=2)
    film = Film(asked, STEADY, [96, 96], picture=clock)
    assert not [each for each in film.said if isinstance(each, Failed)]
    film = Film(asked, STEADY, [96, 96])
    (failed,) = [each for each in film.said if isinstance(each, Failed)]
    assert failed.reason is Failure.FROZEN


def test_a_region_with_too_few_pixels_is_named() -> None:
    film = Film(request(WHOLE, CORNER), [100], [128, 200])
    (note,) = [each for each in film.said if isinstance(each, Note)]
    assert note.message.startswith(
        "roi of view bin is 160x160 pixels of 640x480, less than the 200"
    )


STILL = "synthetic:320x240@50?still"


def test_a_camera_whose_views_are_all_quiet_lives_on() -> None:
    quiet = Quiet(600.0, 0.2, 30.0)
    asked = replace(
        request(replace(WHOLE, quiet=quiet), replace(CORNER, quiet=quiet)), source=STILL
    )
    limits = TimeLimits(stall=1.0, first_frame=2.0)
    with running(asked, wanted=96, limits=limits) as (camera, mailbox):
        assert wait_until(
            lambda: mailbox.counts(1).quiet > 150
        )  # three seconds, enough for a stall
        assert camera.state is CameraState.STREAMING
        assert not any(camera.restarts.values())
        sequence, decoded = mailbox.sequence, mailbox.decoded
        assert wait_until(lambda: mailbox.decoded > decoded + 10)
        assert mailbox.sequence == sequence


def test_a_killed_worker_is_replaced_for_all_views() -> None:
    asked = replace(request(WHOLE, replace(CORNER, max_fps=5)), source="synthetic:320x240@50")
    with running(asked, wanted=64) as (camera, mailbox):

        def all_seen() -> bool:
            seen.update(view for view, frame in enumerate(mailbox.take()) if frame is not None)
            return seen == {0, 1}

        seen: set[int] = set()
        assert wait_until(all_seen)
        os.kill(only_worker(), signal.SIGKILL)
        assert wait_until(lambda: camera.restarts[Failure.KILLED] == 1)
        mailbox.take()
        seen.clear()
        assert wait_until(all_seen)
        assert mailbox.broken == 0


def test_views_may_change_while_the_worker_starts() -> None:
    former = replace(request(WHOLE), source="synthetic:320x240@50")
    asked = replace(former, views=(WHOLE, replace(CORNER, max_fps=5)), edition=1)

    def start(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        worker = start_worker(memfd, wake_fd)
        assert worker.stdin is not None
        worker.stdin.write(former.to_json().encode() + b"\n")
        return worker

    with running(asked, wanted=64, starter=start) as (camera, mailbox):
        assert wait_until(lambda: mailbox.counts(1).skipped > 0)
        assert not any(camera.restarts.values())
