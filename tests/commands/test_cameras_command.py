from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import yaml

from edged.capture.sources.v4l2.controls import controls
from edged.capture.sources.v4l2.device import formats
from edged.capture.sources.v4l2.discovery import AttachedCamera, Holder
from edged.cli import main
from edged.commands.cameras import NOTHING, about_decoder, listing, named
from edged.doctor.decoder import Measured
from tests.rig import stand_in_decoder as stand_in
from tests.rig.v4l2_driver import MENU, WEBCAM, PaperControl, PaperDriver, Sizes

BY_ID = "/dev/v4l/by-id/usb-046d_C920-video-index0"


def camera(
    sizes: dict[str, Sizes] = WEBCAM,
    card: str = "HD Pro Webcam C920: HD Pro",
    source: str = BY_ID,
    driver: str = "uvcvideo",
) -> AttachedCamera:
    paper = PaperDriver(
        sizes,
        [PaperControl("Gain"), PaperControl("Power", 0, 1, kind=MENU, menu={0: "Off", 1: "50 Hz"})],
    )
    return AttachedCamera(
        "/dev/video2",
        source,
        driver,
        card,
        formats(paper.ioctl),
        tuple(controls(paper.ioctl)),
        (Holder(812, "ffmpeg -f v4l2"),),
    )


def said(*found: AttachedCamera, left_out: tuple[str, ...] = ()) -> str:
    return "\n".join(listing(list(found), list(left_out)))


def test_all_that_is_known_of_a_camera_and_the_lines_to_paste() -> None:
    assert said(camera(), left_out=("/dev/video3",)).splitlines() == [
        "HD Pro Webcam C920: HD Pro (uvcvideo), /dev/video2",
        "  MJPG",
        "    1920x1080, 640x480 at 30 fps",
        "    1280x720 at 60, 30 fps",
        "  YUYV",
        "    1280x720 at 10 fps",
        "    640x480 at 30, 15 fps",
        "    320x240 at 30 fps",
        "  gain: 0 to 255",
        "  power: 0 (Off), 1 (50 Hz)",
        "  in use by ffmpeg -f v4l2 (pid 812)",
        "",
        "without pictures (metadata, codecs, …): /dev/video3",
        "",
        "# for the configuration",
        "cameras:",
        "  hd_pro_webcam_c920:",
        f"    source: {BY_ID}",
        "    size: 640x480",
        "    fps: 30",
    ]


@pytest.mark.parametrize(
    ("sizes", "keys"),
    [
        ({"MJPG": {(1920, 1080): [60.0], (1280, 720): [24.0]}}, ("1280x720", 24)),
        ({"YUYV": {(320, 240): [30.0], (160, 120): [60.0]}}, ("320x240", 30)),
        ({"NV12": {(32, 3840, 2, 32, 2160, 2): (1.0, 120.0)}}, ("640x480", 30)),
        ({"NV12": {(1280, 1280, 0, 720, 720, 0): (0.5, 7.5)}}, ("1280x720", 7.5)),
        ({"H264": {(640, 480): [60.0]}, "MJPG": {(800, 600): [15.0]}}, ("800x600", 15)),
        ({"GREY": {}}, (None, None)),
    ],
)
def test_the_size_that_networks_need(
    sizes: dict[str, Sizes], keys: tuple[str | None, float | None]
) -> None:
    pasted = yaml.safe_load(said(camera(sizes)).partition("# for")[2].partition("\n")[2])
    (entry,) = pasted["cameras"].values()
    assert (entry.get("size"), entry.get("fps")) == keys
    assert entry["source"] == BY_ID


def test_formats_alike_share_their_lines() -> None:
    sizes: Sizes = {(640, 480): [30.0], (32, 3840, 2, 32, 2160, 2): (1.0, 120.0)}
    text = said(camera({"YUYV": sizes, "H264": sizes, "NV12": sizes, "NV16": {}, "GREY": {}}))
    assert text.splitlines()[1:6] == [
        "  YUYV, NV12",
        "    640x480 at 30 fps",
        "    32x32 to 3840x2160 at 120 to 1 fps",
        "  GREY",
        "  not supported by edged: H264, NV16",
    ]


def test_bare_sensors_are_named_by_what_can_read_them() -> None:
    sensors = [
        camera({"pBAA": {(640, 480): [30.0]}}, driver=name) for name in ("unicam", "tegra-video")
    ]
    assert [keys["source"] for keys in named(sensors).values()] == ["picamera2", "csi"]


def test_names_are_those_of_the_cameras_and_differ() -> None:
    cards = ("HD 2", "HD", "HD", "720p", "", "Ünïcode  Cam!", "x" * 99)
    names = list(named([camera(card=card) for card in cards]))
    assert names == ["hd_2", "hd", "hd_3", "camera", "camera_2", "n_code_cam", "x" * 28]


def test_a_path_that_yaml_would_misread_is_quoted() -> None:
    odd = "/dev/v4l/by-id/usb-a: b #c"
    text = said(camera(source=odd))
    assert (
        yaml.safe_load(text.partition("# for")[2].partition("\n")[2])["cameras"][
            "hd_pro_webcam_c920"
        ]["source"]
        == odd
    )


def test_a_camera_without_permission_still_has_its_lines() -> None:
    text = said(AttachedCamera("/dev/video0", BY_ID, problem="no permission; join video"))
    assert "  no permission; join video\n" in text
    assert f"    source: {BY_ID}" in text


def test_nothing_attached_says_where_to_look() -> None:
    assert said() == NOTHING
    assert said(left_out=("/dev/video1",)).startswith("without pictures")


def test_the_command_lists_what_this_machine_has(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["cameras", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found.keys() == {"cameras", "without_pictures", "decoder"}
    assert main(["cameras"]) == 0
    text = capsys.readouterr().out
    assert ("cameras:" in text) == bool(found["cameras"])
    for each in found["cameras"]:
        assert each["node"] in text
        assert each["configuration"]["source"] in text


@stand_in.needs_stand_in
def test_the_hardware_decoder_is_told_of(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    stand_in.install(tmp_path, monkeypatch, then=stand_in.REFUSED)
    assert main(["cameras"]) == 0
    last = re.sub(r"\n# ", " ", capsys.readouterr().out)
    assert "the hardware decoder v4l2h264dec does not work: v4l2h264dec failed: " in last
    assert "Could not open device" in last


@pytest.mark.parametrize(
    ("decoder", "said"),
    [
        (None, "no hardware decoder for RTSP cameras was found"),
        (Measured("vah264dec", 9.0, 2.0), "software 9 ms; for RTSP cameras: decode: hardware"),
        (Measured("vah264dec", 2.0, 9.0), "(1920x1080), software 2 ms"),
    ],
)
def test_what_a_decoder_saves_is_told(decoder: Measured | None, said: str) -> None:
    assert about_decoder(decoder).endswith(said)
