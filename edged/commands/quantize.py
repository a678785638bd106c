"""`edged models quantize`: INT8 counterparts of a family's float networks."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING

from edged.commands.parts import (
    Commands,
    add_command,
    file_or_folder,
    positive_int,
    print_table,
    thread_count,
)
from edged.errors import EdgedError, InputError

if TYPE_CHECKING:
    from edged.variants.evaluation.photos import Photos
    from edged.variants.family import Family
    from edged.variants.int8.quantize import Comparison

CALIBRATION = 200


def add(verbs: Commands[argparse.ArgumentParser]) -> None:
    quantize = add_command(
        verbs,
        "quantize",
        _quantize,
        "add INT8 counterparts of a family's float networks: calibrate, then measure the loss",
        "edged models quantize imagenette --photos train.tar --measure val.tar --into mine",
    )
    quantize.add_argument("family", metavar="FAMILY", help="a shipped family or a folder")
    quantize.add_argument(
        "--photos",
        type=file_or_folder,
        required=True,
        metavar="TAR-or-DIR",
        help="photos for calibration and, without --measure, also for measuring: one folder per "
        "class; no photo is used for both",
    )
    quantize.add_argument(
        "--measure",
        type=file_or_folder,
        metavar="TAR-or-DIR",
        help="photos for measuring, one folder per class; --photos then needs no class folders",
    )
    quantize.add_argument(
        "--labels",
        type=file_or_folder,
        metavar="CSV",
        help="file name and class index of the photos for measuring, instead of class folders",
    )
    quantize.add_argument(
        "--calibration",
        type=positive_int,
        default=CALIBRATION,
        metavar="N",
        help="number of photos for calibration, spread evenly over --photos; without --measure at "
        f"most half of them (default: {CALIBRATION})",
    )
    quantize.add_argument(
        "--alpha", type=float, nargs="+", metavar="A", help="only these alphas (default: all)"
    )
    quantize.add_argument(
        "--into",
        type=file_or_folder,
        metavar="DIR",
        help="write a new family there, keep this one",
    )
    quantize.add_argument(
        "--record",
        metavar="SET",
        help="name of the measured photos in family.yaml (default: the name recorded before, if "
        "the float figures match, else the file name)",
    )
    quantize.add_argument(
        "--force", action="store_true", help="also keep variants that lose more than 2 points"
    )
    quantize.add_argument(
        "--threads",
        type=thread_count,
        default=1,
        metavar="N",
        help="threads per inference (default: 1)",
    )


def _quantize(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.onnxruntime import OrtBackend
    from edged.variants.family import load_family
    from edged.variants.int8.quantize import (
        add_counterparts,
        compare,
        float_networks,
        make_counterparts,
        source_of,
    )

    family = load_family(options.family, Path.cwd())
    networks = float_networks(family, options.alpha)
    into = family.directory if options.into is None else options.into
    _check_target(into, family)
    calibrating, measuring = _parts(options, family)
    backend, threads = OrtBackend(), options.threads
    bar = partial(tqdm, unit="photo", disable=None, leave=False)
    with bar(total=len(calibrating), desc="calibrating") as shown:
        made = make_counterparts(family, networks, calibrating, backend, threads, shown.update)
    broken = dict.fromkeys(map(str, calibrating.broken))
    with bar(total=len(measuring), desc="measuring") as shown:
        measured = compare(family, made, measuring, backend, threads, shown.update)
    for problem in dict.fromkeys((*broken, *map(str, measuring.broken))):
        print(f"edged: skipped: {problem}", file=sys.stderr)
    # Printed before anything is written: a full disk must not cost an hour's measurement.
    _print_measured(measured, options.force)
    kept = {each.variant for each in measured if options.force or not each.loses_too_much}
    if not kept:
        raise EdgedError(
            "no INT8 variant was kept; nothing was written",
            where=into,
            fix="calibrate with more photos (--calibration), or keep them all with --force",
        )
    source = options.record or source_of(family, measured, (options.measure or options.photos).name)
    target = replace(family, directory=into)
    written = add_counterparts(target, made, measured, kept, source, backend)
    _print_written(written)
    return 0


def _check_target(directory: Path, family: Family) -> None:
    """Raise InputError before the work if the family cannot be written to the folder."""
    from edged.variants.manifest import MANIFEST

    if directory != family.directory and (directory / MANIFEST).exists():
        raise InputError(
            "this folder already contains a family",
            where=directory,
            fix="name another folder, or quantize that family itself",
        )
    standing = next(each for each in (directory, *directory.absolute().parents) if each.exists())
    if not standing.is_dir():
        raise InputError("a family must be a folder", where=standing, got="a file")
    if not os.access(standing, os.W_OK):
        raise InputError(
            "no write permission for this folder",
            where=standing,
            fix="name a folder of your own with --into DIR",
        )


def _parts(options: argparse.Namespace, family: Family) -> tuple[Photos, Photos]:
    """The photos for calibration, and those for measuring."""
    from edged.variants.evaluation.photos import Photos
    from edged.variants.int8.quantize import split

    if options.measure is None:
        photos = Photos(options.photos, family, options.labels)
        _print_notes(photos)
        return split(photos, min(options.calibration, len(photos) // 2))
    if options.measure.resolve() == options.photos.resolve():
        raise InputError(
            "the photos for calibration must not be used for measuring",
            where=options.measure,
            fix="leave out --measure: edged then divides the photos",
        )
    measuring = Photos(options.measure, family, options.labels)
    _print_notes(measuring)
    calibrating, _ = split(_unlabelled(options.photos, family), options.calibration)
    return calibrating, measuring


def _unlabelled(path: Path, family: Family) -> Photos:
    """The photos with their folders' names as labels, whatever these are."""
    from edged.variants.evaluation.photos import Photos, picture_names

    folders = dict.fromkeys(PurePosixPath(name).parent.name for name in picture_names(path))
    return Photos(path, replace(family, labels=tuple(folders), photo_folders={}))


def _print_notes(photos: Photos) -> None:
    for note in photos.notes:
        print(f"edged: {note}", file=sys.stderr)


def _print_measured(measured: Sequence[Comparison], force: bool) -> None:
    from edged.variants.evaluation.evaluate import standard_error
    from edged.variants.int8.quantize import MOST_LOSS_POINTS

    rows = []
    for each in measured:
        row: dict[str, object] = {"variant": each.variant.name}
        for name, accuracy in (("float", each.of_float), ("int8", each.of_int8)):
            error = standard_error(accuracy.top1, each.of_float.photos or 0)
            row |= {name: f"{accuracy.top1:.4f}", f"{name} error": f"{error:.4f}"}
        row |= {
            "loss": f"{each.loss_points:.2f}",
            "loss error": f"{each.loss_standard_error:.2f}",
            "verdict": "kept",
        }
        if each.loses_too_much:
            verdict = "kept by --force" if force else "left out"
            row["verdict"] = f"{verdict}: loses more than {MOST_LOSS_POINTS:g} points"
        rows.append(row)
    print_table(rows, ("INT8 variant", "float", "±", "INT8", "±", "loss, points", "±", ""))
    print(f"top-1 on {measured[0].of_int8.photos} photos")


def _print_written(family: Family) -> None:
    from edged.variants.variant import Precision

    print()
    for network in family.networks:
        if network.precision is Precision.INT8 and network.size is not None:
            print(f"{network.path}: {network.size / 1e6:.2f} MB")
    sizes = [network.size or 0 for network in family.networks]
    print(f"whole family: {sum(sizes) / 1e6:.2f} MB")
    sources = {each.source for network in family.networks for each in network.accuracy.values()}
    if len(sources) > 1:
        print(
            "recorded accuracies come from different photos and cannot be compared; measure the "
            "whole family: "
            f"edged models evaluate {family.directory} --photos … --record SET"
        )
    print(f"check whether INT8 is faster here: edged bench --model {family.directory}")
