"""What float16 costs in accuracy on a Cortex-A76, under QEMU: `make bench-arm-half`, as root.

    EDGED_DATA=DIR python -m tests.benchmarks.arm.half [SECONDS [WORD…]]

DIR holds the photos and weights. Each photo is decoded and prepared here and goes through ncnn
twice: in float32 on this machine, in float16 on the emulated one. Scores are kept in EDGED_CACHE:
after SECONDS, or an interruption, the next run goes on. With words only networks that have all of
them in their name are run (`imagenette 0.25`); without, arm-half.md is written of what there is.
"""

from __future__ import annotations

import hashlib
import math
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.backends.ncnn.layers import ncnn_layers
from edged.backends.ncnn.ncnn import NcnnBackend
from edged.backends.onnxruntime import OrtBackend
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Family, Network, load_family
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision
from edged.variants.weights.importing import import_weights
from tests.benchmarks.arm.report import BENCHMARKS
from tests.benchmarks.arm.root import (
    WHEELS,
    CannotCountError,
    cache_folder,
    make_root,
    run_counted,
)
from tests.device.step import say
from tests.rig.paths import PROJECT

TABLE = BENCHMARKS / "arm-half.md"
SIDE = 128
PHOTOS, AT_ONCE = 500, 20
NEAR = 0.03
"""Photos whose two best scores are nearer are run besides those drawn at random."""
CONTROL = 5
"""So many photos are run in float32 on the emulated processor as well."""
NOT_RUN = -1.0
SECONDS = 1800.0
Z = 1.959964
"""Of a 95 % interval."""
WEIGHTS = (
    ("mobilenet_v1_0.25_128_quant.tflite", None),
    (
        "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
        "mobilenet_quant_v1_224_head_layers.tflite",
    ),
)
"""ImageNet's: a file, or an extractor and its head."""
HEAD = """# Accuracy in float16

Written by `make bench-arm-half`: held-out photos at {side} pixels through ncnn {version}, in
float32 on this machine ({machine}) and in float16 on a Cortex-A76 emulated by QEMU. The difference
is of top-1, in percentage points; its 95 % interval is Tango's (1998) for paired shares, which
inverts McNemar's test: only photos that one of both gets right tell anything. *changed* are the
photos whose best class is another one, *scores* is the largest difference of any score. imagenette
is the shipped family on its held-out photos, imagenet de-quantised official weights on photos of
ImageNet's validation set.

## Photos drawn at random

Up to {photos} of each.

{columns}
{drawn}

## All photos

Run in float16 were, besides those drawn, all whose two best classes are less than {near} apart in
float32. Of the others the answer is taken as unchanged: it changes only where a score moves by at
least half of that, and the largest difference that was found is {largest:.4f}.

{columns}
{every}

The first {control} photos of each were run in float32 on the emulated processor as well: the
largest difference of a score from this machine's is {difference:.1e}.
"""
COLUMNS = (
    "| network | photos | float32 right | float16 right | difference | 95 % interval | changed |"
    " scores |\n| --- | ---: | ---: | ---: | ---: | --- | ---: | ---: |"
)

Scores = NDArray[np.float32]
"""(photos, classes)."""
Places = NDArray[np.intp]


class Subject(NamedTuple):
    """A network and its photos: uint8 (photos, side, side, 3), and the class of each."""

    name: str
    network: Network
    images: NDArray[np.uint8]
    classes: NDArray[np.int64]


def main(seconds: float, words: list[str]) -> None:
    end = time.monotonic() + seconds
    cache = cache_folder()
    root = make_root(cache)
    drawn_rows, rows, differences, largest = [], [], [], 0.0
    with tempfile.TemporaryDirectory(prefix="edged-half-") as folder:
        for subject in subjects(Path(os.environ["EDGED_DATA"]), Path(folder)):
            if not all(word in subject.name for word in words):
                continue
            float32 = here(subject)
            best = np.sort(float32, axis=1)
            near = np.flatnonzero(best[:, -1] - best[:, -2] < NEAR)
            drawn = np.random.default_rng(0).permutation(len(float32))[:PHOTOS]
            run = np.concatenate([near, drawn[~np.isin(drawn, near)]])
            control = emulated(subject, "ncnn", run[:CONTROL], root, cache, end)
            compared = np.abs(control - float32)[control[:, 0] != NOT_RUN]
            differences.append(compared.max(initial=0))
            float16 = emulated(subject, "ncnn-fp16", run, root, cache, end)
            is_run = float16[:, 0] != NOT_RUN
            float16[~is_run] = float32[~is_run]
            largest = max(largest, float(np.abs(float16 - float32).max()))
            drawn = drawn[np.logical_and.accumulate(is_run[drawn])]
            if len(drawn):
                drawn_rows.append(row(subject, float32, float16, drawn))
            if is_run[near].all():
                rows.append(row(subject, float32, float16, np.arange(len(float32))))
    if words:
        return
    TABLE.write_text(
        HEAD.format(
            side=SIDE,
            photos=PHOTOS,
            version=NcnnBackend().version,
            machine=os.uname().machine,
            columns=COLUMNS,
            drawn="\n".join(drawn_rows),
            every="\n".join(rows),
            near=NEAR,
            largest=largest,
            control=CONTROL,
            difference=max(differences),
        )
    )


def subjects(data: Path, folder: Path) -> Iterator[Subject]:
    photos = data / "photos"
    shipped = load_family("imagenette", PROJECT)
    yield from _subjects(shipped, Photos(photos / "imagenette-val.tar", shipped))
    weights = data / "weights"
    for name, head in WEIGHTS:
        import_weights(
            weights / name,
            None if head is None else weights / head,
            labels=weights / "imagenet_labels.txt",
            into=folder / "imagenet",
            resolutions=(SIDE,),
            backend=OrtBackend(),
        )
    imagenet = load_family("imagenet", folder, ())
    table = photos / "ilsvrc2012-val650.csv"
    yield from _subjects(imagenet, Photos(photos / "ilsvrc2012-val650.tar", imagenet, table))


def _subjects(family: Family, photos: Photos) -> Iterator[Subject]:
    preprocess = Preprocessor(family.input, SIDE)
    read = [(preprocess.photo(each.picture)[0].copy(), each.class_index) for each in photos]
    images = np.stack([image for image, _ in read])
    classes = np.array([index for _, index in read])
    for network in family.networks:
        if network.precision is Precision.FLOAT:
            yield Subject(f"{family.name} {network.alpha}", network, images, classes)


def here(subject: Subject) -> Scores:
    run = NcnnBackend().load(subject.network, subject.network.read(), 1).run
    return np.stack([run(image[np.newaxis]) for image in subject.images])


def emulated(
    subject: Subject, runtime: str, places: Places, root: Path, cache: Path, end: float
) -> Scores:
    """Of all photos; NOT_RUN are those that are not at these places, or for which time did not
    suffice. What is kept is not run again."""
    model = subject.network.read()
    layers = ncnn_layers(model)
    digest = hashlib.sha256(subject.images.tobytes() + WHEELS.read_bytes())
    digest.update(layers.param.encode() + layers.weights)
    path = cache / f"arm-{runtime}-{digest.hexdigest()[:16]}.npy"
    kept: Scores = np.full((len(subject.images), layers.classes), NOT_RUN, np.float32)
    if path.exists():
        kept = np.load(path)
    with tempfile.TemporaryDirectory(prefix="edged-half-") as folder:
        work = Path(folder)
        (work / "network.onnx").write_bytes(model)
        while len(missing := places[kept[places, 0] == NOT_RUN]) and time.monotonic() < end:
            part = missing[:AT_ONCE]
            np.save(work / "photos.npy", subject.images[part])
            run_counted(root, "a76", work, "scores", runtime, seconds=SECONDS)
            kept[part] = np.load(work / "scores.npy")
            np.save(work / "kept.npy", kept)
            shutil.move(work / "kept.npy", path)
            say(f"{subject.name}, {runtime}: {len(missing) - len(part)} photos are left")
    return kept


def row(subject: Subject, float32: Scores, float16: Scores, places: Places) -> str:
    classes = subject.classes[places]
    before, after = (scores[places].argmax(axis=1) for scores in (float32, float16))
    was_right, is_right = before == classes, after == classes
    lost = int((was_right & ~is_right).sum())
    won = int((is_right & ~was_right).sum())
    low, high = interval(won, lost, len(classes))
    cells = (
        f"{subject.name}",
        f"{len(classes)}",
        f"{was_right.sum()}",
        f"{is_right.sum()}",
        f"{100 * (won - lost) / len(classes):+.2f}",
        f"{100 * low:+.2f} … {100 * high:+.2f}",
        f"{(before != after).sum()}",
        f"{np.abs(float16 - float32)[places].max():.4f}",
    )
    return f"| {' | '.join(cells)} |"


def interval(won: int, lost: int, pairs: int) -> tuple[float, float]:
    """Of the difference of two shares of the same `pairs`: Tango's score interval."""

    def score(difference: float) -> float:
        b = (2 * pairs - won + lost) * difference - won - lost
        c = -lost * difference * (1 - difference)
        share = (math.sqrt(b * b - 8 * pairs * c) - b) / (4 * pairs)
        variance = pairs * (2 * share + difference * (1 - difference))
        return (won - lost - pairs * difference) / math.sqrt(max(variance, 1e-300))

    def solved(low: float, high: float, wanted: float) -> float:
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if score(middle) > wanted else (low, middle)
        return low

    found = (won - lost) / pairs
    return solved(-1.0, found, Z), solved(found, 1.0, -Z)


if __name__ == "__main__":
    try:
        main(float(sys.argv[1]) if len(sys.argv) > 1 else math.inf, sys.argv[2:])
    except CannotCountError as error:
        sys.exit(str(error))
