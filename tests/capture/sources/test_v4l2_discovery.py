from __future__ import annotations

import errno
import os
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edged.capture.sources.v4l2.discovery import Holder, attached, holders, stable_link
from tests.rig.v4l2_driver import METADATA, WEBCAM, PaperControl, PaperDriver


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A device with four nodes; video10 is a camera as well, video1 a metadata node."""
    for name in ("video10", "video0", "video1", "video2", "videoX"):
        (tmp_path / "dev").mkdir(exist_ok=True)
        (tmp_path / "dev" / name).touch()
    link(tmp_path, "by-id/usb-Door-video-index0", "video0")
    link(tmp_path, "by-path/pci-usb-1-video-index0", "video0")
    link(tmp_path, "by-path/pci-usb-2-video-index0", "video10")
    return tmp_path


def link(root: Path, name: str, node: str) -> None:
    path = root / "dev/v4l" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(f"../../{node}")


def claim(root: Path, name: str, *devices: str) -> None:
    """What udev remembers of each device."""
    (root / "run/udev/data").mkdir(parents=True, exist_ok=True)
    for device in devices:
        with (root / "run/udev/data" / device).open("a") as file:
            file.write(f"S:v4l/{name}\nE:ID_SERIAL=x\n")


def process(root: Path, pid: int, command: str, *files: str) -> None:
    folder = root / "proc" / str(pid)
    (folder / "fd").mkdir(parents=True)
    (folder / "cmdline").write_text(command.replace(" ", "\0") + "\0")
    for number, name in enumerate(files):
        (folder / "fd" / str(number)).symlink_to(name)


def drivers() -> dict[str, PaperDriver | OSError]:
    return {
        "video0": PaperDriver(WEBCAM, [PaperControl("Gain")]),
        "video1": PaperDriver(node_caps=METADATA),
        "video2": OSError(errno.EACCES, "Permission denied"),
        "video10": PaperDriver({"GREY": {}}, card="Infrared"),
    }


def opener(by_node: Mapping[str, PaperDriver | OSError]) -> Callable[[str], PaperDriver]:
    def open_device(path: str) -> PaperDriver:
        found = by_node[Path(path).name]
        if isinstance(found, OSError):
            raise found
        return found

    return open_device


def test_what_is_attached_in_the_order_of_the_nodes(root: Path) -> None:
    by_node = drivers()
    process(root, 812, "ffmpeg -i /dev/video0", "/dev/null", "/dev/video0")
    (root / "sys/class/video4linux/video2").mkdir(parents=True)
    (root / "sys/class/video4linux/video2/name").write_text("Hall Camera\n")
    found, left_out = attached(root, opener(by_node))
    assert [camera.node for camera in found] == ["/dev/video0", "/dev/video2", "/dev/video10"]
    assert left_out == ["/dev/video1"]
    door, forbidden, infrared = found
    assert door.source == "/dev/v4l/by-id/usb-Door-video-index0"
    assert (door.driver, door.card) == ("uvcvideo", "HD Camera")
    assert [each.name for each in door.formats] == ["MJPG", "YUYV"]
    assert [each.name for each in door.controls] == ["gain"]
    assert door.holders == (Holder(812, "ffmpeg -i /dev/video0"),)
    assert infrared.source == "/dev/v4l/by-path/pci-usb-2-video-index0"
    assert (forbidden.source, forbidden.card) == ("/dev/video2", "Hall Camera")
    assert forbidden.problem is not None
    assert "no permission" in forbidden.problem
    assert "usermod -aG" in forbidden.problem
    assert all(each.closed for each in by_node.values() if isinstance(each, PaperDriver))


def test_a_device_that_fails_when_it_is_asked_is_a_line_of_its_own(root: Path) -> None:
    class Gone(PaperDriver):
        def ioctl(self, request: int, argument: bytes) -> bytes:
            raise OSError(errno.ENODEV, "No such device")

    found, _ = attached(root, opener({**drivers(), "video0": Gone()}))
    assert found[0].problem == "the camera has disappeared; is it unplugged?"
    assert len(found) == 3


def test_nothing_is_attached(tmp_path: Path) -> None:
    assert attached(tmp_path, opener({})) == ([], [])
    assert stable_link(tmp_path / "dev/video0", tmp_path) is None


def test_an_image_processor_is_no_camera(root: Path) -> None:
    by_node = {**drivers(), "video10": PaperDriver(WEBCAM, driver="bcm2835-isp")}
    found, left_out = attached(root, opener(by_node))
    assert left_out == ["/dev/video1", "/dev/video10"]
    assert len(found) == 2


def test_a_link_that_two_devices_claim_names_neither(root: Path) -> None:
    door = root / "dev/video0"
    assert stable_link(door, root) == "/dev/v4l/by-id/usb-Door-video-index0"
    claim(root, "by-id/usb-Door-video-index0", "c81:0")
    assert stable_link(door, root) == "/dev/v4l/by-id/usb-Door-video-index0"
    claim(root, "by-id/usb-Door-video-index0", "c81:7")  # its twin
    assert stable_link(door, root) == "/dev/v4l/by-path/pci-usb-1-video-index0"
    claim(root, "by-path/pci-usb-1-video-index0", "c81:0", "c81:7")
    assert stable_link(door, root) is None


def test_a_command_is_shown_short_and_without_passwords(root: Path) -> None:
    process(root, 7, "ffmpeg -i /dev/video0 rtsp://me:hunter2@host/" + "x" * 99, "/dev/video0")
    process(root, 8, "cat /dev/video00", "/dev/video00")
    (holder,) = holders("/dev/video0", root / "proc")
    assert holder.pid == 7
    assert "hunter2" not in holder.command
    assert len(holder.command) <= 60


def test_names_of_devices_and_processes_disturb_no_terminal(root: Path) -> None:
    (root / "sys/class/video4linux/video2").mkdir(parents=True)
    (root / "sys/class/video4linux/video2/name").write_text("Hall\x1b[2J Camera\n")
    process(root, 813, "\x1b", "/dev/video2")
    (root / "proc/813/comm").write_text("evil\x1b]0;\x07\n")
    found, _ = attached(root, opener(drivers()))
    (hall,) = (camera for camera in found if camera.node == "/dev/video2")
    assert hall.card == "Hall\\x1b[2J Camera"
    assert [holder.command for holder in hall.holders] == ["evil\\x1b]0;\\x07"]


def test_a_real_process_that_holds_a_file(tmp_path: Path) -> None:
    path = tmp_path / "video0"
    path.touch()
    script = f"file = open({str(path)!r}); print('open', flush=True); input()"
    with subprocess.Popen(
        [sys.executable, "-c", script], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline()
        with path.open():  # this process does not count
            found = list(holders(os.path.realpath(path)))
        child.communicate(b"\n")
    assert [each.pid for each in found] == [child.pid]
    assert sys.executable in found[0].command
