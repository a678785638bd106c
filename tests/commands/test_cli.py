"""The commands as a user types them: output, exit status, one clear message for a mistake."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

import pytest

from edged import __version__
from tests.rig.command_line import edged
from tests.rig.families import ALPHAS, LABELS, RESOLUTIONS, make_family
from tests.rig.photos import drawn_photos

COMMANDS = [
    ["run"],
    ["status"],
    ["cameras"],
    ["doctor"],
    ["notify"],
    ["service", "install"],
    ["demo"],
    ["classify"],
    ["check"],
    ["schema"],
    ["bench"],
    ["replay"],
    *(
        ["models", verb]
        for verb in ("cost", "pull", "import", "quantize", "list", "evaluate", "verify")
    ),
]

Capture = pytest.CaptureFixture[str]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_every_help_has_an_example(command: list[str], capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        edged(*command, "--help")
    assert ended.value.code == 0
    assert f"example:\n  edged {' '.join(command)}" in capsys.readouterr().out


@pytest.mark.parametrize(
    "command", ["check", "classify", "replay", "models import", "teach gate add open", "run -c"]
)
def test_an_empty_path_is_not_the_current_folder(command: str, capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        edged(*command.split(), "")
    assert ended.value.code == 2
    assert "expected a path, got an empty one" in capsys.readouterr().err


def test_version(capsys: Capture) -> None:
    with pytest.raises(SystemExit) as ended:
        edged("--version")
    assert (ended.value.code, capsys.readouterr().out) == (0, f"edged {__version__}\n")


def test_bad_usage_exits_2(capsys: Capture) -> None:
    threads = ["bench", "--threads", "1", "65"]
    for arguments in (threads, [], ["fly"], ["demo", "--frames", "0"], ["demo", "--budget", "nan"]):
        with pytest.raises(SystemExit) as ended:
            edged(*arguments)
        assert ended.value.code == 2
    said = capsys.readouterr().err
    assert "argument --threads: must be from 1 to 64, got 65" in said
    assert "must be above 0" in said


def test_a_file_too_many_is_named(
    tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("b.yaml").touch()
    for word, told in (("b.yaml", "too many arguments: b.yaml; "), ("x\0", "too many arguments; ")):
        with pytest.raises(SystemExit):
            edged("check", "a.yaml", word)
        assert told in capsys.readouterr().err


def test_cost_shows_the_published_figures_beside_ours(capsys: Capture) -> None:
    assert edged("models", "cost", "--json") == 0
    rows = json.loads(capsys.readouterr().out)
    assert len(rows) == 9
    for row in rows:
        published = row["published_multiply_adds_millions"]
        assert row["multiply_adds_millions"] == pytest.approx(published, rel=0.01)
    assert edged("models", "cost") == 0
    assert "4867" in capsys.readouterr().out


def test_cost_of_one_architecture(capsys: Capture) -> None:
    arguments = ["--alpha", "0.5", "--resolution", "160", "--classes", "10", "--json"]
    assert edged("models", "cost", *arguments) == 0
    (row,) = json.loads(capsys.readouterr().out)
    assert (row["alpha"], row["resolution"]) == (0.5, 160)
    assert row["parameters_millions"] < 1


def test_the_shipped_family_is_listed_and_whole(capsys: Capture) -> None:
    assert edged("models", "list") == 0
    knows = (
        "imagenette knows 10 classes: tench, English springer, cassette player, chain saw, church, "
        "French horn, garbage truck, gas pump, golf ball, parachute\n"
        "ImageNet's 1000 classes: edged models pull mobilenet-v1-imagenet --into imagenet\n"
        "your own classes: edged teach gate --view CAMERA --classes open,closed\n"
    )
    assert capsys.readouterr().out == knows
    assert edged("models", "list", "imagenette") == 0
    listed = capsys.readouterr().out
    assert "mobilenet_v1_0.25_128" in listed
    assert listed.endswith(knows)
    assert edged("models", "verify", "imagenette") == 0


def test_what_a_family_of_many_classes_knows_is_cut_and_harmless(tmp_path: Path) -> None:
    family = make_family(tmp_path / "animals")
    many = replace(family, labels=("cat\x1b[2J", *(f"class {number}" for number in range(20))))
    assert not many.is_shipped
    assert many.classes.startswith("21 classes: cat\\x1b[2J, class 0, ")
    assert many.classes.endswith(", class 18, …")


def test_bench_names_every_variant_and_the_frontier(tmp_path: Path, capsys: Capture) -> None:
    family = make_family(tmp_path / "animals")
    arguments = ["--model", str(family.directory), "--runs", "5", "--threads", "1", "2"]
    assert edged("bench", *arguments, "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert len(found["variants"]) == len(ALPHAS) * len(RESOLUTIONS) * 2 * len(found["runtimes"])
    assert {row["runtime"] for row in found["variants"]} == set(found["runtimes"])
    assert any(row["on_frontier"] for row in found["variants"])
    assert all(0 < row["p50_ms"] <= row["p95_ms"] for row in found["variants"])
    assert found["after_a_pause"]["rested_ms"] > 0
    assert {row["top1"] for row in found["variants"]} == {None}  # unknown
    assert found["sensors"]["edged_memory_available_bytes"] > 0
    assert edged("bench", *arguments) == 0
    assert "Pareto frontier" in capsys.readouterr().out


def test_evaluate_prints_and_records(tmp_path: Path, capsys: Capture) -> None:
    family = make_family(tmp_path / "animals")
    photos = drawn_photos(tmp_path / "photos", LABELS, count=12)
    arguments = [str(family.directory), "--photos", str(photos)]
    assert edged("models", "evaluate", *arguments, "--json", "--record", "drawings") == 0
    rows = json.loads(capsys.readouterr().out)
    assert {row["variant"] for row in rows} == {each.name for each in family.variants()}
    assert all(row["photos"] == 12 for row in rows)
    by_ort = [(row["variant"], row["top1"]) for row in rows]
    if importlib.util.find_spec("ncnn") is not None:
        assert edged("models", "evaluate", *arguments, "--json", "--runtime", "ncnn") == 0
        assert by_ort == [
            (row["variant"], row["top1"]) for row in json.loads(capsys.readouterr().out)
        ]
    assert edged("models", "list", str(family.directory)) == 0
    assert "drawings (12 photos)" in capsys.readouterr().out


@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_verify_finds_a_flipped_byte_in_any_file(
    tmp_path: Path, capsys: Capture, share: float
) -> None:
    family = make_family(tmp_path / "animals")
    files = sorted(family.directory.iterdir())
    assert {path.suffix for path in files} == {".onnx", ".png", ".txt", ".yaml"}
    for path in files:
        whole = path.read_bytes()
        damaged = bytearray(whole)
        damaged[round(share * (len(whole) - 1))] ^= 1
        path.write_bytes(damaged)
        assert edged("models", "verify", str(family.directory)) == 2, path.name
        assert str(path) in capsys.readouterr().err
        path.write_bytes(whole)
    assert edged("models", "verify", str(family.directory)) == 0


def test_check_says_valid_or_everything_that_is_wrong(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "edged.yaml"
    config.write_text("cameras: {door: {source: /dev/video9}}\n")
    assert edged("check", str(config)) == 0
    said = capsys.readouterr()
    assert "valid" in said.out
    assert "/dev/video9" in said.err
    config.write_text("cameras: {door: {source: synthetic, fbs: 3}}\nbudget: 4\n")
    assert edged("check", str(config)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1] for line in lines] == [f"{config}:1", f"{config}:2"]


def test_check_asks_the_family_for_the_classes_of_events(tmp_path: Path, capsys: Capture) -> None:
    config = tmp_path / "edged.yaml"
    rules = "events: {ball: {class: Golf Ball}, visitor: {class: person}}"
    config.write_text(f"cameras: {{door: {{source: synthetic}}}}\n{rules}\n")
    assert edged("check", str(config)) == 2
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(": ")[1:3] for line in lines] == [
        [f"{config}:2", "events.ball.class"],
        [f"{config}:2", "events.visitor.class"],
    ]
    assert "did you mean golf ball?" in lines[0]


def test_an_unknown_accuracy_is_called_unknown(tmp_path: Path, capsys: Capture) -> None:
    family = make_family(tmp_path / "animals")
    assert edged("models", "list", str(family.directory)) == 0
    listed = capsys.readouterr().out
    assert listed.count("  unknown  ") == len(family.variants())
    assert "published" not in listed and "edged models evaluate" in listed
    config = tmp_path / "edged.yaml"
    config.write_text("model: animals\nmin_top1: 0.8\ncameras: {door: {source: synthetic}}\n")
    assert edged("check", str(config)) == 2
    told = capsys.readouterr().err
    assert "edged.yaml:2: min_top1: needs measured accuracy" in told
    assert "--record" in told


@pytest.mark.parametrize(
    ("section", "file"),
    [
        ("http: {listen: 127.0.0.1:0, tls: {certificate: no.pem, key: no.key}}", "no.pem"),
        ("results: {mqtt: {broker: mqtts://h, ca_file: no.ca}}", "no.ca"),
        ("results: {webhook: {url: https://h, ca_file: no.ca}}", "no.ca"),
    ],
)
def test_check_opens_the_files_of_tls(
    tmp_path: Path, section: str, file: str, capsys: Capture
) -> None:
    config = tmp_path / "edged.yaml"
    config.write_text(f"cameras: {{door: {{source: synthetic}}}}\n{section}\n")
    assert edged("check", str(config)) == 2
    said = capsys.readouterr().err
    assert f"{config}:2: {section.split(':')[0]}." in said
    assert str(tmp_path / file) in said
    assert len(said.splitlines()) == 1


def test_an_absent_family_is_one_message(tmp_path: Path, capsys: Capture) -> None:
    assert edged("models", "verify", str(tmp_path / "nowhere")) == 2
    said = capsys.readouterr().err
    assert "nowhere" in said
    assert len(said.splitlines()) == 1


def test_a_folder_that_was_deleted_and_a_limit_are_one_message(tmp_path: Path) -> None:
    for shell, told in (
        ("mkdir gone && cd gone && rmdir ../gone && {} -m edged check x.yaml", "has been deleted"),
        ("ulimit -n 9; {} -m edged demo --frames 1 --port 0", "Too many open files; see ulimit -a"),
    ):
        command = shell.format(sys.executable)
        done = subprocess.run(
            command, shell=True, cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1
        assert told in done.stderr.splitlines()[-1]
        assert "Traceback" not in done.stderr


def test_a_reader_that_has_seen_enough_is_no_error() -> None:
    done = subprocess.run(
        f"{sys.executable} -m edged schema | head -n 1",
        shell=True, capture_output=True, text=True, timeout=60,
    )  # fmt: skip
    assert (done.stdout, done.stderr) == ("{\n", "")


@pytest.mark.skipif(os.geteuid() != 0, reason="root becomes somebody else")
def test_who_may_not_use_the_state_folder_is_told_how_to_see_why(
    capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the user of a container whose volume has another owner."""
    with tempfile.TemporaryDirectory() as folder:
        config, state = Path(folder, "edged.yaml"), Path(folder, "state")
        Path(folder).chmod(0o755)
        config.write_text("cameras: {door: {source: synthetic}}\nhttp: {listen: none}\n")
        state.mkdir(mode=0o700)
        monkeypatch.setenv("STATE_DIRECTORY", str(state))
        assert edged("run", "-c", config, "--frames", 1) == 0
        capsys.readouterr()
        os.seteuid(65534)
        try:
            assert edged("run", "-c", config, "--frames", 1) == 1
        finally:
            os.seteuid(0)
    said = capsys.readouterr().err
    path = f"{state}/teach"
    assert f"edged: {path}: Permission denied for user 65534; namei -l {path} shows" in said
