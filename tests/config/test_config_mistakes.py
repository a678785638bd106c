"""Configurations as people write them the first time, and the one answer that leads on."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.capture.source import CaptureRequest, Failure, SourceError
from edged.capture.sources.synthetic.synthetic import SyntheticSource
from edged.cli import main, make_parser
from edged.commands.parts import config_of
from edged.config.config import load_config
from edged.config.family import family_errors
from edged.config.warnings import warnings
from edged.errors import InputError, InputErrors
from tests.rig.camera import Notes

DOOR = "cameras: {door: {source: synthetic}}\n"
KEYS_OF_A_CAMERA = "cameras:\n  door:\n    source: synthetic\n    "
NAME = "invalid name; expected a lower-case letter, then lower-case letters, digits, _ or -"
ADDRESS = "address without rtsp:// or http://; write rtsp://user:"
SIGNS = "user name and password cannot contain / ? or #; write %2F for /, %3F for ?, %23 for #"
NO_HOST = "URL without a host, or with an invalid port; write rtsp://user:password@host"
USB = "not a camera; write the device of a USB camera, such as /dev/v4l/by-id/…"
RIBBON = "not a camera; write libcamera or picamera2 for a CSI"


def answers(folder: Path, text: str | bytes) -> list[str]:
    """The errors of `edged check`, `LINE: …` each; its warnings where there are none."""
    path = folder / "edged.yaml"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    path.chmod(0o640)
    try:
        config = load_config(path, {}, family_errors)
    except InputErrors as wrong:
        return [str(error).removeprefix(f"{path}:") for error in wrong.errors]
    except InputError as wrong:
        return [str(wrong).removeprefix(f"{path}:")]
    return [warning.removeprefix(f"{path}:") for warning in warnings(config)]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        # keys of other programs, and slips
        ("budget: 33\n" + DOOR, ["1: budget: unknown key; did you mean latency_budget_ms?"]),
        ("mqtt: {}\n" + DOOR, ["1: mqtt: unknown key; it is a key of results:"]),
        ("camera: {}\n" + DOOR, ["1: camera: unknown key; did you mean cameras?"]),
        (
            "cameras:\n  door: {src: /dev/video0, framerate: 20, resolution: 640x480}\n",
            [
                "2: cameras.door.src: unknown key; did you mean source?",
                "2: cameras.door.framerate: unknown key; did you mean fps?",
                "2: cameras.door.resolution: unknown key; did you mean size?",
                "2: cameras.door: expected exactly one of source, source_file",
            ],
        ),
        (KEYS_OF_A_CAMERA + "width: 640", ["4: cameras.door.width: unknown key; write size: 1280"]),
        (KEYS_OF_A_CAMERA + "rotation: 180", ["4: cameras.door.rotation: unknown key; did you m"]),
        (KEYS_OF_A_CAMERA + "hflip: true", ["unknown key; write flip: horizontal"]),
        (KEYS_OF_A_CAMERA + "password: x", ["write the login in the address: source: rtsp://user"]),
        (DOOR + "http: {password: x}", ["2: http.password: unknown key; write users: {NAME: HA"]),
        (
            DOOR + "results:\n  mqtt: {broker: 192.0.2.3:1883, username: x}",
            [
                "3: results.mqtt.username: unknown key; did you mean user?",
                "3: results.mqtt.broker: expected a broker URL; write mqtt://host:1883",
            ],
        ),
        (
            "detectors: {cpu1: {type: cpu}}\ncameras: {door: {ffmpeg: {inputs: [{path: rtsp://h/x}]}}}\n",
            ["1: this is a Frigate configuration, which edged does not read; write an edged"],
        ),
        ("cameras:\n  a: {ffmpeg: {}}\n", ["2: this is a Frigate configuration, which edged"]),
        # values
        (
            "on_time: 95\n" + DOOR,
            ["1: on_time: expected a number from 0.5 to 0.999 (got 95); write"],
        ),
        ("min_top1: 80\n" + DOOR, ["(got 80); write 0.8 for 80 %"]),
        ("goal: energy\n" + DOOR, ["(got 'energy'); did you mean power?"]),
        ("give_up: 1\n" + DOOR, ["1: give_up: expected a number from 0 to 0.5 (got 1)"]),
        ("probe: 2\n" + DOOR, ["1: probe: expected a number from 0 to 0.2 (got 2)"]),
        (KEYS_OF_A_CAMERA + "probe: 0", ["unknown key"]),
        ("backend: gpu\n" + DOOR, ["(got 'gpu'); auto takes the GPU where it can"]),
        ("model: 1\n" + DOOR, ["1: model: expected text that is not empty (got 1); put it in quo"]),
        (KEYS_OF_A_CAMERA + "quiet: yes", ["(got 'yes'); for example quiet: {}"]),
        (KEYS_OF_A_CAMERA + "size: 640,480", ["width x height in pixels, such as 1280x720 (got"]),
        (KEYS_OF_A_CAMERA + "max_fps: 0", ["expected a number from 0.001 to 240 (got 0)"]),
        (KEYS_OF_A_CAMERA + "max_fps: 0.0009", ["a number from 0.001 to 240 (got 0.0009)"]),
        (KEYS_OF_A_CAMERA + "fps: 20fps", ["(got '20fps'); write 20, without the unit"]),
        (
            KEYS_OF_A_CAMERA + "roi: [[0,0,0.5,0.5],[0.5,0,0.5,0.5]]",
            ["4: cameras.door.roi: expected a list of 4, each item a number from 0 to 1 (got a l"],
        ),
        (
            DOOR + "events:\n  a: {class: golf ball, above: 60%}\n"
            "  b: {class: golf ball, for_seconds: 1s}\n  c: golf ball\n  d: {class: 1}",
            [
                "3: events.a.above: expected a number above 0, at most 1 (got '60%'); write 0.6",
                "4: events.b.for_seconds: expected a number from 0 to 3600 (got '1s'); write 1, w",
                "5: events.c: expected lines of `key: value` (got 'golf ball'); for example c: {",
                "6: events.d.class: expected text that is not empty (got 1); put it in quotes",
            ],
        ),
        (
            "http: 9640\n" + DOOR,
            ["expected lines of `key: value` (got a number); for example"],
        ),
        ("http: {listen: 0.0.0.0}\n" + DOOR, ["(got '0.0.0.0'); for example 127.0.0.1:9640"]),
        ("http: {tls: true}\n" + DOOR, ["(got true); for example tls: {"]),
        (
            DOOR + "results: {mqtt: {broker: 'mqtt://h', user: u, password: 012345}}",
            ["2: results.mqtt.password: expected text that is not empty (got a number); put it i"],
        ),
        (DOOR + "results: {mqtt: 192.0.2.3}", ["(got text); for example mqtt: {"]),
        (DOOR + "results: {mqtt: {broker: 'mqtt://h', version: 4}}", ["one of 5, 3.1.1 (got 4)"]),
        (DOOR + "results: {mqtt: {broker: 'mqtt://h', device: a b}}", ["letters, digits, _ and -"]),
        ("threads: [1, 2, 1]\n" + DOOR, ["1: threads[2]: duplicate item, first at pos"]),
        # names
        (
            (
                "cameras:\n  Front Door: {source: synthetic}\n  Küche: {source: synthetic}\n"
                "  garten/hinten: {source: synthetic}\n  1: {source: synthetic}\n"
            ),
            [
                f"2: cameras.'Front Door': {NAME}, 32 at most; for example front_door",
                f"3: cameras.Küche: {NAME}, 32 at most; for example kuche",
                f"4: cameras.'garten/hinten': {NAME}, 32 at most; for example garten_hinten",
                f"5: cameras.1: {NAME}, 32 at most; for example no_1",
            ],
        ),
        # what YAML makes of it
        ("cameras:\n  door: {source: synthetic\nresults: {}\n", ["3:8: not valid YAML: expected"]),
        ('cameras: {a: {source: "p\\@x"}}', ["a backslash begins an escape: use single quotes"]),
        (
            "cameras:\n  door:\n  source: synthetic\n",
            [
                "2: cameras.door: expected lines of `key: value` (got nothing); indent the lines",
                "3: cameras.source: expected lines of `key: value` (got text); source: is a key o",
            ],
        ),
        (
            "cameras:\n  door:\n    source: synthetic\n  views:\n    gate: {roi: [0, 0, 1, 1]}\n",
            [
                (
                    "4: cameras.views: expected exactly one of source, source_file (got none of "
                    "them); views: is a key of the section above: indent it by two"
                ),
                "5: cameras.views.gate: unknown key; views: is a key of the section above: indent",
            ],
        ),
        (
            f"{KEYS_OF_A_CAMERA}views:\n    gate: {{roi: [0, 0, 1, 1]}}\n",
            [
                (
                    "4: cameras.door.views: expected lines of `key: value` with 1 to 16 entries "
                    "(got nothing); indent the lines below it by two more spaces, for example "
                    "views: {"
                ),
                "5: cameras.door.gate: unknown key; if it is one of views, indent it by two more",
            ],
        ),
        (
            f"{KEYS_OF_A_CAMERA}views:\n      bin: {{}}\n    gate: {{roi: [0, 0, 1, 1]}}\n",
            ["6: cameras.door.gate: unknown key; if it is one of views, indent it by two more"],
        ),
        ("cameras:\n  a:\n    source: gst:a ! image/jpeg: b", ["a value with `: ` not in quotes?"]),
        (DOOR.encode("utf-8-sig"), []),
        (DOOR.replace("\n", "\r\n"), []),
        (DOOR.encode() + b"# \xfc", ["2: expected UTF-8 text (got the byte 0xfc); save the fi"]),
        # what only the family knows, together with the rest
        (
            "model: yolov8\nbackend: gpu\n" + DOOR,
            [
                "1: model: {folder}/yolov8: not a family: no family.yaml; name a folder with",
                "2: backend: expected one of",
            ],
        ),
        ("model: net.tflite\n" + DOOR, ["convert a file of weights to a family with: edged"]),
        (
            (
                "variants: [mobilenet_v1_0.5_160, mobilenet_v1_0.3_64]\nkeep_warm: 1\n"
                "cameras: {door: {source: ''}}\n"
                "events:\n  a: {class: person}\n  b: {class: golf_ball, cameras: [dor]}\n"
            ),
            [
                "1: variants[1]: no such variant in the family imagenette (got mobilenet_v1_0.3",
                "2: keep_warm: expected true or false (got 1)",
                "3: cameras.door.source: expected a source",
                "5: events.a.class: the family has no such class (got person); use one of tench",
                "6: events.b.cameras[0]: no such camera (got dor)",
                "6: events.b.class: the family has no such class (got golf_ball); did you mean g",
            ],
        ),
        # right, and yet not what was meant
        (
            "latency_budget_ms: 0.033\n" + DOOR,
            ["1: latency_budget_ms: 0.033 milliseconds; did you mean 33?"],
        ),
        (
            "min_fps: 60\ncameras: {door: {source: synthetic, fps: 5}}",
            ["1: min_fps: door cannot give 60 results a second, as it delivers 5 frames"],
        ),
        (
            "min_fps: 31\n" + DOOR,
            ["1: min_fps: door cannot give 31 results a second, as it delivers 30 frames"],
        ),
        (
            "cameras:\n  door:\n    source: synthetic\n    min_fps: 6\n    max_fps: 5\n",
            ["4: cameras.door.min_fps: door cannot give 6 results a second with max_fps 5"],
        ),
        (
            "latency_budget_ms: 0.1\ncameras: {a: {source: synthetic}, b: {source: synthetic}}",
            ["1: latency_budget_ms: 0.1 milliseconds; did you mean 100?"],
        ),
        (
            DOOR + "results: {jsonl: stdout}",
            ['2: results.jsonl: expected a file (got {folder}/stdout); write "-" for standard'],
        ),
        (
            DOOR + "results: {jsonl: edged.yaml/x}",
            ["2: results.jsonl: expected a file in a folder, not in another file (got {folder}"],
        ),
        (
            "http: none\n" + DOOR,
            ["1: http: expected lines of `key: value` (got text); to disable"],
        ),
        (
            "max_temperature_c: 75C\n" + DOOR,
            ["1: max_temperature_c: expected a number from 30 to 120 (got '75C'); write 75, with"],
        ),
        (
            DOOR + "results: {jsonl: /nope/dir/a}",
            ["2: results.jsonl: the folder /nope/dir does not exist"],
        ),
    ],
)
def test_a_mistake_has_its_line_its_key_and_what_to_do(
    tmp_path: Path, text: str | bytes, expected: list[str]
) -> None:
    found = answers(tmp_path, text)
    assert len(found) == len(expected), found
    for answer, part in zip(found, expected, strict=True):
        assert part.replace("{folder}", str(tmp_path)) in answer
        assert answer.startswith(part[:2]) or not part[:1].isdigit()


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("rtsp://user:p@ss@192.0.2.1/x", None),
        ("rtsp://user:p%zz@192.0.2.1/x", None),
        ("RTSP://192.0.2.1/x", None),
        ("http://cam.local:8080/to@site", None),
        ("rtsp://user:ab#cd@192.0.2.1/x", SIGNS),
        ("rtsp://user:ab/cd@192.0.2.1/x", SIGNS),
        ("rtsp://user:12#34@192.0.2.1/x", SIGNS),
        ("rtsp://user:12/34@192.0.2.1/x", SIGNS),
        ("rtsp://user:12?34@cam/x", SIGNS),
        ("rtsp://john.doe:12/34@192.0.2.1/x", SIGNS),
        ("rtsp://admin:1234", NO_HOST),
        ("rtsp://admin:12/34", NO_HOST),
        ("http://", NO_HOST),
        ("rtsp://cam/x#y", "the part of a URL after # is not sent to the camera; write %23 for #"),
        ("192.0.2.1", ADDRESS),
        ("192.0.2.1:554/stream1", ADDRESS),
        ("cam.local/stream1", ADDRESS),
        ("rtsp//192.0.2.1/x", ADDRESS),
        ("rtsp:/192.0.2.1/x", ADDRESS),
        ("//192.0.2.1/x", ADDRESS),
        ("user:word@192.0.2.1", ADDRESS),
        ("user:word", ADDRESS),
        ("usb", USB),
        ("webcam", USB),
        ("video0", USB),
        ("/dev/video", USB),
        ("imx219", RIBBON),
        ("picamera", "expected a source; did you mean picamera2?"),
        ("libcamera0", "expected a source; did you mean libcamera?"),
        ("syntetic", "expected a source; did you mean synthetic?"),
        ("https://www.youtube.com/watch?v=abc", "a web page with a video is not a stream"),
        ("rtmp://192.0.2.1/live", "most cameras also have an RTSP address: write rtsp://…"),
        ("onvif://192.0.2.1", "find the camera's RTSP address on its web page"),
        ("udp://@239.0.0.1:1234", "receive it with a GStreamer pipeline: gst:udpsrc"),
        ("$CAM", "expected a source, not the name of a variable; write ${NAME}"),
        ("photos/*.jpg", "expected one file or a folder, not a pattern; write the folder"),
    ],
)
def test_sources(tmp_path: Path, source: str, expected: str | None) -> None:
    found = answers(tmp_path, f"cameras:\n  door:\n    source: '{source}'\n")
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        assert found[0].startswith("3: cameras.door.source: ")
        assert expected in found[0]


@pytest.mark.parametrize("name", ["usb", "192.0.2.1", "a:b", "imx219", "$CAM", "a*.jpg"])
def test_a_file_of_that_name_is_a_file(tmp_path: Path, name: str) -> None:
    (tmp_path / name).touch()
    assert answers(tmp_path, f"cameras: {{door: {{source: '{name}'}}}}") == []


@pytest.mark.parametrize(
    ("text", "good"),
    [
        ("synthetic", True),
        ("synthetic:640x480@30", True),
        ("synthetic:?still", True),
        ("synthetic:@30", True),
        ("synthetic:640x480@1000", True),
        ("synthetic:640x480@1001", False),
        ("synthetic:5000x480", False),
        ("synthetic:9x9", False),
        ("synthetic:@0", False),
        ("synthetic:", False),
    ],
)
def test_a_drawn_scene_is_taken_by_the_configuration_if_it_can_be_drawn(
    tmp_path: Path, text: str, good: bool
) -> None:
    assert (answers(tmp_path, f"cameras: {{a: {{source: '{text}'}}}}") == []) is good
    source = SyntheticSource(CaptureRequest(text), Notes(None).admission)
    if good:
        source.open()
    else:
        with pytest.raises(SourceError) as caught:
            source.open()
        assert caught.value.reason is Failure.OPEN_FAILED


def test_a_size_that_cannot_be_drawn_has_its_line(tmp_path: Path) -> None:
    found = answers(tmp_path, KEYS_OF_A_CAMERA + "size: 7680x4320")
    assert found == ["4: cameras.door.size: expected sides of 16 to 4096 pixels (got 7680x4320)"]


# Each command takes the file in either way


def test_every_command_takes_the_file_with_and_without_a_letter(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text("cameras: {}")
    for command in ("check", "run"):
        for words in ([str(path)], ["-c", str(path)], [f"--config={path}"]):
            assert main([command, *words]) == 2
            shown = capsys.readouterr()
            assert f"{path}:1: cameras: expected lines" in shown.out + shown.err
        assert main([command, str(path), "-c", str(path)]) == 2
        assert "expected one configuration" in capsys.readouterr().err
    for words in (["doctor", "a.yaml"], ["doctor", "-c", "a.yaml"]):
        assert config_of(make_parser().parse_args(words)) == Path("a.yaml")
    assert config_of(make_parser().parse_args(["doctor"])) is None
    assert main(["check"]) == 2
    assert "no configuration given; for example: edged check edged" in capsys.readouterr().err


# Time


def _seconds(folder: Path, text: str) -> float:
    begun = time.process_time()
    answers(folder, text)
    return time.process_time() - begun


@pytest.mark.parametrize(
    "text",
    [
        lambda n: DOOR + "variants: [0," + ",".join(f"b{i}" for i in range(n)) + "]",
        lambda n: DOOR + "threads: [" + ",".join("x" for _ in range(n)) + "]",
        lambda n: DOOR + "events: {a: {classes: [" + ",".join(f"b{i}" for i in range(n)) + "]}}",
        lambda n: DOOR + "".join(f"key{i}: 1\n" for i in range(n)),
        lambda n: "cameras:\n" + "".join(f"  a{i}: {{source: usb, b: 1}}\n" for i in range(n // 8)),
        lambda n: f"cameras: {{a: {{source: 'a{':' * n}'}}}}",
        lambda n: f"cameras: {{a: {{source: 'rtsp://{':@' * (n // 2)}'}}}}",
        lambda n: DOOR + f"# password rtsp://{':' * n * 20}\n",
    ],
)
def test_time_grows_with_the_file_not_with_its_square(
    tmp_path: Path, text: Callable[[int], str]
) -> None:
    assert _seconds(tmp_path, text(2000)) < 10 * _seconds(tmp_path, text(500)) + 0.1


def test_a_file_that_is_no_configuration_is_given_up(tmp_path: Path) -> None:
    many = "variants: [" + "a," * 100_000 + "]\n" + DOOR
    assert "more than 10000 keys and values; is this the right file?" in answers(tmp_path, many)[0]
    long = f"model: {'a' * 5000}\n" + DOOR
    assert answers(tmp_path, long) == [
        "1:8: not valid YAML: a key or value of more than 4096 characters; is this the right file?"
    ]
