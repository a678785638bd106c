"""A daemon whose views look every hundred seconds."""

from __future__ import annotations

import time
from pathlib import Path

from tests.rig.daemon import RunningDaemon, quick_config
from tests.rig.key_frames import FRAMES, cpu_ns, key_frames_ns, write_stream

SECONDS = 2.0
CAPTURED = 'edged_frames_captured_total{camera="yard"}'


def config(clip: Path, max_fps: float) -> str:
    rois = {"gate": "[0, 0, 0.5, 1]", "bin": "[0.5, 0, 0.5, 1]"}
    views = ", ".join(f"{name}: {{roi: {roi}, max_fps: {max_fps}}}" for name, roi in rois.items())
    yard = f"{{source: {clip}, loop: true, views: {{{views}}}}}"
    return quick_config({"yard": yard}, backend="onnxruntime")


def test_it_costs_at_most_key_frames_and_next_to_nothing_besides(tmp_path: Path) -> None:
    clip = write_stream(tmp_path / "meter.mp4")
    with RunningDaemon(tmp_path, config(clip, 0.01)) as daemon:
        daemon.wait_for(lambda: daemon.results_of("yard/gate") and daemon.results_of("yard/bin"))
        (worker,) = daemon.capture_processes()
        daemon.wait_for(lambda: daemon.metric(CAPTURED) >= 2 * FRAMES)
        seldom = len(daemon.results)

        frames = daemon.metric(CAPTURED)
        own_ns, capture_ns = cpu_ns(daemon.process.pid), cpu_ns(worker)
        usual_ns, end = [], time.monotonic() + SECONDS
        while time.monotonic() < end:  # on the same machine at the same time
            usual_ns.append(key_frames_ns(clip, FRAMES))
        own_ns, capture_ns = cpu_ns(daemon.process.pid) - own_ns, cpu_ns(worker) - capture_ns
        frames = daemon.metric(CAPTURED) - frames
        assert len(daemon.results) == seldom
        ratio = capture_ns / frames / (sum(usual_ns) / len(usual_ns))
        assert ratio <= 1, f"{ratio:.2f} of demuxing and decoding key frames"

        daemon.reload(config(clip, 10))
        daemon.more_results("yard/bin")
        often_ns, begun = cpu_ns(daemon.process.pid), time.monotonic()
        time.sleep(SECONDS)
        often_ns = cpu_ns(daemon.process.pid) - often_ns
        share = own_ns / SECONDS / (often_ns / (time.monotonic() - begun))
        assert share < 0.3, f"{share:.2f} of what ten results a second cost"
        assert daemon.stop()[0] == 0
