"""Notification against a real datagram socket, as systemd binds one."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edged.service.notify import Notifier
from tests.rig.notify_socket import Supervisor


class ManualClock:
    def __init__(self) -> None:
        self.now_ns = 5_000_000_000

    def __call__(self) -> int:
        return self.now_ns

    def advance(self, seconds: float) -> None:
        self.now_ns += round(seconds * 1e9)


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "notify")


@pytest.fixture
def supervisor(path: str) -> Iterator[Supervisor]:
    supervisor = Supervisor(path)
    with closing(supervisor.socket):
        yield supervisor


def test_says_what_it_is_told(supervisor: Supervisor, path: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": path})
    notifier.status("measuring 3 of 16 variants")
    notifier.ready()
    notifier.stopping()
    assert [supervisor.next() for _ in range(3)] == [
        "STATUS=measuring 3 of 16 variants",
        "READY=1",
        "STOPPING=1",
    ]


def test_a_status_cannot_smuggle_in_another_assignment(supervisor: Supervisor, path: str) -> None:
    Notifier({"NOTIFY_SOCKET": path}).status("door\nMAINPID=1\r\nREADY=1")
    assert supervisor.next() == "STATUS=door MAINPID=1 READY=1"
    Notifier({"NOTIFY_SOCKET": path}).status("a path with \udcff in it")
    assert supervisor.next() == "STATUS=a path with ? in it"


def test_a_status_is_passed_on_now_and_then(supervisor: Supervisor, path: str) -> None:
    clock = ManualClock()
    notifier = Notifier({"NOTIFY_SOCKET": path}, clock=clock)
    for tick in range(48):  # twelve seconds
        notifier.status(f"{tick} results")
        clock.advance(0.25)
    assert supervisor.waiting() == ["STATUS=0 results", "STATUS=20 results", "STATUS=40 results"]


def test_what_must_be_seen_is_not_left_out(supervisor: Supervisor, path: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": path}, clock=ManualClock())
    notifier.status("fine")
    notifier.status("not reloaded", at_once=True)
    notifier.status("fine")
    assert supervisor.waiting() == ["STATUS=fine", "STATUS=not reloaded"]


def test_a_reload_is_told_with_its_time(supervisor: Supervisor, path: str) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": path}, clock=ManualClock())
    notifier.reloading()
    notifier.ready()
    assert supervisor.waiting() == ["RELOADING=1\nMONOTONIC_USEC=5000000", "READY=1"]


def test_a_start_asks_for_more_time_again_and_again(supervisor: Supervisor, path: str) -> None:
    clock = ManualClock()
    notifier = Notifier({"NOTIFY_SOCKET": path}, clock=clock)
    asked_at_s = []
    for tick in range(100):  # twenty-five seconds
        notifier.starting(60)
        if supervisor.waiting() == ["EXTEND_TIMEOUT_USEC=60000000"]:
            asked_at_s.append(tick / 4)
        clock.advance(0.25)
    assert asked_at_s == [0, 10, 20]


def test_abstract_socket() -> None:
    name = f"edged-test-{os.getpid()}"
    supervisor = Supervisor(b"\0" + name.encode())
    with closing(supervisor.socket):
        Notifier({"NOTIFY_SOCKET": f"@{name}"}).ready()
        assert supervisor.next() == "READY=1"


def test_pings_at_most_every_half_limit(supervisor: Supervisor, path: str) -> None:
    clock = ManualClock()
    environ = {"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "10000000"}
    notifier = Notifier(environ, clock=clock)
    assert notifier.watchdog_interval_ns == 5_000_000_000
    pings_at_s = []
    for tick in range(60):  # half a minute of a loop that turns every half second
        notifier.watchdog()
        if supervisor.waiting() == ["WATCHDOG=1"]:
            pings_at_s.append(tick / 2)
        clock.advance(0.5)
    assert pings_at_s == [0, 5, 10, 15, 20, 25]


def test_without_being_asked_it_does_not_ping(supervisor: Supervisor, path: str) -> None:
    clock = ManualClock()
    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "1000"}, clock=clock)
    notifier.ready()
    clock.advance(60)
    notifier.status("still here")
    assert supervisor.waiting() == ["READY=1", "STATUS=still here"]


@pytest.mark.parametrize(
    ("watchdog", "interval_ns"),
    [
        ({}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "often"}, None),
        ({"WATCHDOG_USEC": "-5"}, None),
        ({"WATCHDOG_USEC": "3000001"}, 1_500_000_500),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "42"}, 1_000_000_000),
        ({"WATCHDOG_USEC": "2000000", "WATCHDOG_PID": "43"}, None),
    ],
)
def test_watches_only_the_process_that_is_meant(
    supervisor: Supervisor, path: str, watchdog: dict[str, str], interval_ns: int | None
) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": path, **watchdog}, pid=42)
    assert notifier.watchdog_interval_ns == interval_ns
    notifier.watchdog()
    assert supervisor.waiting() == ([] if interval_ns is None else ["WATCHDOG=1"])


def test_without_a_supervisor_nothing_happens(caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"WATCHDOG_USEC": "1000000"})
    assert notifier.watchdog_interval_ns is None
    notifier.ready()
    notifier.watchdog()
    notifier.stopping()
    assert caplog.records == []


def test_a_dead_socket_is_logged_once_and_survived(
    path: str, caplog: pytest.LogCaptureFixture
) -> None:
    clock = ManualClock()
    notifier = Notifier({"NOTIFY_SOCKET": path, "WATCHDOG_USEC": "2000000"}, clock=clock)
    for _ in range(3):
        notifier.ready()
    notifier.watchdog()
    assert [record.levelno for record in caplog.records] == [logging.WARNING]
    assert "No such file or directory" in caplog.text

    supervisor = Supervisor(path)  # the supervisor was started anew
    with closing(supervisor.socket):
        notifier.watchdog()  # the ping that did not get through is still due
        assert supervisor.waiting() == ["WATCHDOG=1"]
    notifier.stopping()
    assert len(caplog.records) == 2


def test_a_supervisor_that_does_not_read_is_not_waited_for(
    supervisor: Supervisor,
    path: str,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setattr("edged.service.notify.SEND_SECONDS", 0.05)
    notifier = Notifier({"NOTIFY_SOCKET": path})
    for _ in range(2000):  # more than any receive queue holds
        notifier.ready()
        if caplog.records:
            break
    assert "timed out" in caplog.text
    assert supervisor.waiting()[0] == "READY=1"
    notifier.stopping()
    assert supervisor.next() == "STOPPING=1"


@pytest.mark.parametrize("name", ["vsock:2:1234", "relative/path", "/" + "x" * 200])
def test_an_address_that_cannot_be_used(name: str, caplog: pytest.LogCaptureFixture) -> None:
    notifier = Notifier({"NOTIFY_SOCKET": name, "WATCHDOG_USEC": "1000000"})
    notifier.ready()
    notifier.watchdog()
    assert len(caplog.records) == 1
