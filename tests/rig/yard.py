"""A daemon before a gate, and `edged teach …` as a person calls it."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

from tests.rig.daemon import RunningDaemon
from tests.rig.gate import GateCamera, quick_backbone

CONFIG = """
model: {model}
latency_budget_ms: 5000
http: {{listen: 127.0.0.1:0}}
results: {{jsonl: "-"}}
cameras:
  door: {{source: {source}{own}}}
"""


class Yard:
    """A daemon before the gate, and `edged teach gate …`."""

    def __init__(self, folder: Path, camera: GateCamera, daemon: RunningDaemon) -> None:
        self.folder = folder
        self.camera = camera
        self.daemon = daemon

    def teach(self, *arguments: str, fails: bool = False) -> str:
        """What it prints."""
        return teach(self.folder, *arguments, port=self.daemon.port, fails=fails)

    def show(self, *scenes: str) -> None:
        """A moment of each."""
        for scene in scenes:
            self.camera.scene = scene
            self.teach("gate", "add", scene, "--from-camera", "--for", "4s")

    def says(self, scene: str) -> str | None:
        """The best label of a result that was captured after the scene has changed."""
        self.camera.scene = scene
        last = self.daemon.more_results("door", 5)[-1]
        return last["top"][0]["label"] if last["top"] else None

    def follows(self, what: str) -> None:
        self.daemon.wait_for(lambda: f"classifiers reloaded: {what}" in self.daemon.text, 60)


def teach(folder: Path, *arguments: str, port: int = 0, fails: bool = False) -> str:
    config = folder / "edged.yaml"
    if port:  # the port that the daemon has got
        known = folder / "known.yaml"
        known.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        config = known
    done = subprocess.run(
        [sys.executable, "-m", "edged", "teach", *arguments, "-c", str(config)],
        capture_output=True,
        text=True,
        env={**os.environ, "STATE_DIRECTORY": str(folder / "state")},
        timeout=300,
    )
    assert "Traceback" not in done.stderr
    assert (done.returncode != 0) == fails, done.stderr
    return done.stdout + done.stderr


def config_for(folder: Path, camera: GateCamera, own: str = "", model: str = "") -> str:
    return CONFIG.format(
        model=model or quick_backbone(folder / "few").directory, source=camera.url(), own=own
    )
