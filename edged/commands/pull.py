"""`edged models pull`: download official weights."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from edged.commands.parts import Commands, add_command, file_or_folder
from edged.errors import InputError
from edged.state import SERVICE_STATE, as_owner, daemon_state_directory


def add(verbs: Commands[argparse.ArgumentParser]) -> None:
    from edged.variants.official import ALPHAS, OFFICIAL, RESOLUTIONS

    pull = add_command(
        verbs,
        "pull",
        _models_pull,
        "download official ImageNet weights into a family",
        "edged models pull mobilenet-v1-imagenet --alpha 0.25 0.5 --into imagenet",
    )
    pull.add_argument("name", choices=tuple(OFFICIAL), metavar="NAME", help="%(choices)s")
    for option, kind, choices in (("--alpha", float, ALPHAS), ("--resolution", int, RESOLUTIONS)):
        pull.add_argument(
            option,
            type=kind,
            choices=choices,
            nargs="+",
            action="extend",
            metavar="N",
            help=f"one or more of {', '.join(map(str, choices))} (default: all)",
        )
    source = pull.add_mutually_exclusive_group()
    source.add_argument("--quant", action="store_true", help="TF-Slim's quantization-aware weights")
    source.add_argument("--keras", action="store_true", help="Keras's weights")
    pull.add_argument(
        "--teach",
        action="store_true",
        help="one network of each width, run at every resolution, where edged teach looks for it",
    )
    pull.add_argument(
        "--into",
        type=file_or_folder,
        metavar="DIR",
        help="(default: a folder called NAME; with --teach, imagenet in edged's state folder)",
    )
    pull.add_argument(
        "--from",
        dest="mirror",
        metavar="URL",
        help="URL of a folder with the files under their official names (default: the publisher's)",
    )


def _models_pull(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.onnxruntime import OrtBackend
    from edged.variants.official import ALPHAS, OFFICIAL, RESOLUTIONS, TAUGHT_FROM, Weights
    from edged.variants.weights.pull import Watch, pull

    kind = Weights.QUANT if options.quant else Weights.KERAS if options.keras else Weights.FLOAT
    if options.teach and options.resolution:
        raise InputError("--teach runs each network at every resolution", fix="omit --resolution")
    trained = [TAUGHT_FROM] if options.teach else options.resolution or RESOLUTIONS
    cells = [
        (alpha, resolution)
        for alpha in sorted(set(options.alpha or ALPHAS))
        for resolution in sorted(set(trained))
    ]
    into = options.into or (backbone_folder(os.environ) if options.teach else Path(options.name))
    backend = OrtBackend()  # before its files may be out of the reach of the owner
    with as_owner(into), tqdm(unit="B", unit_scale=True, disable=None, leave=False) as bar:

        def progress(received: int, total: int | None) -> None:
            bar.total = total
            bar.update(received - bar.n)

        def note(message: str) -> None:
            tqdm.write(f"edged: {message}", file=sys.stderr)

        try:
            family, new = pull(
                OFFICIAL[options.name][kind],
                cells,
                into,
                backend,
                options.mirror,
                watch=Watch(progress, note),
                resolutions=RESOLUTIONS if options.teach else (),
            )
        except KeyboardInterrupt:
            note("interrupted; run the same command to continue")
            raise
    if not new:
        print(f"{into}: nothing to do, all {len(cells)} networks are complete")
        return 0
    for variant in new:
        accuracy = family.network(variant).accuracy.get(variant.resolution)
        if accuracy is not None:
            print(f"{variant}: top-1 {accuracy.top1:.3f} ({accuracy.source})")
    if options.teach:
        print(f"{into}: each network runs at {', '.join(map(str, RESOLUTIONS))} pixels")
        print("teach your own classes: edged teach gate --view CAMERA --classes open,closed")
    else:
        print(f"measure their accuracy: edged models evaluate {into} --photos …")
    return 0


def backbone_folder(environ: Mapping[str, str], service: Path = SERVICE_STATE) -> Path:
    """Where `edged teach` looks for the networks."""
    from edged.teach.backbone import IMAGENET

    state = daemon_state_directory(environ, service)
    if not environ.get("STATE_DIRECTORY") and state != service and service.exists():
        print(
            f"edged: note: the service looks in {service}, where this user may not write; "
            "for the service, run this command with sudo",
            file=sys.stderr,
        )
    return state / IMAGENET
