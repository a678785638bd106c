"""Reloads of a real daemon, and how they are told."""

from __future__ import annotations

import json
import re
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from edged.config.config import Config, load_config
from edged.daemon.changes import changes
from tests.rig.daemon import RunningDaemon, pss_mb
from tests.rig.damage import MANY
from tests.rig.families import LABELS, make_family
from tests.rig.notify_socket import Supervisor

SUCCESS = "edged_config_last_reload_success"
QUICK = {"variants": "[mobilenet_v1_0.25_128]", "latency_budget_ms": "5000"}
"""What runs in a moment, however busy the machine is."""
SLOW = "{source: synthetic, size: 320x240, fps: 2}"
"""A camera whose frames wait so long that none is lost while the machine is busy."""


def config(cameras: dict[str, str], **keys: str) -> str:
    lines = {"model": "imagenette", **QUICK, "http": "{listen: 127.0.0.1:0}", **keys}
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return text + "cameras:\n" + "".join(f"  {name}: {keys}\n" for name, keys in cameras.items())


def sequence(daemon: RunningDaemon, camera: str) -> list[int]:
    return [result["sequence"] for result in daemon.results_of(camera)]


def more_results(daemon: RunningDaemon, camera: str, count: int = 3) -> list[dict[str, Any]]:
    """The next ones, which have just come."""
    before = len(daemon.results_of(camera))
    daemon.wait_for(lambda: len(daemon.results_of(camera)) >= before + count)
    return daemon.results_of(camera)[before:]


def without_a_gap(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))


# what it is called


def read(folder: Path, text: str) -> Config:
    (folder / "edged.yaml").write_text(text)
    return load_config(folder / "edged.yaml", {})


def test_changes_are_named_by_their_keys(tmp_path: Path) -> None:
    before = read(tmp_path, config({"door": SLOW, "yard": "{source: synthetic, min_fps: 2}"}))
    assert changes(before, before, same_networks=True) == []
    assert changes(before, before, same_networks=False) == ["files of the family"]
    cameras = {"gate": SLOW, "yard": "{source: 'rtsp://a:secret@b/c', min_fps: 3}"}
    after = read(tmp_path, config(cameras, threads="[1, 2]", max_temperature_c="70"))
    assert changes(before, after, same_networks=False) == [
        "camera door removed", "camera gate added", "camera yard: source, min_fps",
        "threads", "max_temperature_c",
    ]  # fmt: skip
    assert changes(before, replace(before, model="other"), same_networks=False) == ["model"]


# what goes on and what changes


def test_a_budget_changes_at_the_next_frame_and_nothing_else_does(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW})) as daemon:
        daemon.wait_for_results(2)
        captures = daemon.capture_processes()
        began = daemon.metric(f"{SUCCESS}_timestamp_seconds")
        keys = {"latency_budget_ms": "4321", "on_time": "0.9", "min_fps": "1", "min_top1": "0.1"}
        said = daemon.reload(config({"door": SLOW}, **keys))
        assert said == "configuration reloaded: camera door: " + ", ".join(keys)
        before = len(daemon.results)
        assert {each["budget_ms"] for each in more_results(daemon, "door")[-2:]} == {4321}
        assert without_a_gap(sequence(daemon, "door"))
        assert daemon.capture_processes() == captures
        # The camera's own counters go on, too, and the new budget is an edge.
        assert daemon.metric('edged_results_total{camera="door"}') > before
        assert daemon.metric('edged_latency_budget_seconds{camera="door"}') == 4.321
        edge = 'edged_result_latency_seconds_bucket{camera="door",le="4.321"}'
        assert daemon.metric(edge) == daemon.metric('edged_results_total{camera="door"}')
        assert daemon.metric(SUCCESS) == 1
        assert daemon.metric(f"{SUCCESS}_timestamp_seconds") > began
        assert daemon.reload() == "configuration reloaded: nothing has changed"
        assert daemon.stop()[0] == 0


def test_another_source_of_one_camera_leaves_the_others_results_alone(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW, "yard": SLOW})) as daemon:
        daemon.wait_for(lambda: daemon.results_of("door") and daemon.results_of("yard"))
        captures = set(daemon.capture_processes())
        yard = len(daemon.results_of("yard"))
        other = "{source: synthetic:160x120, fps: 10}"
        said = daemon.reload(config({"door": SLOW, "yard": other}))
        assert said == "configuration reloaded: camera yard: source, size, fps"
        more_results(daemon, "door")
        more_results(daemon, "yard")
        kept = captures & set(daemon.capture_processes())
        assert (len(captures), len(kept), len(daemon.capture_processes())) == (2, 1, 2)
        assert without_a_gap(sequence(daemon, "door"))
        # The camera that begins anew goes on with its numbers and counters.
        numbers = sequence(daemon, "yard")
        assert len(numbers) > yard
        assert numbers == sorted(set(numbers))
        assert daemon.metric('edged_results_total{camera="yard"}') > yard
        assert daemon.metric('edged_frames_captured_total{camera="yard"}') >= numbers[-1]


def test_cameras_come_and_go_and_their_series_with_them(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW, "yard": SLOW})) as daemon:
        daemon.wait_for(lambda: daemon.results_of("door") and daemon.results_of("yard"))
        said = daemon.reload(config({"door": SLOW, "gate": SLOW}))
        assert said == "configuration reloaded: camera yard removed; camera gate added"
        more_results(daemon, "gate")
        assert len(daemon.capture_processes()) == 2
        metrics, ready = daemon.get("/metrics")[1], daemon.get("/readyz")[1]
        assert 'camera="yard"' not in metrics
        assert 'edged_source_state{camera="gate",state="streaming"} 1.0' in metrics
        assert ("gate" in ready, "yard" in ready) == (True, False)
        assert daemon.reload(config({"gate": SLOW})).endswith("camera door removed")
        more_results(daemon, "gate")
        assert len(daemon.capture_processes()) == 1
        assert without_a_gap(sequence(daemon, "door"))
        assert without_a_gap(sequence(daemon, "gate"))
        assert daemon.stop()[0] == 0


def test_another_family_is_loaded_while_frames_flow(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    with RunningDaemon(tmp_path, config({"door": SLOW}, results="{min_score: 0}")) as daemon:
        daemon.wait_for_results(2)
        captures = daemon.capture_processes()
        other = config(
            {"door": SLOW}, model="animals", variants="[mobilenet_v1_0.03_64]",
            results="{min_score: 0, top_k: 2}",
        )  # fmt: skip
        assert daemon.reload(other) == "configuration reloaded: model; variants; results"
        (*_, last) = more_results(daemon, "door")
        assert {each["label"] for each in last["top"]} <= set(LABELS)
        assert (last["variant"], len(last["top"])) == ("mobilenet_v1_0.03_64", 2)
        assert without_a_gap(sequence(daemon, "door"))
        assert daemon.capture_processes() == captures
        build = 'edged_build_info{backend="onnxruntime",family="animals",version='
        assert build in daemon.get("/metrics")[1]
        # The family's own files are another reason.
        manifest = tmp_path / "animals" / "family.yaml"
        manifest.write_text(manifest.read_text().replace("name: animals", "name: zoo"))
        assert daemon.reload() == "configuration reloaded: files of the family"
        assert 'family="zoo"' in daemon.get("/metrics")[1]


def test_a_larger_family_gets_larger_pictures(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    small = config({"door": SLOW}, model="animals", variants="[mobilenet_v1_0.03_64]")
    with RunningDaemon(tmp_path, small) as daemon:
        daemon.wait_for_results(2)
        daemon.reload(config({"door": SLOW}))
        (*_, last) = more_results(daemon, "door", 4)
        assert last["variant"] == "mobilenet_v1_0.25_128"
        assert len(daemon.capture_processes()) == 1


def test_results_and_http_move(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW})) as daemon:
        daemon.wait_for_results(2)
        port = daemon.port
        file = tmp_path / "results.jsonl"
        daemon.reload(config({"door": SLOW}, results="{jsonl: results.jsonl}"))
        printed = len(daemon.results)
        daemon.wait_for(lambda: len(file.read_text().splitlines()) >= 2)
        # The same port on every interface: the two are open together for a moment.
        said = daemon.reload(config({"door": SLOW}, http=f"{{listen: 0.0.0.0:{port}}}"))
        assert said == "configuration reloaded: http; results"
        daemon.wait_for_results(printed + 2)
        assert daemon.get("/healthz")[0] == 200
        assert daemon.port == port
        daemon.reload(config({"door": SLOW}, http="{listen: none}"))
        with pytest.raises(OSError, match="refused"):
            daemon.get("/healthz")
        daemon.reload(config({"door": SLOW}, max_temperature_c="75"))
        assert daemon.metric("edged_temperature_limit_celsius") == 75
        assert daemon.stop()[0] == 0
    lines = file.read_text().splitlines()
    assert all(line.startswith("{") and line.endswith("}") for line in lines)


def test_a_trace_goes_on_and_replays(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    camera = "{source: synthetic, size: 320x240, fps: 20}"
    keys = {"variants": "[mobilenet_v1_0.25_128, mobilenet_v1_0.5_160]", "latency_budget_ms": "50"}
    with RunningDaemon(tmp_path, config({"door": camera}, **keys), "--trace", str(trace)) as daemon:
        more_results(daemon, "door", 10)
        daemon.reload(config({"door": camera, "yard": camera}, **{**keys, "on_time": "0.8"}))
        more_results(daemon, "yard", 10)
        assert daemon.stop()[0] == 0
    again = subprocess.run(
        [sys.executable, "-m", "edged", "replay", str(trace)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{len(daemon.results)} decisions made again, 0 differ" in again.stdout
    assert trace.read_text().count("edged_trace") >= 2


# what is refused


@pytest.fixture
def taken_port() -> Iterator[int]:
    with socket.socket() as holder:
        holder.bind(("127.0.0.1", 0))
        holder.listen()
        yield holder.getsockname()[1]


def test_what_is_wrong_changes_nothing_and_is_said(tmp_path: Path, taken_port: int) -> None:
    """Everywhere: in the log, in the status line, in the metrics."""
    damaged = make_family(tmp_path / "damaged").networks[0].path
    damaged.write_bytes(bytes([damaged.read_bytes()[0] ^ 1]) + damaged.read_bytes()[1:])
    liar = make_family(tmp_path / "liar")
    golden = liar.networks[0].golden[64][0][1]
    manifest = tmp_path / "liar" / "family.yaml"
    manifest.write_text(manifest.read_text().replace(f"{golden}", f"{golden + 0.3:.4f}", 1))
    door = {"door": SLOW}
    wrong = {
        "cameras.yard.soruce": config({**door, "yard": "{soruce: synthetic}"}),
        "edged.yaml:": config({**door, "yard": "["}),
        "there is no family": config(door, model="nowhere"),
        "damaged or was changed": config(door, model="damaged", variants="[mobilenet_v1_0.03_64]"),
        "answers the golden picture wrongly": config(
            door, model="liar", variants="[mobilenet_v1_0.03_64]"
        ),
        "no such variant": config(door, variants="[mobilenet_v1_0.3_64]"),
        f"127.0.0.1:{taken_port}": config(door, http=f"{{listen: 127.0.0.1:{taken_port}}}"),
        "cannot append results": config(door, results="{jsonl: no/such/folder.jsonl}"),
        # Each is wrong after something else was opened already.
        f"0.0.0.0:{taken_port}": config(
            {"yard": SLOW},
            results="{jsonl: new.jsonl}",
            http=f"{{listen: 0.0.0.0:{taken_port}}}",
            max_temperature_c="50",
        ),
    }
    notify = str(tmp_path / "notify")
    supervisor = Supervisor(notify)
    with (
        closing(supervisor.socket),
        RunningDaemon(tmp_path, config(door), NOTIFY_SOCKET=notify) as daemon,
    ):
        daemon.wait_for_results(2)
        daemon.wait_for(lambda: "READY=1" in supervisor.waiting())
        captures, held = daemon.capture_processes(), daemon.holds()
        for reason, text in wrong.items():
            said = daemon.reload(text)
            assert said.startswith("configuration not reloaded, everything goes on as before: ")
            assert reason in said
            daemon.wait_for(lambda: f"edged check {daemon.config}, and reload" in daemon.text)
            assert daemon.metric(SUCCESS) == 0
            told = [supervisor.next()]
            while not (told[-1].startswith("STATUS=") and reason in told[-1]):
                told.append(supervisor.next())
            begin = next(i for i, line in enumerate(told) if line.startswith("RELOADING=1\n"))
            assert "READY=1" in told[begin:]
            assert f"; check it with: edged check {daemon.config}" in told[-1]
        more_results(daemon, "door")
        assert daemon.capture_processes() == captures
        assert without_a_gap(sequence(daemon, "door"))
        daemon.wait_for(lambda: daemon.holds() == held)
        assert daemon.metric("edged_temperature_limit_celsius") != 50
        assert "not reloaded" not in daemon.reload(config(door))
        assert daemon.metric(SUCCESS) == 1
        assert "Traceback" not in daemon.text
        assert daemon.stop()[0] == 0
        told = supervisor.waiting()
    assert told[-1] == "STOPPING=1"
    assert not any("not reloaded" in line for line in told)


# signals at any moment


def test_fifty_signals_are_few_reloads_and_the_last_file_counts(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW})) as daemon:
        daemon.wait_for_results(2)
        for number in range(50):
            text = config({"door": SLOW}, latency_budget_ms=str(5001 + number))
            partial = tmp_path / "partial.yaml"
            partial.write_text(text)
            partial.replace(daemon.config)
            daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda: daemon.results[-1]["budget_ms"] == 5050)
        assert 1 <= len(daemon.reloads) <= 50
        assert not any("not reloaded" in said for said in daemon.reloads)
        assert without_a_gap(sequence(daemon, "door"))
        assert daemon.stop()[0] == 0


def test_a_signal_while_it_starts_is_not_lost(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW})) as daemon:
        daemon.wait_until_it_catches(signal.SIGHUP)
        for _ in range(5):
            daemon.process.send_signal(signal.SIGHUP)
        daemon.wait_for(lambda: daemon.reloads)
        daemon.wait_for_results(1)
        assert daemon.stop()[0] == 0


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_the_earliest_order_to_stop_is_obeyed(tmp_path: Path, number: signal.Signals) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW})) as daemon:
        daemon.wait_until_it_catches(signal.SIGTERM)
        assert daemon.stop(number)[0] == 0
    assert "Traceback" not in daemon.text
    assert not daemon.results


def test_signals_while_it_stops_do_not_harm(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, config({"door": SLOW})) as daemon:
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
        RunningDaemon(tmp_path, config({"door": SLOW}), NOTIFY_SOCKET=notify) as daemon,
    ):
        daemon.wait_for_results(1)
        supervisor.waiting()
        # All variants, in three thread counts: that takes its time.
        heavy = config({"door": SLOW, "yard": SLOW}, threads="[1, 2, 3]")
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
    assert "there is no configuration file to read again" in log


# what is left


@pytest.mark.timeout(3600 if MANY else 120)
def test_thirty_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Or five hundred: `make fuzz`."""
    rounds = 167 if MANY else 10
    make_family(tmp_path / "animals")
    yard = "{source: synthetic:160x120, fps: 10}"
    animals = {"model": "animals", "variants": "[mobilenet_v1_0.03_64, mobilenet_v1_0.25_96]"}
    texts = [
        config({"door": SLOW, "yard": yard}, results="{jsonl: a.jsonl}"),
        config({"door": SLOW}, **animals, http="{listen: none}", max_temperature_c="90"),
        config({"door": yard}, latency_budget_ms="3000"),
    ]
    with RunningDaemon(tmp_path, texts[2]) as daemon:
        daemon.wait_for_results(2)
        held: list[tuple[int, int]] = []
        sizes_mb: list[float] = []
        for _ in range(rounds):
            for text in texts:
                assert daemon.reload(text).startswith("configuration reloaded: ")
            more_results(daemon, "door", 2)
            daemon.wait_for(lambda: len(daemon.capture_processes()) == 1)
            held.append(daemon.holds())
            sizes_mb.append(pss_mb(daemon.process.pid))
        daemon.wait_for(lambda: daemon.holds() == held[0])
        figures = ", ".join(f"{sizes_mb[turn]:.1f}" for turn in (0, rounds // 2, -1))
        print(f"PSS after 3, {3 * (rounds // 2 + 1)} and {3 * rounds} reloads: {figures} MB")  # noqa: T201 - the figure is wanted
        assert daemon.stop()[0] == 0


def test_a_reload_opens_results_by_their_name_again(tmp_path: Path) -> None:
    """Though nothing has changed; as logrotate's postrotate asks for it."""
    path = tmp_path / "results.jsonl"
    text = config({"door": SLOW}, results="{jsonl: results.jsonl}")
    with RunningDaemon(tmp_path, text) as daemon:
        daemon.wait_for(lambda: path.exists() and path.stat().st_size)
        path.rename(tmp_path / "results.jsonl.1")
        assert daemon.reload() == "configuration reloaded: nothing has changed"
        daemon.wait_for(path.exists)
        daemon.wait_for(lambda: path.read_text().count("\n") >= 3)
        assert daemon.stop()[0] == 0
    lines = [(tmp_path / name).read_text() for name in ("results.jsonl.1", "results.jsonl")]
    numbers = [json.loads(line)["sequence"] for text in lines for line in text.splitlines()]
    assert without_a_gap(numbers)


def test_what_waits_in_a_sink_that_is_replaced_goes_on_waiting(tmp_path: Path) -> None:
    with socket.socket() as closed:  # bound, but nobody listens
        closed.bind(("127.0.0.1", 0))
        broker = f"mqtt://127.0.0.1:{closed.getsockname()[1]}"

        def text(device: str) -> str:
            out = f"{{mqtt: {{broker: '{broker}', device: {device}}}}}"
            return config({"door": SLOW}, results=out)

        with RunningDaemon(tmp_path, text("gate")) as daemon:
            daemon.wait_for_results(5)
            for device in ("yard", "gate"):
                daemon.reload(text(device))
                more_results(daemon, "door")
            for reason in ("closed", "queue_full", "connection_lost"):
                lost = f'edged_sink_dropped_total{{reason="{reason}",sink="mqtt"}}'
                assert daemon.metric(lost) == 0
            assert daemon.stop()[0] == 0
    (waited,) = re.findall(r"mqtt: (\d+) results and events had not left", daemon.text)
    assert int(waited) == len(daemon.results) >= 11
