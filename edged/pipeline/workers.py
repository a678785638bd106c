"""Threads that take turns: one waits for the next job, the others carry out the ones they found."""

from __future__ import annotations

import os
import select
import threading
from collections.abc import Callable, Iterable
from typing import Generic, Protocol, TypeVar

from edged.clock import Clock
from edged.effort import Turn

IDLE_SECONDS = 0.5
"""Without anything to do a look is taken this often, so that progress can be seen."""

Job = TypeVar("Job")


class Mailbox(Protocol):
    """Something that jobs come from."""

    @property
    def wake_fd(self) -> int: ...
    def clear_wake(self) -> None: ...


class Jobs(Protocol[Job]):
    """What there is to do. Only `carry_out` runs in several threads at once."""

    def over(self) -> bool:
        """There will be no more jobs; those under way have ended."""

    def begin(self) -> Job | None:
        """The next job, if one can be carried out now."""

    def use_gap(self) -> bool:
        """Nothing can begin now; True to look again at once rather than wait."""

    def carry_out(self, job: Job) -> None: ...


class Crew(Generic[Job]):
    """`run` in a thread makes the others; `stop` from any ends them after the jobs under way."""

    def __init__(
        self,
        jobs: Jobs[Job],
        mailboxes: Iterable[Mailbox],
        threads: int,
        clock: Clock,
        idle_seconds: float = IDLE_SECONDS,
    ) -> None:
        self.looked = Turn(clock(), threading.get_native_id())
        """When somebody last looked for a job, and who."""
        self._jobs = jobs
        self._by_wake_fd = {mailbox.wake_fd: mailbox for mailbox in mailboxes}
        self._threads = threads
        self._clock = clock
        self._idle_seconds = idle_seconds
        self._turn = threading.Lock()
        self._ended_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        """Wakes the one who looks: a job has ended, or all shall."""
        self._stopping = threading.Event()
        self._over = False
        self._failure: BaseException | None = None

    def turned(self) -> None:
        """The calling thread goes on; also told by what takes long before the first job."""
        self.looked = Turn(self._clock(), threading.get_native_id())

    def stop(self) -> None:
        self._stopping.set()
        os.eventfd_write(self._ended_fd, 1)

    def close(self) -> None:
        """Give up its descriptor. `run` has returned, and neither it nor `stop` is called again."""
        os.close(self._ended_fd)

    def run(self, before: Callable[[], None]) -> None:
        """Until the jobs are over or `stop`; raises what a job raised. before: done first."""
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
                if self._turn.locked():  # by one who found no job that could begin before
                    os.eventfd_write(self._ended_fd, 1)
        except BaseException as error:  # `run` raises it, whatever it is
            self._failure = error
            self.stop()

    def _next(self, events: select.epoll) -> Job | None:
        with self._turn:
            while not (self._over or self._stopping.is_set()):
                self.turned()
                over = self._jobs.over()  # asked first: the last job comes before the end
                job = self._jobs.begin()
                if job is not None:
                    return job
                if over:
                    self._over = True
                elif not self._jobs.use_gap():
                    self._wait(events)
        return None

    def _wait(self, events: select.epoll) -> None:
        for fd, _ in events.poll(self._idle_seconds):
            if fd == self._ended_fd:
                os.eventfd_read(fd)
            else:
                self._by_wake_fd[fd].clear_wake()
