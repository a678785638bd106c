"""What runs in the arm64 root, under the plugin: a network, the daemon, its capture process.

    inference RUNTIME RUNS VARIANT…     dumps before and after RUNS runs of each
    scores RUNTIME                      of each of /work/photos.npy, by /work/network.onnx
    frames                              writes what cameras send
    daemon BACKEND CLIP RESULTS [profile]
                                        dumps after each result, the capture process at each frame
    capture MEMFD EVENTFD               started by the daemon in place of edged.capture.worker

edged is what is in the project; only what marks the slots is put around its parts, and at the end
of a camera that does not exist stands what delivers the next frame when the result of the one
before has been written: every frame makes one result, however slow the emulation is.
"""

from __future__ import annotations

import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from functools import partial, wraps
from importlib import import_module
from itertools import repeat
from operator import floordiv
from pathlib import Path
from types import FrameType, ModuleType, SimpleNamespace
from typing import Any, NamedTuple

import numpy as np

from tests.benchmarks.arm.slots import OF_THREADS, Slot, dump, enter


class Runtime(NamedTuple):
    """A backend: its module, class and arguments; the processors that it is for, those on which it
    runs INT8 networks, and whether a configuration can name it."""

    module: str
    name: str
    arguments: dict[str, Any]
    processors: tuple[str, ...] = ("a72", "a76")
    int8: tuple[str, ...] = ("a72", "a76")
    as_backend: bool = True


RUNTIMES = {
    "onnxruntime": Runtime("edged.backends.onnxruntime", "OrtBackend", {}),
    "ncnn": Runtime("edged.backends.ncnn.ncnn", "NcnnBackend", {"int8": True}, int8=("a76",)),
    "ncnn-fp16": Runtime(
        "edged.backends.ncnn.ncnn",
        "NcnnBackend",
        {"fp16": True},
        ("a76",),
        int8=(),
        as_backend=False,
    ),
}
WORK = Path("/work")
CLIPS = Path("/clips")
VIDEO = "/dev/video0"
RESULTS = WORK / "results.jsonl"
LOOKED = WORK / "looked"
"""A byte for each time that the pipeline found no frame: as on a device, that counts."""
MOMENTS = WORK / "moments.json"
"""When each result was there, in nanoseconds of the daemon's clock."""
SIZE = (1920, 1080)
FIRST_RESULT_SECONDS = 2.0
"""Until there are results a frame comes as often: the supervisor takes silence for a fault."""
JPEG_QUALITY = {100: 54, 220: 87}
"""By the kilobytes that the picture has then."""
H264_FRAMES = 30
"""A key frame, and pictures that move."""
SLOWER = 12
"""The daemon's clock and its ticks: what it does by time comes as often per result as at 30 fps."""
FRAME_SECONDS = SLOWER / 30
GIL_SECONDS = 0.005 * 50
"""The emulation is so much slower, and each turn that is asked for costs instructions."""
CONFIG = """
model: imagenette
variants: [mobilenet_v1_0.25_128]
threads: [1]
backend: {runtime}
latency_budget_ms: 60000
http: {{listen: 127.0.0.1:0}}
cameras: {{arm: {{source: {camera}, confine: false}}}}
results: {{jsonl: {results}, top_k: 3}}
"""


def counted(slot: Slot, back: Slot, function: Callable[..., Any]) -> Callable[..., Any]:
    """The function, whose instructions count for `slot`; what follows it for `back`."""

    @wraps(function)
    def call(*arguments: Any, **named: Any) -> Any:
        enter(slot)
        answer = function(*arguments, **named)
        enter(back)
        return answer

    return call


def count_within(owner: object, name: str, slot: Slot, back: Slot) -> None:
    setattr(owner, name, counted(slot, back, getattr(owner, name)))


# a network


def inference(runtime: str, runs: str, *names: str) -> None:
    from edged.variants.family import load_family

    backend = _backend(runtime)
    family = load_family("imagenette", Path("/"))
    noise = np.random.default_rng(0)
    for variant in family.variants():
        if variant.name not in names:
            continue
        network = family.network(variant)
        side = variant.resolution
        image = noise.integers(0, 256, (1, side, side, 3), np.uint8)
        run = backend.load(network, network.read(), 1).run
        run(image)
        run(image)
        dump()
        enter(Slot.INFERENCE)
        for _ in range(int(runs)):
            run(image)
        enter(Slot.MAIN)
        dump()
        print(variant.name, flush=True)


def scores(runtime: str) -> None:
    from edged.variants.network import Network

    path = WORK / "network.onnx"
    photos, model = np.load(WORK / "photos.npy"), path.read_bytes()
    network = Network.of(path, model, 1.0, photos.shape[1:2])
    run = _backend(runtime).load(network, model, 1).run
    np.save(WORK / "scores.npy", [run(photo[np.newaxis]) for photo in photos])


def _backend(runtime: str) -> Any:
    wanted = RUNTIMES[runtime]
    return getattr(import_module(wanted.module), wanted.name)(**wanted.arguments)


# what cameras send: the same bytes everywhere, for the versions that write them are pinned


def frames() -> None:
    import av
    import cv2
    import simplejpeg

    noise = np.random.default_rng(0)
    coarse, fine = (
        cv2.resize(
            noise.integers(0, 256, (*shape, 3), np.uint8), SIZE, interpolation=cv2.INTER_CUBIC
        )
        for shape in ((9, 16), (68, 120))
    )
    grain = noise.normal(0, 1.5, coarse.shape)
    picture = np.clip(0.8 * coarse + 0.2 * fine + grain, 0, 255).astype(np.uint8)
    for kilobytes, quality in JPEG_QUALITY.items():
        data = simplejpeg.encode_jpeg(picture, quality, "RGB", "420")
        (WORK / f"mjpeg{kilobytes}.jpg").write_bytes(data)
    (WORK / "yuyv.raw").write_bytes(np.repeat(picture[:, :, :1], 2, axis=2).tobytes())
    with av.open(str(WORK / "h264.mp4"), "w") as container:
        stream = container.add_stream("libx264", rate=1)
        stream.width, stream.height = SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "veryfast", "tune": "zerolatency", "crf": "26"}
        stream.codec_context.gop_size = H264_FRAMES
        stream.codec_context.thread_count = 1
        for number in range(H264_FRAMES):
            moved = np.roll(picture, 4 * number, axis=1)
            for packet in stream.encode(av.VideoFrame.from_ndarray(moved, format="rgb24")):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


# the daemon


def slow_clock() -> None:
    """Before anything of edged is imported. The monotonic clock is read a dozen times for a result:
    a division without Python's instructions."""
    monotonic_ns, unix_ns = time.monotonic_ns, time.time_ns
    begun_ns = unix_ns()
    time.monotonic_ns = map(floordiv, iter(monotonic_ns, None), repeat(SLOWER)).__next__
    time.time_ns = lambda: begun_ns + (unix_ns() - begun_ns) // SLOWER


def daemon(runtime: str, clip: str, results: str, *options: str) -> None:
    enter(Slot.MAIN)
    slow_clock()
    sys.setswitchinterval(GIL_SECONDS)
    _count_threads()
    from edged import cli
    from edged.backends import auto
    from edged.capture import process, supervisor
    from edged.capture.mailbox import mailbox
    from edged.control.profiler import Profiler
    from edged.daemon import daemon as main
    from edged.pipeline import pipeline
    from edged.pipeline.pipeline import Pipeline
    from edged.pipeline.workers import Workers
    from edged.variants.preprocess import Preprocessor

    main.TICK_SECONDS *= SLOWER
    pipeline.IDLE_SECONDS *= SLOWER
    tick = supervisor.TimeLimits().tick
    supervisor.TimeLimits = partial(supervisor.TimeLimits, tick=tick * SLOWER)  # type: ignore[misc]

    mailbox._read_at_once = os.eventfd_read  # QEMU has no preadv2, which would fail each time
    # Counted is what lasts: not the rest between the two rounds that measure the profile.
    assert Profiler.__init__.__kwdefaults__ is not None
    Profiler.__init__.__kwdefaults__["rest_gaps"] = 0

    sys.executable = "/counted-cortex-" + (WORK / "processor").read_text()
    process.start_worker.__kwdefaults__["program"] = ("-m", __spec__.name, "capture")
    if options:
        _profile(main.Daemon)
    else:
        count_within(Preprocessor, "__call__", Slot.PREPROCESS, Slot.PIPELINE)
        backends, _ = auto.load_backends(runtime, background=True)
        backend = backends[0]
        auto._made[runtime, True] = (backend,)  # without ncnn in FP16, a runtime of its own
        load = backend.load

        def load_counted(*arguments: Any) -> Any:
            runner = load(*arguments)
            return SimpleNamespace(run=counted(Slot.INFERENCE, Slot.PIPELINE, runner.run))

        backend.load = load_counted  # type: ignore[method-assign]
    carry_out, moments_ns = Pipeline.carry_out, []

    def carry_out_and_dump(pipeline: Pipeline, run: Any) -> None:
        carry_out(pipeline, run)
        moments_ns.append(time.monotonic_ns())
        dump()
        if len(moments_ns) == int(results):
            os.kill(os.getpid(), signal.SIGTERM)

    Pipeline.carry_out = carry_out_and_dump  # type: ignore[method-assign]
    wait = Workers._wait

    def tell_and_wait(workers: Any, events: Any) -> None:
        tell()
        wait(workers, events)

    tell = counted(Slot.WAITING, Slot.PIPELINE, _tell_looked)
    Workers._wait = tell_and_wait  # type: ignore[method-assign]
    config = WORK / "edged.yaml"
    camera = f"{VIDEO}, size: 1920x1080"
    if clip.endswith(".mp4"):
        camera = f"{CLIPS / clip}, loop: true"
    config.write_text(CONFIG.format(runtime=runtime, camera=camera, results=RESULTS))
    (WORK / "clip").write_text(clip)
    cli.main(["run", "-c", str(config)])
    MOMENTS.write_text(json.dumps(moments_ns))
    if options:
        (WORK / "profile.json").write_text(json.dumps(_profile_lines))


def _tell_looked() -> None:
    with LOOKED.open("ab") as file:
        file.write(b".")


def _count_threads() -> None:
    run = threading.Thread.run

    def run_counted(thread: threading.Thread) -> None:
        enter(_slot_of_thread(thread))
        run(thread)

    threading.Thread.run = run_counted  # type: ignore[method-assign]


def _slot_of_thread(thread: threading.Thread) -> Slot:
    if thread is threading.main_thread():
        return Slot.MAIN
    slots = (slot for name, slot in OF_THREADS.items() if thread.name.startswith(name))
    return next(slots, Slot.OTHER)


# a profile by function: each way to it from its thread's beginning has a slot of its own

_profile_lines: list[tuple[int, str]] = []
"""Of each slot from FIRST_FUNCTION on: the caller's slot, and the function."""
_slots: dict[tuple[int, object], int] = {}
_thread = threading.local()


def _profile(main: type) -> None:
    threading.setprofile(_note)
    loop = main._main_loop

    def profiled(self: object) -> None:
        sys.setprofile(_note)
        loop(self)
        sys.setprofile(None)

    main._main_loop = profiled


def _note(frame: FrameType, event: str, argument: Any) -> None:
    """What this takes counts for nothing; what Python takes to come here, for the function."""
    enter(Slot.WAITING)
    stack = _thread.__dict__.setdefault("stack", [])
    if not stack:
        stack.append(_slot_of_thread(threading.current_thread()))
    if event in ("call", "c_call"):
        called = frame.f_code if event == "call" else argument
        key = stack[-1], called if event == "call" else _name(called)
        if key not in _slots:
            _slots[key] = Slot.FIRST_FUNCTION + len(_slots)
            _profile_lines.append((stack[-1], _name(called)))
        stack.append(_slots[key])
    elif len(stack) > 1:
        stack.pop()
    enter(stack[-1])


def _name(called: Any) -> str:
    if hasattr(called, "co_filename"):
        file = called.co_filename.removeprefix("/project/").removeprefix("/usr/lib/python3.11/")
        return f"{file}:{called.co_qualname}"
    module = getattr(called, "__module__", None) or type(getattr(called, "__self__", "")).__name__
    return f"<{module}.{called.__qualname__}>"


# its capture process


def capture(memfd: str, eventfd: str) -> None:
    enter(Slot.CAPTURE)
    slow_clock()
    from edged.capture import views, worker

    arranged = worker.make_source

    def make_source(request: Any, intake: Any) -> Any:
        from edged.capture.decode.video import VideoTrack
        from edged.capture.sources import file
        from edged.capture.sources.v4l2 import v4l2

        for owner, name in (
            (v4l2, "decode_jpeg"),
            (v4l2, "raw_to_rgb"),
            (VideoTrack, "decode"),
            (VideoTrack, "rgb"),
        ):
            count_within(owner, name, Slot.DECODE, Slot.CAPTURE)
        _put_camera_into(v4l2)
        file.FileSource = partial(file.FileSource, sleep=_sleep_of_clip)  # type: ignore[misc]
        return arranged(request, intake)

    worker.make_source = make_source
    count_within(views, "cut", Slot.DECODE, Slot.CAPTURE)
    sys.exit(worker.main([memfd, eventfd]))


def _put_camera_into(v4l2: ModuleType) -> None:
    from tests.rig.v4l2_driver import PaperDriver

    name = (WORK / "clip").read_text()
    if name.endswith(".mp4"):
        return
    data = (CLIPS / name).read_bytes()
    if name.endswith(".jpg"):
        fourcc, raw = "MJPG", np.frombuffer(data, np.uint8)[None]
    else:
        fourcc, raw = "YUYV", np.frombuffer(data, np.uint8).reshape(SIZE[1], SIZE[0], 2)
    driver = PaperDriver({fourcc: {SIZE: [30.0]}})
    v4l2.V4l2Source = partial(
        v4l2.V4l2Source,
        open_device=lambda path: driver,
        open_capture=lambda path, api: _Camera(fourcc, raw),
    )


class _Camera:
    """In place of OpenCV's VideoCapture: always the same frame, of which it gives a copy."""

    def __init__(self, fourcc: str, raw: Any) -> None:
        import cv2

        self._raw = raw
        self._values = {
            cv2.CAP_PROP_FOURCC: cv2.VideoWriter.fourcc(*fourcc),
            cv2.CAP_PROP_FRAME_WIDTH: SIZE[0],
            cv2.CAP_PROP_FRAME_HEIGHT: SIZE[1],
            cv2.CAP_PROP_FPS: 30.0,
        }

    def isOpened(self) -> bool:  # noqa: N802  (OpenCV's name)
        return True

    def set(self, name: int, value: float) -> bool:
        return True

    def get(self, name: int) -> float:
        return self._values.get(name) or time.monotonic_ns() / 1e6  # CAP_PROP_POS_MSEC

    def grab(self) -> bool:
        wait_for_result()
        return True

    def retrieve(self) -> tuple[bool, Any]:
        return True, self._raw.copy()

    def release(self) -> None:
        pass


_seen = _looked = 0
"""Bytes of results, and of LOOKED."""
_due = 0.0
_stamp = 0.0


def _sleep_of_clip(seconds: float) -> None:
    """Its frames are a second apart, and it waits for each before and after decoding it."""
    global _stamp
    stamp = time.monotonic_ns() / 1e9 + seconds
    if stamp - _stamp > 0.5:
        _stamp = stamp
        wait_for_result()


def wait_for_result() -> None:
    """Until there is another one, the pipeline waits, and the next frame is due."""
    global _seen, _looked, _due
    enter(Slot.WAITING)
    dump()
    begun = time.monotonic()
    while (size := _size(RESULTS)) == _seen or _size(LOOKED) == _looked:
        if not size and time.monotonic() - begun > FIRST_RESULT_SECONDS:
            break
        time.sleep(0.01)
    _seen, _looked = size, _size(LOOKED)
    time.sleep(max(0.0, _due - time.monotonic()))
    _due = time.monotonic() + FRAME_SECONDS
    enter(Slot.CAPTURE)


def _size(file: Path) -> int:
    return file.stat().st_size if file.exists() else 0


if __name__ == "__main__":
    commands = (inference, scores, frames, daemon, capture)
    {command.__name__: command for command in commands}[sys.argv[1]](*sys.argv[2:])
