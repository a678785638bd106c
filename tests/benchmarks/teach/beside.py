"""What a training costs the daemon beside it: frames, results on time, memory of the child.

    EDGED_DATA=DIR [EDGED_TEACH_CACHE=DIR] python -m tests.benchmarks.teach.beside

A daemon runs a 30 fps clip on the four ImageNet networks. Its share on time and its lost frames are
counted for as long as a training of 60 pictures takes, before it and while it runs. Exits with 1
where the child takes more than 150 MB, a frame is lost or a point of the share on time.
"""

from __future__ import annotations

import os
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

import cv2
from tqdm import tqdm

from edged.teach.store import TeachStore, new_moment
from edged.teach.training import TrainingProcess
from tests.benchmarks.teach.backbone import backbone
from tests.rig.camera import command_line
from tests.rig.daemon import RunningDaemon, pss_mb

PICTURES, MOMENTS = 60, 6
MOST_MB = 150
CONFIG = """
model: {model}
latency_budget_ms: 150
http: {{listen: 127.0.0.1:0}}
results: {{jsonl: "-"}}
cameras:
  line: {{source: {clip}, loop: true}}
"""


class Share(NamedTuple):
    results: int
    lost: int
    on_time: float


def pictures(clip: Path) -> Iterator[bytes]:
    """JPEGs from all of the clip, 256 pixels high."""
    film = cv2.VideoCapture(str(clip))
    count = int(film.get(cv2.CAP_PROP_FRAME_COUNT))
    for number in range(PICTURES):
        film.set(cv2.CAP_PROP_POS_FRAMES, number * count // PICTURES)
        read, frame = film.read()
        assert read
        size = round(frame.shape[1] * 256 / frame.shape[0]), 256
        yield cv2.imencode(".jpg", cv2.resize(frame, size))[1].tobytes()


def share(daemon: RunningDaemon, begin: int) -> Share:
    """Of the results from that one on; a frame is lost where the sequence has a gap."""
    results = daemon.results[begin:]
    numbers = [each["sequence"] for each in results]
    lost = sum(max(0, after - before - 1) for before, after in pairwise(numbers))
    return Share(len(results), lost, sum(each["on_time"] for each in results) / len(results))


def child_of(folder: Path) -> int:
    """The process that trains in the folder."""
    numbers = (int(each.name) for each in Path("/proc").iterdir() if each.name.isdigit())
    found = (each for each in numbers if b"training.worker" in command_line(each))
    return next(each for each in found if str(folder).encode() in command_line(each))


def main(data: Path, cache: Path, folder: Path) -> int:
    clip = data / "video/bottle-detection.mp4"
    networks = backbone(data, cache).directory
    classifier = TeachStore(folder / "other/teach").create("line", "line", ("one", "other"))
    moments = [new_moment(1.8e9 + 60 * number) for number in range(MOMENTS)]
    for number, jpeg in enumerate(pictures(clip)):
        moment = number * MOMENTS // PICTURES
        classifier.add(classifier.settings.classes[moment % 2], moments[moment], jpeg)
    config = CONFIG.format(model=networks, clip=clip)
    with RunningDaemon(folder, config) as daemon:
        daemon.wait_for(lambda: "profile measured" in daemon.text, 600)
        begin, begun = len(daemon.results), time.monotonic()
        most_mb = 0.0
        with (
            TrainingProcess(classifier.folder, str(networks)) as training,
            tqdm(unit="s", disable=None, leave=False) as bar,
        ):
            while training.running:
                time.sleep(0.5)
                with suppress(StopIteration, FileNotFoundError):  # it is about to end
                    most_mb = max(most_mb, pss_mb(child_of(classifier.folder)))
                bar.update(0.5)
            training.wait()
        seconds, beside = time.monotonic() - begun, share(daemon, begin)
        begin = len(daemon.results)
        time.sleep(seconds)
        alone = share(daemon, begin)
    out = sys.stdout.write
    out(f"training {PICTURES} pictures: {seconds:.0f} s, child at most {most_mb:.0f} MB\n")
    for name, each in (("beside it", beside), ("alone", alone)):
        out(f"{name}: {each.results} results, {each.lost} lost, {100 * each.on_time:.2f} %\n")
    worse = most_mb > MOST_MB or beside.lost > alone.lost
    return int(worse or beside.on_time < alone.on_time - 0.01)


if __name__ == "__main__":
    with tempfile.TemporaryDirectory(prefix="edged-teach-") as scratch:
        given = os.environ.get("EDGED_TEACH_CACHE", scratch)
        sys.exit(main(Path(os.environ["EDGED_DATA"]), Path(given), Path(scratch)))
