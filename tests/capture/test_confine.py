"""Arbitrary code in a capture process reaches nothing but what the source's row states."""

from __future__ import annotations

import os
import re
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path

import pytest

from edged.capture.confinement.confine import explanation, missing
from edged.capture.confinement.needs import Needs
from edged.capture.liveness import TimeLimits
from edged.capture.messages import Failed, shown, to_line
from edged.capture.source import CaptureRequest, Failure, SourceError
from edged.capture.sources.table import kind_of
from edged.capture.sources.v4l2.discovery import IN_USE
from edged.capture.supervisor import Camera, CameraState, failed_by_death
from edged.process import child_environment
from tests.rig.break_out import broken_into
from tests.rig.camera import next_frame, only_worker, running, wait_until, workers_of
from tests.rig.daemon import RunningDaemon
from tests.rig.hostile import SECRET
from tests.rig.http_server import serving
from tests.rig.paths import PROJECT
from tests.rig.teaching import FakeTeaching

KEPT = pytest.mark.skipif(bool(missing()), reason=f"this kernel lacks {missing()}")
GSTREAMER = pytest.mark.skipif(not shutil.which("gst-launch-1.0"), reason="needs GStreamer")
NETWORK = {"a socket of family 2", "a socket of family 10", "a socket of family 16"}
PROGRAMS = {"another process", "another program", "another image"}


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    path = tmp_path / "clip.mp4"
    path.write_bytes(b"a clip")
    return path


@pytest.fixture
def victim(monkeypatch: pytest.MonkeyPatch) -> Iterator[Camera]:
    """Another camera with a password, in a process whose environment has it too."""
    monkeypatch.setenv("DOOR_PASSWORD", SECRET)
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"rtsp://admin:{SECRET}@127.0.0.1:{silent.getsockname()[1]}/camera"
        with running(CaptureRequest(url)) as (camera, _):
            silent.accept()[0].close()
            yield camera


@KEPT
@pytest.mark.parametrize("abi", [2, 99])
def test_hostile_code_reaches_nothing(clip: Path, victim: Camera, abi: int) -> None:
    assert broken_into(CaptureRequest(str(clip)), abi) == set()
    assert clip.read_bytes() == b"a clip"
    assert victim.state is CameraState.STARTING


@KEPT
def test_without_landlock_it_reads_files_and_no_more(clip: Path, victim: Camera) -> None:
    reached = broken_into(CaptureRequest(str(clip)), abi=0)
    public = re.compile("(names in|content of|cmdline of|descriptors of) |.* of another process$")
    assert {each for each in reached if not public.match(each)} == set()
    assert not {each for each in reached if each.startswith(("a signal", "limits", "pidfd"))}
    assert clip.read_bytes() == b"a clip"


@KEPT
def test_of_a_stream_it_reaches_the_network() -> None:
    assert broken_into(CaptureRequest("rtsp://192.0.2.7/live"), 2) == NETWORK


@KEPT
@pytest.mark.parametrize("is_service", [True, False])
def test_of_a_stream_it_changes_nothing_of_a_service(
    monkeypatch: pytest.MonkeyPatch, is_service: bool
) -> None:
    """It reaches the daemon's HTTP server, and has the daemon's user. Where edged is no service,
    that user is a person, whose programs may change something."""
    if is_service:
        monkeypatch.setenv("INVOCATION_ID", "0123456789abcdef")
    teaching = FakeTeaching()
    with serving(teaching=teaching) as server:
        reached = broken_into(CaptureRequest(f"rtsp://127.0.0.1:{server.port}/live"), 2)
    assert reached == NETWORK | (set() if is_service else {"a change of the daemon"})
    assert bool(teaching.asked) is not is_service


@GSTREAMER
@KEPT
def test_of_a_pipeline_it_reaches_programs_that_are_as_confined() -> None:
    reached = broken_into(CaptureRequest("gst:videotestsrc"), 2)
    assert reached - {"names in /dev/shm"} == NETWORK | PROGRAMS


def test_without_confinement_it_reaches_nearly_all(
    clip: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The attacks do work."""
    monkeypatch.setenv("HOSTILE_FOLDERS", str(tmp_path))
    monkeypatch.setenv("DOOR_PASSWORD", SECRET)
    reached = broken_into(CaptureRequest(str(clip), confine=False), report=tmp_path / "report")
    assert {
        "a secret in its own environment",
        "cmdline of the daemon",
        "a signal to the daemon",
        "priority of the daemon",
        "signals by descriptors",
        f"a file in {tmp_path}",
        f"a link in {tmp_path}",
        "its file to append",
        "its file to cut short while reading",
        "its file to cut short",
        "its file's mode",
        "its file's time",
        "its file's name",
        "a way past the flags",
        "a socket of family 1",
        "shared memory",
        *NETWORK,
        *PROGRAMS,
    } <= reached
    assert clip.read_bytes() != b"a clip"


def test_the_daemon_and_its_children_give_up_what_they_do_not_need(tmp_path: Path) -> None:
    config = """
variants: [mobilenet_v1_0.25_128]
http: {listen: "127.0.0.1:0"}
cameras: {porch: {source: synthetic}, open: {source: synthetic, confine: false}}
"""
    with RunningDaemon(tmp_path, config, DOOR_PASSWORD=SECRET) as daemon:
        daemon.wait_for_results(2, 120)
        states = {}
        for pid in (daemon.process.pid, *daemon.capture_processes()):
            text = Path(f"/proc/{pid}/status").read_text()
            states[pid] = dict(re.findall(r"^(NoNewPrivs|Seccomp|CapEff):\s*(\w+)$", text, re.M))
        assert {each["NoNewPrivs"] for each in states.values()} == {"1"}
        assert states.pop(daemon.process.pid)["Seccomp"] == "0"
        if not missing():
            assert sorted(each["Seccomp"] for each in states.values()) == ["0", "2"]
        daemon.stop()


def test_a_process_that_refuses_inspection_cannot_be_read() -> None:
    code = """
from edged.process import prctl, refuse_inspection, refuse_new_privileges
import ctypes
refuse_inspection(); refuse_new_privileges()
print(ctypes.CDLL(None).prctl(3, 0, 0, 0, 0), ctypes.CDLL(None).prctl(39, 0, 0, 0, 0))
"""
    said = subprocess.run([sys.executable, "-c", code], check=True, stdout=subprocess.PIPE)
    assert said.stdout.split() == [b"0", b"1"]


@KEPT
def test_a_child_has_one_thread_whatever_the_environment_says(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """NumPy's library would start the others before it could be confined."""
    monkeypatch.setenv("OPENBLAS_NUM_THREADS", "4")
    monkeypatch.setenv("OMP_NUM_THREADS", "4")
    with running(CaptureRequest("synthetic:64x64")) as (camera, mailbox):
        assert next_frame(mailbox) is not None, camera.last_error


def test_children_get_the_environment_that_they_need() -> None:
    environ = {
        "PATH": "/usr/bin",
        "LC_ALL": "C",
        "GST_REGISTRY": "/x",
        "DOOR_PASSWORD": SECRET,
        "CREDENTIALS_DIRECTORY": "/run/credentials",
        "NOTIFY_SOCKET": "/run/systemd/notify",
        "http_proxy": f"http://me:{SECRET}@proxy",
    }
    assert child_environment(environ) == {
        "PATH": "/usr/bin",
        "LC_ALL": "C",
        "GST_REGISTRY": "/x",
    }


@GSTREAMER
@KEPT
def test_a_pipeline_that_is_kept_from_a_file_names_it(tmp_path: Path) -> None:
    pipeline = (
        "gst:videotestsrc is-live=true ! tee name=t ! queue ! filesink location={} t. ! queue"
    )
    target = tmp_path / "recording.raw"
    request = CaptureRequest(pipeline.format(target))
    with running(request) as (camera, _):
        assert wait_until(lambda: camera.last_error is not None)
        assert camera.last_error is not None
        assert f"the confinement denies access to {target}" in camera.last_error
        assert "confine: false" in camera.last_error
    assert not target.exists()
    with running(CaptureRequest(request.source, confine=False)) as (_, mailbox):
        next_frame(mailbox)
    assert target.exists()


@KEPT
def test_a_file_that_ffmpeg_itself_refuses_is_not_called_denied(tmp_path: Path) -> None:
    """FFmpeg plays no absolute path of a list of clips, and says so with EPERM."""
    path = tmp_path / "clips.txt"
    path.write_text("ffconcat version 1.0\nfile /etc/hostname\n")
    with running(CaptureRequest(str(path))) as (camera, _):
        assert wait_until(lambda: camera.last_error is not None)
        assert "Operation not permitted" in str(camera.last_error)
        assert "denies access" not in str(camera.last_error)


@GSTREAMER
def test_a_pipeline_reads_the_files_that_it_names(tmp_path: Path) -> None:
    for number in range(3):
        Path(tmp_path, f"{number}.raw").write_bytes(bytes(64 * 64 * 3))
    caps = "rawvideoparse width=64 height=64 format=rgb framerate=10/1"
    for name in ("0.raw", "%d.raw"):
        element = "filesrc" if name == "0.raw" else "multifilesrc"
        with running(CaptureRequest(f"gst:{element} location={tmp_path}/{name} ! {caps}")) as (
            _,
            mailbox,
        ):
            next_frame(mailbox)


@GSTREAMER
def test_a_pipeline_without_frames_ends_with_its_camera() -> None:
    source = "gst:videotestsrc is-live=true ! valve drop=true"
    with running(CaptureRequest(source)) as (camera, _):
        assert wait_until(lambda: bool(workers_of(os.getpid())))
        worker = only_worker()
        assert wait_until(lambda: bool(launched_by(worker)))
        (pipeline,) = launched_by(worker)
        time.sleep(0.3)
        camera.stop()
        assert wait_until(lambda: not Path(f"/proc/{pipeline}").exists(), 2)


def launched_by(worker: int) -> list[int]:
    found = []
    for children in Path(f"/proc/{worker}/task").glob("*/children"):
        found += [int(pid) for pid in children.read_text().split()]
    return [pid for pid in found if b"fdsink" in Path(f"/proc/{pid}/cmdline").read_bytes()]


def test_links_in_a_folder_are_followed(tmp_path: Path) -> None:
    photo = PROJECT / "docs" / "pictures" / "promise.png"
    (tmp_path / "photos").mkdir()
    shutil.copy(photo, tmp_path / "elsewhere.png")
    (tmp_path / "photos" / "link.png").symlink_to(tmp_path / "elsewhere.png")
    with running(CaptureRequest(str(tmp_path / "photos"))) as (_, mailbox):
        next_frame(mailbox)


def test_a_picture_that_is_replaced_again_and_again_is_read(tmp_path: Path) -> None:
    """As by a program that writes the latest picture: by another file of the same name."""
    photo = PROJECT / "docs" / "pictures" / "promise.png"
    latest, new = tmp_path / "pictures" / "latest.png", tmp_path / "new.png"
    latest.parent.mkdir()
    shutil.copy(photo, latest)
    with running(CaptureRequest(str(latest), fps=20, loop=True)) as (camera, mailbox):
        for _ in range(3):
            next_frame(mailbox)
            shutil.copy(photo, new)
            new.replace(latest)
        next_frame(mailbox)
        assert camera.last_error is None
        assert mailbox.broken == 0


def needs_of(source: str) -> Needs:
    return kind_of(source).needs(source)


def test_what_a_row_states(tmp_path: Path) -> None:
    assert needs_of("rtsp://192.0.2.7/live") == Needs(network=True)
    assert needs_of("http://me:secret@camera.local:8080/x").unix_sockets
    assert not needs_of("http://camera.local.example/x").unix_sockets
    assert needs_of("/x/clip.mp4").reads == ("/x/clip.mp4",)
    assert needs_of("/x/list.m3u8").reads == ("/x",)
    (tmp_path / "picture.png").touch()
    for name, target in (("link.png", "picture.png"), ("all.png", "/"), ("passwd", "/etc/passwd")):
        (tmp_path / name).symlink_to(target)
    assert needs_of(str(tmp_path)).reads == (str(tmp_path), str(tmp_path / "link.png"))
    picture = tmp_path / "link.png"
    assert needs_of(str(picture)).reads == (str(picture),)  # there is more beside it
    (tmp_path / "own").mkdir()
    latest = tmp_path / "own" / "latest.png"
    latest.touch()
    assert needs_of(str(latest)).reads == (str(latest), str(latest.parent))
    named = needs_of("gst:v4l2src device=/dev/video7 ! x location='/a b/c' ! y uri=file:///d%20e/f")
    assert "/dev/video7" in named.devices
    assert {"/a b/c", "/d e/f"} <= set(named.reads)
    assert not named.unix_sockets
    assert "clip.mp4" in needs_of("gst:filesrc location=clip.mp4 ! decodebin").reads
    assert "/dev/shm/shmpipe.*" in needs_of("gst:shmsrc socket-path=/run/x").reads
    assert "/dev/shm/shmpipe.*" not in named.reads
    for disk in ("/dev/nvme0", "/dev/nvme0n1p2", "/dev/nvram"):
        assert not any(fnmatch(disk, pattern) for pattern in named.devices)
    assert needs_of("csi:1").unix_sockets
    assert needs_of("gst:nvarguscamerasrc ! nvvidconv").unix_sockets
    assert needs_of("gst:rtspsrc location=rtsp://door.local:8554/x ! decodebin").unix_sockets
    assert not needs_of("libcamera").network


def test_a_refusal_names_its_path_only_where_the_confinement_is_the_reason(tmp_path: Path) -> None:
    unlike = SourceError(Failure.OPEN_FAILED, "no such stream", where="rtsp://x/y", fix="another")
    assert explanation(unlike, Needs()) == str(unlike)
    vague = SourceError(Failure.OPEN_FAILED, "not negotiated")
    assert "confine: false" in explanation(vague, Needs(certain=False))
    assert explanation(vague, Needs()) == "not negotiated"
    long = SourceError(Failure.OPEN_FAILED, "not negotiated " * 200)
    assert shown(explanation(long, Needs(certain=False))).endswith("confine: false helps")
    there = tmp_path / "there"
    there.touch()
    readable = PermissionError(13, "Permission denied", str(there))
    assert "denies access" not in explanation(readable, Needs())


@pytest.mark.parametrize("content", [b"a clip", b""])
def test_what_is_not_its_fault_is_not_blamed_on_it(clip: Path, content: bytes) -> None:
    clip.write_bytes(content)
    with running(CaptureRequest(str(clip))) as (camera, _):
        assert wait_until(lambda: camera.last_error is not None)
        assert camera.last_error is not None
        assert "confine" not in camera.last_error


def test_who_holds_a_camera_is_told_by_the_daemon(tmp_path: Path) -> None:
    """The child may not look at other processes."""
    node = tmp_path / "video0"
    node.touch()
    said = Failed(Failure.OPEN_FAILED, f"{node}: {IN_USE}; see which: sudo edged cameras")
    child = f"import sys; sys.stdin.readline(); print({to_line(said).decode()!r})"

    def start(memfd: int, wake_fd: int) -> subprocess.Popen[bytes]:
        pipes = dict.fromkeys(("stdin", "stdout", "stderr"), subprocess.PIPE)
        return subprocess.Popen([sys.executable, "-c", child], bufsize=0, **pipes)

    with (
        node.open() as held,
        subprocess.Popen(["sleep", "60"], pass_fds=(held.fileno(),)) as holder,
        running(CaptureRequest(str(node)), device=node, starter=start) as (camera, _),
    ):
        assert wait_until(lambda: camera.last_error is not None)
        holder.kill()
    error = f"{node}: the camera is in use by sleep 60 (pid {holder.pid})"
    assert camera.last_error == error


@GSTREAMER
def test_a_child_that_dies_of_it_says_how_to_find_out() -> None:
    for status in (1, -6, -11):
        assert "confine: false" in failed_by_death(status, "aborted", True).message
        assert "confine" not in failed_by_death(status, "aborted").message
    request = CaptureRequest("gst:videotestsrc is-live=true ! valve drop=true")
    with running(request, limits=TimeLimits(open=0.5)) as (camera, _):
        assert wait_until(lambda: camera.last_error is not None)
        assert camera.last_error is not None
        assert "no frame for 0.5 s; if the confinement" in camera.last_error
    assert "ran out of memory" in failed_by_death(-9, "", True).message
