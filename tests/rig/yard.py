"""A daemon before a gate, and `edged teach …` as a person calls it."""

from __future__ import annotations

from contextlib import redirect_stderr, redirect_stdout
from io import StringIO
from pathlib import Path

import pytest

from tests.rig.command_line import edged
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
            self.teach("gate", "add", scene, "--from-camera", "--for", "1.5s")

    def says(self, scene: str) -> str | None:
        """The best label of a result that was captured after the scene has changed."""
        self.camera.scene = scene
        last = self.daemon.more_results("door", 5)[-1]
        return last["top"][0]["label"] if last["top"] else None

    def comes_to_say(self, scene: str) -> None:
        """Wait for five results in a row that say it; pictures of before may be on their way."""
        self.camera.scene = scene

        def said() -> list[str]:
            last = self.daemon.results_of("door")[-5:]
            return [each["label"] for result in last for each in result["top"][:1]]

        self.daemon.wait_for(lambda: said() == [scene] * 5, 120)

    def follows(self, what: str) -> None:
        self.daemon.wait_for(lambda: f"classifiers reloaded: {what}" in self.daemon.text, 60)


def teach(folder: Path, *arguments: str, port: int = 0, fails: bool = False) -> str:
    config = folder / "edged.yaml"
    if port:  # the port that the daemon has got
        known = folder / "known.yaml"
        known.write_text(config.read_text().replace("127.0.0.1:0", f"127.0.0.1:{port}"))
        config = known
    said = StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said), redirect_stderr(said):
        patch.setenv("STATE_DIRECTORY", str(folder / "state"))
        status = edged("teach", *arguments, "-c", config)
    assert (status != 0) == fails, said.getvalue()
    return said.getvalue()


def config_for(folder: Path, camera: GateCamera, own: str = "", model: str = "") -> str:
    return CONFIG.format(
        model=model or quick_backbone(folder / "few").directory, source=camera.url(), own=own
    )
