from __future__ import annotations

import errno
import re
import time
from pathlib import Path

import pytest

from edged.capture.device_watch import is_folder, is_there, node_of
from edged.capture.liveness import TimeLimits
from edged.capture.source import CaptureRequest, Failure
from edged.capture.sources.table import kind_of
from edged.capture.supervisor import CameraState
from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.errors import EdgedError
from edged.variants.family import load_family
from tests.rig.camera import running, wait_until
from tests.rig.scripted_child import fake, faults


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert node_of(None) is None
    assert node_of(tmp_path / "video0") is None
    assert node_of(tmp_path / "no" / "folder" / "video0") is None
    (tmp_path / "link").symlink_to(tmp_path / "video0")
    assert node_of(tmp_path / "link") is None


def test_the_same_node_is_the_same(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    assert node_of(device) is not None
    assert node_of(device) == node_of(device)
    assert node_of(Path("/dev/null")) == node_of(Path("/dev/null"))
    assert node_of(Path("/dev/null")) != node_of(Path("/dev/zero"))


def test_a_node_of_the_same_name_that_was_made_anew_is_another(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch()
    before = node_of(device)
    device.rename(tmp_path / "gone")  # so that its inode is not free for the next
    device.touch()
    assert node_of(device) not in (before, None)


def test_access_that_is_granted_later_makes_another(tmp_path: Path) -> None:
    device = tmp_path / "video0"
    device.touch(0o000)
    before = node_of(device)
    device.chmod(0o660)
    assert node_of(device) not in (before, None)


def test_links_are_followed(tmp_path: Path) -> None:
    for name in ("video0", "video2"):
        (tmp_path / name).touch()
    link = tmp_path / "v4l" / "by-id" / "usb-camera-index0"
    link.parent.mkdir(parents=True)
    link.symlink_to("../../video0")
    before = node_of(link)
    assert before == node_of(tmp_path / "video0")
    link.unlink()
    link.symlink_to("../../video2")
    assert node_of(link) == node_of(tmp_path / "video2") != before


def test_what_may_not_be_looked_at_is_not_there(monkeypatch: pytest.MonkeyPatch) -> None:
    """Below a folder of another user, or a service's ProtectHome=, pathlib raises instead."""

    def refused(path: Path, **_: object) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    monkeypatch.setattr(Path, "stat", refused)
    path = Path("/home/somebody/clip.mp4")
    assert not is_there(path)
    assert not is_folder(path)
    assert node_of(path) is None
    assert kind_of(str(path)).name == "file"
    assert kind_of(str(path.with_suffix(".jpg"))).name == "folder"


@pytest.mark.parametrize("name", ["clip.mp4", "picture.jpg", "folder"])
def test_a_source_that_is_closed_to_us_is_a_state_of_the_camera(tmp_path: Path, name: str) -> None:
    """Root may look everywhere, so that a name that is too long stands for one in such a folder:
    pathlib raises of both."""
    source = tmp_path / ("x" * 300) / name
    with running(CaptureRequest(str(source))) as (camera, _):
        assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        assert camera.last_error is not None
        assert camera.last_error.endswith(": File name too long")


def test_what_a_configuration_names_may_be_closed_to_us(tmp_path: Path) -> None:
    path = tmp_path / "edged.yaml"
    closed = tmp_path / ("x" * 300) / "folder"
    results = f"results: {{jsonl: {{path: {closed}/r.jsonl, max_bytes: 1e6}}}}"
    path.write_text(f"cameras: {{a: {{source: synthetic}}}}\n{results}\n")
    told = [line for line in warnings(load_config(path, {})) if "results" in line]
    assert told == [f"{path}:2: results.jsonl: {closed}/r.jsonl: File name too long"]
    with pytest.raises(EdgedError, match="cannot read the family: File name too long"):
        load_family(str(closed), tmp_path)


A_DEVICE = """
def node():
    try:
        return os.stat(request["source"]).st_ino
    except OSError:
        return None
there = node()
if there is None:
    say(status="failed", reason="open_failed", message="no such device")
elif open(request["source"]).read() == "broken":
    say(status="failed", reason="open_failed", message="it does not answer")
else:
    opened()
    while node() == there:
        frame()
        time.sleep(0.02)
    say(status="failed", reason="read_failed", message="unplugged")
"""


UNHURRIED = TimeLimits(tick=0.02, open=20, stall=20, stop=0.5, pause=60, pause_longest=1000)
"""A restart that comes while a test waits was not waited for."""


def pauses(log: pytest.LogCaptureFixture) -> list[float]:
    """Seconds that were to be waited before each restart."""
    return [float(text) for text in re.findall(r"next try in ([\d.]+) s", log.text)]


def test_the_return_of_a_device_is_noticed_during_the_pause(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    link = tmp_path / "v4l" / "by-id" / "usb-Camera-video-index0"
    request = CaptureRequest(str(link))
    with running(request, limits=UNHURRIED, starter=fake(A_DEVICE), device=link) as (camera, _):
        assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        for number in range(3):
            device = tmp_path / f"video{number}"
            device.write_text("well")
            link.parent.mkdir(parents=True, exist_ok=True)
            link.symlink_to(device)
            assert wait_until(lambda: camera.state is CameraState.STREAMING)
            device.unlink()
            link.unlink()
            assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        assert faults(camera) == {"open_failed": 1, "read_failed": 3}
    states = [record.getMessage().split()[2].strip(":") for record in log.records]
    assert states == ["starting", "backoff"] + 3 * ["starting", "streaming", "backoff"]


def test_a_device_that_came_back_while_its_process_was_ended_is_used_at_once(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    device = tmp_path / "video0"
    device.write_text("well")
    request = CaptureRequest(str(device))
    with running(request, limits=UNHURRIED, starter=fake(A_DEVICE), device=device) as (camera, _):
        for lives in range(1, 4):
            assert wait_until(lambda lives=lives: log.text.count("streaming") == lives)
            (tmp_path / "new").write_text("well")
            (tmp_path / "new").replace(device)
        assert wait_until(lambda: log.text.count("streaming") == 4)
        assert faults(camera) == {"read_failed": 3}


def test_with_the_return_of_a_device_its_failures_are_forgotten(
    tmp_path: Path, log: pytest.LogCaptureFixture
) -> None:
    device = tmp_path / "video0"
    request = CaptureRequest(str(device))
    with running(request, limits=UNHURRIED, starter=fake(A_DEVICE), device=device) as (camera, _):
        assert wait_until(lambda: len(pauses(log)) == 1)
        device.write_text("broken")
        assert wait_until(lambda: len(pauses(log)) == 2)
        assert all(30 <= pause <= 60 for pause in pauses(log))
        time.sleep(1)  # it is there, and no other than when it failed
        assert camera.state is CameraState.BACKOFF
        assert faults(camera) == {"open_failed": 2}


@pytest.mark.parametrize("reason", [Failure.OPEN_FAILED, Failure.UNAUTHORIZED])
def test_a_camera_that_is_away_is_tried_at_once_when_a_view_is_switched_on(reason: Failure) -> None:
    script = f"say(status='failed', reason={reason.value!r}, message='gone')"
    limits = TimeLimits(tick=0.02, stop=0.5, pause=60.0, pause_longest=60.0)
    with running(CaptureRequest("synthetic"), limits=limits, starter=fake(script)) as (camera, _):
        assert wait_until(lambda: camera.state is CameraState.BACKOFF)
        for on in (False, True):
            camera.switch(on=on)
            time.sleep(1.5)  # longer than a step of the pause
            assert camera.restarts[reason] == 1 or on
        if reason is Failure.UNAUTHORIZED:  # a camera may lock the account
            assert camera.restarts[reason] == 1
        else:
            assert wait_until(lambda: camera.restarts[reason] == 2)
