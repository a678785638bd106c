"""`edged models …`: what variants cost, where they come from, how good they are."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edged.commands import Commands, add_command, positive_int, print_table
from edged.errors import InputError


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    models = commands.add_parser(
        "models",
        help="what variants cost, where they come from",
        epilog="example: edged models list imagenette",
    )
    verbs = models.add_subparsers(metavar="VERB", required=True)

    cost = add_command(
        verbs,
        "cost",
        _models_cost,
        "multiply-adds and parameters of MobileNet v1",
        "edged models cost --alpha 0.5 --resolution 160",
    )
    cost.add_argument("--alpha", type=float)
    cost.add_argument("--resolution", type=positive_int, default=224, help="goes with --alpha")
    cost.add_argument("--classes", type=positive_int, default=1000)
    cost.add_argument("--body", choices=("separable", "standard", "shallow"), default="separable")
    cost.add_argument("--json", action="store_true")

    load = add_command(
        verbs,
        "import",
        _models_import,
        "turn TensorFlow Lite or Keras weights into a network of a family",
        "edged models import mobilenet_v1_0.5_160_quant.tflite --alpha 0.5 --resolution 160 "
        "--labels imagenet_labels.txt --into imagenet",
    )
    load.add_argument("weights", type=Path, metavar="WEIGHTS", help=".tflite or .h5")
    load.add_argument(
        "head", type=Path, nargs="?", metavar="HEAD", help="the second of two chained .tflite files"
    )
    load.add_argument("--alpha", type=float, required=True)
    load.add_argument("--resolution", type=positive_int, nargs="+", required=True)
    load.add_argument("--labels", type=Path, required=True, metavar="FILE", help="one a line")
    load.add_argument("--into", type=Path, required=True, metavar="DIR")
    load.add_argument(
        "--input-range",
        choices=("symmetric", "unit"),
        help="what the network was trained on: x/127.5 - 1 or x/255 (default: symmetric, "
        "or what a quantised file says)",
    )
    load.add_argument(
        "--fit",
        choices=("crop", "squash"),
        default="crop",
        help="how a picture becomes square (default: crop)",
    )

    listing = add_command(
        verbs,
        "list",
        _models_list,
        "the shipped families, or the variants of one",
        "edged models list imagenette",
    )
    listing.add_argument("family", nargs="?", help="a shipped family or a folder")

    evaluate = add_command(
        verbs,
        "evaluate",
        _models_evaluate,
        "measure top-1 and top-5 on labelled pictures",
        "edged models evaluate imagenet --photos val.tar --labels val.csv",
    )
    evaluate.add_argument("family", metavar="DIR", help="a shipped family or a folder")
    evaluate.add_argument(
        "--photos", type=Path, required=True, metavar="TAR-or-DIR", help="a folder per class"
    )
    evaluate.add_argument("--labels", type=Path, metavar="CSV", help="file name and class index")
    evaluate.add_argument("--variant", action="append", metavar="V", help="may be repeated")
    evaluate.add_argument("--threads", type=positive_int, default=1, metavar="N")
    evaluate.add_argument(
        "--record", metavar="SET", help="write the result into family.yaml as measured on SET"
    )
    evaluate.add_argument("--json", action="store_true")

    verify = add_command(
        verbs,
        "verify",
        _models_verify,
        "check a family's files, shapes and golden results",
        "edged models verify imagenette",
    )
    verify.add_argument("family", metavar="DIR", help="a shipped family or a folder")


def _models_cost(options: argparse.Namespace) -> int:
    from edged.variants.mobilenet import PUBLISHED, Architecture, Body, Cost, cost

    def row(architecture: Architecture, resolution: int, found: Cost) -> dict[str, object]:
        return {
            "body": architecture.body.value,
            "alpha": architecture.alpha,
            "resolution": resolution,
            "multiply_adds_millions": round(found.multiply_adds / 1e6, 1),
            "parameters_millions": round(found.parameters / 1e6, 3),
            "pointwise_multiply_adds_share": round(found.pointwise_multiply_adds_share, 4),
            "pointwise_parameters_share": round(found.pointwise_parameters_share, 4),
        }

    heads = ["body", "alpha", "resolution", "M multiply-adds", "M parameters", "1x1 of m-a", "of p"]
    rows = []
    if options.alpha is not None:
        architecture = Architecture(options.alpha, options.classes, Body(options.body))
        rows.append(row(architecture, options.resolution, cost(architecture, options.resolution)))
    else:
        heads += ["published m-a", "published p"]
        for known in PUBLISHED:
            found = cost(known.architecture, known.resolution)
            published = {
                "published_multiply_adds_millions": known.multiply_adds_millions,
                "published_parameters_millions": known.parameters_millions,
            }
            rows.append({**row(known.architecture, known.resolution, found), **published})
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, heads)
    return 0


def _models_import(options: argparse.Namespace) -> int:
    from edged.variants.family import Fit
    from edged.variants.importing import import_weights

    ranges = {None: (None, None), "symmetric": (1 / 127.5, -1.0), "unit": (1 / 255, 0.0)}
    scale, offset = ranges[options.input_range]
    network = import_weights(
        options.weights,
        options.head,
        alpha=options.alpha,
        resolutions=options.resolution,
        labels=options.labels,
        into=options.into,
        scale=scale,
        offset=offset,
        fit=None if options.fit is None else Fit(options.fit),
    )
    names = ", ".join(variant.name for variant in network.variants())
    print(f"{network.path}: {names}")
    print(f"measure it with: edged models evaluate {options.into} --photos …")
    return 0


def _models_list(options: argparse.Namespace) -> int:
    from edged.variants.family import load_family, shipped_families

    if options.family is None:
        for name in shipped_families():
            print(name)
        return 0
    family = load_family(options.family, Path.cwd())
    rows = []
    for variant in family.variants():
        accuracy = family.accuracy(variant)
        photos = "" if accuracy.photos is None else f"{accuracy.photos} photos of "
        rows.append(
            {
                "variant": variant.name,
                "top1": f"{accuracy.top1:.3f}",
                "measured_on": f"{photos}{accuracy.source}",
                "file": family.network(variant).path.name,
            }
        )
    print_table(rows, ("variant", "top-1", "measured on", "file"))
    return 0


def _models_evaluate(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.auto import load_backend
    from edged.variants.evaluate import evaluate, record_accuracy
    from edged.variants.family import load_family
    from edged.variants.photos import Photos
    from edged.variants.variant import Variant

    family = load_family(options.family, Path.cwd())
    variants = [Variant.parse(name) for name in options.variant or ()] or family.variants()
    photos = Photos(options.photos, family, options.labels)
    backend, _ = load_backend("auto")
    with tqdm(total=len(photos), unit="photo", disable=None, leave=False) as bar:

        def progress(done: int) -> None:
            bar.update(done - bar.n)

        found = evaluate(family, photos, variants, backend, options.threads, progress)
    if options.record is not None:
        record_accuracy(family, found, options.record)
    for problem in photos.broken:
        print(f"edged: left out: {problem}", file=sys.stderr)
    rows = [
        {
            "variant": each.variant.name,
            "top1": round(each.top1, 4),
            "top1_standard_error": round(each.top1_standard_error, 4),
            "top5": None if each.top5 is None else round(each.top5, 4),
            "top5_standard_error": None
            if each.top5_standard_error is None
            else round(each.top5_standard_error, 4),
            "photos": each.photos,
        }
        for each in found
    ]
    if options.json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, ("variant", "top-1", "±", "top-5", "±", "photos"))
    return 0


def _models_verify(options: argparse.Namespace) -> int:
    from edged.backends.auto import load_backend
    from edged.variants.evaluate import verify
    from edged.variants.family import load_family

    family = load_family(options.family, Path.cwd())
    problems = verify(family, load_backend("auto")[0])
    for problem in problems:
        print(f"edged: {problem}", file=sys.stderr)
    if not problems:
        print(f"{family.directory}: {len(family.networks)} networks as they were made")
    return InputError.exit_status if problems else 0
