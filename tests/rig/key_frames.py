"""A stream of H.264, and what demuxing it and decoding its key frames costs."""

from __future__ import annotations

import time
from pathlib import Path

import av

from edged.capture.sources.synthetic.scene import Scene

FPS, GOP, FRAMES = 100, 50, 200
"""A camera's group of pictures at four times its pace."""


def write_stream(path: Path) -> Path:
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
    """Of all threads of a process that still run."""
    tasks = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(task.read_text().split()[0]) for task in tasks)
