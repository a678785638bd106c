"""What is wrong in a configuration, in words."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from edged.config.config import load_config
from edged.errors import InputError, InputErrors
from tests.rig.configuration import Load, camera


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("source: rstp://u:hunter2@h/", "https://; did you mean rtsp://?"),
        ("source: ftp://h/clip.mp4", "expected a URL of rtsp://, rtsps://, http://, https://"),
        ("source: rtsp://", "URL without a host"),
        ("source: rtsp://cam..example/live", "expected a host name"),
        ("source: rtsp://cam:99999/live", "expected a port from 1 to 65535"),
        ("source: rtsp:///live", "URL without a host"),
        ("source: rtsp://cam:port/live", "URL without a host"),
        ("source: rtsp://u:hun/ter2@h/1", "user name and password cannot contain / ? or #"),
        ("source: rtsp://u:h@n/ter2@h/1", "user name and password cannot contain / ? or #"),
        ("source: 'rtsp://u:hun ter2@h/1'", "a URL cannot contain spaces; write %20"),
        ("source: rtsp:/cam/live", "address without rtsp:// or http://"),
        ("source: u:hunter2@cam/live", "address without rtsp:// or http://"),
        ("source: synthetic:640", "write synthetic or synthetic:1280x720@30"),
        ("source: csi:a", "write csi:1 or picamera2:1 for the second camera"),
        ("source: picamera2:-1", "expected a CSI camera; write csi:1"),
        ("source: 'libcamera:'", "libcamera:NAME for a named one"),
        ("source: 'gst:'", "expected a GStreamer pipeline after gst:; write gst:v4l2src"),
        ("source: gst:rtspsrc user-pw='hunter2", "unbalanced quotation mark"),
        ("source: gst:gst-launch-1.0 v4l2src", "write the pipeline without gst-launch-1.0"),
        ("source: gst:rtspsrc user-pw=hunter2 !", "a pipeline cannot end with !"),
        (
            "source: rtspsrc user-pw=hunter2 ! decodebin",
            "a GStreamer pipeline needs the prefix gst:",
        ),
        (
            "source: '0'",
            "expected a source, not a camera's number; write its device: /dev/video0",
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
        ("max_fps: .nan", "expected a number from 0.001 to 240 (got '.nan')"),
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
        ("threads: [1, 1]", "threads[1]: duplicate item, first at position 1 (got 1)"),
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
        ("http: {port: 1}", 'port: unknown key; write address and port together: listen: "127.0'),
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
        ("max_power_w: 0", "max_power_w: expected a number from 0.5 to 2000 (got 0)"),
        ("max_watts: 7", "did you mean max_power_w?"),
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
    assert "cameras: missing" in complaint("model: imagenette")
    assert "with 1 to 256 entries (got an empty mapping)" in complaint("cameras: {}")
    assert "with 1 to 256 entries (got nothing)" in complaint("cameras:")


def test_keys_that_are_no_text(tmp_path: Path) -> None:
    path = tmp_path / "edged.yaml"
    path.write_text("? cameras: {door: {source: synthetic}}\n")
    with pytest.raises(InputError, match=r"edged\.yaml:1: expected a text key"):
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
