"""`edged replay` as a user types it."""

from __future__ import annotations

import json
import textwrap
from pathlib import Path

import pytest

from edged.cli import main
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant
from tests.rig.full_traces import write_full_trace
from tests.rig.traces import recorded

ROOT = Path(__file__).parents[2]
Capture = pytest.CaptureFixture[str]


def replay(*arguments: object) -> int:
    return main(["replay", *map(str, arguments)])


@pytest.fixture
def full(tmp_path: Path) -> Path:
    variants = (TracedVariant("large", 0.7, 20.0), TracedVariant("small", 0.5, 5.0))
    frames = tuple(TracedFrame(33.0 * i, 1.0, (20.0 + i % 3, 5.0)) for i in range(200))
    write_full_trace(tmp_path / "full.jsonl.gz", FullTrace(variants, frames))
    return tmp_path / "full.jsonl.gz"


def objects(text: str) -> list[dict[str, object]]:
    """The JSON objects that stand one after the other."""
    found, decoder, text = [], json.JSONDecoder(), text.strip()
    while text:
        value, end = decoder.raw_decode(text)
        found.append(value)
        text = text[end:].strip()
    return found


def test_the_page_shows_what_is_printed(capsys: Capture) -> None:
    page = (ROOT / "docs/how-it-decides.md").read_text()
    trace = ROOT / "tests/benchmarks/traces/come-and-go.jsonl.gz"
    assert replay(trace, "--budget", 11.5, "--give-up", 0.01) == 0
    printed = capsys.readouterr().out
    assert textwrap.indent(printed, "    ") in page
    assert replay(trace, "--budget", 11.5, "--json") == 0
    (accurate,) = objects(capsys.readouterr().out)
    shown = (
        f"accuracy is {accurate['accuracy']:.6g} and a frame takes {accurate['processor_ms']:.6g}"
    )
    assert shown in page


def test_as_recorded_for_every_camera_or_one(tmp_path: Path, capsys: Capture) -> None:
    recorded(tmp_path / "t", 300)
    assert replay(tmp_path / "t") == 0
    said = capsys.readouterr().out
    assert "door" in said and "yard    bin" in said and " decisions replayed, 0 differ" in said
    assert replay(tmp_path / "t", "--json") == 0
    every = objects(capsys.readouterr().out)
    assert [(each["camera"], each.get("view"), each["frames"]) for each in every] == [
        ("door", None, 100),
        ("yard", "bin", 100),
        ("yard", "gate", 100),
    ]
    for camera, expected in (
        ("door", every[:1]),
        ("yard", every[1:]),
        ("yard/gate", every[2:]),
    ):
        assert replay(tmp_path / "t", "--camera", camera, "--json") == 0
        assert objects(capsys.readouterr().out) == expected
    assert replay(tmp_path / "t", "--camera", "door") == 0
    assert " decisions of all 3 views replayed, 0 differ\n" in capsys.readouterr().out
    assert replay(tmp_path / "t", "--camera", "roof") == 2
    error = capsys.readouterr().err
    assert "no frames of this camera or view (got roof); it has door, yard/bin, yard/gate" in error


def test_a_changed_choice_fails_and_is_told(tmp_path: Path, capsys: Capture) -> None:
    recorded(tmp_path / "t", 200)
    lines = (tmp_path / "t").read_text().splitlines()
    number = next(n for n, line in enumerate(lines) if '"reason":"slowdown"' in line)
    lines[number] = lines[number].replace('"slowdown"', '"most_accurate"')
    (tmp_path / "t").write_text("\n".join(lines))
    assert replay(tmp_path / "t", "--json") == 1
    assert f"line {number + 1}: recorded " in capsys.readouterr().err


def test_what_if(tmp_path: Path, capsys: Capture) -> None:
    recorded(tmp_path / "t", 300)
    assert replay(tmp_path / "t", "--budget", 500, "--json") == 0
    assert [each["on_time"] for each in objects(capsys.readouterr().out)] == [1.0, 1.0, 1.0]
    assert replay(tmp_path / "t", "--policy", "ladder") == 0


def test_the_goal_is_the_views_or_as_asked(tmp_path: Path, capsys: Capture) -> None:
    recorded(tmp_path / "t", 300)

    def processor_ms(*arguments: object) -> float:
        assert replay(tmp_path / "t", "--camera", "yard/gate", "--json", *arguments) == 0
        (found,) = objects(capsys.readouterr().out)
        assert isinstance(found["processor_ms"], float)
        return found["processor_ms"]

    accurate, frugal = processor_ms("--budget", 50), processor_ms("--budget", 50, "--give-up", 0.1)
    assert frugal < accurate / 2
    text = (tmp_path / "t").read_text()
    assert text.count('"min_top1": 0.6,') > 0  # in each header
    text = text.replace('"min_top1": 0.6,', '"min_top1": 0.6, "give_up": 0.1,')
    (tmp_path / "t").write_text(text)
    assert processor_ms("--budget", 50) == frugal
    assert processor_ms("--budget", 50, "--give-up", 0) > frugal
    with pytest.raises(SystemExit):
        replay(tmp_path / "t", "--give-up", 0.51)
    assert "expected a number from 0 to 0.5 (got 0.51)" in capsys.readouterr().err


def test_a_policy_without_that_goal_is_not_asked_for_it(full: Path, capsys: Capture) -> None:
    for policy in ("alert", "small"):
        assert replay(full, "--budget", 25, "--policy", policy, "--give-up", 0.01) == 2
        error = capsys.readouterr().err
        assert (
            f"--give-up: only the policy edged gives accuracy up (got --policy {policy})" in error
        )


def test_a_full_trace(full: Path, capsys: Capture) -> None:
    assert replay(full, "--budget", 30, "--json") == 0
    (found,) = objects(capsys.readouterr().out)
    assert found["share"] == {"large": 1.0}
    assert replay(full) == 2
    assert "this trace has no budget of its own; give --budget MS" in capsys.readouterr().err
    assert replay(full, "--budget", 30, "--camera", "door") == 2
    assert "this trace has no cameras" in capsys.readouterr().err


def test_plot(full: Path, tmp_path: Path, capsys: Capture) -> None:
    assert replay(full, "--budget", 10, "--plot", tmp_path / "a.png") == 0
    assert (tmp_path / "a.png").read_bytes().startswith(b"\x89PNG")
    recorded(tmp_path / "t", 300)
    assert replay(tmp_path / "t", "--plot", tmp_path / "b.svg") == 0
    assert (tmp_path / "b.svg").read_text().startswith("<?xml")
    capsys.readouterr()
    assert replay(full, "--budget", 10, "--plot", tmp_path / "a.gif") == 2
    said = capsys.readouterr()
    assert "not a supported plot format" in said.err
    assert said.out == ""
