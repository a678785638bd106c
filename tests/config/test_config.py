from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edged.capture.decode.raw_formats import LAYOUTS
from edged.capture.schema import PIXEL_FORMATS
from edged.capture.source import CaptureRequest
from edged.config.camera import CameraConfig
from edged.config.config import Config, load_config
from edged.config.schema.schema import json_schema
from edged.config.warnings import warnings
from edged.errors import InputError, InputErrors
from edged.sinks.jsonl.options import JsonlConfig
from edged.sinks.options import ResultsConfig
from edged.web.options import HttpConfig

EXAMPLE = """\
model: imagenette                   # a shipped family by name, or a path relative to this file
latency_budget_ms: 33               # capture → result
on_time: 0.95                       # share of results that must make it
cameras:
  door:
    source: /dev/v4l/by-id/usb-Door_Camera-video-index0
    latency_budget_ms: 50           # any camera may override
    size: 1280x720                  # asked of the camera, as is fps; what is granted is logged
    fps: 30
    max_fps: 15                     # results a second at most
    rotate: 180                     # 0, 90, 180, 270
    flip: horizontal
    loop: true
backend: auto
http: {listen: 127.0.0.1:9640}
results: {jsonl: "-", top_k: 3, min_score: 0.1}   # "-" is standard output
"""

Load = Callable[..., Config]


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "edged.yaml"
        path.write_text(text)
        path.chmod(0o640)  # there may be a password in it
        return load_config(path, environ or {})

    return loaded


@pytest.fixture
def complaint(load: Load) -> Callable[..., str]:
    def complained(text: str, environ: Mapping[str, str] | None = None) -> str:
        with pytest.raises(InputErrors) as caught:
            load(text, environ)
        assert len(caught.value.errors) == 1, str(caught.value)
        return str(caught.value)

    return complained


def camera(line: str) -> str:
    return f"cameras:\n  door:\n    {line}\n"


# What a file becomes


def test_the_example_and_its_values(load: Load, tmp_path: Path) -> None:
    assert load(EXAMPLE) == Config(
        path=tmp_path / "edged.yaml",
        model="imagenette",
        base=tmp_path,
        cameras=(
            CameraConfig(
                name="door",
                capture=CaptureRequest(
                    "/dev/v4l/by-id/usb-Door_Camera-video-index0",
                    size=(1280, 720),
                    fps=30.0,
                    max_fps=15.0,
                    rotate=180,
                    flip="horizontal",
                    loop=True,
                ),
                latency_budget_ms=50.0,
                on_time=0.95,
            ),
        ),
        backend="auto",
        threads=(1,),
        variants=None,
        http=HttpConfig("127.0.0.1", 9640),
        results=ResultsConfig({"jsonl": JsonlConfig()}, 3, 0.1),
    )


def test_three_lines_are_enough(load: Load) -> None:
    config = load("cameras:\n  a:\n    source: synthetic\n")
    assert config == replace(
        load(EXAMPLE),
        cameras=(CameraConfig("a", CaptureRequest("synthetic"), 33.0, 0.95),),
    )


def test_cameras_take_from_the_top_what_they_do_not_say(load: Load) -> None:
    config = load(
        "latency_budget_ms: 20\non_time: 0.9\ncameras:\n"
        "  a: {source: synthetic}\n"
        "  b: {source: synthetic, latency_budget_ms: 7.5}\n"
        "  c: {source: synthetic, on_time: 0.5, fps: 0.2}\n"
    )
    settings = [(c.name, c.latency_budget_ms, c.on_time, c.capture.fps) for c in config.cameras]
    assert settings == [("a", 20.0, 0.9, None), ("b", 7.5, 0.9, None), ("c", 20.0, 0.5, 0.2)]


def test_constraints(load: Load) -> None:
    config = load(
        "min_fps: 10\nmin_top1: 0.8\nmax_temperature_c: 75\ncameras:\n"
        "  a: {source: synthetic}\n"
        "  b: {source: synthetic, min_fps: 2.5, min_top1: 0}\n"
    )
    assert [(c.min_fps, c.min_top1) for c in config.cameras] == [(10.0, 0.8), (2.5, 0.0)]
    assert config.max_temperature_c == 75.0
    assert not config.keep_warm
    assert load("keep_warm: true\n" + camera("source: synthetic")).keep_warm
    plain = load(camera("source: synthetic"))
    assert (plain.cameras[0].min_fps, plain.cameras[0].min_top1) == (None, 0.0)
    assert plain.max_temperature_c is None


def test_values_are_frozen_and_have_no_room_for_others(load: Load) -> None:
    config = load(EXAMPLE)
    assert config.http is not None
    for value in (config, config.cameras[0], config.http, config.results):
        assert not hasattr(value, "__dict__")
        with pytest.raises(FrozenInstanceError):
            setattr(value, value.__slots__[0], None)


@pytest.mark.parametrize(
    ("source", "becomes"),
    [
        ("synthetic", "synthetic"),
        ("synthetic:640x480", "synthetic:640x480"),
        ("synthetic:640x480@12.5", "synthetic:640x480@12.5"),
        ("synthetic:640x480@30?still", "synthetic:640x480@30?still"),
        ("/dev/video0", "/dev/video0"),
        ("rtsp://u:p%40@10.0.0.5:554/1", "rtsp://u:p%40@10.0.0.5:554/1"),
        ("RTSPS://u:p@ss@cam/1?a=b", "RTSPS://u:p@ss@cam/1?a=b"),
        ("http://[fe80::1]:80/video", "http://[fe80::1]:80/video"),
        ("clip.mp4", "{base}/clip.mp4"),
        ("../clips/a:b@c.mp4", "{base}/../clips/a:b@c.mp4"),
        ("photos/", "{base}/photos"),
        ("./synthetic", "{base}/synthetic"),
        ("./0", "{base}/0"),
        ("csi", "csi"),
        ("csi:1", "csi:1"),
        ("picamera2:1", "picamera2:1"),
        ("libcamera", "libcamera"),
        ("libcamera:/base/soc/i2c@1/imx219@10", "libcamera:/base/soc/i2c@1/imx219@10"),
        ("gst:v4l2src ! jpegdec ! tee name=t  t.", "gst:v4l2src ! jpegdec ! tee name=t  t."),
        ("./csi", "{base}/csi"),
        ("~/clip.mp4", "{home}/clip.mp4"),
        ("~nobody-of-that-name/a", "{base}/~nobody-of-that-name/a"),
    ],
)
def test_sources(load: Load, tmp_path: Path, source: str, becomes: str) -> None:
    config = load(camera(f'source: "{source}"'))
    expected = becomes.format(base=tmp_path, home=Path.home())
    assert config.cameras[0].capture.source == expected


def test_paths_start_at_the_folder_of_the_file(
    load: Load, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load(camera("source: a.mp4") + "model: ./birds\nresults: {jsonl: out/r.jsonl}")
    assert config.model == "./birds"
    assert config.base == tmp_path
    assert config.results.sinks == {"jsonl": JsonlConfig(tmp_path / "out/r.jsonl")}
    monkeypatch.chdir(tmp_path)
    relative = load_config(Path("edged.yaml"), {})
    assert relative.base == tmp_path
    assert relative.cameras[0].capture.source == f"{tmp_path}/a.mp4"


@pytest.mark.parametrize(
    ("listen", "http"),
    [
        ("127.0.0.1:9640", HttpConfig("127.0.0.1", 9640)),
        ("0.0.0.0:0", HttpConfig("0.0.0.0", 0)),
        ("localhost:65535", HttpConfig("localhost", 65535)),
        ("[::1]:9640", HttpConfig("::1", 9640)),
        ("[fe80::1%eth0]:9640", HttpConfig("fe80::1%eth0", 9640)),
        ("none", None),
    ],
)
def test_listen(load: Load, listen: str, http: HttpConfig | None) -> None:
    assert load(camera("source: synthetic") + f'http: {{listen: "{listen}"}}').http == http


def test_the_other_choices(load: Load) -> None:
    config = load(
        camera("source: synthetic") + "threads: [1, 4]\nbackend: onnxruntime\n"
        "variants: [mobilenet_v1_1_224, mobilenet_v1_0.25_128_int8]\n"
        "results: {jsonl: none}\n"
    )
    assert config.threads == (1, 4)
    assert config.backend == "onnxruntime"
    assert config.variants == ("mobilenet_v1_1.0_224", "mobilenet_v1_0.25_128_int8")
    assert config.results == ResultsConfig({}, 3, 0.1)


# Secrets


def test_a_source_from_a_variable(load: Load) -> None:
    config = load(
        "latency_budget_ms: ${BUDGET}\n" + camera("source: rtsp://admin:${PASSWORD}@cam/1"),
        {"PASSWORD": "hunter2", "BUDGET": "40"},
    )
    assert config.cameras[0].capture.source == "rtsp://admin:hunter2@cam/1"
    assert config.cameras[0].latency_budget_ms == 40.0
    assert "hunter2" not in f"{config} {config!r} {warnings(config)}"


def test_a_source_from_a_file(load: Load, tmp_path: Path) -> None:
    secret = tmp_path / "door"
    secret.write_text("rtsp://admin:${hunter2}@cam/1\n")
    config = load(camera("source_file: ${DIRECTORY}/door"), {"DIRECTORY": str(tmp_path)})
    assert config.cameras[0].capture.source == "rtsp://admin:${hunter2}@cam/1"
    assert config.cameras[0].source_file == secret
    assert load(camera("source_file: door")) == config
    assert "hunter2" not in f"{config} {config!r}"
    secret.write_text("clip.mp4")
    (tmp_path / "clip.mp4").touch()
    assert load(camera("source_file: door")).cameras[0].capture.source == f"{tmp_path}/clip.mp4"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "source_file: expected a file with one line, the source"),
        (b"\n", "expected a file with one line"),
        (b"rtsp://admin:hunter2@cam/1\nmore", "expected a file with one line"),
        (b"\xff", "expected a file with one line"),
        (b"a" * 5000, "expected a file with one line"),
        (b"rtsq://admin:hunter2@cam/1", "https://; did you mean rtsp://?"),
        (b"admin:hunter2@cam/1", "source_file: this looks like an address, and"),
        (b"hunter2", "the camera's whole address, not its password alone"),
        (b"/hunter2", "the camera's whole address, not its password alone"),
        (None, "source_file: cannot be read: No such file or directory; write"),
    ],
)
def test_a_secret_file_that_is_wrong(
    complaint: Callable[..., str], tmp_path: Path, content: bytes | None, message: str
) -> None:
    if content is not None:
        (tmp_path / "door").write_bytes(content)
    assert message in complaint(camera("source_file: door"))
    assert "hunter2" not in complaint(camera("source_file: door"))


# What is wrong


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("source: rstp://u:hunter2@h/", "https://; did you mean rtsp://?"),
        ("source: ftp://h/clip.mp4", "expected a URL of rtsp://, rtsps://, http://, https://"),
        ("source: rtsp://", "a URL without a host"),
        ("source: rtsp://cam..example/live", "expected a host name"),
        ("source: rtsp://cam:99999/live", "a port is a number from 1 to 65535"),
        ("source: rtsp:///live", "a URL without a host"),
        ("source: rtsp://cam:port/live", "a URL without a host"),
        ("source: rtsp://u:hun/ter2@h/1", "no / ? or # may stand in a user name or password"),
        ("source: rtsp://u:h@n/ter2@h/1", "no / ? or # may stand in a user name or password"),
        ("source: 'rtsp://u:hun ter2@h/1'", "a URL has no blanks; write %20"),
        ("source: rtsp:/cam/live", "looks like an address, and has no rtsp:// or http://"),
        ("source: u:hunter2@cam/live", "looks like an address, and has no rtsp:// or http://"),
        ("source: synthetic:640", "write synthetic or synthetic:1280x720@30"),
        ("source: csi:a", "write csi:1 or picamera2:1 for the second camera"),
        ("source: picamera2:-1", "expected a camera on a ribbon cable; write csi:1"),
        ("source: 'libcamera:'", "libcamera:NAME for a named one"),
        ("source: 'gst:'", "expected a GStreamer pipeline after gst:; write gst:v4l2src"),
        ("source: gst:rtspsrc user-pw='hunter2", "a quotation mark without its partner"),
        ("source: gst:gst-launch-1.0 v4l2src", "a pipeline is written without gst-launch-1.0"),
        ("source: gst:rtspsrc user-pw=hunter2 !", "a pipeline does not end with !"),
        ("source: rtspsrc user-pw=hunter2 ! decodebin", "a GStreamer pipeline begins with gst:"),
        (
            "source: '0'",
            "a camera is not named by its number; name its device: /dev/video0",
        ),
        ("source: 0", 'expected text that is not empty (got a number); for example "/dev/v4l/'),
        ("source: ''", "expected a source; for example clip.mp4"),
        ("source: rtsp://u:${PASSWORD}@h", "cameras.door.source: the variable PASSWORD is not set"),
        ("size: 1280x720", "expected exactly one of source, source_file (got none of them)"),
    ],
)
def test_sources_that_are_wrong(
    complaint: Callable[..., str], tmp_path: Path, line: str, message: str
) -> None:
    found = complaint(camera(line))
    assert message in found
    assert found.startswith(f"{tmp_path}/edged.yaml:{2 if line.startswith('size') else 3}: ")
    assert "hun" not in found


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("latency_budget_ms: 0", "expected a number above 0, at most 60000 (got 0)"),
        ("latency_budget_ms: 60001", "expected a number above 0, at most 60000 (got 60001)"),
        ("latency_budget_ms: 33ms", "(got '33ms'); write 33, without the unit"),
        ("on_time: 0.49", "expected a number from 0.5 to 0.999 (got 0.49)"),
        ("on_time: 1", "expected a number from 0.5 to 0.999 (got 1)"),
        ("size: 1280X720", "expected width x height in pixels, such as 1280x720 (got '1280X720')"),
        ("size: 7681x4320", "expected width x height, 16x16 to 7680x4320 (got '7681x4320')"),
        ("size: 7680x4321", "16x16 to 7680x4320"),
        ("size: 15x15", "16x16 to 7680x4320"),
        ("size: [1280, 720]", "(got a list)"),
        ("fps: 0", "expected a number above 0, at most 240 (got 0)"),
        ("fps: 241", "expected a number above 0, at most 240 (got 241)"),
        ("max_fps: .nan", "expected a number above 0, at most 240 (got '.nan')"),
        ("rotate: 45", "expected one of 0, 90, 180, 270 (got 45)"),
        ("rotate: false", "expected one of 0, 90, 180, 270 (got false)"),
        ("flip: horizonal", "(got 'horizonal'); did you mean horizontal?"),
        ("loop: yes", "expected true or false (got 'yes'); write true"),
        ("rotat: 90", "cameras.door.rotat: unknown key; did you mean rotate?"),
    ],
)
def test_cameras_that_are_wrong(
    complaint: Callable[..., str], tmp_path: Path, line: str, message: str
) -> None:
    found = complaint(camera(f"source: synthetic\n    {line}"))
    assert message in found
    assert found.startswith(f"{tmp_path}/edged.yaml:4: cameras.door.{line.split(':')[0]}: ")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("model: 5", "model: expected text that is not empty (got 5); put it in quotes"),
        ("backend: onnx", "backend: expected one of auto, onnxruntime"),
        ("threads: 2", "threads: expected a list (each item a whole number from 1 to 64)"),
        ("threads: [0]", "threads[0]: expected a whole number from 1 to 64 (got 0)"),
        ("threads: [1, 1]", "threads[1]: stands in the list twice, first as number 1 (got 1)"),
        ("threads: []", "threads: expected a list"),
        ("variants: []", "variants: expected a list"),
        ("variants: [a]", "variants[0]: not the name of a variant (got 'a'); write it as mobilene"),
        ("http: {listen: 9640}", 'listen: expected text (got 9640); for example "127.0.0.1:9640"'),
        ("http: {listen: ':9640'}", "expected address:port or none (got ':9640'); for example 127"),
        ("http: {listen: '*:9640'}", "or 0.0.0.0:9640 for every interface"),
        ("http: {listen: '::1:9640'}", "expected address:port or none"),
        ("http: {listen: '[127.0.0.1]:1'}", "expected address:port or none"),
        ("http: {listen: '127.0.0.256:1'}", "expected address:port or none"),
        ("http: {listen: '[::1%]:1'}", "expected address:port or none"),
        ("http: {listen: 'localhost:65536'}", "expected address:port or none"),
        ("http: {port: 1}", 'http.port: unknown key; write listen: "127.0.0.1:9640"'),
        ("http: none", "http: expected lines of `key: value` (got text)"),
        ("results: {top_k: 0}", "results.top_k: expected a whole number from 1 to 100 (got 0)"),
        ("results: {top_k: 101}", "results.top_k: expected a whole number from 1 to 100 (got 101)"),
        ("results: {min_score: 1.1}", "results.min_score: expected a number from 0 to 1 (got 1.1)"),
        ("results: {jsonl: ''}", "results.jsonl: expected a file, \"-\" or none (got '')"),
        ("min_top1: 83", "min_top1: expected a number from 0 to 1 (got 83)"),
        ("min_fps: 0", "min_fps: expected a number above 0, at most 240 (got 0)"),
        ("max_temperature_c: 20", "max_temperature_c: expected a number from 30 to 120 (got 20)"),
        ("max_temperature_c: hot", "max_temperature_c: expected a number from 30 to 120"),
        ("max_temperature: 70", "did you mean max_temperature_c?"),
        ("latency_budget: 5", "latency_budget: unknown key; did you mean latency_budget_ms?"),
    ],
)
def test_the_rest_that_is_wrong(
    complaint: Callable[..., str], tmp_path: Path, line: str, message: str
) -> None:
    found = complaint(f"{line}\n" + camera("source: synthetic"))
    assert message in found
    assert found.startswith(f"{tmp_path}/edged.yaml:1: ")


@pytest.mark.parametrize(
    "name", ["Door", "1st", "front door", "a" * 33, "_a", "tür", "a.b", "on\n"]
)
def test_names_of_cameras_become_labels(complaint: Callable[..., str], name: str) -> None:
    text = yaml.safe_dump({"cameras": {name: {"source": "synthetic"}, "b-_9": {"source": "x"}}})
    assert "a lower-case letter, then" in complaint(text) or "control characters" in complaint(text)


def test_no_camera_is_an_error(complaint: Callable[..., str]) -> None:
    assert "cameras: is missing" in complaint("model: imagenette")
    assert "with 1 to 256 entries (got an empty mapping)" in complaint("cameras: {}")
    assert "with 1 to 256 entries (got nothing)" in complaint("cameras:")


def test_keys_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text("? cameras: {door: {source: synthetic}}\n")
    with pytest.raises(InputError, match=r"edged\.yaml:1: expected a key that is text"):
        load_config(path, {})


def test_every_error_at_once(load: Load) -> None:
    with pytest.raises(InputErrors) as caught:
        load(
            "modle: imagenette\n"
            "latency_budget_ms: 0\n"
            "cameras:\n"
            "  Door: {source: rstp://h/}\n"
            "  yard:\n"
            "    source_file: absent\n"
            "    size: 1x1\n"
            "    rotate: 1\n"
            "    rotate: 2\n"
            "http: {listen: x}\n"
            "variants: [y]\n"
            "results: {jsonl: '${NOPE}'}\n"
        )
    lines = [str(error.where).rpartition(":")[2] for error in caught.value.errors]
    assert lines == ["1", "2", "4", "4", "6", "7", "8", "9", "10", "11", "12"]
    assert all(error.exit_status == 2 for error in caught.value.errors)


# Keys of V4L2 devices


def test_format_and_controls(load: Load) -> None:
    config = load(
        "cameras:\n  a: {source: /dev/video0, format: YUYV, "
        "controls: {gain: 4, focus_automatic_continuous: false, auto_exposure: Manual Mode}}\n"
        "  b: {source: /dev/video1}\n"
    )
    assert [(c.capture.format, c.capture.controls) for c in config.cameras] == [
        ("YUYV", {"gain": 4, "focus_automatic_continuous": False, "auto_exposure": "Manual Mode"}),
        (None, {}),
    ]


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("controls: {Gain: 4}", "cameras.door.controls.Gain: expected a name that is lower-case"),
        ("controls: {gain: 1.5}", "cameras.door.controls.gain: expected a whole number or"),
        ("controls: {gain: [1]}", "cameras.door.controls.gain: expected a whole number or"),
        ("controls: 4", "cameras.door.controls: expected lines of `key: value`"),
        ("format: MPEG", "cameras.door.format: expected one of MJPG, JPEG, YUYV"),
    ],
)
def test_controls_and_formats_that_cannot_be(
    complaint: Callable[..., str], line: str, said: str
) -> None:
    assert said in complaint(camera(f"source: /dev/video0\n    {line}"))


@pytest.mark.parametrize("source", ["rtsp://u:hunter2@h/", "synthetic", "clip.mp4", "picamera2"])
def test_only_devices_have_formats_and_controls(load: Load, source: str) -> None:
    with pytest.raises(InputErrors) as caught:
        load(camera(f"source: {source}\n    format: YUYV\n    controls: {{gain: 4}}"))
    assert [str(error).split(": ", 1)[1] for error in caught.value.errors] == [
        "cameras.door.format: only a V4L2 device (/dev/…) has that",
        "cameras.door.controls: only a V4L2 device (/dev/…) has that",
    ]
    assert [str(error).split(": ")[0][-2:] for error in caught.value.errors] == [":4", ":5"]


def test_the_formats_are_those_that_can_be_read() -> None:
    assert set(PIXEL_FORMATS) == {"MJPG", "JPEG", *LAYOUTS}


# Warnings


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
            ["/dev/v4l/by-id/usb-Door-video-index0 stays the same"],
        ),
        ("source: /dev/video1", ["; a link in /dev/v4l/by-id stays the same"]),
        ("source: /dev/v4l/by-id/usb-Door-video-index0", []),
        (
            "source: /dev/video9",
            [
                "may be another camera after a restart",
                "/dev/video9: No such file or directory; the",
            ],
        ),
        ("source: absent.mp4", ["absent.mp4: No such file or directory; the camera waits for it"]),
        ("source: gst:v4l2src ! jpegdec", []),
        ("source: gst:rtspsrc user-pw=x ! decodebin", ["in the list of processes; a camera's own"]),
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
        assert warning.startswith("cameras.door: ")
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
    assert all("http.listen: " in each and "from other machines" in each for each in found)


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
    assert found == ["cameras.door: min_fps 10 is not reached with max_fps 5"] * warned


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
    assert found == (
        [f"cameras.door: everybody can read {tmp_path}/door; chmod o= {tmp_path}/door"] * warned
    )


# The schema


def _keys(described: Mapping[str, Any]) -> Iterator[tuple[str, Mapping[str, Any]]]:
    inner = described.get("additionalProperties")
    for name, key in [*described.get("properties", {}).items(), ("*", inner)]:
        if isinstance(key, dict):
            yield name, key
            yield from _keys(key)


def test_the_schema_is_one_and_takes_the_example() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(yaml.safe_load(EXAMPLE))
    assert not validator.is_valid({"cameras": {"door": {"source": "synthetic", "rotate": 45}}})


def test_every_key_completes_in_an_editor() -> None:
    keys = list(_keys(json_schema()))
    assert len(keys) > 20
    for name, key in keys:
        assert key["title"], name
        assert key["description"].endswith("."), name
        assert key["examples"], name
        values = [*key["examples"], *([key["default"]] if "default" in key else [])]
        for value in values:
            jsonschema.Draft202012Validator(key).validate(value)


def test_what_has_no_default_says_what_happens_without_it() -> None:
    without = {name for name, key in _keys(json_schema()) if "default" not in key}
    required = {"cameras", "*", "source", "source_file", "certificate", "key", "class", "classes"}
    required |= {"broker", "url", "path", "max_bytes"}
    described = dict(_keys(json_schema()))
    silent = {n for n in without - required if "ithout it" not in described[n]["description"]}
    assert silent <= {
        "latency_budget_ms",
        "on_time",
    }  # a camera's own: the top of the file has them
    assert all("default" in json_schema()["properties"][name] for name in silent)


def test_a_copy_of_the_schema_may_be_changed() -> None:
    json_schema()["properties"].clear()
    assert json_schema()["properties"]


def test_checking_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "edged.yaml").write_text(EXAMPLE)
    program = (
        "import sys; from pathlib import Path\n"
        "from edged.config.config import load_config\n"
        "from edged.config.warnings import warnings\n"
        "from edged.config.schema.schema import json_schema\n"
        "warnings(load_config(Path(sys.argv[1]), {})); json_schema()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "edged.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    loaded = set(done.stdout.split())
    assert "yaml" in loaded
    heavy = {
        "numpy",
        "cv2",
        "onnxruntime",
        "av",
        "onnx",
        "h5py",
        "prometheus_client",
        "multiprocessing",
    }
    assert loaded & heavy == set()


def test_from_when_on_a_camera_is_frozen_or_stalled(
    load: Load, complaint: Callable[..., str]
) -> None:
    (usual,) = load(camera("source: synthetic")).cameras
    assert usual.capture.frozen_after_seconds is None
    (strict,) = load(camera("{source: synthetic, frozen_after_seconds: 10}")).cameras
    assert strict.capture.frozen_after_seconds == 10.0
    said = complaint(camera("{source: synthetic, frozen_after_seconds: 0}"))
    assert "cameras.door.frozen_after_seconds" in said
    assert usual.capture.stalled_after_seconds is None
    (slow,) = load(camera("{source: synthetic, stalled_after_seconds: 90}")).cameras
    assert slow.capture.stalled_after_seconds == 90.0
    said = complaint(camera("{source: synthetic, stalled_after_seconds: 0}"))
    assert "cameras.door.stalled_after_seconds" in said


# Anything at all

_PIECES = st.sampled_from(
    [*EXAMPLE.split(), "\n", "  ", ": ", "- ", "[", "]", "{", "}", "'", '"', "#", "!", "&a", "*a"]
    + [
        "null",
        "true",
        "-1",
        "1e999",
        ".nan",
        "${HOME}",
        "${",
        "$${",
        "\t",
        "\0",
        "rtsp://u:p@h",
        "é",
    ]
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    path = tmp_path_factory.mktemp("fuzz") / "edged.yaml"

    def check(text: str) -> None:
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
        try:
            config = load_config(path, {"HOME": "/root"})
        except InputError as error:
            assert str(error).startswith(str(path))
            return
        assert config.cameras
        assert all(0 < camera.latency_budget_ms <= 60_000 for camera in config.cameras)
        assert all(isinstance(warning, str) for warning in warnings(config))

    return check


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(_PIECES, max_size=30).map("".join)))
@example("cameras: {a: {source: 'a\\u0000'}}")
def test_any_text_gives_a_configuration_or_an_input_error(
    fuzzed: Callable[[str], None], text: str
) -> None:
    fuzzed(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_of_a_valid_file_gives_a_configuration_or_an_input_error(
    fuzzed: Callable[[str], None], data: st.DataObject
) -> None:
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 12, len(text))))
        text = text[:start] + data.draw(st.one_of(_PIECES, st.text(max_size=5))) + text[end:]
    fuzzed(text)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([name for name, _ in _keys(json_schema()) if name != "*"]),
    st.sampled_from(["", "cameras", "door", "http", "results"]),
    _VALUES,
)
def test_any_value_at_any_key_gives_a_configuration_or_an_input_error(
    fuzzed: Callable[[str], None], name: str, place: str, value: object
) -> None:
    content = yaml.safe_load(EXAMPLE)
    holder = content["cameras"]["door"] if place == "door" else content.get(place, content)
    holder[name] = value
    fuzzed(yaml.safe_dump(content, allow_unicode=True))
