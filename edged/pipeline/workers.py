"""Threads that take turns: one waits for the next job while the others carry out theirs."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from edged.clock import Clock
from edged.effort import Turn

IDLE_SECONDS = 0.5
"""Without jobs, the threads look for one this often, which shows progress to the watchdog."""

Job = TypeVar("Job")


class Mailbox(Protocol):
    """A source of jobs; wake_fd becomes readable when there is one."""

    @property
    def wake_fd(self) -> int: ...
    def clear_wake(self) -> None: ...


class Jobs(Protocol[Job]):
    """The jobs. Only `carry_out` runs in several threads at once."""

    def over(self) -> bool:
        """There will be no more jobs, and all have finished."""

    def begin(self) -> Job | None:
        """The next job; None if none can start now."""

    def use_idle(self) -> bool:
        """Called when no job can start; True to look again at once instead of waiting."""

    def carry_out(self, job: Job) -> None: ...


class Workers(Generic[Job]):
    """`run` starts the other threads; `stop`, from any thread, ends them after their jobs."""

    def __init__(
        self,
        jobs: Jobs[Job],
        mailboxes: Iterable[Mailbox],
        threads: int,
        clock: Clock,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.looked = Turn(clock(), threading.get_native_id())
        """When a thread last looked for a job, and which one."""
        self._jobs = jobs
        self._by_wake_fd = {mailbox.wake_fd: mailbox for mailbox in mailboxes}
        self._threads = threads
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._turn = threading.Lock()
        self._ended_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Wakes the thread that waits: a job has finished, or `stop` was called."""
        self._stopping = threading.Event()
        self._over = False
        self._failure: BaseException | None = None

    def turned(self) -> None:
        """Note progress of the calling thread; for long work before the first job as well."""
        self.looked = Turn(self._clock(), threading.get_native_id())

    def stop(self) -> None:
        self._stopping.set()
        os.eventfd_write(self._ended_fd, 1)

    def close(self) -> None:
        """Call it after the last `run` and `stop`."""
        os.close(self._ended_fd)

    def run(self, before: Callable[[], None]) -> None:
        """Call `before`, then run until the jobs are over or `stop`; raise what a job raised."""
        self.turned()
        self._over = False
        before()
        with select.epoll() as events:
            for fd in (*self._by_wake_fd, self._ended_fd):
                events.register(fd, select.EPOLLIN)
            others = [
                threading.Thread(
                    target=self._work, args=(events,), name=f"pipeline-{number}", daemon=True
                )
                for number in range(2, self._threads + 1)
            ]
            for thread in others:
                thread.start()
            self._work(events)
            for thread in others:
                thread.join()
        if self._failure is not None:
            raise self._failure

    def _work(self, events: select.epoll) -> None:
        try:
            while (job := self._next(events)) is not None:
                self._jobs.carry_out(job)
                if self._turn.locked():  # by a thread that found no job that could start
                    os.eventfd_write(self._ended_fd, 1)
        except BaseException as error:  # `run` raises it, whatever it is
            self._failure = error
            self.stop()

    def _next(self, events: select.epoll) -> Job | None:
        with self._turn:
            while not (self._over or self._stopping.is_set()):
                self.turned()
                job = self._jobs.begin()
                if job is None and self._jobs.over():
                    job = self._jobs.begin()  # the last one may have come before the end
                    self._over = job is None
                if job is not None:
                    return job
                if not self._over and not self._jobs.use_idle():
                    self._wait(events)
        return None

    def _wait(self, events: select.epoll) -> None:
        for fd, _ in events.poll(self._idle_seconds):
            if fd == self._ended_fd:
                os.eventfd_read(fd)
            else:
                self._by_wake_fd[fd].clear_wake()
