"""What every variant says of every frame of some streams, computed once and kept (agreement.py).

Of each frame: the published class of each variant (-1 for none), its best score, and the picture's
levels. Each stream is recorded in three lights.
"""

from __future__ import annotations

import csv
import os
import tarfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.capture.decode.still import decode_picture
from edged.capture.sources.synthetic.scene import Scene
from edged.pipeline.probes import levels_of
from edged.teach.light import lit
from edged.teach.teach import Example, teach
from edged.variants.family import Family, Fit, InputContract, load_family
from edged.variants.heads import HeadMatrix
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision, Variant
from tests.benchmarks.teach.backbone import Eye, backbone
from tests.benchmarks.teach.sets import CLIPS, Picture, pictures, read_set, small
from tests.benchmarks.teach.trials import ByNetwork, drawn, extractors

LIGHTS = (1.0, 0.5, 1.5)
"""Factors of every pixel."""
MIN_SCORE = 0.2
PICTURES_TAUGHT = 40
"""A class."""
STREAMS = ("belt", "hall", "gate", "drawn")


@dataclass(frozen=True, slots=True)
class Recorded:
    """classes, scores: (lights, frames, variants), the scores as published. levels: (lights,
    frames, 48). truth: (frames,), -1 where nobody knows. top1: the manifest's, or the head's
    estimate."""

    variants: tuple[Variant, ...]
    top1: tuple[float, ...]
    classes: NDArray[np.int16]
    scores: NDArray[np.float16]
    levels: NDArray[np.uint8]
    truth: NDArray[np.int16]


def recorded(data: Path, cache: Path, stream: str) -> Recorded:
    """`belt`, `hall`: clips under ImageNet. `gate`: the second taught, empty or a person. `drawn`:
    the scene of `edged demo`. `imagenet`, `imagenette`: labelled photos, in one light."""
    path = cache / "agreement" / f"{stream}.npz"
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        found = _record(data, cache, stream)
        np.savez_compressed(
            path,
            variants=[each.name for each in found.variants],
            **{
                name: getattr(found, name)
                for name in ("top1", "classes", "scores", "levels", "truth")
            },
        )
    with np.load(path) as kept:
        variants = tuple(Variant.parse(str(each)) for each in kept["variants"])
        top1 = tuple(kept["top1"].tolist())
        return Recorded(
            variants, top1, *(kept[name] for name in ("classes", "scores", "levels", "truth"))
        )


def _record(data: Path, cache: Path, stream: str) -> Recorded:
    shipped = load_family("imagenette", Path())
    family = shipped if stream in ("drawn", "imagenette") else backbone(data, cache)
    lights = LIGHTS if stream in STREAMS else LIGHTS[:1]
    plain, truth = zip(*_pictures(data, stream, family), strict=True)
    shown = [[_in_light(each, light) for each in plain] for light in lights]
    levels = np.array([[np.frombuffer(levels_of(each), np.uint8) for each in row] for row in shown])
    variants = [
        each
        for network in family.networks
        if network.precision is Precision.FLOAT
        for each in network.variants()
    ]
    fit = Fit.SQUASH if stream == "gate" else Fit.CROP
    heads = heads_of_gate(data, cache, family) if stream == "gate" else None
    classes = np.empty((len(lights), len(plain), len(variants)), np.int16)
    scores = np.empty(classes.shape, np.float16)
    for column, variant in enumerate(variants):
        network = family.network(variant)
        runner = OrtBackend().load(network, network.read(), 1)
        prepare = Preprocessor(InputContract(fit), variant.resolution)
        for light, row in enumerate(shown):
            for number, picture in enumerate(row):
                image = prepare.photo(picture) if len(lights) == 1 else prepare(picture)
                if heads is None:
                    values = runner.run(image)
                else:
                    head = HeadMatrix.of(heads[0][network.sha256])
                    values = head.scores(runner.features(image))
                best = int(values.argmax())
                classes[light, number, column] = best if values[best] >= MIN_SCORE else -1
                scores[light, number, column] = values[best]
    top1 = [family.top1(each) for each in variants] if heads is None else heads[1]
    return Recorded(
        tuple(variants), tuple(top1), classes, scores, levels, np.array(truth, np.int16)
    )


def _pictures(data: Path, stream: str, family: Family) -> Iterator[tuple[Picture, int]]:
    """With the index of the right class, or -1."""
    if stream == "drawn":
        scene, noise = Scene(640, 360), np.random.default_rng(1)
        names = "golf ball", "parachute"
        for number in range(100):
            shaken = scene.draw(number / 10).astype(np.int16) + noise.integers(
                -25, 26, (360, 640, 1)
            )
            yield (
                small(np.clip(shaken, 0, 255).astype(np.uint8)),
                family.labels.index(names[number >= 50]),
            )
    elif stream in ("imagenet", "imagenette"):
        yield from _photos(data, stream, family)
    else:
        name = "bottle" if stream == "belt" else "person"
        said = read_set(data, name)
        truth = {each.name: each.label for each in said.test} if stream == "gate" else {}
        with av.open(str(data / "video" / CLIPS[name][0])) as container:
            for number, frame in enumerate(container.decode(video=0)):
                asked = str(number) in truth if stream == "gate" else number % 4 == 0
                if asked:
                    yield small(frame.to_ndarray(format="rgb24")), truth.get(str(number), -1)


def _photos(data: Path, stream: str, family: Family) -> Iterator[tuple[Picture, int]]:
    if stream == "imagenet":
        with (data / "photos/ilsvrc2012-val650.csv").open() as file:
            rows = list(csv.reader(file))
        at = rows[0].index("class_index")
        background = len(family.labels) - 1000
        labels = {Path(row[0]).name: int(row[at]) + background for row in rows[1:]}
        archive = data / "photos/ilsvrc2012-val650.tar"
    else:
        labels = {}
        archive = data / "photos/imagenette-val.tar"
    with tarfile.open(archive) as photos:
        members = sorted((each for each in photos if each.isfile()), key=lambda each: each.name)
        for member in members[:: 1 if labels else 3]:
            content = photos.extractfile(member)
            assert content is not None
            if labels:
                label = labels[Path(member.name).name]
            else:
                label = family.labels.index(family.photo_folders[Path(member.name).parent.name])
            yield decode_picture(content.read(), 0), label


def heads_of_gate(data: Path, cache: Path, family: Family) -> tuple[ByNetwork, list[float]]:
    """By network, and the estimates of the variants; taught from the pool."""
    person = read_set(data, "person")
    taught_from = drawn(person.pool, len(person.classes), PICTURES_TAUGHT, seed=1)
    wanted = {each.name for each in taught_from}
    kept = {name: each for name, each in pictures(data, "person") if name in wanted}

    def features(network: str) -> NDArray[np.float16]:
        eye = Eye(next(each for each in family.networks if each.sha256 == network))
        rows = [[eye(lit(kept[each.name], copy)) for copy in (0, 1)] for each in taught_from]
        return np.array(rows)

    examples = [Example(each.name, each.label, each.moment) for each in taught_from]
    taught = teach(examples, person.classes, extractors(family), features)
    shares = taught.estimate.variants
    return taught.heads, [
        shares[network.sha256, each.resolution].top1
        for network in family.networks
        for each in network.variants()
    ]


def _in_light(picture: Picture, light: float) -> Picture:
    return np.clip(picture * light, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    for each in (*STREAMS, "imagenet", "imagenette"):
        found = recorded(Path(os.environ["EDGED_DATA"]), Path(os.environ["EDGED_CACHE"]), each)
        print(each, found.classes.shape, flush=True)
