"""Trained networks become a family: ONNX files, measured, with a golden picture and a model card.

Knows nothing of how they were trained beyond what the card says of it.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from network import folded_weights
from numpy.typing import NDArray
from tqdm import tqdm
from train import AVERAGE_DECAY, JITTER, Run

from edged.atomic_file import write_whole
from edged.backends.onnxruntime import OrtBackend
from edged.errors import InputError
from edged.variants.evaluation.evaluate import Evaluation, evaluate, record_accuracy
from edged.variants.evaluation.photos import Photos as PhotoFiles
from edged.variants.family import Family, InputContract, Network, load_family, write_family
from edged.variants.golden import with_golden
from edged.variants.manifest import MANIFEST
from edged.variants.weights.onnx_builder import build_network

CHANCE = 0.01
SCALE, OFFSET = 1 / 127.5, -1.0
"""The network sees pixel * SCALE + OFFSET, as `train.normalised` made it see them."""


class FamilyTeacher:
    """The best variant of a family whose labels include these classes (see `train.Teacher`)."""

    def __init__(self, reference: str, labels: Sequence[str]) -> None:
        family = load_family(reference, Path())
        unknown = [label for label in labels if family.labels.count(label) != 1]
        if unknown:
            raise InputError(
                "the teacher's family lacks some of these classes",
                where=family.directory,
                got=f"no single label {unknown[0]!r}",
                fix="name the classes with --names as the teacher's labels do",
            )
        self._columns = [family.labels.index(label) for label in labels]
        self.variant = max(family.variants(), key=family.top1)
        network = family.network(self.variant)
        self._runner = OrtBackend().load(network, network.read(), 2)
        self.identity = f"{family.name} {self.variant.name} {network.sha256}"

    def probabilities(self, images: NDArray[np.uint8]) -> NDArray[np.float32]:
        side = self.variant.resolution
        rows = []
        for image in images:
            # Enlarged: at its own resolution a teacher knows more than at the pupil's.
            enlarged = cv2.resize(image, (side, side), interpolation=cv2.INTER_LINEAR)
            rows.append(self._runner.run(enlarged[None])[self._columns])
        scores = np.stack(rows) + 1e-7
        return np.asarray(scores / scores.sum(1, keepdims=True), np.float32)


def begin_family(
    into: Path, labels: Sequence[str], folders: Mapping[str, str], crop_fraction: float
) -> Family:
    """The family in the folder `into`, or a new one. Raises InputError when its classes or how it
    takes pictures are others."""
    contract = InputContract(crop_fraction=crop_fraction)
    if not (into / MANIFEST).exists():
        name = re.sub(r"[^A-Za-z0-9._-]", "_", into.resolve().name).lstrip(".-") or "family"
        return Family(name, into, tuple(labels), contract, (), photo_folders=folders)
    family = load_family(str(into.resolve()), Path())
    if family.labels != tuple(labels) or family.input != contract:
        raise InputError(
            "the family in this folder has other labels or another crop",
            where=into,
            fix="write into another folder",
        )
    return replace(family, photo_folders=folders)


def export(
    family: Family, runs: Sequence[Run], validation: Path, source: str, about: str
) -> tuple[Family, list[str]]:
    """Add the runs' averaged networks to the family, in place of those of the same alpha, and
    measure every variant on the held-out photos; `source` says in the manifest what those are.
    Returns the family, and the variants that are no better than guessing.

    about: Markdown for the model card, on the data and its licence.
    """
    models: dict[str, bytes] = {}
    networks = list(family.networks)
    for run in runs:
        alpha = run.settings.alpha
        model = build_network(
            run.averaged.architecture, folded_weights(run.averaged), scale=SCALE, offset=OFFSET
        )
        path = family.directory / f"mobilenet_v1_{alpha}.onnx"
        network = Network.of(path, model, alpha, run.settings.resolutions)
        if network.sha256 in {known.sha256 for known in networks}:
            continue
        # The INT8 counterparts of a replaced network are removed as well.
        networks = [known for known in networks if known.alpha != alpha] + [network]
        models[path.name] = model
    networks.sort(key=lambda network: (network.alpha, network.precision.value))
    family = replace(family, networks=tuple(networks))
    family, golden = with_golden(family, models, OrtBackend())
    family = write_family(family, models, golden)
    photos = PhotoFiles(validation, family)
    with tqdm(total=len(photos), desc="measuring", unit=" pictures", disable=None) as progress:
        evaluations = evaluate(
            family,
            photos,
            family.variants(),
            OrtBackend(),
            progress=lambda done: _advance(progress, done),
        )
    family = record_accuracy(family, evaluations, source)
    guess = photos.largest_class_share
    guessing = [each.variant.name for each in evaluations if guesses(each, guess)]
    card = model_card(family, runs, evaluations, source, about, guessing)
    write_whole(family.directory / "README.md", card.encode())
    write_whole(family.directory / "training.csv", _curves(runs).encode())
    return family, guessing


def guesses(evaluation: Evaluation, guess: float) -> bool:
    """Whether a variant that always names the most frequent class, whose share is `guess`, would
    be right as often in more than one of a hundred such measurements (binomial tail)."""
    photos, right = evaluation.photos, round(evaluation.top1 * evaluation.photos)
    if guess >= 1:
        return True
    ways = (
        math.lgamma(photos + 1)
        - math.lgamma(k + 1)
        - math.lgamma(photos - k + 1)
        + k * math.log(guess)
        + (photos - k) * math.log1p(-guess)
        for k in range(right, photos + 1)
    )
    return sum(map(math.exp, ways)) > CHANCE


def model_card(
    family: Family,
    runs: Sequence[Run],
    evaluations: Sequence[Evaluation],
    source: str,
    about: str,
    guessing: Sequence[str] = (),
) -> str:
    """Markdown: what the family knows, what it was made of and how, and how good it is."""
    accuracies = "\n".join(_accuracy_row(family, evaluation) for evaluation in evaluations)
    recipes = "\n".join(map(_recipe_row, runs))
    return f"""# {family.name}

MobileNet v1 (arXiv 1704.04861), {len(family.labels)} classes:
{", ".join(family.labels)}.

## Accuracy

Measured on {source}.
No network was trained on any of them. Through ONNX Runtime with this folder's files; each photo's
centre square, crop fraction {family.input.crop_fraction}, bilinear. ± is the standard error.

| variant | file | top-1 | right |
|---|---|---|---|
{accuracies}
{_warning(guessing)}
## Data

{about.strip() or "Not described by whoever trained it (`--about`)."}

## Recipe

Trained from {_beginning(runs)} by `models/recipe`: AdamW, linear warm-up and a cosine to zero,
weight decay (none on depthwise kernels, norms and biases), label smoothing, averaged weights (decay
{AVERAGE_DECAY} a step). Each batch has one of the resolutions at random, the large ones more
rarely, so that each costs the same time: one file serves them all. Pictures are cropped, mirrored,
resized by area or linearly, and changed by up to {JITTER:.0%} in brightness, contrast and
saturation. The last epoch's weights are used: the held-out photos chose nothing. Batch norm is
folded, and weights are stored as 16-bit floats.

| alpha | epochs | batch | peak rate | decay | smoothing | seed | teacher | CPU time |
|---|---|---|---|---|---|---|---|---|
{recipes}

The curves are in `training.csv`.

## Limits

- It knows these classes and nothing else: shown anything else it still names one of them, often
  with a high score. Scores are not calibrated probabilities.
- The figures hold for photos like the held-out ones, in which one object fills much of the frame.
  A fixed camera's own scenes will differ: measure on pictures of your own.
- Not for decisions about people, nor where a wrong answer does harm.
"""


def _warning(guessing: Sequence[str]) -> str:
    if not guessing:
        return ""
    names = ", ".join(guessing)
    return f"\n**No better than guessing on these photos: {names}.** Do not use them.\n"


def _beginning(runs: Sequence[Run]) -> str:
    starts = {(run.settings.start or "").rpartition(" ")[0] for run in runs}
    return " and ".join(
        f"the weights of {name}" if name else "random initialisation" for name in sorted(starts)
    )


def _accuracy_row(family: Family, evaluation: Evaluation) -> str:
    right = round(evaluation.top1 * evaluation.photos)
    return (
        f"| {evaluation.variant.name} | `{family.network(evaluation.variant).path.name}` "
        f"| {evaluation.top1:.1%} ± {evaluation.top1_standard_error:.1%} "
        f"| {right} of {evaluation.photos} |"
    )


def _recipe_row(run: Run) -> str:
    used = run.settings
    spent = timedelta(seconds=round(sum(float(entry["cpu_seconds"]) for entry in run.history)))
    return (
        f"| {used.alpha} | {used.epochs} | {used.batch} | {used.learning_rate} "
        f"| {used.weight_decay} | {used.label_smoothing} | {used.seed} | {used.teacher or 'none'} "
        f"| {spent} |"
    )


def _curves(runs: Sequence[Run]) -> str:
    text = io.StringIO()
    entries = [entry for run in runs for entry in run.history]
    writer = csv.DictWriter(text, list(entries[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(entries)
    return text.getvalue()


def _advance(progress: tqdm[Any], done: int) -> None:
    progress.update(done - progress.n)
