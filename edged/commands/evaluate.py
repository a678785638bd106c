"""`edged models evaluate`: accuracy of each variant and, for --plot, its time on this device."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from edged.backends.auto import BACKENDS
from edged.commands.parts import Commands, add_command, file_or_folder, print_table, thread_count
from edged.errors import InputError

if TYPE_CHECKING:
    from edged.backends.auto import Backends
    from edged.control.profile import Candidate
    from edged.variants.evaluation.evaluate import Evaluation
    from edged.variants.evaluation.photos import Photos
    from edged.variants.family import Family
    from edged.variants.runtime import Backend
    from edged.variants.variant import Variant

TIMED_RUNS = 100
"""Of each variant, for --plot."""


def add(verbs: Commands[argparse.ArgumentParser]) -> None:
    evaluate = add_command(
        verbs,
        "evaluate",
        _evaluate,
        "measure top-1 and top-5 accuracy on labelled photos",
        "edged models evaluate imagenet --photos val.tar --labels val.csv --plot imagenet.png",
    )
    evaluate.add_argument("family", metavar="FAMILY", help="a shipped family or a folder")
    evaluate.add_argument(
        "--photos",
        type=file_or_folder,
        required=True,
        metavar="TAR-or-DIR",
        help="one folder per class",
    )
    evaluate.add_argument(
        "--labels", type=file_or_folder, metavar="CSV", help="file name and class index"
    )
    evaluate.add_argument(
        "--variant", action="append", metavar="V", help="only this variant; may be repeated"
    )
    evaluate.add_argument(
        "--runtime",
        choices=tuple(BACKENDS),
        help="default: onnxruntime, or tensorrt where there is a GPU",
    )
    evaluate.add_argument(
        "--threads",
        type=thread_count,
        default=1,
        metavar="N",
        help="threads per inference (default: 1)",
    )
    evaluate.add_argument(
        "--record", metavar="SET", help="record the result in family.yaml, as measured on SET"
    )
    evaluate.add_argument(
        "--plot",
        type=file_or_folder,
        metavar="FILE",
        help="also time each variant, and plot accuracy against latency: .png, .svg or .pdf",
    )
    evaluate.add_argument("--json", action="store_true", help="print JSON")


def _evaluate(options: argparse.Namespace) -> int:
    from edged.backends.auto import load_backends
    from edged.variants.evaluation.evaluate import record_accuracy
    from edged.variants.evaluation.photos import Photos
    from edged.variants.family import load_family
    from edged.variants.variant import Variant

    if options.plot is not None:
        from edged.commands.plots.plot import check_plot

        check_plot(options.plot)
    family = load_family(options.family, Path.cwd())
    if options.record is not None and family.backbone is not None:
        raise InputError(
            "the figures of a taught family are those of its teaching",
            where=family.directory,
            fix="leave out --record",
        )
    photos = Photos(options.photos, family, options.labels)
    for note in photos.notes:
        print(f"edged: {note}", file=sys.stderr)
    backends = (
        load_backends(options.runtime)[0] if options.runtime else load_backends("auto")[0][:1]
    )
    variants = [Variant.parse(name) for name in options.variant or ()]
    found = _measured(family, photos, variants, backends, options.threads)
    for problem in photos.broken:
        print(f"edged: skipped: {problem}", file=sys.stderr)
    timed = None
    if options.plot is not None:
        timed = _timed(family, found, backends, options.threads)
    # Printed before anything is written: a full disk must not cost an hour's measurement.
    _print(found, timed, options.json)
    if options.record is not None:
        record_accuracy(family, found, options.record)
    if timed is not None:
        _plot(family, found, timed, backends[0], options.plot)
    return 0


def _measured(
    family: Family, photos: Photos, variants: Sequence[Variant], backends: Backends, threads: int
) -> list[Evaluation]:
    """variants: empty for all that the backends run."""
    from tqdm import tqdm

    from edged.variants.evaluation.evaluate import evaluate
    from edged.variants.runtime import variants_run_by

    run = {backend: variants_run_by(backend, family.variants()) for backend in backends}
    wanted = variants or [variant for each in run.values() for variant in each]
    for variant in wanted:
        if not any(variant in each for each in run.values()):
            raise InputError("this runtime does not run the variant here", got=variant.name)
    found: list[Evaluation] = []
    for backend, known in run.items():
        own = [variant for variant in wanted if variant in known]
        with tqdm(total=len(photos), unit="photo", disable=None, leave=False) as bar:

            def progress(done: int) -> None:
                bar.update(done - bar.n)

            found += evaluate(family, photos, own, backend, threads, progress) if own else []
    return found


def _timed(
    family: Family, found: Sequence[Evaluation], backends: Backends, threads: int
) -> list[Candidate]:
    """The measured variants with their times, as in `edged bench`."""
    from tqdm import tqdm

    from edged.backends.bench import bench
    from edged.backends.loaded import LoadedNetworks

    top1 = {each.variant: each.top1 for each in found}
    networks = []
    for network in family.networks:
        sides = tuple(each.resolution for each in network.variants() if each in top1)
        if sides:
            networks.append(replace(network, resolutions=sides))
    loaded = LoadedNetworks([replace(family, networks=tuple(networks))], backends, (threads,))
    with tqdm(total=TIMED_RUNS, unit="round", disable=None, leave=False) as bar:
        timed = bench(family, loaded, TIMED_RUNS, lambda: bar.update())
    return [replace(each, top1=top1[each.variant]) for each in timed]


def _print(found: Sequence[Evaluation], timed: Sequence[Candidate] | None, as_json: bool) -> None:
    times = {each.variant: each for each in timed or ()}
    rows = []
    for each in found:
        row: dict[str, object] = {
            "variant": each.variant.name,
            "top1": round(each.top1, 4),
            "top1_standard_error": round(each.top1_standard_error, 4),
            "top5": None if each.top5 is None else round(each.top5, 4),
            "top5_standard_error": None
            if each.top5_standard_error is None
            else round(each.top5_standard_error, 4),
            "photos": each.photos,
        }
        if timed is not None:
            time = times[each.variant]
            row |= {"p50_ms": round(time.p50_ms, 3), "p95_ms": round(time.p95_ms, 3)}
        rows.append(row)
    heads = ["variant", "top-1", "±", "top-5", "±", "photos"]
    if as_json:
        print(json.dumps(rows, indent=2))
    else:
        print_table(rows, heads if timed is None else [*heads, "p50 ms", "p95 ms"])
    sys.stdout.flush()


def _plot(
    family: Family,
    found: Sequence[Evaluation],
    timed: Sequence[Candidate],
    backend: Backend,
    path: Path,
) -> None:
    from edged.commands.plots.accuracy import draw_accuracy
    from edged.commands.plots.plot import write_figure
    from edged.device import device_name

    threads = "1 thread" if timed[0].threads == 1 else f"{timed[0].threads} threads"
    figure = draw_accuracy(
        timed,
        {each.variant: each.top1_standard_error for each in found},
        title=f"{family.name} on {device_name()}\n{backend.name} {backend.version}, {threads}",
        time_axis=f"preprocessing and inference, median of {TIMED_RUNS} runs (ms)",
        accuracy_axis=f"top-1 of {found[0].photos} photos (%)",
    )
    write_figure(figure, path)
