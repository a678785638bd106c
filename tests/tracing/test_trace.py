"""Trace files: full ones, recorded ones, and what is wrong with a broken one."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from edged.errors import InputError
from edged.tracing.recording import read_trace
from edged.tracing.trace import FullTrace, TracedFrame, TracedVariant
from tests.rig.full_traces import write_full_trace

HEADER = {
    "variants": [
        {"name": "large", "top1": 0.7, "p50_ms": 10.0},
        {"name": "small", "top1": 0.5, "p50_ms": 2.0},
    ],
    "interval_ms": 33.25,
}
FRAME = {"wait_ms": 1.5, "service_ms": [11.0, 2.25]}


def write(path: Path, *lines: object) -> Path:
    text = [line if isinstance(line, str) else json.dumps(line) for line in lines]
    path.write_text("\n".join(text) + "\n")
    return path


def test_reads_the_documented_format(tmp_path: Path) -> None:
    path = write(tmp_path / "t.jsonl", HEADER, FRAME, "", {"wait_ms": 0, "service_ms": [12, 3]})
    assert read_trace(path) == FullTrace(
        (TracedVariant("large", 0.7, 10.0), TracedVariant("small", 0.5, 2.0)),
        (TracedFrame(0.0, 1.5, (11.0, 2.25)), TracedFrame(33.25, 0.0, (12.0, 3.0))),
    )


@pytest.mark.parametrize("name", ["t.jsonl", "t.jsonl.gz"])
def test_what_is_written_is_read_again(tmp_path: Path, name: str) -> None:
    trace = FullTrace(
        (TracedVariant("a", 0.7, 10.0), TracedVariant("b", 0.5, 2.0)),
        tuple(TracedFrame(i * 33.25, 0.1 * i, (10 + 0.1 * i, 2.0)) for i in range(20)),
    )
    path = tmp_path / name
    write_full_trace(path, trace)
    assert read_trace(path) == trace
    assert path.read_bytes()[:2] == (b"\x1f\x8b" if name.endswith("gz") else b'{"')


@pytest.mark.parametrize(
    ("lines", "line", "message"),
    [
        ([{"interval_ms": 33}, FRAME], 1, "not a trace"),
        ([{"variants": HEADER["variants"]}, FRAME], 1, "`interval_ms` is missing"),
        ([{**HEADER, "interval_ms": 0}, FRAME], 1, "`interval_ms` must be above 0 (got 0)"),
        ([{**HEADER, "interval_ms": True}, FRAME], 1, "`interval_ms` must be a number"),
        ([{**HEADER, "variants": []}, FRAME], 1, "`variants` must be a list that is not empty"),
        ([{**HEADER, "variants": ["large"]}, FRAME], 1, "`variants[0]` must be an object"),
        (
            [{**HEADER, "variants": [{"name": "large", "top1": 0.7}]}, FRAME],
            1,
            "variants[0]: `p50_ms` is missing",
        ),
        (
            [{**HEADER, "variants": [{"name": "", "top1": 0.7, "p50_ms": 1}]}, FRAME],
            1,
            "variants[0]: `name` must be a name",
        ),
        ([{**HEADER, "variants": [HEADER["variants"][0]] * 2}, FRAME], 1, "listed twice"),
        ([HEADER], 1, "the trace has no frames"),
        ([HEADER, FRAME, {"wait_ms": 1}], 3, "`service_ms` is missing"),
        ([HEADER, FRAME, {"service_ms": [1, 2]}], 3, "`wait_ms` is missing"),
        ([HEADER, {**FRAME, "wait_ms": -0.5}], 2, "`wait_ms` must be at least 0 (got -0.5)"),
        ([HEADER, {**FRAME, "service_ms": [1]}], 2, "must have 2 times, one per variant (got 1)"),
        ([HEADER, {**FRAME, "service_ms": [1, -1]}], 2, "`service_ms` must be at least 0"),
        ([HEADER, {**FRAME, "service_ms": [1, None]}], 2, "`service_ms` must be a number"),
        ([HEADER, '{"wait_ms": NaN, "service_ms": [1, 2]}'], 2, "NaN is not a number"),
        ([HEADER, '{"wait_ms": 1e999, "service_ms": [1, 2]}'], 2, "`wait_ms` must be finite"),
        ([{**HEADER, "interval_ms": 1e308}, FRAME], 1, "`interval_ms` must be at most 1e+20"),
        ([HEADER, {**FRAME, "service_ms": [1e308, 1]}], 2, "`service_ms` must be at most 1e+20"),
        ([HEADER, {**FRAME, "wait_ms": 10**400}], 2, "`wait_ms` must be at most 1e+20"),
        ([HEADER, '{"wait_ms": 1, "serv', FRAME], 2, "not JSON"),
        ([HEADER, "[1, 2]"], 2, "expected an object on each line (got list)"),
    ],
)
def test_an_error_names_the_line_and_the_fault(
    tmp_path: Path, lines: list[object], line: int, message: str
) -> None:
    path = write(tmp_path / "t.jsonl", *lines)
    with pytest.raises(InputError) as error:
        read_trace(path)
    assert str(error.value).startswith(f"{path}:{line}: ")
    assert message in str(error.value)


def test_a_picture_is_no_trace(tmp_path: Path) -> None:
    path = tmp_path / "a.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n")
    with pytest.raises(
        InputError, match=r"a.png:1: not JSON, which is UTF-8 text \(got the byte 0x"
    ):
        read_trace(path)


def test_a_last_line_that_is_cut_off_is_left_out(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write(tmp_path / "t.jsonl", HEADER, FRAME, FRAME)
    whole = path.read_text().rstrip("\n")
    path.write_text(whole[:-5])
    assert len(read_trace(path).frames) == 1
    assert f"{path}:3: incomplete line" in caplog.text


def test_empty_missing_and_torn_files(tmp_path: Path) -> None:
    (tmp_path / "empty").write_text("")
    with pytest.raises(InputError, match="the trace is empty"):
        read_trace(tmp_path / "empty")
    with pytest.raises(InputError, match="No such file"):
        read_trace(tmp_path / "missing")
    whole = gzip.compress((json.dumps(HEADER) + "\n" + json.dumps(FRAME) + "\n").encode() * 50)
    (tmp_path / "torn.gz").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(InputError, match="cannot read the trace"):
        read_trace(tmp_path / "torn.gz")


def test_damaged_compression_is_a_bad_trace(tmp_path: Path) -> None:
    path = tmp_path / "t.jsonl.gz"
    whole = gzip.compress(b"{}" * 500)
    path.write_bytes(whole[:12] + b"\xaa" * 12 + whole[24:])
    with pytest.raises(InputError, match="cannot read the trace"):
        read_trace(path)
