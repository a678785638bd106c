"""`edged models …`: manage families of networks."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edged.commands import build, evaluate, pull, quantize
from edged.commands.parts import Commands, add_command, file_or_folder, positive_int, print_table
from edged.errors import InputError

_OTHER_CLASSES = (
    "ImageNet's 1000 classes: edged models pull mobilenet-v1-imagenet --into imagenet",
    "your own classes: edged teach gate --view CAMERA --classes open,closed",
)


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    models = commands.add_parser(
        "models",
        help="list, import, download, measure and check models",
        epilog="example: edged models list imagenette",
    )
    verbs = models.add_subparsers(metavar="VERB", required=True)

    cost = add_command(
        verbs,
        "cost",
        _models_cost,
        "show multiply-adds and parameters of MobileNet v1",
        "edged models cost --alpha 0.5 --resolution 160",
    )
    cost.add_argument("--alpha", type=float, help="width multiplier (default: the published ones)")
    cost.add_argument(
        "--resolution",
        type=positive_int,
        default=224,
        help="in pixels, with --alpha (default: 224)",
    )
    cost.add_argument("--classes", type=positive_int, default=1000, help="(default: 1000)")
    cost.add_argument(
        "--body",
        choices=("separable", "standard", "shallow"),
        default="separable",
        help="kind of convolutions (default: separable)",
    )
    cost.add_argument("--json", action="store_true", help="print JSON")

    load = add_command(
        verbs,
        "import",
        _models_import,
        "add a TensorFlow Lite or Keras model to a family",
        "edged models import model.keras --labels labels.txt --into mine",
    )
    load.add_argument(
        "weights", type=file_or_folder, metavar="WEIGHTS", help=".tflite, .keras or .h5"
    )
    load.add_argument(
        "head",
        type=file_or_folder,
        nargs="?",
        metavar="HEAD",
        help="the second of two chained .tflite files",
    )
    load.add_argument("--alpha", type=float, help="expected width multiplier (default: the file's)")
    load.add_argument(
        "--resolution",
        type=positive_int,
        nargs="+",
        default=[],
        help="one or more, in pixels (default: the file's)",
    )
    load.add_argument(
        "--labels",
        type=file_or_folder,
        required=True,
        metavar="FILE",
        help="one label per line, in the order of the classes",
    )
    load.add_argument(
        "--into",
        type=file_or_folder,
        required=True,
        metavar="DIR",
        help="the family's folder, created if missing",
    )
    load.add_argument(
        "--input-range",
        choices=("symmetric", "unit", "pixels"),
        help="the model's input range: -1 to 1, 0 to 1, or 0 to 255 (default: as stated in the "
        "file; otherwise the import prints its assumption)",
    )
    load.add_argument(
        "--fit",
        choices=("crop", "squash"),
        help="how pictures become square: crop the centre, or squash the whole picture (default: "
        "the family's; crop for a new one)",
    )

    pull.add(verbs)

    listing = add_command(
        verbs,
        "list",
        _models_list,
        "list the shipped families, or the variants of one",
        "edged models list imagenette",
    )
    listing.add_argument("family", nargs="?", help="a shipped family or a folder")

    evaluate.add(verbs)

    quantize.add(verbs)

    build.add(verbs)

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
    from edged.backends.onnxruntime import OrtBackend
    from edged.variants.family import Fit
    from edged.variants.weights.importing import import_weights
    from edged.variants.weights.onnx_builder import InputRange

    network = import_weights(
        options.weights,
        options.head,
        alpha=options.alpha,
        resolutions=options.resolution,
        labels=options.labels,
        into=options.into,
        backend=OrtBackend(),
        input_range=None if options.input_range is None else InputRange(options.input_range),
        fit=None if options.fit is None else Fit(options.fit),
        note=lambda sentence: print(f"edged: note: {sentence}", file=sys.stderr),
    )
    names = ", ".join(variant.name for variant in network.variants())
    print(f"{network.path}: {names}")
    print(f"measure its accuracy: edged models evaluate {options.into} --photos …")
    return 0


def _models_list(options: argparse.Namespace) -> int:
    from edged.variants.family import load_family, shipped_families

    if options.family is None:
        for name in shipped_families():
            print(f"{name} knows {load_family(name, Path.cwd()).classes}")
        print(*_OTHER_CLASSES, sep="\n")
        return 0
    family = load_family(options.family, Path.cwd())
    rows = []
    for variant in family.variants():
        network = family.network(variant)
        accuracy = network.accuracy.get(variant.resolution) or family.accuracy(variant)
        top1, source = "unknown", "nothing"
        if accuracy is not None:
            photos = "" if accuracy.photos is None else f" ({accuracy.photos} photos)"
            top1, source = f"{accuracy.top1:.3f}", f"{accuracy.source}{photos}"
            if accuracy.low is not None and accuracy.high is not None:
                top1 += f" ({accuracy.low:.3f} to {accuracy.high:.3f})"
        rows.append(
            {
                "variant": variant.name,
                "top1": top1,
                "measured_on": source,
                "file": network.path.name,
            }
        )
    print_table(rows, ("variant", "top-1", "measured on", "file"))
    print(f"{family.name} knows {family.classes}")
    if family.backbone is not None:
        backbone = family.backbone
        print(f"taught on the networks of {backbone.name}, {backbone.directory}")
        return 0
    if family.is_shipped:
        print(*_OTHER_CLASSES, sep="\n")
    if any(row["top1"] == "unknown" for row in rows):
        print(f"measure it: edged models evaluate {options.family} --photos … --record NAME")
    return 0


def _models_verify(options: argparse.Namespace) -> int:
    from edged.backends.onnxruntime import OrtBackend
    from edged.variants.evaluation.evaluate import verify
    from edged.variants.family import load_family

    family = load_family(options.family, Path.cwd())
    # On the CPU: a GPU would first need engines.
    problems = verify(family, OrtBackend())
    for problem in problems:
        print(f"edged: {problem}", file=sys.stderr)
    if not problems:
        heads = "" if family.backbone is None else " and their heads"
        print(f"{family.directory}: {len(family.networks)} networks{heads} verified")
    return InputError.exit_status if problems else 0
