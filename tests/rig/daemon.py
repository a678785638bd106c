"""A real daemon in a separate process: its output, endpoints and files."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any


def pss_mb(pid: int) -> float:
    text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return int(re.findall(r"^Pss: +(\d+) kB", text, re.MULTILINE)[0]) / 1024


SYNTHETIC = """
model: imagenette
latency_budget_ms: 200
cameras:
  door: {source: synthetic, size: 320x240, fps: 30}
http: {listen: 127.0.0.1:0}
"""
QUICK = {"variants": "[mobilenet_v1_0.25_128]", "latency_budget_ms": "5000"}
"""What runs in a moment, however busy the machine is."""
SLOW = "{source: synthetic, size: 320x240, fps: 2}"
"""A camera whose frames wait so long that none is lost while the machine is busy."""


def quick_config(cameras: dict[str, str], **keys: str) -> str:
    lines = {"model": "imagenette", **QUICK, "http": "{listen: 127.0.0.1:0}", **keys}
    text = "".join(f"{key}: {value}\n" for key, value in lines.items())
    return text + "cameras:\n" + "".join(f"  {name}: {keys}\n" for name, keys in cameras.items())


class RunningDaemon:
    """`edged run` on a configuration text; results are read as they come."""

    def __init__(self, folder: Path, config: str, *arguments: str, **environ: str) -> None:
        self.config = folder / "edged.yaml"
        self.config.write_text(config)
        self.process = subprocess.Popen(
            [sys.executable, "-m", "edged", "run", "-c", str(self.config), *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env={**os.environ, "STATE_DIRECTORY": str(folder / "state"), **environ},
        )
        self.results: list[dict[str, Any]] = []
        self.log: list[str] = []
        self._readers = [
            threading.Thread(target=self._read_results),
            threading.Thread(target=self._read_log),
        ]
        for reader in self._readers:
            reader.start()

    def __enter__(self) -> RunningDaemon:
        return self

    def __exit__(self, *error: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait()
        for reader in self._readers:
            reader.join()
        for stream in (self.process.stdout, self.process.stderr):
            assert stream is not None
            stream.close()

    @property
    def port(self) -> int:
        """Known once the log has said where it listens."""
        self.wait_for(self._ports)
        return self._ports()[-1]

    def _ports(self) -> list[int]:
        return [int(port) for port in re.findall(r"https?://[^/]*:(\d+)/metrics", self.text)]

    @property
    def text(self) -> str:
        return "\n".join(self.log)

    def get(self, path: str) -> tuple[int, str]:
        try:
            with urllib.request.urlopen(
                f"http://127.0.0.1:{self.port}{path}", timeout=30
            ) as answer:
                return answer.status, answer.read().decode()
        except urllib.error.HTTPError as error:
            with error:
                return error.code, error.read().decode()

    def metric(self, sample: str) -> float:
        """The value of a sample, named as in the exposition; NaN without it."""
        _, text = self.get("/metrics")
        for line in text.splitlines():
            if line.startswith(sample + " "):
                return float(line.split(" ")[-1])
        return float("nan")

    def capture_processes(self) -> list[int]:
        """Process ids of the capture children, from /proc."""
        children = []
        for folder in Path("/proc").iterdir():
            if not folder.name.isdigit():
                continue
            try:
                stat = (folder / "stat").read_text()
                command = (folder / "cmdline").read_bytes()
            except OSError:
                continue  # it has just ended
            parent = int(stat.rsplit(")", 1)[1].split()[1])
            if parent == self.process.pid and b"edged.capture.worker" in command:
                children.append(int(folder.name))
        return children

    def wait_for(self, condition: Callable[[], object], seconds: float = 30) -> float:
        """Seconds until the condition holds; fails with the log after the time limit."""
        begun = time.monotonic()
        while not condition():
            waited = time.monotonic() - begun
            ended = self.process.poll() is not None
            assert waited < seconds and not (ended and waited > 1), (
                f"waited {waited:.1f} s; exit {self.process.poll()}; log:\n{self.text}"
            )
            time.sleep(0.02)
        return time.monotonic() - begun

    def wait_for_results(self, count: int, seconds: float = 30) -> float:
        return self.wait_for(lambda: len(self.results) >= count, seconds)

    def more_results(self, view: str, count: int = 3) -> list[dict[str, Any]]:
        """The next ones, which have just come."""
        before = len(self.results_of(view))
        self.wait_for(lambda: len(self.results_of(view)) >= before + count)
        return self.results_of(view)[before:]

    def sequence(self, view: str) -> list[int]:
        return [result["sequence"] for result in self.results_of(view)]

    def holds(self) -> tuple[int, int]:
        """Descriptors and threads; some come and go, so the smallest numbers of a while."""
        folders = [Path(f"/proc/{self.process.pid}/{kind}") for kind in ("fd", "task")]
        counts = []
        for _ in range(40):
            counts.append([len(list(folder.iterdir())) for folder in folders])
            time.sleep(0.01)
        descriptors, threads = (min(each) for each in zip(*counts, strict=True))
        return descriptors, threads

    def wait_until_it_catches(self, number: signal.Signals) -> None:
        """From the kernel's view: the earliest moment at which the signal does not kill it."""
        status = Path(f"/proc/{self.process.pid}/status")

        def caught() -> int:
            (mask,) = re.findall(r"^SigCgt:\s*(\w+)$", status.read_text(), re.MULTILINE)
            return int(mask, 16) >> (number - 1) & 1

        self.wait_for(caught)

    def reload(self, config: str | None = None, seconds: float = 30) -> str:
        """What the log says of it. config: written before; without it the file stays as it is."""
        if config is not None:
            self.config.write_text(config)
        before = len(self.reloads)
        self.process.send_signal(signal.SIGHUP)
        self.wait_for(lambda: len(self.reloads) > before, seconds)
        return self.reloads[before]

    @property
    def reloads(self) -> list[str]:
        """What the log says of each."""
        return re.findall(r"configuration (?:not )?reloaded.*", self.text)

    def results_of(self, view: str) -> list[dict[str, Any]]:
        """Of a view, or of a camera with all its views."""
        return [
            result
            for result in self.results
            if view in (result["camera"], f"{result['camera']}/{result.get('view')}")
        ]

    def stop(self, number: signal.Signals = signal.SIGTERM) -> tuple[int, float]:
        """Exit status and seconds that it took."""
        begun = time.monotonic()
        self.process.send_signal(number)
        status = self.process.wait(60)
        return status, time.monotonic() - begun

    def _read_results(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.results.append(json.loads(line))

    def _read_log(self) -> None:
        assert self.process.stderr is not None
        for line in self.process.stderr:
            self.log.append(line.rstrip("\n"))


def without_a_gap(numbers: list[int]) -> bool:
    return numbers == list(range(numbers[0], numbers[0] + len(numbers)))
