"""`edged models pull`: download official weights."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from edged.commands.parts import Commands, add_command


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
    pull.add_argument("--into", type=Path, metavar="DIR", help="(default: a folder called NAME)")
    pull.add_argument(
        "--from",
        dest="mirror",
        metavar="URL",
        help="URL of a folder with the files under their official names (default: the publisher's)",
    )


def _models_pull(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.onnxruntime import OrtBackend
    from edged.variants.official import ALPHAS, OFFICIAL, RESOLUTIONS, Weights
    from edged.variants.weights.pull import Watch, pull

    kind = Weights.QUANT if options.quant else Weights.KERAS if options.keras else Weights.FLOAT
    cells = [
        (alpha, resolution)
        for alpha in sorted(set(options.alpha or ALPHAS))
        for resolution in sorted(set(options.resolution or RESOLUTIONS))
    ]
    into = options.into or Path(options.name)
    with tqdm(unit="B", unit_scale=True, disable=None, leave=False) as bar:

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
                OrtBackend(),
                options.mirror,
                watch=Watch(progress, note),
            )
        except KeyboardInterrupt:
            note("interrupted; run the same command to continue")
            raise
    if not new:
        print(f"{into}: nothing to do, all {len(cells)} networks are complete")
        return 0
    for variant in new:
        accuracy = family.network(variant).accuracy[variant.resolution]
        print(f"{variant}: top-1 {accuracy.top1:.3f} ({accuracy.source})")
    print(f"measure their accuracy: edged models evaluate {into} --photos …")
    return 0
