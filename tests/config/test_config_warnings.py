"""What is not wrong in a configuration, but will surprise."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.config.warnings import warnings
from tests.rig.configuration import Load, camera
from tests.rig.device_files import ORIN_NX_POWER, PI, make_files


@pytest.fixture
def dev(tmp_path: Path) -> Path:
    """Two cameras of which one has a name that stays."""
    folder = tmp_path / "dev"
    (folder / "v4l/by-id").mkdir(parents=True)
    (folder / "video0").touch()
    (folder / "video1").touch()
    (folder / "v4l/by-id/usb-Door-video-index0").symlink_to("../../video0")
    return folder


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        (
            "source: /dev/video0",
            ["; use /dev/v4l/by-id/usb-Door-video-index0"],
        ),
        ("source: /dev/video1", ["; use a link in /dev/v4l/by-id"]),
        ("source: /dev/v4l/by-id/usb-Door-video-index0", []),
        (
            "source: /dev/video9",
            [
                "may name another camera after a restart",
                "/dev/video9: No such file or directory; edged",
            ],
        ),
        (
            "source: absent.mp4",
            ["absent.mp4: No such file or directory; edged waits for the file"],
        ),
        ("source: gst:v4l2src ! jpegdec", []),
        ("source: gst:rtspsrc user-pw=x ! decodebin", ["in the process list; a URL as source"]),
        ("source: gst:rtspsrc location=rtsp://a:b@h ! decodebin", ["can read the password of a"]),
        ("source: present.mp4", []),
        ("source: rtsp://u:hunter2@h/", []),
        ("source: synthetic", []),
    ],
)
def test_warnings_of_sources(
    load: Load, tmp_path: Path, dev: Path, line: str, expected: list[str]
) -> None:
    (tmp_path / "present.mp4").touch()
    found = warnings(load(camera(line)), dev)
    assert len(found) == len(expected)
    for warning, part in zip(found, expected, strict=True):
        assert "edged.yaml:3: cameras.door.source: " in warning
        assert part in warning


@pytest.mark.parametrize(
    ("listen", "warned"),
    [
        ("127.0.0.1:1", False),
        ("127.9.9.9:1", False),
        ("localhost:1", False),
        ("[::1]:1", False),
        ("none", False),
        ("0.0.0.0:1", True),
        ("[::]:1", True),
        ("192.168.1.2:1", True),
        ("pi.local:1", True),
    ],
)
def test_warning_of_a_server_that_others_reach(load: Load, listen: str, warned: bool) -> None:
    found = warnings(load(camera("source: synthetic") + f'http: {{listen: "{listen}"}}'))
    assert len(found) == warned
    assert all("edged.yaml:4: http.listen: " in each for each in found)
    assert all("from other machines" in each for each in found)


@pytest.mark.parametrize(
    ("line", "warned"),
    [
        ("{source: synthetic, min_fps: 10, max_fps: 5}", True),
        ("{source: synthetic, min_fps: 5, max_fps: 5}", False),
        ("{source: synthetic, max_fps: 5}", False),
    ],
)
def test_warning_of_a_rate_that_is_not_reached(load: Load, line: str, warned: bool) -> None:
    found = warnings(load(f"cameras:\n  door: {line}\n"))
    what = "cameras.door.min_fps: door cannot give 10 results a second with max_fps 5"
    assert [each.partition("edged.yaml:2: ")[2] for each in found] == [what] * warned


@pytest.mark.parametrize(
    ("top", "view", "place"),
    [
        ("give_up: 0.1", "{source: synthetic}", "edged.yaml:1: give_up"),
        ("goal: power", "{source: synthetic, give_up: 0.1}", ""),
        ("give_up: 0.1", "{source: synthetic, goal: power}", ""),
        (
            "goal: power",
            "{source: synthetic, goal: accuracy, give_up: 0.1}",
            "edged.yaml:3: cameras.door.give_up",
        ),
    ],
)
def test_warning_of_accuracy_that_nothing_gives_up(
    load: Load, top: str, view: str, place: str
) -> None:
    found = warnings(load(f"{top}\ncameras:\n  door: {view}\n"))
    assert len(found) == bool(place)
    assert all(f"{place}: no effect with goal: accuracy" in each for each in found)


@pytest.mark.parametrize(
    ("mode", "password", "expected"),
    [
        (0o640, "hunter2", []),
        (0o644, "hunter2", ["everybody can read"]),
        (0o644, "${WORD}", []),
        (0o646, "${WORD}", ["everybody can change"]),
    ],
)
def test_warning_of_a_file_that_everybody_reads_or_changes(
    load: Load, mode: int, password: str, expected: list[str]
) -> None:
    config = load(camera(f"source: rtsp://me:{password}@192.0.2.7/1"), {"WORD": "hunter2"})
    config.path.chmod(mode)
    found = warnings(config)
    assert [line.partition(f" {config.path}")[0] for line in found] == expected
    assert "hunter2" not in str(found)


@pytest.mark.parametrize(("mode", "warned"), [(0o600, False), (0o640, False), (0o644, True)])
def test_warning_of_a_secret_that_everybody_reads(
    load: Load, tmp_path: Path, mode: int, warned: bool
) -> None:
    (tmp_path / "door").write_text("rtsp://u:hunter2@h/")
    (tmp_path / "door").chmod(mode)
    found = warnings(load(camera("source_file: door")))
    what = f"cameras.door.source_file: everybody can read {tmp_path}/door; chmod o= {tmp_path}/door"
    assert [each.partition("edged.yaml:3: ")[2] for each in found] == [what] * warned


def test_warning_of_a_power_limit_that_nothing_measures(load: Load, tmp_path: Path) -> None:
    config = load("max_power_w: 10\n" + camera("source: synthetic"))
    (found,) = warnings(config, root=tmp_path)
    assert ":1: max_power_w: no effect on this device: edged can read nothing" in found
    make_files(tmp_path, ORIN_NX_POWER)
    assert warnings(config, root=tmp_path) == []
    make_files(tmp_path, {"sys/class/hwmon/hwmon1/in1_input": ""})
    assert len(warnings(config, root=tmp_path)) == 1


def test_warning_of_a_temperature_limit_that_nothing_measures(load: Load, tmp_path: Path) -> None:
    config = load("max_temperature_c: 75\n" + camera("source: synthetic"))
    (found,) = warnings(config, root=tmp_path)
    assert ":1: max_temperature_c: no effect on this device: edged can read no temp" in found
    make_files(tmp_path, PI)
    assert warnings(config, root=tmp_path) == []
