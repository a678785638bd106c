"""Threads that take turns, with jobs that only meet each other."""

from __future__ import annotations

import os
import threading
from collections import deque

import pytest

from edged.clock import monotonic_ns
from edged.pipeline.workers import Workers


class Bell:
    """A mailbox without post."""

    def __init__(self) -> None:
        self.wake_fd = os.eventfd(0, os.EFD_NONBLOCK)

    def clear_wake(self) -> None:
        os.eventfd_read(self.wake_fd)


class Jobs:
    """Some numbers; `meeting`: how many must be under way before one of them ends."""

    def __init__(self, numbers: range, meeting: int = 1) -> None:
        self.waiting = deque(numbers)
        self.done: list[int] = []
        self.gaps = 0
        self._barrier = threading.Barrier(meeting, timeout=30)

    def over(self) -> bool:
        return not self.waiting

    def begin(self) -> int | None:
        return self.waiting.popleft() if self.waiting else None

    def use_idle(self) -> bool:
        self.gaps += 1
        return False

    def carry_out(self, job: int) -> None:
        self._barrier.wait()
        if job < 0:
            raise ArithmeticError(job)
        self.done.append(job)


def test_every_job_is_carried_out_once_and_beside_others() -> None:
    jobs, first = Jobs(range(30), meeting=3), list[str]()
    workers = Workers(jobs, [Bell()], 3, monotonic_ns)
    workers.run(lambda: first.append("done before"))
    assert sorted(jobs.done) == list(range(30))
    assert first == ["done before"]
    jobs.waiting.extend(range(3))
    workers.run(lambda: None)  # and once more
    assert len(jobs.done) == 33


def test_stop_ends_a_crew_that_waits_and_one_that_has_not_begun() -> None:
    class Endless(Jobs):
        def over(self) -> bool:
            return False

    jobs = Endless(range(0))
    workers = Workers(jobs, [Bell()], 4, monotonic_ns)
    thread = threading.Thread(target=workers.run, args=(lambda: None,))
    thread.start()
    while not jobs.gaps:
        pass
    workers.stop()
    thread.join(30)
    assert not thread.is_alive()
    workers.run(lambda: None)  # stopped already


def test_what_a_job_raises_ends_the_others_and_is_raised() -> None:
    jobs = Jobs(range(-1, 1), meeting=2)
    with pytest.raises(ArithmeticError):
        Workers(jobs, [Bell()], 2, monotonic_ns).run(lambda: None)


def test_a_bell_wakes_the_one_who_waits() -> None:
    class Late(Jobs):
        ended = False

        def over(self) -> bool:
            return self.ended and not self.waiting

    bell, jobs = Bell(), Late(range(0))
    thread = threading.Thread(
        target=Workers(jobs, [bell], 2, monotonic_ns).run, args=(lambda: None,)
    )
    thread.start()
    jobs.waiting.append(7)
    os.eventfd_write(bell.wake_fd, 1)
    jobs.ended = True
    thread.join(30)
    assert jobs.done == [7]
