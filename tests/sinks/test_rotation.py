"""Results whose file is rotated from outside, by the real logrotate, and by edged itself."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from edged.sinks.jsonl.jsonl import Lines, open_lines
from edged.sinks.worker import Timing
from tests.rig.results import make_result, sequences
from tests.rig.waiting import eventually

_FOUND = shutil.which("logrotate", path=f"{os.environ.get('PATH', '')}:/usr/sbin")
needs_logrotate = pytest.mark.skipif(
    _FOUND is None, reason="needs the real thing: apt-get install logrotate"
)


def publish(sink: Lines, *numbers: int) -> None:
    before = sink.delivered
    for number in numbers:
        sink.publish(make_result(number))
    eventually(lambda: sink.delivered == before + len(numbers))


def rotated(folder: Path, *settings: str) -> None:
    """One run of logrotate, as cron would start it."""
    assert _FOUND is not None
    config = folder / "logrotate.conf"
    lines = "\n".join(("rotate 3", "su root root", *settings) if os.geteuid() == 0 else settings)
    config.write_text(f"{folder}/results.jsonl {{\n{lines}\n}}\n")
    config.chmod(0o644)
    folder.chmod(0o755)
    state = folder / "logrotate.state"
    command = [_FOUND, "--force", "--state", str(state), str(config)]
    subprocess.run(command, check=True, timeout=60)


@pytest.mark.servers
@needs_logrotate
@pytest.mark.parametrize("renewed", [True, False])
@pytest.mark.parametrize("how", ["create 0604", "nocreate", "copytruncate"])
def test_logrotate_and_what_is_written_after_it(tmp_path: Path, how: str, renewed: bool) -> None:
    """renewed: with the reload that belongs into logrotate's postrotate."""
    path = tmp_path / "results.jsonl"
    now_ns = 0
    sink = Lines(open_lines(path), timing=Timing(clock=lambda: now_ns))
    for turn in range(3):
        publish(sink, 3 * turn)
        rotated(tmp_path, how)
        if renewed:
            sink.renew()
        publish(sink, 3 * turn + 1)  # without a file and a reload, into the one that was renamed
        now_ns += 10**9
        publish(sink, 3 * turn + 2)
    mode = stat.S_IMODE(path.stat().st_mode)
    sink.close(10)
    assert mode == (0o604 if how.startswith("create") else 0o640 & ~_umask())
    assert not any(sink.dropped.values())
    names = ("results.jsonl.3", "results.jsonl.2", "results.jsonl.1", "results.jsonl")
    files = [sequences((tmp_path / name).read_text()) for name in names]
    assert [number for each in files for number in each] == list(range(9))
    late = how == "nocreate" and not renewed
    assert files == (
        [[0, 1], [2, 3, 4], [5, 6, 7], [8]] if late else [[0], [1, 2, 3], [4, 5, 6], [7, 8]]
    )


def _umask() -> int:
    umask = os.umask(0o022)
    os.umask(umask)
    return umask


def test_a_file_that_is_removed_is_made_again(tmp_path: Path) -> None:
    now_ns = 0
    path = tmp_path / "results.jsonl"
    sink = Lines(open_lines(path), timing=Timing(clock=lambda: now_ns))
    publish(sink, 0)
    path.unlink()
    publish(sink, 1)
    now_ns = 10**9
    publish(sink, 2)
    sink.close(10)
    assert sequences(path.read_text()) == [2]


def test_what_cannot_be_opened_anew_keeps_lines_waiting(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.jsonl"
    opened = threading.Event()
    sink = Lines(open_lines(path), timing=Timing(wait=lambda seconds: opened.wait(30)))
    publish(sink, 0)
    path.unlink()
    path.mkdir()
    sink.publish(make_result(1))
    eventually(lambda: "cannot open results.jsonl (Is a directory)" in caplog.text)
    path.rmdir()
    sink.renew()
    opened.set()
    eventually(lambda: sink.delivered == 2)
    sink.close(10)
    assert sequences(path.read_text()) == [1]


def test_a_symbolic_link_stays_one(tmp_path: Path) -> None:
    """What is rotated is the file that it points to."""
    card = tmp_path / "card"
    card.mkdir()
    link = tmp_path / "results.jsonl"
    link.symlink_to("card/lines")
    sink = Lines(open_lines(link), max_bytes=2000, keep=1)
    publish(sink, *range(30))
    assert link.readlink() == Path("card/lines")
    assert sorted(each.name for each in card.iterdir()) == ["lines", "lines.1"]
    assert sorted(each.name for each in tmp_path.iterdir()) == ["card", "results.jsonl"]
    kept = [sequences((card / name).read_text()) for name in ("lines.1", "lines")]
    assert kept[0] + kept[1] == list(range(kept[0][0], 30))
    link.unlink()
    link.symlink_to("card/other")  # another card
    sink.renew()
    publish(sink, 30, 31)
    sink.close(10)
    assert sequences((card / "other").read_text()) == [30, 31]
    assert link.is_symlink()


def test_results_are_for_the_group_at_most_and_a_mode_that_was_set_stays(tmp_path: Path) -> None:
    umask = os.umask(0)  # without that of the unit
    try:
        path = tmp_path / "results.jsonl"
        sink = Lines(open_lines(path), max_bytes=2000, keep=2)
        publish(sink, *range(10))
        assert {stat.S_IMODE(each.stat().st_mode) for each in tmp_path.iterdir()} == {0o640}
        path.chmod(0o604)
        publish(sink, *range(10, 15))
        assert stat.S_IMODE(path.stat().st_mode) == 0o604
        sink.close(10)
    finally:
        os.umask(umask)


def test_a_full_file_makes_room_in_whole_lines(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    for first in (0, 500):  # the daemon is started twice
        sink = Lines(open_lines(path), max_bytes=20_000, keep=2)
        for sequence in range(first, first + 500):
            sink.publish(make_result(sequence))
            if sequence % 100 == 99:
                eventually(lambda: sink.delivered == sequence - first + 1)  # noqa: B023
        sink.close(10)
        assert not any(sink.dropped.values())
    files = [path.with_name("results.jsonl.2"), path.with_name("results.jsonl.1"), path]
    assert sorted(tmp_path.iterdir()) == sorted(files)
    kept = [number for file in files for number in sequences(file.read_text())]
    assert kept == list(range(kept[0], 1000))
    assert 10_000 < files[0].stat().st_size <= 20_000
    assert all(file.stat().st_size <= 20_000 for file in files)


def test_a_link_in_the_place_of_the_next_file_is_not_followed(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("theirs")
    other.chmod(0o600)
    (tmp_path / "results.jsonl.new").symlink_to(other)
    sink = Lines(open_lines(tmp_path / "results.jsonl"), max_bytes=1000, keep=2)
    for sequence in range(20):
        sink.publish(make_result(sequence))
    sink.close(10)
    assert (other.read_text(), other.stat().st_mode & 0o777) == ("theirs", 0o600)


def test_none_is_kept_where_none_is_wanted(tmp_path: Path) -> None:
    path = tmp_path / "results.jsonl"
    sink = Lines(open_lines(path), max_bytes=1000, keep=0)
    for sequence in range(100):
        sink.publish(make_result(sequence))
    sink.close(10)
    assert list(tmp_path.iterdir()) == [path]
    assert sequences(path.read_text())[-1] == 99 and path.stat().st_size <= 1000


def test_where_no_file_can_be_begun_lines_are_lost_rather_than_the_bound(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "results.jsonl"
    (tmp_path / "results.jsonl.new").mkdir()
    sink = Lines(open_lines(path), max_bytes=1000, keep=2)
    for sequence in range(50):
        sink.publish(make_result(sequence))
    eventually(lambda: caplog.records != [])
    sink.close(10)
    assert sink.delivered + sink.dropped["closed"] == 50
    assert path.stat().st_size <= 1000
    assert len(caplog.records) == 1
    assert "results.jsonl.new" in caplog.text


def test_a_pipe_is_not_rotated(tmp_path: Path) -> None:
    assert open_lines(Path("/dev/null")).path is None
