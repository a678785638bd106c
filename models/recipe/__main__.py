"""Train a MobileNet v1 family on folders of pictures: `python models/recipe --help`.

One network per alpha, from random initialisation, each good at every resolution. What is trained
already is kept: the same command, repeated, continues where the last one stopped.
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
import torch
import train
from export import FamilyTeacher, begin_family, export
from initial import Start
from pictures import Photos, class_folders, read_photos
from train import Run, Settings

from edged.errors import EdgedError, InputError
from edged.variants.family import Family
from edged.variants.manifest import SMALLEST_RESOLUTION
from edged.variants.mobilenet import Architecture

ALPHAS = (0.25, 0.5, 0.75, 1.0)
RESOLUTIONS = (128, 160, 192, 224)
EPOCHS, RATE = 30, 8e-3
EPOCHS_FROM_WEIGHTS, RATE_FROM_WEIGHTS = 10, 1e-3


def main(arguments: list[str] | None = None) -> int:
    options = _parser().parse_args(arguments)
    try:
        _run(options)
    except EdgedError as error:
        print(f"recipe: {error}", file=sys.stderr)
        return error.exit_status
    except OSError as error:  # a full disk, a folder that may not be written
        print(f"recipe: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print(
            "recipe: stopped; run the same command to continue after the last epoch",
            file=sys.stderr,
        )
        return 130
    return 0


def _run(options: argparse.Namespace) -> None:
    torch.set_num_threads(options.threads)
    cv2.setNumThreads(1)  # the pictures of a batch are small: threads would only wait
    # Check everything before hours of training.
    _check_apart(options.photos, options.validation)
    folders = class_folders(options.photos)
    labels = _labels(folders, options.names)
    family = _family(options, folders, labels)
    about = _read_text(options.about) if options.about else ""
    teacher = FamilyTeacher(options.teacher, labels) if options.teacher else None
    start = Start(options.start, options.alpha) if options.start else None
    alphas = options.alpha or (start.alphas if start else ALPHAS)
    settings = [_settings(options, alpha, len(labels), teacher, start) for alpha in alphas]
    paths = [options.checkpoints / f"alpha_{alpha}.pt" for alpha in alphas]
    if not options.export_only:
        side = max(options.resolution)
        training = read_photos(options.photos, side)
        validation = read_photos(options.validation, side, training.folders)
        _report_skipped(options.photos, training)
        _report_skipped(options.validation, validation)
        training = _without(training, validation)
        for path, wanted in zip(paths, settings, strict=True):
            run = train.stored_run(path, wanted)
            if run is None:
                run = train.new_run(wanted)
                if start is not None:
                    start.begin(run, training.pixels, labels)
            train.train(run, training, validation, teacher, partial(_keep, path))
    if family is not None:
        _export(options, family, _finished(paths, len(labels)), about)


def _check_apart(photos: Path, validation: Path) -> None:
    inside, outside = validation.resolve(), photos.resolve()
    if inside == outside or outside in inside.parents or inside in outside.parents:
        raise InputError(
            "the held-out pictures are among the training pictures",
            where=validation,
            fix="move them out, so that neither of the two folders contains the other",
        )


def _without(training: Photos, validation: Photos) -> Photos:
    """Training pictures that are held out as well would make the measured figures too good."""
    held_out = {picture.tobytes() for picture in validation.pixels}
    kept = np.array([picture.tobytes() not in held_out for picture in training.pixels])
    if kept.all():
        return training
    same = len(kept) - int(kept.sum())
    print(f"skipped {same} training pictures that are held out as well", file=sys.stderr)
    left = replace(training, pixels=training.pixels[kept], classes=training.classes[kept])
    for number, folder in enumerate(left.folders):
        if not (left.classes == number).any():
            raise InputError("every picture of a class is held out as well", got=folder)
    return left


def _settings(
    options: argparse.Namespace,
    alpha: float,
    classes: int,
    teacher: FamilyTeacher | None,
    start: Start | None,
) -> Settings:
    resolutions = tuple(sorted(set(options.resolution)))
    if resolutions[0] < SMALLEST_RESOLUTION:
        raise InputError(f"a resolution must be at least {SMALLEST_RESOLUTION}", got=resolutions[0])
    return Settings(
        alpha=Architecture(alpha, classes).alpha,
        classes=classes,
        resolutions=resolutions,
        epochs=options.epochs or (EPOCHS if start is None else EPOCHS_FROM_WEIGHTS),
        seed=options.seed,
        batch=options.batch,
        learning_rate=options.learning_rate or (RATE if start is None else RATE_FROM_WEIGHTS),
        epoch_steps=options.epoch_steps,
        start=None if start is None else start.identity(alpha),
        bfloat16=options.bfloat16,
        teacher=None if teacher is None else teacher.identity,
    )


def _labels(folders: tuple[str, ...], names: Path | None) -> tuple[str, ...]:
    """The classes' names: those of their folders, or what the file `names` calls these."""
    if names is None:
        return folders
    known: dict[str, str] = {}
    for number, line in enumerate(_read_text(names).splitlines(), start=1):
        folder, _, label = line.strip().partition("\t" if "\t" in line else " ")
        if folder and not label.strip():
            raise InputError(
                "expected a folder, a space (or tab) and its class's name",
                where=f"{names}:{number}",
                got=repr(line),
            )
        known[folder] = label.strip()
    missing = [folder for folder in folders if folder not in known]
    if missing:
        raise InputError("a class folder has no name here", where=names, got=missing[0])
    labels = tuple(known[folder] for folder in folders)
    twice = next((label for label in labels if labels.count(label) > 1), None)
    if twice is not None:
        raise InputError("two class folders have the same name", where=names, got=repr(twice))
    return labels


def _family(
    options: argparse.Namespace, folders: tuple[str, ...], labels: tuple[str, ...]
) -> Family | None:
    if options.into is None:
        return None
    held_out = class_folders(options.validation)
    if held_out != folders:
        raise InputError(
            "its classes are not those of the training pictures",
            where=options.validation,
            got=", ".join(sorted(set(held_out) ^ set(folders))),
        )
    named = {
        folder: label for folder, label in zip(folders, labels, strict=True) if folder != label
    }
    return begin_family(options.into, labels, named, options.crop_fraction)


def _export(options: argparse.Namespace, family: Family, runs: list[Run], about: str) -> None:
    if not runs:
        raise InputError("nothing to export: no training is finished", where=options.checkpoints)
    family, guessing = export(family, runs, options.validation, options.source, about)
    for variant in family.variants():
        print(f"{variant.name}: top-1 {family.top1(variant):.3f}")
    print(f"wrote {family.directory}")
    if guessing:
        raise EdgedError(
            f"no better than guessing on the held-out pictures: {', '.join(guessing)}",
            where=family.directory,
            fix="add pictures, train longer (--epochs), or start from weights (--from FAMILY)",
        )


def _finished(paths: list[Path], classes: int) -> list[Run]:
    finished = []
    for path in paths:
        if not path.exists():
            print(f"{path}: skipped, not trained yet")
            continue
        run = train.load(path)
        if run.settings.classes != classes:
            raise InputError(
                f"this checkpoint is not of {classes} classes", where=path, got=run.settings.classes
            )
        if run.finished:
            finished.append(run)
        else:
            print(f"{path}: skipped, {run.epoch} of {run.settings.epochs} epochs done")
    return finished


def _keep(path: Path, run: Run) -> None:
    train.save(run, path)
    last = run.history[-1]
    print(
        f"alpha {last['alpha']} epoch {last['epoch']}/{run.settings.epochs}: "
        f"loss {last['loss']:.3f}, training {last['training_top1']:.3f}, held out "
        f"{last['held_out_top1']:.3f} at {last['held_out_resolution']} px, "
        f"{last['seconds']:.0f} s",
        flush=True,
    )


def _report_skipped(source: Path, photos: Photos) -> None:
    if photos.skipped:
        print(f"{source}: skipped {len(photos.skipped)} pictures:", file=sys.stderr)
    for problem in photos.skipped:
        print(f"  {problem}", file=sys.stderr)


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig")
    except OSError as error:
        raise InputError("cannot be read", where=path, got=error.strerror) from None
    except UnicodeDecodeError as error:
        raise InputError("not UTF-8 text", where=path, got=str(error)) from None


class _Collect(argparse.Action):
    """Repeatable, and what is given replaces the default instead of joining it."""

    def __call__(
        self, parser: object, namespace: argparse.Namespace, values: object, option: object = None
    ) -> None:
        given = getattr(namespace, self.dest)
        setattr(
            namespace, self.dest, ((*given, values) if given is not self.default else (values,))
        )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python models/recipe",
        description="Train a MobileNet v1 family on folders of pictures, one folder per class. "
        "Finished training in the checkpoints is not repeated.",
        epilog="example: python models/recipe --photos pictures/training --validation "
        "pictures/held-out --checkpoints training --from imagenette --into models/mine",
    )
    add = parser.add_argument
    add("--photos", type=Path, required=True, help="training pictures: a folder or a tar archive")
    add("--validation", type=Path, required=True, help="held-out pictures, with the same folders")
    add("--checkpoints", type=Path, required=True, help="folder for checkpoints")
    add("--into", type=Path, help="the family's folder; without it, only train")
    add(
        "--export-only",
        action="store_true",
        help="write the family with the networks trained so far",
    )
    add(
        "--names", type=Path, help="text file with lines of folder, space or tab, name of the class"
    )
    add("--about", type=Path, help="Markdown about the data and its licence, for the model card")
    add("--source", default="the held-out photos", help="name of the measured photos in the card")
    add(
        "--from",
        dest="start",
        metavar="FAMILY",
        help="family, by name or folder, whose weights to start from; a few hundred pictures then "
        "suffice. --alpha must be one of its own",
    )
    add("--alpha", type=float, action=_Collect, help=f"width; repeatable (default: {ALPHAS})")
    add("--resolution", type=int, action=_Collect, default=RESOLUTIONS, help="repeatable")
    add("--crop-fraction", type=float, default=1.0, help="of a held-out picture's sides")
    add("--teacher", help="family, by name or folder, already trained on these classes")
    add("--epochs", type=int, help=f"default: {EPOCHS}, with --from {EPOCHS_FROM_WEIGHTS}")
    add(
        "--epoch-steps",
        type=int,
        default=train.EPOCH_STEPS,
        help="steps per epoch, if more than one pass over the training pictures",
    )
    add("--batch", type=int, default=64, help="pictures per step")
    add(
        "--learning-rate",
        type=float,
        help=f"at its peak (default: {RATE}, with --from {RATE_FROM_WEIGHTS})",
    )
    add("--seed", type=int, default=1, help="random seed")
    add("--bfloat16", action="store_true", help="faster on processors with bfloat16")
    add("--threads", type=int, default=torch.get_num_threads(), help="threads for training")
    return parser


if __name__ == "__main__":
    sys.exit(main())
