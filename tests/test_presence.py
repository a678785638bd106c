from __future__ import annotations

from pathlib import Path

from edged.capture.presence import node_of


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
