"""Reloads of a real daemon, and how they are told."""

from __future__ import annotations

import json
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.daemon.changes import changes
from tests.rig.daemon import SLOW, RunningDaemon, pss_mb, quick_config, without_a_gap
from tests.rig.damage import MANY
from tests.rig.families import LABELS, make_family
from tests.rig.notify_socket import Supervisor

SUCCESS = "edged_config_last_reload_success"


# what it is called


def read(folder: Path, text: str) -> Config:
    (folder / "edged.yaml").write_text(text)
    return load_config(folder / "edged.yaml", {})


def test_changes_are_named_by_their_keys(tmp_path: Path) -> None:
    before = read(tmp_path, quick_config({"door": SLOW, "yard": "{source: synthetic, min_fps: 2}"}))
    assert changes(before, before, same_model=True) == []
    assert changes(before, before, same_model=False) == ["files of the family"]
    cameras = {"gate": SLOW, "yard": "{source: 'rtsp://a:secret@b/c', min_fps: 3}"}
    after = read(tmp_path, quick_config(cameras, threads="[1, 2]", max_temperature_c="70"))
    assert changes(before, after, same_model=False) == [
        "camera door removed", "camera gate added", "camera yard: source, min_fps",
        "threads", "max_temperature_c",
    ]  # fmt: skip
    other = read(tmp_path, quick_config(cameras, model="other"))
    assert changes(after, other, same_model=False) == [
        "camera gate: model", "camera yard: model", "threads", "max_temperature_c",
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("before", "after", "told"),
    [
        ("{gate: {}}", "{gate: {}}", []),
        ("{gate: {}}", "{gate: {}, bin: {}}", ["view yard/bin added"]),
        ("{gate: {}, bin: {}}", "{gate: {}}", ["view yard/bin removed"]),
        ("{gate: {}}", "{bin: {}}", ["view yard/gate removed", "view yard/bin added"]),
        (
            "{gate: {}, bin: {}}",
            "{gate: {roi: [0, 0, 0.5, 1], max_fps: 2, quiet: {}, model: x}, bin: {}}",
            ["view yard/gate: model, max_fps, quiet, roi"],
        ),
        ("{gate: {}}, size: 640x480", "{gate: {}}, size: 320x240", ["camera yard: size"]),
        (
            "{gate: {}, bin: {max_fps: 1}}, max_fps: 5",
            "{gate: {}, bin: {max_fps: 1}}, max_fps: 2, fps: 9",
            ["camera yard: fps", "view yard/gate: max_fps"],
        ),
    ],
)
def test_changes_of_views_are_named(
    tmp_path: Path, before: str, after: str, told: list[str]
) -> None:
    old, new = (
        read(tmp_path, f"cameras:\n  yard: {{source: synthetic, views: {views}}}\n")
        for views in (before, after)
    )
    assert changes(old, new, same_model=True) == told


def test_a_camera_that_gets_views_and_loses_them_is_the_same_camera(tmp_path: Path) -> None:
    whole = "cameras:\n  yard: {source: synthetic, max_fps: 5, quiet: {}}\n"
    old = read(tmp_path, whole)
    new = read(tmp_path, whole.replace("}}", "}, views: {gate: {}, bin: {}}}"))
    added = [f"view yard/{name} added" for name in ("gate", "bin")]
    assert changes(old, new, same_model=True) == added
    assert changes(new, old, same_model=True) == [
        each.replace("added", "removed") for each in added
    ]
    assert changes(old, new, same_model=False) == [*added, "files of the family"]
    other = read(tmp_path, "cameras: {door: {source: synthetic, views: {a: {}, b: {}}}}")
    assert changes(new, other, same_model=True) == ["camera yard removed", "camera door added"]


# what goes on and what changes


def test_a_budget_changes_at_the_next_frame_and_nothing_else_does(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_for_results(2)
        captures = daemon.capture_processes()
        began = daemon.metric(f"{SUCCESS}_timestamp_seconds")
        keys = {"latency_budget_ms": "4321", "on_time": "0.9", "min_fps": "1", "min_top1": "0.1"}
        said = daemon.reload(quick_config({"door": SLOW}, **keys))
        assert said == "configuration reloaded: camera door: " + ", ".join(keys)
        before = len(daemon.results)
        assert {each["budget_ms"] for each in daemon.more_results("door")[-2:]} == {4321}
        assert without_a_gap(daemon.sequence("door"))
        assert daemon.capture_processes() == captures
        # The camera's own counters go on, too, and the new budget is an edge.
        assert daemon.metric('edged_results_total{camera="door"}') > before
        assert daemon.metric('edged_latency_budget_seconds{camera="door"}') == 4.321
        edge = 'edged_result_latency_seconds_bucket{camera="door",le="4.321"}'
        assert daemon.metric(edge) == daemon.metric('edged_results_total{camera="door"}')
        assert daemon.metric(SUCCESS) == 1
        assert daemon.metric(f"{SUCCESS}_timestamp_seconds") > began
        assert daemon.reload() == "configuration reloaded: no changes"
        assert daemon.stop()[0] == 0


def test_another_source_of_one_camera_leaves_the_others_results_alone(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW, "yard": SLOW})) as daemon:
        daemon.wait_for(lambda: daemon.results_of("door") and daemon.results_of("yard"))
        captures = set(daemon.capture_processes())
        yard = len(daemon.results_of("yard"))
        other = "{source: synthetic:160x120, fps: 10}"
        said = daemon.reload(quick_config({"door": SLOW, "yard": other}))
        assert said == "configuration reloaded: camera yard: source, size, fps"
        daemon.more_results("door")
        daemon.more_results("yard")
        kept = captures & set(daemon.capture_processes())
        assert (len(captures), len(kept), len(daemon.capture_processes())) == (2, 1, 2)
        assert without_a_gap(daemon.sequence("door"))
        # The camera that begins anew goes on with its numbers and counters.
        numbers = daemon.sequence("yard")
        assert len(numbers) > yard
        assert numbers == sorted(set(numbers))
        assert daemon.metric('edged_results_total{camera="yard"}') > yard
        assert daemon.metric('edged_frames_captured_total{camera="yard"}') >= numbers[-1]


def test_cameras_come_and_go_and_their_series_with_them(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW, "yard": SLOW})) as daemon:
        daemon.wait_for(lambda: daemon.results_of("door") and daemon.results_of("yard"))
        said = daemon.reload(quick_config({"door": SLOW, "gate": SLOW}))
        assert said == "configuration reloaded: camera yard removed; camera gate added"
        daemon.more_results("gate")
        assert len(daemon.capture_processes()) == 2
        metrics, ready = daemon.get("/metrics")[1], daemon.get("/readyz")[1]
        assert 'camera="yard"' not in metrics
        assert 'edged_source_state{camera="gate",state="streaming"} 1.0' in metrics
        assert ("gate" in ready, "yard" in ready) == (True, False)
        assert daemon.reload(quick_config({"gate": SLOW})).endswith("camera door removed")
        daemon.more_results("gate")
        assert len(daemon.capture_processes()) == 1
        assert without_a_gap(daemon.sequence("door"))
        assert without_a_gap(daemon.sequence("gate"))
        assert daemon.stop()[0] == 0


def test_another_family_is_loaded_while_frames_flow(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    with RunningDaemon(tmp_path, quick_config({"door": SLOW}, results="{min_score: 0}")) as daemon:
        daemon.wait_for_results(2)
        captures = daemon.capture_processes()
        other = quick_config(
            {"door": SLOW}, model="animals", variants="[mobilenet_v1_0.03_64]",
            results="{min_score: 0, top_k: 2}",
        )  # fmt: skip
        assert (
            daemon.reload(other) == "configuration reloaded: camera door: model, variants; results"
        )
        (*_, last) = daemon.more_results("door")
        assert {each["label"] for each in last["top"]} <= set(LABELS)
        assert (last["variant"], len(last["top"])) == ("mobilenet_v1_0.03_64", 2)
        assert without_a_gap(daemon.sequence("door"))
        assert daemon.capture_processes() == captures
        build = 'edged_build_info{family="animals",version='
        assert build in daemon.get("/metrics")[1]
        # The family's own files are another reason.
        manifest = tmp_path / "animals" / "family.yaml"
        manifest.write_text(manifest.read_text().replace("name: animals", "name: zoo"))
        assert daemon.reload() == "configuration reloaded: files of the family"
        assert 'family="zoo"' in daemon.get("/metrics")[1]


def test_a_larger_family_gets_larger_pictures(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    small = quick_config({"door": SLOW}, model="animals", variants="[mobilenet_v1_0.03_64]")
    with RunningDaemon(tmp_path, small) as daemon:
        daemon.wait_for_results(2)
        daemon.reload(quick_config({"door": SLOW}))
        (*_, last) = daemon.more_results("door", 4)
        assert last["variant"] == "mobilenet_v1_0.25_128"
        assert len(daemon.capture_processes()) == 1


def test_results_and_http_move(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, quick_config({"door": SLOW})) as daemon:
        daemon.wait_for_results(2)
        port = daemon.port
        file = tmp_path / "results.jsonl"
        daemon.reload(quick_config({"door": SLOW}, results="{jsonl: results.jsonl}"))
        printed = len(daemon.results)
        daemon.wait_for(lambda: len(file.read_text().splitlines()) >= 2)
        # The same port on every interface: the two are open together for a moment.
        said = daemon.reload(quick_config({"door": SLOW}, http=f"{{listen: 0.0.0.0:{port}}}"))
        assert said == "configuration reloaded: http; results"
        daemon.wait_for_results(printed + 2)
        assert daemon.get("/healthz")[0] == 200
        assert daemon.port == port
        daemon.reload(quick_config({"door": SLOW}, http="{listen: none}"))
        with pytest.raises(OSError, match="refused"):
            daemon.get("/healthz")
        daemon.reload(quick_config({"door": SLOW}, max_temperature_c="75"))
        assert daemon.metric("edged_temperature_limit_celsius") == 75
        assert daemon.stop()[0] == 0
    lines = file.read_text().splitlines()
    assert all(line.startswith("{") and line.endswith("}") for line in lines)


def test_a_trace_goes_on_and_replays(tmp_path: Path) -> None:
    trace = tmp_path / "trace.jsonl"
    camera = "{source: synthetic, size: 320x240, fps: 20}"
    keys = {"variants": "[mobilenet_v1_0.25_128, mobilenet_v1_0.5_160]", "latency_budget_ms": "50"}
    with RunningDaemon(
        tmp_path, quick_config({"door": camera}, **keys), "--trace", str(trace)
    ) as daemon:
        daemon.more_results("door", 10)
        daemon.reload(quick_config({"door": camera, "yard": camera}, **{**keys, "on_time": "0.8"}))
        daemon.more_results("yard", 10)
        assert daemon.stop()[0] == 0
    again = subprocess.run(
        [sys.executable, "-m", "edged", "replay", str(trace)],
        capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert again.returncode == 0, again.stdout + again.stderr
    assert f"{len(daemon.results)} decisions replayed, 0 differ" in again.stdout
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
        "cameras.yard.soruce": quick_config({**door, "yard": "{soruce: synthetic}"}),
        "edged.yaml:": quick_config({**door, "yard": "["}),
        "not a family": quick_config(door, model="nowhere"),
        "damaged or changed": quick_config(
            door, model="damaged", variants="[mobilenet_v1_0.03_64]"
        ),
        "gives wrong scores for the golden picture": quick_config(
            door, model="liar", variants="[mobilenet_v1_0.03_64]"
        ),
        "no such variant": quick_config(door, variants="[mobilenet_v1_0.3_64]"),
        f"127.0.0.1:{taken_port}": quick_config(door, http=f"{{listen: 127.0.0.1:{taken_port}}}"),
        "cannot append results": quick_config(door, results="{jsonl: no/such/folder.jsonl}"),
        # Each is wrong after something else was opened already.
        f"0.0.0.0:{taken_port}": quick_config(
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
        RunningDaemon(tmp_path, quick_config(door), NOTIFY_SOCKET=notify) as daemon,
    ):
        daemon.wait_for_results(2)
        daemon.wait_for(lambda: "READY=1" in supervisor.waiting())
        captures, held = daemon.capture_processes(), daemon.holds()
        for reason, text in wrong.items():
            said = daemon.reload(text)
            assert said.startswith("configuration not reloaded, the previous one stays active: ")
            assert reason in said
            daemon.wait_for(lambda: f"edged check {daemon.config}, and reload" in daemon.text)
            assert daemon.metric(SUCCESS) == 0
            told = [supervisor.next()]
            while not (told[-1].startswith("STATUS=") and reason in told[-1]):
                told.append(supervisor.next())
            begin = next(i for i, line in enumerate(told) if line.startswith("RELOADING=1\n"))
            assert "READY=1" in told[begin:]
            assert f"; check it with: edged check {daemon.config}" in told[-1]
        daemon.more_results("door")
        assert daemon.capture_processes() == captures
        assert without_a_gap(daemon.sequence("door"))
        daemon.wait_for(lambda: daemon.holds() == held)
        assert daemon.metric("edged_temperature_limit_celsius") != 50
        assert "not reloaded" not in daemon.reload(quick_config(door))
        assert daemon.metric(SUCCESS) == 1
        assert "Traceback" not in daemon.text
        assert daemon.stop()[0] == 0
        told = supervisor.waiting()
    assert told[-1] == "STOPPING=1"
    assert not any("not reloaded" in line for line in told)


# what is left


@pytest.mark.timeout(3600 if MANY else 120)
def test_thirty_reloads_leave_nothing_behind(tmp_path: Path) -> None:
    """Or five hundred: `make fuzz`."""
    rounds = 167 if MANY else 10
    make_family(tmp_path / "animals")
    yard = "{source: synthetic:160x120, fps: 10}"
    animals = {"model": "animals", "variants": "[mobilenet_v1_0.03_64, mobilenet_v1_0.25_96]"}
    texts = [
        quick_config({"door": SLOW, "yard": yard}, results="{jsonl: a.jsonl}"),
        quick_config({"door": SLOW}, **animals, http="{listen: none}", max_temperature_c="90"),
        quick_config({"door": yard}, latency_budget_ms="3000"),
    ]
    with RunningDaemon(tmp_path, texts[2]) as daemon:
        daemon.wait_for_results(2)
        held: list[tuple[int, int]] = []
        sizes_mb: list[float] = []
        for _ in range(rounds):
            for text in texts:
                assert daemon.reload(text).startswith("configuration reloaded: ")
            daemon.more_results("door", 2)
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
    text = quick_config({"door": SLOW}, results="{jsonl: results.jsonl}")
    with RunningDaemon(tmp_path, text) as daemon:
        daemon.wait_for(lambda: path.exists() and path.stat().st_size)
        path.rename(tmp_path / "results.jsonl.1")
        assert daemon.reload() == "configuration reloaded: no changes"
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
            return quick_config({"door": SLOW}, results=out)

        with RunningDaemon(tmp_path, text("gate")) as daemon:
            daemon.wait_for_results(5)
            for device in ("yard", "gate"):
                daemon.reload(text(device))
                daemon.more_results("door")
            for reason in ("closed", "queue_full", "connection_lost"):
                lost = f'edged_sink_dropped_total{{reason="{reason}",sink="mqtt"}}'
                assert daemon.metric(lost) == 0
            assert daemon.stop()[0] == 0
    (waited,) = re.findall(r"mqtt: (\d+) results and events were not delivered", daemon.text)
    assert int(waited) == len(daemon.results) >= 11
