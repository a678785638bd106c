"""Signals at any moment of a real daemon's life."""

from __future__ import annotations

import signal
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import pytest

from tests.rig.daemon import QUICK, SLOW, RunningDaemon, quick_config, without_a_gap
from tests.rig.notify_socket import Supervisor


def test_fifty_signals_are_few_reloads_and_the_last_file_counts(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_for_results(2)
        for number in range(50):
            text = quick_config({"door": SLOW}, latency_budget_ms=str(5001 + number))
            partial = tmp_path / "partial.yaml"
            partial.write_text(text)
            partial.replace(daemon.config)
            daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda: daemon.results[-1]["budget_ms"] == 5050)
        assert 1 <= len(daemon.reloads) <= 50
        assert not any("not reloaded" in said for said in daemon.reloads)
        assert without_a_gap(daemon.sequence("door"))
        assert daemon.stop()[0] == 0


def test_a_signal_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_until_it_catches(signal.SIGHUP)
        for _ in range(5):
            daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda: daemon.reloads)
        daemon.wait_for_results(1)
        assert daemon.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_earliest_order_to_stop_is_obeyed(tmp_path: Path, number: signal.Signals) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_until_it_catches(signal.SIGTERM)
        assert daemon.stop(number)[0] == 0
    assert "Traceback" not in daemon.text
    assert not daemon.results


def test_signals_while_it_stops_do_not_harm(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_for_results(1)
        daemon.process.send_signal(signal.SIGTERM)
        while daemon.process.poll() is None:
            daemon.process.send_signal(signal.SIGHUP)
            daemon.process.send_signal(signal.SIGTERM)
        assert daemon.process.returncode == 0
    assert "Traceback" not in daemon.text


def test_an_order_to_stop_ends_a_reload(tmp_path: Path) -> None:
    notify = str(tmp_path / "notify")
    supervisor = Supervisor(notify)
    with (
        closing(supervisor.socket),
        RunningDaemon(tmp_path, quick_config({"door": SLOW}), NOTIFY_SOCKET=notify) as daemon,
    ):
        daemon.wait_for_results(1)
        supervisor.waiting()
        # All variants, in three thread counts: that takes its time.
        heavy = quick_config({"door": SLOW, "yard": SLOW}, threads="[1, 2, 3]")
        daemon.config.write_text(heavy.replace(f"variants: {QUICK['variants']}\n", ""))
        daemon.process.send_signal(signal.SIGHUP)
        while "loading network 2" not in supervisor.next():
            pass
        assert daemon.stop()[0] == 0
    assert "Traceback" not in daemon.text
    assert not daemon.reloads


def test_a_demo_has_no_file_to_reload(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "edged", "demo", "--port", "0", "--frames", "40"]
    with subprocess.Popen(
        command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path
    ) as process:
        assert process.stdout is not None and process.stderr is not None
        process.stdout.readline()
        process.send_signal(signal.SIGHUP)
        _, log = process.communicate(timeout=60)
        assert process.returncode == 0
    assert "reload ignored: edged runs without a configuration file" in log
