"""The commands: parse, call, print. Heavy libraries load inside the commands that need them."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from edged import __version__
from edged.errors import EdgedError, InputError


def main(arguments: Sequence[str] | None = None) -> int:
    """Exit status: 0 success, 1 failure at run time, 2 bad usage or input."""
    options = _parser().parse_args(arguments)
    logging.basicConfig(format=_log_format(), level=logging.INFO, stream=sys.stderr)
    try:
        status: int = options.command(options)
        sys.stdout.flush()
    except EdgedError as error:
        for line in str(error).splitlines():
            print(f"edged: {line}", file=sys.stderr)
        return error.exit_status
    except BrokenPipeError:  # the reader of our output has seen enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    return status


def _log_format() -> str:
    """The journal stamps its own time."""
    return "%(message)s" if "JOURNAL_STREAM" in os.environ else "%(asctime)s %(message)s"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="edged",
        description="Camera frames become MobileNet results inside a latency budget.",
        epilog="A first look, without a camera or a configuration: edged demo",
    )
    parser.add_argument("--version", action="version", version=f"edged {__version__}")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    run = _command(commands, "run", _run, "run the daemon", "edged run -c edged.yaml")
    run.add_argument("-c", "--config", type=Path, required=True, metavar="FILE")
    _add_limits(run)

    demo = _command(
        commands,
        "demo",
        _demo,
        "run on a drawn scene, a clip or a camera, without a configuration",
        "edged demo --source /dev/video0 --frames 200",
    )
    demo.add_argument(
        "--source",
        default="synthetic",
        help="clip.mp4, a folder of pictures, /dev/video0, rtsp://… (default: a drawn scene)",
    )
    demo.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    demo.add_argument("--budget", type=_positive_float, default=33.0, metavar="MS")
    _add_limits(demo)

    check = _command(commands, "check", _check, "check a configuration", "edged check edged.yaml")
    check.add_argument("file", type=Path, metavar="FILE")

    _command(
        commands,
        "schema",
        _schema,
        "print the JSON Schema of the configuration, for completion in an editor",
        "edged schema > edged.schema.json",
    )

    bench = _command(
        commands,
        "bench",
        _bench,
        "measure every variant of a family on this device",
        "edged bench --model imagenette --threads 1 2 --json",
    )
    bench.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    bench.add_argument("--backend", default="auto")
    bench.add_argument("--threads", type=_positive_int, nargs="+", default=[1], metavar="N")
    bench.add_argument("--runs", type=_positive_int, default=100, help="of each (default: 100)")
    bench.add_argument("--json", action="store_true")

    _add_models(commands)
    return parser


def _add_models(commands: argparse._SubParsersAction[argparse.ArgumentParser]) -> None:
    models = commands.add_parser("models", help="what variants cost, where they come from")
    verbs = models.add_subparsers(metavar="VERB", required=True)

    cost = _command(
        verbs,
        "cost",
        _models_cost,
        "multiply-adds and parameters of MobileNet v1",
        "edged models cost --alpha 0.5 --resolution 160",
    )
    cost.add_argument("--alpha", type=float)
    cost.add_argument("--resolution", type=_positive_int, default=224)
    cost.add_argument("--classes", type=_positive_int, default=1000)
    cost.add_argument("--body", choices=("separable", "standard", "shallow"), default="separable")
    cost.add_argument("--json", action="store_true")

    load = _command(
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
    load.add_argument("--resolution", type=_positive_int, nargs="+", required=True)
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

    listing = _command(
        verbs, "list", _models_list, "the shipped families, or the variants of one",
        "edged models list imagenette",
    )
    listing.add_argument("family", nargs="?", help="a shipped family or a folder")

    evaluate = _command(
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
    evaluate.add_argument("--threads", type=_positive_int, default=1, metavar="N")
    evaluate.add_argument(
        "--record", metavar="SET", help="write the result into family.yaml as measured on SET"
    )
    evaluate.add_argument("--json", action="store_true")

    verify = _command(
        verbs,
        "verify",
        _models_verify,
        "check a family's files, shapes and golden results",
        "edged models verify imagenette",
    )
    verify.add_argument("family", metavar="DIR", help="a shipped family or a folder")


def _command(
    commands: argparse._SubParsersAction[argparse.ArgumentParser],
    name: str,
    function: object,
    purpose: str,
    example: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(
        name,
        help=purpose,
        description=purpose[0].upper() + purpose[1:] + ".",
        epilog=f"example:\n  {example}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.set_defaults(command=function)
    return parser


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=_positive_int, metavar="N", help="stop after N results")
    parser.add_argument("--duration", type=_positive_float, metavar="S", help="stop after S seconds")


def _positive_int(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError(f"must be at least 1, got {text}")
    return number


def _positive_float(text: str) -> float:
    number = float(text)
    if not 0 < number < float("inf"):
        raise argparse.ArgumentTypeError(f"must be above 0, got {text}")
    return number
