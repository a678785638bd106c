from __future__ import annotations

from collections.abc import Callable
from dataclasses import FrozenInstanceError, replace
from pathlib import Path

import pytest

from edged.capture.decode.raw_formats import LAYOUTS
from edged.capture.schema import PIXEL_FORMATS
from edged.capture.source import CaptureRequest
from edged.config.camera import CameraConfig, ViewConfig
from edged.config.config import Config, load_config
from edged.config.warnings import warnings
from edged.errors import InputErrors
from edged.history.options import HistoryConfig
from edged.sinks.jsonl.options import JsonlConfig
from edged.sinks.options import ResultsConfig
from edged.web.options import HttpConfig
from tests.rig.configuration import EXAMPLE, Load, camera

# What a file becomes


def test_the_example_and_its_values(load: Load, tmp_path: Path) -> None:
    assert load(EXAMPLE) == Config(
        path=tmp_path / "edged.yaml",
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
                views=(ViewConfig("door", "imagenette", None, 50.0, 0.95, max_fps=15.0),),
            ),
        ),
        backend="auto",
        threads=(1,),
        http=HttpConfig("127.0.0.1", 9640),
        results=ResultsConfig({"jsonl": JsonlConfig()}, 3, 0.1),
        history=HistoryConfig(days=30, max_bytes=200_000_000),
        probe=0.02,
    )


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("none", None),
        ("{days: 7}", HistoryConfig(7, 200_000_000)),
        ("{max_bytes: 10000000}", HistoryConfig(30, 10_000_000)),
    ],
)
def test_the_history_is_on_unless_it_is_switched_off(
    load: Load, text: str, expected: HistoryConfig | None
) -> None:
    assert load(f"cameras: {{a: {{source: synthetic}}}}\nhistory: {text}\n").history == expected


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("off", "history: expected none, or {days: 30} (got 'off'); to switch it off: history"),
        ("{days: 0}", "history.days: expected a whole number from 1 to 3650 (got 0)"),
        ("{max_bytes: 9999999}", "history.max_bytes: expected a whole number at least 10000000"),
        ("{keep: 3}", "history.keep: unknown key; did you mean days?"),
    ],
)
def test_a_mistake_in_the_history_is_told(load: Load, text: str, said: str) -> None:
    with pytest.raises(InputErrors) as errors:
        load(f"cameras: {{a: {{source: synthetic}}}}\nhistory: {text}\n")
    assert f"edged.yaml:2: {said}" in str(errors.value)


def test_three_lines_are_enough(load: Load) -> None:
    config = load("cameras:\n  a:\n    source: synthetic\n")
    view = ViewConfig("a", "imagenette", None, 33.0, 0.95)
    camera = CameraConfig("a", CaptureRequest("synthetic"), (view,))
    assert config == replace(load(EXAMPLE), cameras=(camera,))


def test_cameras_take_from_the_top_what_they_do_not_say(load: Load) -> None:
    config = load(
        "latency_budget_ms: 20\non_time: 0.9\ncameras:\n"
        "  a: {source: synthetic}\n"
        "  b: {source: synthetic, latency_budget_ms: 7.5}\n"
        "  c: {source: synthetic, on_time: 0.5, fps: 0.2}\n"
    )
    settings = [(view.id, view.latency_budget_ms, view.on_time) for view in config.views]
    assert settings == [("a", 20.0, 0.9), ("b", 7.5, 0.9), ("c", 20.0, 0.5)]
    assert [camera.capture.fps for camera in config.cameras] == [None, None, 0.2]


def test_constraints(load: Load) -> None:
    config = load(
        "min_fps: 10\nmin_top1: 0.8\nmax_temperature_c: 75\nmax_power_w: 7.5\ncameras:\n"
        "  a: {source: synthetic}\n"
        "  b: {source: synthetic, min_fps: 2.5, min_top1: 0}\n"
    )
    assert [(view.min_fps, view.min_top1) for view in config.views] == [(10.0, 0.8), (2.5, 0.0)]
    assert config.max_temperature_c == 75.0
    assert config.max_power_w == 7.5
    assert not config.keep_warm
    assert load("keep_warm: true\n" + camera("source: synthetic")).keep_warm
    plain = load(camera("source: synthetic"))
    assert (plain.views[0].min_fps, plain.views[0].min_top1) == (None, 0.0)
    assert plain.max_temperature_c is None
    assert plain.max_power_w is None


def test_values_are_frozen_and_have_no_room_for_others(load: Load) -> None:
    config = load(EXAMPLE)
    assert config.http is not None
    for value in (config, config.cameras[0], config.views[0], config.http, config.results):
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
    assert config.views[0].model == "./birds"
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
    assert config.views[0].variants == ("mobilenet_v1_1.0_224", "mobilenet_v1_0.25_128_int8")
    assert config.results == ResultsConfig({}, 3, 0.1)


# Secrets


def test_a_source_from_a_variable(load: Load) -> None:
    config = load(
        "latency_budget_ms: ${BUDGET}\n" + camera("source: rtsp://admin:${PASSWORD}@cam/1"),
        {"PASSWORD": "hunter2", "BUDGET": "40"},
    )
    assert config.cameras[0].capture.source == "rtsp://admin:hunter2@cam/1"
    assert config.views[0].latency_budget_ms == 40.0
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
        (b"", "source_file: expected a file whose only line is the source"),
        (b"\n", "expected a file whose only line"),
        (b"rtsp://admin:hunter2@cam/1\nmore", "expected a file whose only line"),
        (b"\xff", "expected a file whose only line"),
        (b"a" * 5000, "expected a file whose only line"),
        (b"rtsq://admin:hunter2@cam/1", "https://; did you mean rtsp://?"),
        (b"admin:hunter2@cam/1", "source_file: address without rtsp:// or http://"),
        (b"hunter2", "the camera's whole address, not only its password"),
        (b"/hunter2", "the camera's whole address, not only its password"),
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
        ("controls: {Gain: 4}", "cameras.door.controls.Gain: invalid name; expected lower-case"),
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
        "cameras.door.format: only a V4L2 device (/dev/…) supports this",
        "cameras.door.controls: only a V4L2 device (/dev/…) supports this",
    ]
    assert [str(error).split(": ")[0][-2:] for error in caught.value.errors] == [":4", ":5"]


def test_the_formats_are_those_that_can_be_read() -> None:
    assert set(PIXEL_FORMATS) == {"MJPG", "JPEG", *LAYOUTS}


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
