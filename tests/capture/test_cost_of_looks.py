"""What a camera that looks every 100 s costs, against demuxing and decoding key frames only."""

from __future__ import annotations

import time
from pathlib import Path

import av
import pytest

from edged.capture.source import CaptureRequest, ViewRequest
from edged.capture.sources.synthetic.scene import Scene
from tests.rig.camera import only_worker, running, wait_until

FPS, GOP, FRAMES = 100, 50, 200
"""A camera's group of pictures at four times its pace."""


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("clip") / "meter.mp4"
    scene = Scene(1920, 1080)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("h264", rate=FPS)
        stream.width, stream.height, stream.pix_fmt = 1920, 1080, "yuv420p"
        stream.options = {"preset": "ultrafast", "x264-params": f"scenecut=0:keyint={GOP}"}
        for number in range(FRAMES):
            picture = av.VideoFrame.from_ndarray(scene.draw(number / 25), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def key_frames_ns(clip: Path, frames: int) -> int:
    """CPU time per frame of the clip."""
    begun_ns, read = time.thread_time_ns(), 0
    while read < frames:
        with av.open(str(clip)) as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_type, stream.codec_context.thread_count = "NONE", 1
            stream.codec_context.skip_frame = "NONKEY"
            for packet in container.demux(stream):
                read += packet.size > 0
                packet.decode()
    return (time.thread_time_ns() - begun_ns) // read


def cpu_ns(pid: int) -> int:
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)


EIGHT = tuple(
    ViewRequest((column / 4, row / 2, 0.25, 0.5), max_fps=0.01 / (1 + column))
    for column in range(4)
    for row in range(2)
)


@pytest.mark.parametrize("views", [(), EIGHT], ids=["one", "eight"])
def test_it_is_at_most_that_of_demuxing_and_key_frames(
    clip: Path, views: tuple[ViewRequest, ...]
) -> None:
    request = CaptureRequest(str(clip), loop=True, max_fps=0.01, views=views, square=not views)
    with running(request, wanted=224) as (_, mailbox):
        assert wait_until(lambda: mailbox.sequence > 0)
        assert None not in mailbox.take()  # the first look is for all
        assert wait_until(lambda: mailbox.captured >= 2 * FRAMES)
        worker = only_worker()
        frames, begun_ns = mailbox.captured, cpu_ns(worker)
        assert wait_until(lambda: mailbox.captured >= frames + 4 * FRAMES)
        spent_ns = cpu_ns(worker) - begun_ns
        frames = mailbox.captured - frames
        assert not mailbox.take()
    usual_ns = key_frames_ns(clip, frames)
    ratio = spent_ns / frames / usual_ns
    assert ratio <= 1, f"{spent_ns / frames / 1e3:.0f} µs a frame instead of {usual_ns / 1e3:.0f}"
