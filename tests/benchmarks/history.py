"""What the history costs and how fast it answers.

    python -m tests.benchmarks.history              prints; the last one is history.md
    python -m tests.benchmarks.history --quick      a tenth of the events and days

Pages of events beside a plain read of the whole table; the size over simulated days; what an hour
writes by /proc/self/io, each minute synced so that a page that changes again counts again; pictures
in the database and as files; a result passed on with and without the history.
"""

from __future__ import annotations

import argparse
import os
import random
import sqlite3
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from statistics import median

from edged.atomic_file import sync_folder, write_synced
from edged.history import database as database_module
from edged.history.database import FILE, SUFFIXES, Database, size_of
from edged.history.minutes import Minutes
from edged.history.options import HistoryConfig
from edged.history.reader import Asked, Reader, Span
from edged.result import Result
from edged.web.live import Live
from tests.rig.history import NOW_S, S, event_at, minute_at, recorded
from tests.rig.live import ShownCamera, live_of
from tests.rig.results import make_result

CONFIG = HistoryConfig()
DAY_S, BATCH = 86_400, 1000
VIEWS = ("door", "yard/gate", "yard/bin", "garage")
NAMES = ("open", "closed", "person", "parcel")
PICTURE_BYTES = 40_000
RESULTS = 20_000


class NoHistory(Minutes):
    def observe(self, result: Result, latency_ms: float) -> None:
        """Nothing."""


def took_ms(act: Callable[[], object], rounds: int = 15) -> float:
    times = []
    for _ in range(rounds):
        begun = time.perf_counter()
        act()
        times.append(1000 * (time.perf_counter() - begun))
    return median(times)


def pages(folder: Path, count: int) -> Iterator[str]:
    chance, path = random.Random(0), folder / FILE
    database_module.TOGETHER = BATCH  # one sync for many
    with closing(Database(path, ())) as database:
        for first in range(0, count, BATCH):
            events = [
                recorded(event_at(20 * at, view=chance.choice(VIEWS), name=chance.choice(NAMES)))
                for at in range(first, min(first + BATCH, count))
            ]
            database.write(events, [], CONFIG, NOW_S * 1000)
    reader, half = Reader(path), NOW_S + 10 * count
    last = f"{count} events, a page of"
    whole_ms = took_ms(lambda: whole(path), 5)
    yield f"| | ms | of a plain read of the table ({whole_ms:.0f} ms) |\n| --- | --- | --- |"
    for what, asked in {
        f"{last} 50, the newest": Asked(),
        f"{last} 500, the newest": Asked(limit=500),
        f"{last} 50, the oldest": Asked(before=51),
        "of one camera": Asked(camera="yard"),
        "of one view and class": Asked(view="garage", label="parcel"),
        "of one class": Asked(label="person"),
        "of a day in the middle": Asked(since_ns=half * S, until_ns=(half + DAY_S) * S),
        "of one view, until the middle": Asked(until_ns=half * S, view="door"),
        "of a class that is not there": Asked(label="zebra"),
    }.items():
        page_ms = took_ms(lambda asked=asked: reader.events(asked))  # type: ignore[misc]
        yield f"| {what} | {page_ms:.1f} | {page_ms / whole_ms:.3f} |"


def whole(path: Path) -> None:
    with closing(sqlite3.connect(path)) as db:
        assert len(db.execute("SELECT * FROM events ORDER BY id DESC").fetchall())


def days(folder: Path, count: int) -> Iterator[str]:
    path, largest, picture = folder / FILE, 0, bytes(PICTURE_BYTES)
    with closing(Database(path, ())) as database:
        for at in range(0, count * DAY_S, 60):
            minutes = [minute_at(at, view) for view in VIEWS]
            events = [recorded(event_at(at, None, snapshot=picture))] if at % 600 == 0 else []
            database.write(events, minutes, CONFIG, (NOW_S + at + 60) * 1000)
            if at % 3600 == 0:
                largest = max(largest, size_of(path))
    yield (
        f"{count} days of 4 views, an event with a picture of {PICTURE_BYTES // 1000} kB every ten "
        f"minutes: at most {largest / 1e6:.1f} MB (max_bytes {CONFIG.max_bytes / 1e6:.0f} MB)."
    )
    begin, reader = NOW_S, Reader(path)
    for name, span_days, step in (("a day", 1, 600), (f"{count} days", count, 3600)):
        end = begin + count * DAY_S
        span = Span("yard/gate", end - span_days * DAY_S, end, step)
        took = took_ms(lambda span=span: reader.seen(span), 5)  # type: ignore[misc]
        yield f"What one of these views saw in {name}: {took:.0f} ms."


def written() -> tuple[int, int]:
    """By this process: bytes of pages that the disk gets, bytes given to write()."""
    lines = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(lines["write_bytes"]), int(lines["wchar"])


def sync(path: Path) -> None:
    for suffix in SUFFIXES[:2]:
        fd = os.open(f"{path}{suffix}", os.O_RDONLY)
        os.fsync(fd)
        os.close(fd)


def hour(folder: Path, views: int) -> str:
    """Without events, when a day is kept and there is a day: an old hour is deleted as well."""
    path, config = folder / FILE, HistoryConfig(days=1)
    names = [f"camera{number}" for number in range(views)]
    with closing(Database(path, ())) as database:
        for at in range(0, 86_400, 60):
            database.write([], [minute_at(at, each) for each in names], config, NOW_S * 1000)
        # Closing a descriptor of the database would release SQLite's locks: sync from a child.
        before = written()
        for at in range(DAY_S, DAY_S + 3600, 60):
            minutes = [minute_at(at, each) for each in names]
            database.write([], minutes, config, (NOW_S + at + 60) * 1000)
            child = os.fork()
            if child == 0:
                sync(path)
                os._exit(0)
            os.waitpid(child, 0)
        pages, given = (after - each for after, each in zip(written(), before, strict=True))
    return f"| {views} | {pages / 1e6:.2f} | {given / 1e6:.2f} |"


def pictures(folder: Path, count: int = 300) -> Iterator[str]:
    picture = os.urandom(PICTURE_BYTES)
    path, files = folder / FILE, folder / "pictures"
    files.mkdir()
    events = [recorded(event_at(each, None, snapshot=picture)) for each in range(count)]
    with closing(Database(path, ())) as database:
        before, begun = written(), time.perf_counter()
        for event in events:
            database.write([event], [], CONFIG, NOW_S * 1000)
        inside = (written()[0] - before[0]) / count, 1000 * (time.perf_counter() - begun) / count
    size = size_of(path) / count
    before, begun = written(), time.perf_counter()
    for number in range(count):
        write_synced(files / f".{number}", picture)
        (files / f".{number}").rename(files / f"{number}.jpg")
        sync_folder(files)
    outside = (written()[0] - before[0]) / count, 1000 * (time.perf_counter() - begun) / count
    blocks = sum(each.stat().st_blocks * 512 for each in files.iterdir()) / count
    yield f"| a picture of {PICTURE_BYTES} bytes | on the disk | written | ms |"
    yield "| --- | --- | --- | --- |"
    yield f"| in the database, with its event | {size:.0f} | {inside[0]:.0f} | {inside[1]:.1f} |"
    yield f"| as a file, without it | {blocks:.0f} | {outside[0]:.0f} | {outside[1]:.1f} |"


def observing() -> str:
    """In turn, so that both meet the same neighbours."""
    shown, result = ShownCamera("door"), make_result()
    with_it, without = live_of(shown), live_of(shown)
    without._minutes = NoHistory()

    def observe(live: Live) -> None:
        for _ in range(RESULTS):
            live.observe(result)

    pairs = [(took_ms(lambda: observe(with_it), 1), took_ms(lambda: observe(without), 1))
             for _ in range(15)]  # fmt: skip
    ratio = median(one / other for one, other in pairs)
    more_us = median(1000 * (one - other) / RESULTS for one, other in pairs)
    return f"Live.observe with the history: {ratio:.3f} times, {more_us:.2f} us more a result."


def report(*, quick: bool) -> Iterator[str]:
    share = 10 if quick else 1
    memory = tempfile.TemporaryDirectory(dir="/dev/shm")  # where the size is all that counts
    with tempfile.TemporaryDirectory() as name, memory as days_folder:
        folder = Path(name)
        for each in ("pages", "pictures", *(f"hour{views}" for views in (1, 4, 16))):
            (folder / each).mkdir()
        yield "## Pages of events\n"
        yield from pages(folder / "pages", 100_000 // share)
        yield "\n## Size and what was seen\n"
        yield from days(Path(days_folder), 30 // share)
        yield "\n## An hour without events\n"
        yield "| views | MB to the disk | MB to write() |\n| --- | --- | --- |"
        for views in (1, 4, 16):
            yield hour(folder / f"hour{views}", views)
        yield "\n## Pictures\n"
        yield from pictures(folder / "pictures")
    yield "\n## A result\n"
    yield observing()


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--quick", action="store_true", help="a tenth of the events and days")
    for line in report(quick=parser.parse_args().quick):
        print(line, flush=True)


if __name__ == "__main__":
    main()
