"""`edged doctor` as a user types it, in this environment and in one where half is broken."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from edged.cli import main
from edged.commands.doctor import listing, report
from edged.doctor.doctor import CHECKS
from edged.doctor.finding import error, info, ok, warning
from edged.doctor.subject import subject_of
from tests.rig.daemon import RunningDaemon

CONFIG = """\
cameras: {door: {source: "rtsp://user:hunter2@192.0.2.7/stream"}}
http: {listen: none}
"""
DIES = """\
import os, resource, signal
resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
os.kill(os.getpid(), signal.SIGILL)
"""


def doctor(*arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "edged", "doctor", *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, **environ},
    )


def findings(answer: dict[str, Any], check: str) -> list[dict[str, Any]]:
    return [each for each in answer["findings"] if each["check"] == check]


def test_here_and_now(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text(CONFIG)
    path.chmod(0o644)
    status = main(["doctor", "-c", str(path), "--json"])
    said = capsys.readouterr().out
    answer = json.loads(said)
    assert {each["check"] for each in answer["findings"]} <= set(CHECKS)
    for check in ("runtime.packages", "runtime.onnxruntime", "runtime.ncnn", "files.family"):
        assert [each["severity"] for each in findings(answer, check)] == ["ok"], check
    assert answer["configuration"] == str(path)
    (leak,) = [e for e in findings(answer, "files.configuration") if e["severity"] != "ok"]
    assert "contains a password" in leak["what"]
    assert "hunter2" not in said
    severities = {each["severity"] for each in answer["findings"]}
    assert status == (2 if "error" in severities else 1)
    assert sum(answer["counts"].values()) == len(answer["findings"])


def test_a_bad_configuration_is_told_and_exits_2(tmp_path: Path) -> None:
    done = doctor("-c", str(tmp_path / "nowhere.yaml"))
    assert (done.returncode, done.stderr) == (2, "")
    assert f"{tmp_path}/nowhere.yaml: no such file" in done.stdout


def test_it_works_where_half_of_edged_is_broken(tmp_path: Path) -> None:
    """The packages in this folder come before the real ones, for the parent and its children."""
    broken = {
        "onnxruntime": DIES,
        "av": DIES,
        "numpy": "raise ImportError('libopenblas.so.0: cannot open shared object file')\n",
        "cv2": "raise ImportError('numpy.core.multiarray failed to import')\n",
        "yaml": "raise ImportError('no yaml today')\n",
        "jsonschema": "import no_such_module\n",
    }
    for name, code in broken.items():
        (tmp_path / f"{name}.py").write_text(code)
    config = tmp_path / "edged.yaml"
    config.write_text(CONFIG)
    done = doctor("-c", str(config), "--json", PYTHONPATH=str(tmp_path))
    assert (done.returncode, done.stderr) == (2, "")
    answer = json.loads(done.stdout)
    (runtime,) = findings(answer, "runtime.onnxruntime")
    assert (runtime["severity"], runtime["got"]) == ("error", "SIGILL")
    packages = {each["what"].split()[0]: each for each in findings(answer, "runtime.packages")}
    assert packages["av"]["got"] == "SIGILL"
    assert "another NumPy ABI" in packages["cv2"]["what"]
    assert "libopenblas" in packages["numpy"]["got"]
    assert "no_such_module" in packages["jsonschema"]["got"]
    (unread,) = findings(answer, "files.configuration")
    assert "no yaml today" in unread["what"]
    assert not [each for each in answer["findings"] if "the check itself" in each["what"]]


def test_an_edged_that_runs_already_is_known_by_its_metrics(tmp_path: Path) -> None:
    text = "cameras: {door: {source: synthetic}}\nhttp: {listen: '127.0.0.1:%d'}\n"
    with RunningDaemon(tmp_path, text % 0) as daemon:
        config = tmp_path / "other.yaml"
        config.write_text(text % daemon.port)
        answer = json.loads(doctor("-c", str(config), "--json").stdout)
    (taken,) = findings(answer, "network.port")
    assert taken["severity"] == "ok"
    assert "edged listens on" in taken["what"]


def test_the_listing_is_aligned_with_the_worst_last(tmp_path: Path) -> None:
    subject = subject_of(None, {}, root=tmp_path)
    found = [
        ("a.long_name", error("bad", "x", "mend it")),
        ("b", ok("fine")),
        ("b", warning("poor")),
        ("c", info("so")),
    ]
    head, *lines = listing(subject, found)
    assert head.startswith("edged ")
    assert lines == [
        "ok       b            fine",
        "info     c            so",
        "warning  b            poor",
        "error    a.long_name  bad (got x); mend it",
        "error: 1, warning: 1, info: 1, ok: 1",
    ]
    coloured = list(listing(subject, found, coloured=True))
    assert coloured[4].startswith("\x1b[31merror  \x1b[0m  a.long_name")
    assert report(subject, found)["counts"] == {"error": 1, "warning": 1, "info": 1, "ok": 1}
