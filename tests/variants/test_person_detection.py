"""A second real family, from its published weights to results: is somebody in the picture?

MobileNet v1 0.25 at 96 pixels of MLCommons' tiny benchmark. It sees pixel / 255, where the official
ImageNet networks see pixel / 127.5 - 1, and knows two classes.
"""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from statistics import mean, median
from typing import Any

import av
import pytest

from tests.rig.daemon import RunningDaemon
from tests.rig.imports import import_person

SPEED = 8
"""The clip is played this much faster than its 10 frames a second."""
FPS = 10 * SPEED

# First and last frame, as seen by eye: whole people that walk in, stand still with their back to
# the camera and walk out, and the empty floor between them.
VISITS = [(72, 186), (232, 438), (515, 690), (754, 858), (934, 1185), (1245, 1345)]
EMPTY = [(0, 55), (208, 222), (460, 495), (710, 738), (880, 905), (1215, 1230), (1366, 1390)]

# What the network itself makes of all those frames, each looked at once, outside the daemon:
# somebody in 74 % of the frames of the visits (8, 100, 94, 99, 54 and 88 % of each: it is a small
# network, and weak on grey clothes before a grey wall), and nobody in any without; there `person`
# gets at most 0.007. It was trained on squashed pictures, but those were nearer to square: of this
# 16:9 clip, squashed, it finds 46 %.
LEAST_FOUND = 0.6
HIGHEST_EMPTY = 0.05
"""With pixel / 127.5 - 1 the empty floor gets 0.3 to 0.4. Every frame of a visit gets more."""

CONFIG = """
model: ./person
latency_budget_ms: 2000
cameras:
  hall: {source: hall.mp4}
results: {top_k: 2, min_score: 0}
http: {listen: 127.0.0.1:0}
"""


def faster(clip: Path, path: Path) -> Path:
    """The same coded frames under earlier time stamps."""
    with av.open(str(clip)) as source, av.open(str(path), "w") as target:
        stream = target.add_stream_from_template(source.streams.video[0])
        for packet in source.demux(video=0):
            if packet.dts is None:
                continue  # the one that flushes a decoder
            packet.pts, packet.dts = packet.pts // SPEED, packet.dts // SPEED
            packet.stream = stream
            target.mux(packet)
    return path


def frame_number(result: dict[str, Any], first: dict[str, Any]) -> float:
    """By the time of its capture: a busy machine leaves frames out."""
    captured, begun = (
        datetime.fromisoformat(each["captured_at"].replace("Z", "+00:00"))
        for each in (result, first)
    )
    return (captured - begun).total_seconds() * FPS + first["sequence"] - 1


def scores(results: list[dict[str, Any]], begin: int, end: int) -> list[float]:
    """Of `person`, between two frames."""
    chosen = [each for each in results if begin <= frame_number(each, results[0]) <= end]
    tops = [{top["label"]: top["score"] for top in each["top"]} for each in chosen]
    return [top["person"] for top in tops]


@pytest.mark.data
@pytest.mark.timeout(300)  # the clip alone takes 18 s
def test_people_are_found_when_they_walk_through_and_nobody_on_the_empty_floor(
    data: Path, tmp_path: Path
) -> None:
    import_person(data, tmp_path / "person")
    faster(data / "video" / "one-by-one-person-detection.mp4", tmp_path / "hall.mp4")
    with RunningDaemon(tmp_path, CONFIG) as daemon:
        assert daemon.process.wait(200) == 0, daemon.text  # it ends with the clip
    visits = [scores(daemon.results, *visit) for visit in VISITS]
    empty = [score for stretch in EMPTY for score in scores(daemon.results, *stretch)]
    told = f"{visits}\n{empty}"
    assert min(map(len, visits)) >= 5, told
    assert len(empty) >= 5, told
    assert max(empty) < HIGHEST_EMPTY < min(map(median, visits)), told
    found = [sum(score > 0.5 for score in visit) / len(visit) for visit in visits]
    assert mean(found) > LEAST_FOUND, told
