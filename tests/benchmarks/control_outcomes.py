"""What each variant of the measured traces says of the pictures of some streams (control_power.py).

    python -m tests.benchmarks.control_outcomes    record them, with EDGED_DATA (some minutes)

Times and answers were recorded apart: the traces hold the times of one picture, and any picture
takes as long. traces/outcomes.json.gz has for each stream its frames a second and two strings:
`classes`, of which each variant has one character a frame, and `truth`, which has one character a
frame. A character is the index of a class, `-` for a result without a class and `?` where nobody
knows what is right. Variants stand in the order of the traces.
"""

from __future__ import annotations

import gzip
import json
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.capture.decode.still import decode_picture
from edged.capture.sources.synthetic.scene import TURN_SECONDS, Scene
from edged.tracing.recording import read_trace
from edged.tracing.trace import FullTrace
from edged.variants.family import Family, load_family
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Variant
from tests.benchmarks.teach.sets import CLIPS

TRACES = Path(__file__).parent / "traces"
OUTCOMES = TRACES / "outcomes.json.gz"
STREAMS = ("photos", "drawn", "belt", "hall")
MIN_SCORE = 0.2
PHOTOS_FPS = 30.0
"""Each frame is another photo."""
DRAWN_FPS, DRAWN_FRAMES = 10.0, 300
NONE, UNKNOWN = -1, -2
_CHARACTERS = "0123456789?-"
"""The last two are those of UNKNOWN and NONE."""


@dataclass(frozen=True, slots=True)
class Stream:
    """classes: (frames, variants). truth: (frames,), UNKNOWN throughout where there are no labels.
    reference: the most accurate variant by the table, which then is the measure."""

    fps: float
    classes: NDArray[np.int8]
    truth: NDArray[np.int8]
    reference: int

    @property
    def right(self) -> NDArray[np.bool_]:
        """(frames, variants): by the labels, or else as the reference says."""
        known = self.truth != UNKNOWN
        measure = np.where(known, self.truth, self.classes[:, self.reference])
        return self.classes == measure[:, None]


def streams(path: Path = OUTCOMES) -> dict[str, Stream]:
    found = json.loads(gzip.decompress(path.read_bytes()))
    top1 = [each["top1"] for each in found["variants"]]
    reference = top1.index(max(top1))
    return {
        name: Stream(
            entry["fps"],
            _read(entry["classes"]).reshape(-1, len(top1)),
            _read(entry["truth"]),
            reference,
        )
        for name, entry in found["streams"].items()
    }


def _read(text: str) -> NDArray[np.int8]:
    values = [_CHARACTERS.index(each) for each in text]
    return np.array([each if each < 10 else each - len(_CHARACTERS) for each in values], np.int8)


def _write(values: NDArray[np.int8]) -> str:
    return "".join(_CHARACTERS[each] for each in values.ravel().tolist())


def record(data: Path, path: Path = OUTCOMES) -> None:
    trace = read_trace(TRACES / "idle.jsonl.gz")
    assert isinstance(trace, FullTrace)
    family = load_family("imagenette", Path())
    variants = [Variant.parse(each.name) for each in trace.variants]
    found = {}
    for name in STREAMS:
        classes, truth = _answers(family, variants, data, name)
        found[name] = {"fps": _fps(name), "truth": _write(truth), "classes": _write(classes)}
    about = [{"name": each.name, "top1": each.top1} for each in trace.variants]
    text = json.dumps({"variants": about, "streams": found})
    path.write_bytes(gzip.compress(text.encode(), mtime=0))


def _answers(
    family: Family, variants: Sequence[Variant], data: Path, stream: str
) -> tuple[NDArray[np.int8], NDArray[np.int8]]:
    runs = []
    for variant in variants:
        network = family.network(variant)
        runner = OrtBackend().load(network, network.read(), 1)
        runs.append((runner, Preprocessor(family.input, variant.resolution)))
    classes, truth = [], []
    for picture, label in _pictures(family, data, stream):
        said = []
        for runner, prepare in runs:
            values = runner.run(prepare.photo(picture) if stream == "photos" else prepare(picture))
            best = int(values.argmax())
            said.append(best if values[best] >= MIN_SCORE else NONE)
        classes.append(said)
        truth.append(label)
    return np.array(classes, np.int8), np.array(truth, np.int8)


def _fps(stream: str) -> float:
    if stream in ("belt", "hall"):
        return CLIPS["bottle" if stream == "belt" else "person"][1]
    return PHOTOS_FPS if stream == "photos" else DRAWN_FPS


def _pictures(family: Family, data: Path, stream: str) -> Iterator[tuple[NDArray[np.uint8], int]]:
    """With the index of the right class."""
    if stream == "photos":
        with tarfile.open(data / "photos/imagenette-val.tar") as photos:
            members = [each for each in photos if each.isfile()]
            order = np.random.default_rng(0).permutation(len(members))
            for member in (members[each] for each in order):
                content = photos.extractfile(member)
                assert content is not None
                name = family.photo_folders[Path(member.name).parent.name]
                yield decode_picture(content.read(), 0), family.labels.index(name)
    elif stream == "drawn":
        scene, noise = Scene(640, 360), np.random.default_rng(1)
        names = "golf ball", "parachute"
        for number in range(DRAWN_FRAMES):
            seconds = number / DRAWN_FPS
            shaken = scene.draw(seconds) + noise.integers(-25, 26, (360, 640, 1))
            name = names[int(seconds / TURN_SECONDS) % 2]
            yield np.clip(shaken, 0, 255).astype(np.uint8), family.labels.index(name)
    else:
        clip, _ = CLIPS["bottle" if stream == "belt" else "person"]
        with av.open(str(data / "video" / clip)) as container:
            for frame in container.decode(video=0):
                yield frame.to_ndarray(format="rgb24"), UNKNOWN


if __name__ == "__main__":
    record(Path(os.environ["EDGED_DATA"]))
