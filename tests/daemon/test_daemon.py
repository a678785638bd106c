"""The whole daemon on real input, from outside: processes, signals, HTTP, exit status."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest

from edged.config.config import load_config
from edged.daemon.daemon import Daemon
from edged.result import Event, Result
from edged.sinks.options import KINDS
from edged.switches.switches import Switches
from tests.rig.clips import write_clip
from tests.rig.daemon import SYNTHETIC, RunningDaemon
from tests.rig.ports import free_port
from tests.rig.rtsp import needs_gstreamer, serving
from tests.rig.waiting import eventually


def run(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edged", *arguments],
        capture_output=True, text=True, timeout=60, cwd=cwd,
    )  # fmt: skip


def shared_memory() -> set[str]:
    return {path.name for path in Path("/dev/shm").iterdir()}


def test_results_flow_and_their_stages_add_up(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, SYNTHETIC, "--frames", "40") as daemon:
        assert daemon.process.wait(60) == 0
        daemon.wait_for_results(40)
    assert len(daemon.results) == 40
    assert "knows" not in daemon.text  # the scene is drawn for it
    for result in daemon.results:
        assert result["latency_ms"] == pytest.approx(sum(result["stages_ms"].values()), abs=0.002)
        assert result["on_time"] == (result["latency_ms"] <= result["budget_ms"])
        assert result["variant"].startswith("mobilenet_v1_")
    numbers = [result["sequence"] for result in daemon.results]
    assert numbers == sorted(set(numbers))


def test_metrics_and_health_tell_what_happens(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        daemon.wait_for_results(20)
        assert daemon.get("/healthz")[0] == 200
        status, body = daemon.get("/readyz")
        assert (status, json.loads(body)["ready"]) == (200, True)
        assert daemon.metric('edged_results_total{camera="door"}') >= 20
        assert daemon.metric('edged_source_state{camera="door",state="streaming"}') == 1
        assert daemon.metric('edged_latency_budget_seconds{camera="door"}') == 0.2
        counted = daemon.metric('edged_result_latency_seconds_bucket{camera="door",le="0.2"}')
        assert counted > 0
        captured = daemon.metric('edged_frames_captured_total{camera="door"}')
        assert captured >= daemon.metric('edged_results_total{camera="door"}')


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_at_once_and_well(tmp_path: Path, number: signal.Signals) -> None:
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        start_seconds = daemon.wait_for_results(5)
        children = daemon.capture_processes()
        status, seconds = daemon.stop(number)
    assert (status, len(children)) == (0, 1)
    assert seconds < start_seconds
    assert not Path(f"/proc/{children[0]}").exists()
    assert "on time" in daemon.log[-1]


def test_a_killed_capture_process_is_replaced(tmp_path: Path) -> None:
    before = shared_memory()
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        start_seconds = daemon.wait_for_results(10)  # of the daemon, and then such a process
        (child,) = daemon.capture_processes()
        os.kill(child, signal.SIGKILL)
        daemon.wait_for(lambda: daemon.capture_processes() not in ([child], []))
        count = len(daemon.results)
        assert daemon.wait_for_results(count + 5) < start_seconds
        assert daemon.metric('edged_source_restarts_total{camera="door",reason="killed"}') == 1
        numbers = [result["sequence"] for result in daemon.results]
        assert numbers == sorted(set(numbers))
        daemon.stop()
    assert shared_memory() == before


def test_a_killed_daemon_leaves_nothing_behind(tmp_path: Path) -> None:
    before = shared_memory()
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        daemon.wait_for_results(5)
        (child,) = daemon.capture_processes()
        daemon.process.kill()
        eventually(lambda: not Path(f"/proc/{child}").exists())
    assert shared_memory() == before


def test_an_absent_camera_is_a_state_while_the_other_works(tmp_path: Path) -> None:
    config = SYNTHETIC + "  absent: {source: /dev/video9}\n"
    config = config.replace("http: {listen: 127.0.0.1:0}\n", "")
    config += "http: {listen: 127.0.0.1:0}\n"
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for_results(10)
        daemon.wait_for(
            lambda: daemon.metric('edged_source_state{camera="absent",state="backoff"}') == 1
        )
        status, body = daemon.get("/readyz")
        cameras = json.loads(body)["cameras"]
        assert (status, cameras["door"]["ready"], cameras["absent"]["ready"]) == (503, True, False)
        assert cameras["absent"]["state"] in ("backoff", "starting")  # while it is tried again
        assert "/dev/video9" in cameras["absent"]["last_error"]
        assert {result["camera"] for result in daemon.results} == {"door"}
        assert "imagenette knows 10 classes: tench, English springer, " in daemon.text
        imagenet = tmp_path / "state/imagenet"
        pull = f"edged models pull mobilenet-v1-imagenet --teach --into {imagenet}"
        assert f"ImageNet's 1000 classes: {pull}, then model: {imagenet}" in daemon.text
        assert "your own classes: edged teach gate --view CAMERA" in daemon.text


def test_a_start_says_that_others_can_reach_it(tmp_path: Path) -> None:
    (tmp_path / "edged.yaml").write_text(SYNTHETIC.replace("127.0.0.1:0", "0.0.0.0:0"))
    done = run("run", "edged.yaml", "--frames", "1", cwd=tmp_path)
    assert done.returncode == 0
    (said,) = [line for line in done.stderr.splitlines() if "from other machines" in line]
    assert "http.listen: " in said


def test_a_hopeless_budget_means_the_cheapest_variant_and_counted_misses(tmp_path: Path) -> None:
    config = SYNTHETIC.replace("latency_budget_ms: 200", "latency_budget_ms: 0.2")
    with RunningDaemon(tmp_path, config) as daemon:
        daemon.wait_for(lambda: daemon.metric('edged_deadline_misses_total{camera="door"}') >= 10)
        daemon.wait_for(lambda: "no variant meets latency_budget_ms 0.2" in daemon.text)
    assert daemon.results
    assert {result["reason"] for result in daemon.results} == {"none_fits"}
    # On a busy machine the first round of the profile may find 160, or INT8, the faster.
    used = {result["variant"] for result in daemon.results}
    assert all(name.startswith(("mobilenet_v1_0.25_128", "mobilenet_v1_0.25_160")) for name in used)
    assert not any(result["on_time"] for result in daemon.results)


def test_a_port_in_use_is_one_clear_message(tmp_path: Path) -> None:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        port = holder.getsockname()[1]
        (tmp_path / "edged.yaml").write_text(SYNTHETIC.replace(":0}", f":{port}}}"))
        done = run("run", "-c", str(tmp_path / "edged.yaml"))
    assert done.returncode == 1
    assert f"127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


@pytest.mark.parametrize(
    ("change", "named"),
    [
        (("model: imagenette", "model: nowhere"), "nowhere"),
        (("latency_budget_ms: 200", "latency_budget_ms: fast"), "latency_budget_ms"),
        (("door:", "door: ["), "edged.yaml:"),
        (("model: imagenette", "variants: [mobilenet_v1_0.3_64]"), "mobilenet_v1_0.3_64"),
        (("http:", "backend: abacus\nhttp:"), "abacus"),
        (("fps: 30", "fqs: 30"), "fqs"),
    ],
)
def test_bad_configuration_exits_2_with_one_message(
    tmp_path: Path, change: tuple[str, str], named: str
) -> None:
    (tmp_path / "edged.yaml").write_text(SYNTHETIC.replace(*change))
    done = run("run", "-c", str(tmp_path / "edged.yaml"))
    assert done.returncode == 2, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr


def test_the_demo_prints_results_and_ends(tmp_path: Path) -> None:
    done = run("demo", "--frames", "15", "--port", "0", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 15
    assert "on time" in done.stderr


def test_a_clip_is_played_to_its_end_and_the_daemon_ends_with_0(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=30, fps=30)
    config = SYNTHETIC.replace("source: synthetic, size: 320x240, fps: 30", "source: clip.mp4")
    config = config.replace("latency_budget_ms: 200", "latency_budget_ms: 60000")
    with RunningDaemon(tmp_path, config) as daemon:
        assert daemon.process.wait(60) == 0
    numbers = [result["sequence"] for result in daemon.results]  # the first may have gone by
    assert numbers == sorted(set(numbers))
    assert numbers[-1] == 30


@pytest.mark.servers
@needs_gstreamer
def test_a_stream_that_comes_later_flows_beside_the_file_that_was_there(tmp_path: Path) -> None:
    write_clip(tmp_path / "clip.mp4", frames=30, fps=30)
    port = free_port()
    config = SYNTHETIC.replace(
        "door: {source: synthetic, size: 320x240, fps: 30}",
        "file: {source: clip.mp4, loop: true}\n"
        f"  stream: {{source: 'rtsp://viewer:secret@127.0.0.1:{port}/camera'}}",
    )
    with RunningDaemon(tmp_path, config) as daemon:
        down = 'edged_source_state{camera="stream",state="backoff"}'
        daemon.wait_for(lambda: daemon.metric(down) == 1)
        daemon.wait_for_results(20)
        assert {result["camera"] for result in daemon.results} == {"file"}
        status, body = daemon.get("/readyz")
        stream = json.loads(body)["cameras"]["stream"]
        assert (status, stream["ready"]) == (503, False)
        assert stream["state"] in ("backoff", "starting")  # the latter while it is tried again
        with serving(port, "--password", "secret"):
            daemon.wait_for(lambda: any(r["camera"] == "stream" for r in daemon.results), 45)
            up = 'edged_source_state{camera="stream",state="streaming"}'
            daemon.wait_for(lambda: daemon.metric(up) == 1)
        _, metrics = daemon.get("/metrics")
        daemon.stop()
    assert "secret" not in daemon.text + body + metrics


def test_a_recorded_trace_replays_to_the_same_decisions(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    config = SYNTHETIC.replace("latency_budget_ms: 200", "latency_budget_ms: 5")
    with RunningDaemon(tmp_path, config, "--frames", "120", "--trace", str(trace)) as daemon:
        assert daemon.process.wait(60) == 0
    again = run("replay", str(trace))
    assert again.returncode == 0, again.stdout + again.stderr
    assert "120 decisions replayed, 0 differ" in again.stdout
    other = run("replay", str(trace), "--budget", "50", "--json")
    found = json.loads(other.stdout)
    assert set(found) == {
        "camera", "frames", "on_time", "accuracy", "accuracy_on_time", "processor_ms",
        "switches", "share",
    }  # fmt: skip
    assert found["frames"] > 100


def test_a_stopped_capture_process_does_not_outlive_a_killed_daemon(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        daemon.wait_for_results(5)
        (child,) = daemon.capture_processes()
        os.kill(child, signal.SIGSTOP)
        daemon.process.kill()
        eventually(lambda: not Path(f"/proc/{child}").exists())


def test_a_signal_to_the_whole_group_is_no_camera_fault(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, SYNTHETIC) as daemon:
        daemon.wait_for_results(5)
        for pid in (*daemon.capture_processes(), daemon.process.pid):
            os.kill(pid, signal.SIGTERM)
        assert daemon.process.wait(5) == 0
    assert "backoff" not in daemon.text


@pytest.mark.parametrize("closed", ["<&-", "2>&-", "<&- 2>&-"])
def test_closed_standard_streams_do_no_harm(tmp_path: Path, closed: str) -> None:
    command = f"{sys.executable} -m edged demo --frames 3 --port 0 {closed}"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0
    assert len(done.stdout.splitlines()) == 3
    assert "Traceback" not in done.stderr


def test_standard_output_that_is_closed_or_full_is_one_message() -> None:
    for command in ("schema >/dev/full", "demo --frames 3 --port 0 >&-"):
        done = subprocess.run(
            f"{sys.executable} -m edged {command}",
            shell=True, stderr=subprocess.PIPE, text=True, timeout=60,
        )  # fmt: skip
        assert done.returncode == 1
        assert "Traceback" not in done.stderr
        assert "output" in done.stderr.splitlines()[-1]


class Weather:
    """A sink that makes the chip hot until work was shed for it, and cool from then on."""

    name = "weather"
    delivered = 0
    alive = True

    def __init__(self, zone: Path) -> None:
        zone.mkdir(parents=True)
        (zone / "type").write_text("cpu-thermal")
        self._file = zone / "temp"
        self._file.write_text("80000")
        self.dropped: dict[str, int] = {}
        self.observe_delivery = float
        self.broken_pipe = False
        self.hot: list[Result] = []
        self.cool: list[Result] = []

    def start(self) -> None:
        pass

    def observe_cameras(self, streaming: dict[str, bool]) -> None:
        pass

    def observe_switches(self, switches: Switches) -> None:
        pass

    def publish_event(self, event: Event) -> None:
        raise AssertionError("there are no events here")

    def publish(self, result: Result) -> None:
        self.delivered += 1
        if len(self.hot) < 5:
            if result.reason == "limit":
                self.hot.append(result)
            if len(self.hot) == 5:
                self._file.write_text("30000")
        elif result.reason != "limit":
            self.cool.append(result)
            self.broken_pipe = True  # which ends the run

    def close(self, timeout_seconds: float) -> None: ...


@pytest.mark.timeout(300)
def test_a_hot_device_sheds_work_and_takes_it_up_again(tmp_path: Path) -> None:
    (tmp_path / "edged.yaml").write_text(
        "max_temperature_c: 75\nlatency_budget_ms: 2000\nmodel: imagenette\n"
        "http: {listen: none}\ncameras: {door: {source: synthetic, size: 320x240, fps: 15}}\n"
        "variants: [mobilenet_v1_0.25_128, mobilenet_v1_0.25_224]\n"
    )
    weather = Weather(tmp_path / "sys/class/thermal/thermal_zone0")
    config = load_config(tmp_path / "edged.yaml", {})
    trace = tmp_path / "trace"
    kinds = {"jsonl": replace(KINDS["jsonl"], make=lambda *_: weather)}
    Daemon(config, kinds, duration_seconds=200, trace=trace, root=tmp_path).run()
    assert len(weather.hot) == 5
    assert weather.cool, "work does not come back"
    again = run("replay", str(trace))
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{weather.delivered} decisions replayed, 0 differ" in again.stdout
    frames = [json.loads(line) for line in trace.read_text().splitlines() if "service_ms" in line]
    limited = [frame for frame in frames if "limit_ms" in frame]
    temperatures = [frame["sensors"]["temperature_c"] for frame in limited]
    assert 80.0 in temperatures
    assert set(temperatures) <= {80.0, 30.0}  # work may be back before the next frame


def test_an_accuracy_that_the_family_does_not_have_is_said(tmp_path: Path) -> None:
    config = SYNTHETIC.replace("model:", "min_top1: 1\nmodel:")
    with RunningDaemon(tmp_path, config, "--frames", "1") as daemon:
        assert daemon.process.wait(60) == 0
    assert (
        "camera door: no variant reaches min_top1 1; using the most accurate, mobilen"
        in daemon.text
    )
