from __future__ import annotations

import errno
from pathlib import Path

import pytest

from edged.capture.device_watch import is_folder, is_there, node_of
from edged.capture.source import CaptureRequest
from edged.capture.sources.table import kind_of
from edged.capture.supervisor import CameraState
from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.errors import EdgedError
from edged.variants.family import load_family
from tests.rig.camera import running, wait_until


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
    told = [line for line in warnings(load_config(path, {})) if line.startswith("results")]
    assert told == [f"results.jsonl: {closed}/r.jsonl: File name too long"]
    with pytest.raises(EdgedError, match="the family cannot be read: File name too long"):
        load_family(str(closed), tmp_path)
