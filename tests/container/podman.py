"""Podman, as the checks of the image use it."""

from __future__ import annotations

import json
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


def podman(*arguments: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        ["podman", *map(str, arguments)], capture_output=True, text=True, check=False, timeout=1800
    )
    if check and done.returncode != 0:
        raise RuntimeError(f"podman {' '.join(map(str, arguments))}: {done.stderr}{done.stdout}")
    return done


def inspect(kind: str, name: str) -> dict[str, Any]:
    (found,) = json.loads(podman(kind, "inspect", name).stdout)
    return dict(found)


class Container:
    def __init__(self, name: str) -> None:
        self.name = name

    @property
    def pid(self) -> int:
        """Of the daemon, as the host sees it."""
        return int(inspect("container", self.name)["State"]["Pid"])

    def execute(self, *command: str) -> subprocess.CompletedProcess[str]:
        return podman("exec", self.name, *command, check=False)

    def log(self) -> str:
        shown = podman("logs", self.name)
        return shown.stdout + shown.stderr

    def health(self) -> tuple[int, str]:
        """(exit status of `podman healthcheck run`, what the check last said)"""
        status = podman("healthcheck", "run", self.name, check=False).returncode
        checked = inspect("container", self.name)["State"]
        entries = (checked.get("Health") or checked["Healthcheck"])["Log"]
        return status, entries[-1]["Output"].strip()

    def wait_for(self, holds: Callable[[], bool], what: str, seconds: float = 600) -> float:
        """How long it took. Raises AssertionError with the container's log."""
        begun = time.monotonic()
        while not holds():
            if time.monotonic() - begun > seconds:
                raise AssertionError(f"{what}: not within {seconds:.0f} s\n{self.log()}")
            time.sleep(0.3)
        return time.monotonic() - begun


@contextmanager
def running(image: str, *command: str, options: tuple[str, ...] = ()) -> Iterator[Container]:
    """As nobody in particular, without privileges, on a read-only root."""
    name = podman(
        *("run", "--detach", "--pull=never", "--read-only", "--cap-drop=all"),
        *("--security-opt=no-new-privileges", *options, image, *command),
    ).stdout.strip()
    try:
        yield Container(name)
    finally:
        podman("rm", "--force", "--volumes", "--time", "5", name)
