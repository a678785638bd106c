"""Life on a memory card: nothing per frame, a full or read-only disk, a power cut at any step."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.rig.daemon import RunningDaemon
from tests.rig.small_disk import fill, mounted

CONFIG = """
variants: [mobilenet_v1_0.25_128]
latency_budget_ms: 5000
cameras: {door: {source: synthetic, size: 320x240, fps: 30}}
http: {listen: 127.0.0.1:0}
"""


HISTORY = "history."
"""What its files' names begin with: it writes once a minute (tests/history)."""


def files(folder: Path) -> dict[Path, tuple[int, int]]:
    """When each was changed, and its size."""
    every = (path for path in folder.rglob("*") if not path.name.startswith(HISTORY))
    found = {path: path.stat() for path in every}
    return {path: (stat.st_mtime_ns, stat.st_size) for path, stat in found.items()}


def written_files(pid: int) -> list[str]:
    """Regular files that are open for writing, shared memory and the history apart."""
    found = []
    for link in Path(f"/proc/{pid}/fd").iterdir():
        try:
            name, target = str(link.readlink()), link.stat()
        except OSError:
            continue  # it has just been closed
        flags = int(Path(f"/proc/{pid}/fdinfo/{link.name}").read_text().split()[3], 8)
        regular = target.st_mode & 0o170000 == 0o100000
        known = name.startswith("/memfd:") or Path(name).name.startswith(HISTORY)
        if regular and flags & os.O_ACCMODE != os.O_RDONLY and not known:
            found.append(name)
    return found


def test_nothing_is_written_while_frames_flow(tmp_path: Path) -> None:
    with RunningDaemon(tmp_path, CONFIG) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 60)
        daemon.wait_for(lambda: list((tmp_path / "state").glob("profile-*.json")))
        before, count = files(tmp_path), len(daemon.results)
        daemon.wait_for_results(count + 60)
        assert files(tmp_path) == before
        for pid in (daemon.process.pid, *daemon.capture_processes()):
            assert written_files(pid) == []
        lines = len(daemon.log)
        daemon.wait_for_results(len(daemon.results) + 30)
        assert len(daemon.log) == lines


Mount = Callable[[str], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Iterator[Mount]:
    """Mounts a small disk of its own."""
    with ExitStack() as stack:
        yield lambda options: stack.enter_context(mounted(tmp_path / "disk", options))


def test_a_full_disk_costs_what_would_be_on_it_and_nothing_else(
    tmp_path: Path, mount: Mount
) -> None:
    disk = mount("size=1m")
    filler = fill(disk)
    config = CONFIG + f"results: {{jsonl: {disk}/results.jsonl}}\n"
    environ = {"STATE_DIRECTORY": str(disk)}
    arguments = ("--trace", str(disk / "trace.jsonl"))
    with RunningDaemon(tmp_path, config, *arguments, **environ) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 60)
        said = [
            f"the profile is not kept for the next start: {disk}: No space left on device",
            f"jsonl: {disk}/results.jsonl: cannot write: No space left on device",
            f"the trace ends: cannot write {disk}/trace.jsonl: No space left on device",
        ]
        daemon.wait_for(lambda: all(line in daemon.text for line in said))
        total = 'edged_results_total{camera="door"}'
        count = daemon.metric(total)
        daemon.wait_for(lambda: daemon.metric(total) >= count + 60)
        assert [daemon.text.count(line) for line in said] == [1, 1, 1]
        assert daemon.get("/healthz")[0] == daemon.get("/readyz")[0] == 200  # see docs/api.md
        filler.unlink()
        daemon.wait_for(lambda: "results.jsonl works again" in daemon.text)
        assert daemon.stop()[0] == 0
    assert not list(disk.glob(".*"))


def test_a_read_only_disk_is_one_warning(tmp_path: Path, mount: Mount) -> None:
    disk = mount("ro")
    with RunningDaemon(tmp_path, CONFIG, STATE_DIRECTORY=str(disk)) as daemon:
        daemon.wait_for(lambda: "measured, most accurate first" in daemon.text, 60)
        daemon.wait_for_results(len(daemon.results) + 30)
        assert daemon.text.count("the profile is not kept for the next start") == 1
        assert daemon.stop()[0] == 0


def run_cutting(script: str, folder: Path) -> None:
    """The script prints how many steps were tried."""
    done = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, timeout=100
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert int(done.stdout) > 5


CUT_FILE = """
import sys
from pathlib import Path
from edged.atomic_file import partial_of, write_whole
from tests.rig.power_cut import cut_everywhere

path = Path(sys.argv[1]) / "file"
old, new, seen = b"old" * 10_000, b"new" * 10_000, set()
path.write_bytes(old)

def check():
    seen.add(path.read_bytes())

print(cut_everywhere(lambda: write_whole(path, new), check))
assert seen == {old, new}
assert not partial_of(path).exists()
"""


def test_a_file_is_the_old_or_the_new_one_whenever_the_power_goes(tmp_path: Path) -> None:
    run_cutting(CUT_FILE, tmp_path)


CUT_PROFILE = """
import logging, sys
from pathlib import Path
from edged.control.profile import Spread, Timing
from edged.control.profile_store import BAD, ProfileStore
from edged.variants.variant import Choice, Variant
from tests.rig.power_cut import cut_everywhere

folder, variant = Path(sys.argv[1]), Variant(0.25, 128)

def store():
    return ProfileStore(folder, [{"backend": "onnxruntime"}])

def profile(time_ms):
    return {Choice(variant, 1, network="5" * 64): Timing(*[Spread(time_ms, time_ms)] * 3, 15)}

logging.getLogger("edged").setLevel(logging.ERROR)
store().save(profile(1), {})
seen = []

def check():
    found = store().load()
    assert found in (profile(1), profile(2)), found
    seen.append(found == profile(2))

print(cut_everywhere(lambda: store().save(profile(2), {}), check))
assert seen == sorted(seen) and set(seen) == {False, True}
assert not (folder / BAD).exists()
assert len(list(folder.glob("profile-*"))) == 1
"""


def test_a_profile_is_the_old_or_the_new_one_whenever_the_power_goes(tmp_path: Path) -> None:
    run_cutting(CUT_PROFILE, tmp_path)
