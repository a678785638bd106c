"""What HTTP clients cost the frames: the share on time with many of them, beside that with none.

    python tests/benchmarks/load_http.py [--seconds 40]

One daemon with a drawn camera of 30 pictures a second and a budget of 20 ms, alone and then with 50
clients that fetch /metrics once a second each, 5 on the stream of results, and 200 slow ones, which
send a byte a second and never a whole request, and come again when they are cut off. The clients
are one process of the lowest priority: on this machine they take part of the processor, which
clients elsewhere would not.
"""

from __future__ import annotations

import argparse
import asyncio
import multiprocessing
import os
import re
import tempfile
import time
from contextlib import suppress
from pathlib import Path
from queue import Empty
from typing import Any

from tests.rig.daemon import RunningDaemon

CONFIG = """
latency_budget_ms: 20
http: {listen: "127.0.0.1:0"}
results: {jsonl: none}
cameras: {door: {source: "synthetic:640x480@30"}}
"""
SCRAPERS, STREAMS, SLOW = 50, 5, 200
SETTLING_SECONDS = 25.0


class Clients:
    """Counts what they got; times in seconds."""

    def __init__(self, port: int) -> None:
        self._port = port
        self._over = False
        """Before Python 3.12 `wait_for` may swallow that its task was cancelled."""
        self.scrapes_seconds: list[float] = []
        self.failed = 0
        self.results = 0
        self.cut_off = 0

    async def scrape(self, number: int) -> None:
        await asyncio.sleep(number / SCRAPERS)
        while not self._over:
            begun = time.monotonic()
            try:
                text = await asyncio.wait_for(self._get("/metrics"), 5)
                assert b"edged_results_total" in text
                self.scrapes_seconds.append(time.monotonic() - begun)
            except (OSError, asyncio.TimeoutError, AssertionError):
                self.failed += 1
            await asyncio.sleep(max(0.0, 1 - (time.monotonic() - begun)))

    async def _get(self, path: str) -> bytes:
        reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
        try:
            writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
            return await reader.read(-1)
        finally:
            writer.close()

    async def stream(self) -> None:
        while not self._over:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            writer.write(b"GET /api/v1/results HTTP/1.1\r\n\r\n")
            while line := await reader.readline():
                self.results += line.startswith(b"data:")
            writer.close()

    async def slow(self) -> None:
        while not self._over:
            with suppress(OSError):
                await self._dawdle()
            self.cut_off += 1
            await asyncio.sleep(1)

    async def _dawdle(self) -> None:
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        writer.write(b"GET /metrics HTTP/1.1\r\nX-Slow: ")
        while True:
            await asyncio.sleep(1)
            writer.write(b"x")
            await writer.drain()

    async def run(self, seconds: float) -> None:
        work = [self.scrape(number) for number in range(SCRAPERS)]
        work += [self.stream() for _ in range(STREAMS)]
        work += [self.slow() for _ in range(SLOW)]
        tasks = [asyncio.create_task(each) for each in work]
        await asyncio.wait(tasks, timeout=seconds)
        self._over = True
        for task in tasks:
            task.cancel()
        await asyncio.wait(tasks, timeout=5)


def be_clients(port: int, seconds: float, told: Any) -> None:
    os.nice(19)
    clients = Clients(port)
    asyncio.run(clients.run(seconds))
    told.put((clients.scrapes_seconds, clients.failed, clients.results, clients.cut_off))


def counts(daemon: RunningDaemon) -> dict[str, float]:
    _, text = daemon.get("/metrics")
    names = {
        "results": r"edged_results_total{camera=\"door\"}",
        "misses": r"edged_deadline_misses_total{camera=\"door\"}",
        "stale": r"edged_frames_dropped_total{camera=\"door\",reason=\"stale\"}",
    }
    found = {}
    for name, sample in names.items():
        match = re.search(rf"^{sample} (\S+)$", text, re.MULTILINE)
        assert match, name
        found[name] = float(match[1])
    return found


def on_time(before: dict[str, float], after: dict[str, float]) -> tuple[float, float]:
    """The share in per cent, and how many frames it is of."""
    delta = {name: after[name] - before[name] for name in before}
    frames = delta["results"] + delta["stale"]
    return 100 * (1 - delta["misses"] / frames), frames


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--seconds", type=float, default=40.0, help="of each of the two parts")
    options = parser.parse_args()
    spawn = multiprocessing.get_context("spawn")
    with tempfile.TemporaryDirectory() as folder, RunningDaemon(Path(folder), CONFIG) as daemon:
        port = daemon.port
        time.sleep(SETTLING_SECONDS)
        begun = counts(daemon)
        time.sleep(options.seconds)
        alone, frames = on_time(begun, counts(daemon))
        print(f"alone:        {alone:.2f} % of {frames:.0f} frames on time")

        told = spawn.Queue()
        process = spawn.Process(target=be_clients, args=(port, options.seconds + 3, told))
        process.start()
        time.sleep(3)  # so that all of them are there
        begun = counts(daemon)
        time.sleep(options.seconds - 2)
        crowded, frames = on_time(begun, counts(daemon))
        try:
            scrapes_seconds, failed, results, cut_off = told.get(timeout=30)
        except Empty:
            raise SystemExit("the clients failed") from None
        process.join()
    print(f"with clients: {crowded:.2f} % of {frames:.0f} frames on time")
    print(f"difference:   {alone - crowded:.2f} points")
    ordered = sorted(scrapes_seconds)
    print(
        f"scrapes: {len(ordered)} answered, {failed} not; "
        f"median {1000 * ordered[len(ordered) // 2]:.0f} ms, "
        f"99 % within {1000 * ordered[len(ordered) * 99 // 100]:.0f} ms; "
        f"{results / STREAMS:.0f} results on each stream; slow ones cut off {cut_off} times"
    )


if __name__ == "__main__":
    main()
