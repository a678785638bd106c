"""Every expression of dashboards and rules, asked of a real Prometheus that scrapes a real daemon.

The daemon reads its sensors from a tree of files; its faults are provoked: a camera that is absent,
one whose capture process is killed again and again, a budget that nothing can keep, heat, too
little voltage, a configuration with a mistake. Two devices besides: one that does not answer, and
one whose daemon seems to start anew at every scrape, a page of fixed text. A second Prometheus, an
agent, writes to the first one what it scrapes of the same daemon.
"""

from __future__ import annotations

import contextlib
import json
import os
import re
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from email.message import Message
from itertools import count
from pathlib import Path
from shutil import which
from typing import Any

import pytest
import yaml

from tests.rig.clips import write_clip
from tests.rig.device_files import ORIN_NX_POWER, PI, make_files
from tests.rig.http_server import answering
from tests.rig.paths import DASHBOARDS, PROMETHEUS
from tests.rig.ports import free_port

SECONDS = 90
"""For the slowest of all to be there; a machine of its own takes a third of that."""

AMPERES = "sys/class/hwmon/hwmon1/curr1_input"
"""Of 5 volts, in thousandths: 35 watts, then 48."""
LATE = ("edged_result_joules", "< 0.8 * avg_over_time(edged_reference_score_ratio")
"""What there is after minutes or an hour only."""

DAEMON = """
import os, sys
from pathlib import Path
from edged.config.config import load_config
from edged.daemon.daemon import Daemon
from edged.daemon.signals import Signals, handling_signals
read, signals = lambda: load_config(Path(sys.argv[1]), os.environ), Signals()
with handling_signals(signals):
    Daemon(read(), signals=signals, reread=read, root=Path(sys.argv[2])).run()
"""
CONFIG = """
model: imagenette
variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.5_160]
latency_budget_ms: 200
max_temperature_c: 90
max_power_w: 40
cameras:
  door: {{source: clip.mp4, loop: true}}
  bench: {{source: synthetic, size: 320x240, fps: 10, latency_budget_ms: 0.2}}
  absent: {{source: /dev/video99}}
  yard:
    source: synthetic:320x240@5
    views: {{gate: {{roi: [0, 0, 0.5, 1]}}, bin: {{roi: [0.5, 0, 0.5, 1]}}}}
events: {{ball: {{class: golf ball}}}}
results: {{jsonl: results.jsonl}}
http: {{listen: "127.0.0.1:{port}"}}
"""

RESTLESS = """process_start_time_seconds {number}
edged_frames_captured_total{{camera="door"}} {number}
edged_frames_dropped_total{{camera="door",reason="broken"}} {number}
edged_sink_dropped_total{{sink="mqtt",reason="queue_full"}} {number}
edged_events_dropped_total {number}
"""


@contextmanager
def started(*command: str | Path, **environ: str) -> Iterator[subprocess.Popen[bytes]]:
    with subprocess.Popen(
        list(map(str, command)),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        env={**os.environ, **environ},
    ) as process:
        try:
            yield process
        finally:
            process.terminate()
            try:
                process.wait(20)
            except subprocess.TimeoutExpired:
                process.kill()


@contextmanager
def restless(targets: list[dict[str, Any]]) -> Iterator[int]:
    """The port of a device that starts anew at every scrape and loses a little of everything until
    the next, and that lists devices as http_sd."""
    starts = count(1)

    def answer(path: str, _: Message) -> tuple[int, str, str]:
        if path == "/metrics":
            return 200, "text/plain", RESTLESS.format(number=next(starts))
        return 200, "application/json", json.dumps(targets)

    with answering(answer) as port:
        targets[0]["targets"] = [f"127.0.0.1:{port}"]
        yield port


class Prometheus:
    def __init__(self, port: int) -> None:
        self._api = f"http://127.0.0.1:{port}/api/v1"

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """The samples now; none while it does not answer yet."""
        try:
            url = f"{self._api}/query?query={urllib.parse.quote(expression)}"
            with urllib.request.urlopen(url, timeout=10) as answer:
                found: list[dict[str, Any]] = json.load(answer)["data"]["result"]
                return found
        except urllib.error.HTTPError as error:
            with error:
                assert error.code == 503, f"{expression}: {error.read().decode()}"
            return []
        except (OSError, ValueError):
            return []

    def unhealthy_rules(self) -> list[str]:
        with urllib.request.urlopen(f"{self._api}/rules", timeout=10) as answer:
            groups = json.load(answer)["data"]["groups"]
        rules = [rule for group in groups for rule in group["rules"]]
        assert rules
        return [f"{rule['name']}: {rule['lastError']}" for rule in rules if rule["health"] != "ok"]

    def wait_for(self, expressions: set[str], seconds: float = SECONDS) -> None:
        """Until each has been answered with something; fails with those that have not."""
        missing, end = set(expressions), time.monotonic() + seconds
        while missing:
            missing = {each for each in missing if not self.ask(each)}
            assert not missing or time.monotonic() < end, "\n".join(sorted(missing))
            if missing:
                time.sleep(0.2)


def expressions() -> set[str]:
    """Those of every panel, variable, recording rule and alert; what was hours ago is taken from
    now."""
    found = set()
    for file in DASHBOARDS:
        board = json.loads(file.read_text())
        for panel in board["panels"]:
            found |= {target["expr"] for target in panel.get("targets", ())}
        for variable in board["templating"]["list"]:
            if variable["type"] != "query":
                continue
            (selector,) = re.findall(r"label_values\((.*), \w+\)", variable["definition"])
            found.add(selector)
    for file in (PROMETHEUS / "rules").glob("*.yml"):
        for group in yaml.safe_load(file.read_text())["groups"]:
            found |= {rule["expr"] for rule in group["rules"]}
    found = {re.sub(r"\[\w+:\w+\] offset \w+", "[1m]", each) for each in found}
    found = {re.sub(r"\[30m\] offset \w+", "[1m]", each) for each in found}
    found = {re.sub(r"camera:edged_known:\w+", "edged_results_total", each) for each in found}
    values = {"$__rate_interval": "20s", "$device": "hall", "$camera": ".*", "$view": ".*"}
    return {
        re.sub("|".join(map(re.escape, values)), lambda name: values[name[0]], each)
        for each in found
    }


def central_configuration(folder: Path, lists: int, *devices: dict[str, Any]) -> Path:
    """The shipped one at a quicker pace, with the devices of a file and of an HTTP service."""
    config = yaml.safe_load((PROMETHEUS / "prometheus.yml").read_text())
    pace = {"scrape_interval": "1s", "scrape_timeout": "1s", "evaluation_interval": "1s"}
    config["global"] |= pace
    config["rule_files"] = [str(PROMETHEUS / "rules/*.yml")]
    del config["alerting"]
    config["scrape_configs"][0]["http_sd_configs"] = [{"url": f"http://127.0.0.1:{lists}/devices"}]
    (folder / "targets").mkdir(parents=True)
    (folder / "targets/test.yml").write_text(yaml.safe_dump(list(devices)))
    (folder / "prometheus.yml").write_text(yaml.safe_dump(config))
    return folder / "prometheus.yml"


def agent_configuration(folder: Path, central: int, daemon: int) -> Path:
    config = yaml.safe_load((PROMETHEUS / "agent.yml").read_text())
    config["global"] |= {"scrape_interval": "1s", "scrape_timeout": "1s"}
    config["remote_write"][0]["url"] = f"http://127.0.0.1:{central}/api/v1/write"
    config["remote_write"][0]["queue_config"]["batch_send_deadline"] = "1s"
    folder.mkdir()
    (folder / "remote-write.password").write_text("secret")
    device = {"targets": [f"127.0.0.1:{daemon}"], "labels": {"device": "van"}}
    (folder / "device.yml").write_text(yaml.safe_dump([device]))
    (folder / "agent.yml").write_text(yaml.safe_dump(config))
    return folder / "agent.yml"


def replaced(path: Path, text: str) -> None:
    """All at once, as the programs that watch it expect."""
    other = path.with_suffix(".new")
    other.write_text(text)
    other.replace(path)


def kill_capture_process_of(daemon: int, source: str, times: int, prometheus: Prometheus) -> None:
    """Each time when it streams again."""
    for killed in range(times):
        counted = 'edged_source_restarts_total{device="hall", camera="door", reason="killed"}'
        streaming = 'edged_source_state{device="hall", camera="door", state="streaming"} == 1'
        prometheus.wait_for({f"{counted} == {killed} and ignoring (reason, state) {streaming}"})
        os.kill(reader_of(daemon, source), signal.SIGKILL)
    prometheus.wait_for({f"{counted} == {times}"})


def reader_of(daemon: int, source: str) -> int:
    """The process that has the clip open."""
    for folder in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            parent = int((folder / "stat").read_text().rsplit(")", 1)[1].split()[1])
            if parent == daemon and any(
                each.readlink().name == source for each in (folder / "fd").iterdir()
            ):
                return int(folder.name)
    raise AssertionError(f"no process reads {source}")


@pytest.mark.servers
@pytest.mark.timeout(300)
def test_every_expression_is_answered(tmp_path: Path) -> None:
    program = which("prometheus")
    if program is None:
        pytest.skip("prometheus is not installed (apt-get install prometheus)")
    root = make_files(tmp_path / "root", {**PI, **ORIN_NX_POWER, AMPERES: "7000\n"})
    write_clip(tmp_path / "clip.mp4", frames=250, fps=25)
    config, daemon_port, port = tmp_path / "edged.yaml", free_port(), free_port()
    config.write_text(CONFIG.format(port=daemon_port))
    listed: list[dict[str, Any]] = [{"targets": [], "labels": {"device": "restless"}}]
    with ExitStack() as running:
        lists = running.enter_context(restless(listed))
        daemon = running.enter_context(
            started(
                *(sys.executable, "-c", DAEMON, config, root), STATE_DIRECTORY=str(tmp_path / "s")
            )
        )
        hall = {"targets": [f"127.0.0.1:{daemon_port}"], "labels": {"device": "hall"}}
        silent = {"targets": [f"127.0.0.1:{free_port()}"]}
        central = central_configuration(tmp_path / "central", lists, hall, silent)
        running.enter_context(
            started(
                *(program, f"--config.file={central}", "--web.enable-remote-write-receiver"),
                f"--storage.tsdb.path={tmp_path / 'central/data'}",
                f"--web.listen-address=127.0.0.1:{port}",
            )
        )
        agent = agent_configuration(tmp_path / "agent", port, daemon_port)
        running.enter_context(
            started(
                *(program, f"--config.file={agent}", "--enable-feature=agent"),
                f"--storage.agent.path={tmp_path / 'agent/data'}",
                f"--web.listen-address=127.0.0.1:{free_port()}",
            )
        )
        prometheus = Prometheus(port)
        prometheus.wait_for(
            {
                'edged_results_total{device="van", via="agent"} > 0',
                'edged_frames_captured_total{device="hall", camera="door"} > 0',
                'edged_results_total{device="hall", camera="yard", view="gate"} > 0',
                'edged_frames_dropped_total{device="hall", reason="broken"}',
                'edged_sink_dropped_total{device="hall"}',
                'edged_events_dropped_total{device="hall"}',
                'up{device="127.0.0.1"} == 0',  # the host's name, where the list gives none
                'edged_agreement{device="hall"}',  # a hot device is not probed
            }
        )
        assert not prometheus.ask('edged_config_last_reload_success{device="hall"} == 0')
        kill_capture_process_of(daemon.pid, "clip.mp4", 5, prometheus)
        make_files(
            root,
            {
                "sys/class/thermal/thermal_zone0/temp": "88000\n",
                "sys/devices/platform/soc/soc:firmware/get_throttled": "50005\n",
                AMPERES: "9500\n",
            },
        )
        replaced(config, "cameras: nonsense\n")
        daemon.send_signal(signal.SIGHUP)
        replaced(agent.with_name("device.yml"), "[]\n")
        every = expressions()
        late = {each for each in every if any(name in each for name in LATE)}
        assert len(late) == len(LATE)
        every -= late
        assert len(every) > 60
        every.add('camera:edged_top1:avg_rate5m{camera="yard", view="bin", family="imagenette"}')
        prometheus.wait_for(every)
        firing = 'ALERTS{alertstate="firing", alertname="%s", device="%s"}'
        prometheus.wait_for(
            {firing % ("EdgedUnderVoltage", "hall"), firing % ("EdgedRestarts", "restless")}
        )
        assert daemon.poll() is None
        assert prometheus.unhealthy_rules() == []
        assert [prometheus.ask(each) for each in late] == [[], []]
