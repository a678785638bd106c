"""Which trained resolution serves best at all resolutions: tests/benchmarks/teach/resolutions.md.

    EDGED_DATA=… python -m tests.benchmarks.teach.resolutions CACHE

Five official networks, each run at 128, 160, 192 and 224 pixels: on ImageNet's classes, and taught
20 pictures a class of three sets. A quarter of an hour the first time; features are kept in CACHE.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.teach.fit import fit_heads
from edged.variants.evaluation.evaluate import evaluate
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Family, load_family
from edged.variants.manifest import MANIFEST
from edged.variants.official import OFFICIAL, Weights
from tests.benchmarks.teach.backbone import FILES, SIDES, Features, import_files
from tests.benchmarks.teach.sets import Set, pictures, read_set

SETS = ("trash", "bottle", "person")
PICTURES = 20
"""Taught of each class."""
DRAWS = 5
NETWORKS = {
    "0.25 trained at 128": (0.25, 128, FILES[0], Weights.QUANT),
    "0.25 trained at 224": (0.25, 224, ("mobilenet_v1_0.25_224.h5", None), Weights.KERAS),
    "0.5 trained at 160": (0.5, 160, FILES[1], Weights.QUANT),
    "0.75 trained at 192": (0.75, 192, FILES[2], Weights.QUANT),
    "1.0 trained at 224": (1.0, 224, FILES[3], Weights.QUANT),
}


def family_of(data: Path, folder: Path, files: tuple[str, str | None]) -> Family:
    if not (folder / MANIFEST).exists():
        import_files(data, folder, files)
    return load_family(str(folder), Path())


def on_imagenet(data: Path, family: Family) -> list[float]:
    folder = data / "photos"
    photos = Photos(folder / "ilsvrc2012-val650.tar", family, folder / "ilsvrc2012-val650.csv")
    return [each.top1 for each in evaluate(family, photos, family.variants(), OrtBackend(), 2)]


def taught(cases: Set, names: list[str], features: NDArray[Any]) -> list[float]:
    """Balanced accuracy on held-out pictures at each resolution, mean of the draws. features:
    (pictures, resolutions, C); one head for all resolutions."""
    at = {name: number for number, name in enumerate(names)}
    asked = [at[each.name] for each in cases.test]
    right = np.array([each.label for each in cases.test])
    classes = len(cases.classes)
    draws = []
    for draw in range(DRAWS):
        random = np.random.default_rng(draw)
        chosen, labels = [], []
        for label in range(classes):
            pool = [each for each in cases.pool if each.label == label]
            chosen += [at[pool[i].name] for i in random.permutation(len(pool))[:PICTURES]]
            labels += [label] * min(PICTURES, len(pool))
        rows = features[chosen].reshape(-1, features.shape[2])
        weights = np.ones((1, len(rows)), np.float32)
        (head,) = fit_heads(rows, np.repeat(labels, len(SIDES)), weights, classes, len(chosen))
        said = (features[asked].astype(np.float32) @ head[:, :-1].T + head[:, -1]).argmax(axis=2)
        draws.append([_balanced(said[:, side], right, classes) for side in range(len(SIDES))])
    return list(np.mean(draws, axis=0))


def _balanced(said: NDArray[Any], right: NDArray[Any], classes: int) -> float:
    return float(np.mean([(said[right == each] == each).mean() for each in range(classes)]))


def losses(found: dict[str, list[float]]) -> dict[str, list[float]]:
    """What each network loses against one that was trained for the resolution at which it runs.

    Few of those are here: their top-1 on these photos is read off a line through those that are,
    between the logits of published and of measured top-1.
    """
    own = {
        name: (_published(name, side), found[name][SIDES.index(side)])
        for name, (_, side, _, _) in NETWORKS.items()
    }
    published, measured = (np.array(each) for each in zip(*own.values(), strict=True))
    slope, start = np.polyfit(_logit(published), _logit(measured), 1)
    lost = {}
    for name, top1 in found.items():
        expected = [_published(name, side) for side in SIDES]
        line = 1 / (1 + np.exp(-(slope * _logit(np.array(expected)) + start)))
        offset = own[name][1] - line[SIDES.index(NETWORKS[name][1])]
        lost[name] = list(line + offset - np.array(top1))
    return lost


def _published(name: str, side: int) -> float:
    alpha, _, _, kind = NETWORKS[name]
    return OFFICIAL["mobilenet-v1-imagenet"][kind].accuracy(alpha, side).top1


def _logit(share: NDArray[Any]) -> NDArray[Any]:
    return np.log(share / (1 - share))


def table(head: str, rows: dict[str, list[float]], change: str = ".3f") -> Iterator[str]:
    yield f"| {head} | {' | '.join(map(str, SIDES))} | mean |"
    yield "| --- |" + " --- |" * (len(SIDES) + 1)
    for name, values in rows.items():
        yield f"| {name} | {' | '.join(format(v, change) for v in [*values, np.mean(values)])} |"


def main() -> int:
    data, cache = Path(os.environ["EDGED_DATA"]), Path(sys.argv[1])
    families = {
        name: family_of(data, cache / f"{alpha}-{side}", files)
        for name, (alpha, side, files, _) in NETWORKS.items()
    }
    imagenet = {name: on_imagenet(data, family) for name, family in families.items()}
    lines = [
        "# Which trained resolution serves at all resolutions",
        "",
        "Written by `python -m tests.benchmarks.teach.resolutions`. Official networks,",
        "de-quantised (0.25 trained at 224: Keras's), each run at four resolutions.",
        "",
        "Top-1 on 650 photos of ImageNet (standard error 0.016 to 0.020):",
        "",
        *table("network", imagenet),
        "",
        "What that loses against networks that were trained for each resolution, in points; those",
        "that are not here are estimated from their published top-1:",
        "",
        *table("network", {k: [100 * v for v in vs] for k, vs in losses(imagenet).items()}, ".1f"),
    ]
    for name in SETS:
        cases = read_set(data, name)
        rows = {}
        for network, family in families.items():
            kept = Features(family, family.directory)
            names, features = kept.of(name, lambda name=name: pictures(data, name))  # type: ignore[misc]
            (values,) = features.values()
            rows[network] = taught(cases, names, values)
        lines += [
            "",
            f"Taught {PICTURES} pictures a class of {name}, one head for all resolutions; balanced",
            f"accuracy on held-out pictures, mean of {DRAWS} draws:",
            "",
            *table("network", rows),
        ]
    path = Path(__file__).with_suffix(".md")
    path.write_text("\n".join(lines) + "\n")
    print(path.read_text())
    return 0


if __name__ == "__main__":
    sys.exit(main())
