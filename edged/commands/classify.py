"""`edged classify`: what a family's networks see in picture files, without a daemon."""

from __future__ import annotations

import argparse
import json
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from edged.commands.parts import (
    Commands,
    add_command,
    file_or_folder,
    positive_float,
    positive_int,
    print_table,
)
from edged.errors import InputError, InputErrors
from edged.printable import printable

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.backends.loaded import LoadedNetworks
    from edged.capture.sent.decoder import PictureDecoder, Wanted
    from edged.control.profile import Candidate
    from edged.control.selector import Decision
    from edged.pipeline.output import Output
    from edged.result import Result
    from edged.variants.family import Family
    from edged.variants.variant import Variant

TIMED_RUNS = 5
"""Of each variant, for --budget."""
NO_BUDGET_MS = 1e9
_SHORT = re.compile(r"(?P<alpha>[01](?:\.\d+)?)@(?P<resolution>\d+)(?P<precision>_int8|_fp16)?")


class Answer(NamedTuple):
    picture: str
    result: Result


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    classify = add_command(
        commands,
        "classify",
        _classify,
        "say what the networks of a family see in pictures",
        "edged classify door.jpg holiday/ --model imagenette --budget 20",
    )
    classify.add_argument(
        "pictures",
        type=file_or_folder,
        nargs="+",
        metavar="PICTURE",
        help="a picture, or a folder of them",
    )
    classify.add_argument(
        "--model", default="imagenette", metavar="FAMILY", help="a shipped family or a folder"
    )
    how = classify.add_mutually_exclusive_group()
    how.add_argument(
        "--budget",
        type=positive_float,
        metavar="MS",
        help="run the most accurate variant that, decoding included, likely takes at most so long "
        "on this device (default: the most accurate)",
    )
    how.add_argument(
        "--variant", metavar="V", help="run this variant: 0.5@160, or as in edged models list"
    )
    classify.add_argument(
        "--top",
        type=positive_int,
        default=2,
        metavar="N",
        help="show so many labels of each, if their score is at least 0.1 (default: 2)",
    )
    classify.add_argument("--json", action="store_true", help="print JSON")


def _classify(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.pipeline.output import Output
    from edged.sinks.options import DEMO
    from edged.variants.family import load_family
    from edged.variants.taught import head_matrices

    family = load_family(options.model, Path.cwd())
    paths = list(_files(options.pictures))
    loaded, candidates = _loaded(family, options.variant, options.budget is not None)
    output = Output(family.labels, options.top, DEMO.min_score, head_matrices(family))
    broken: list[InputError] = []
    answers: list[Answer] = []
    with tqdm(paths, unit="picture", disable=None, leave=False) as bar:
        for found in _answers(bar, family, loaded, candidates, output, options.budget):
            if isinstance(found, Answer):
                answers.append(found)
            else:
                broken.append(found)
    if not answers:
        raise broken[0] if len(broken) == 1 else InputErrors(broken)
    for problem in broken:
        print(f"edged: skipped: {problem}", file=sys.stderr)
    if options.json:
        timed = options.budget is not None
        print(json.dumps([_row(family, each, timed) for each in answers], indent=2))
    else:
        _print(answers, options.top)
    return 0


def _files(given: Sequence[Path]) -> Iterator[Path]:
    """The pictures, and those of the folders and the folders in them, by name."""
    from edged.variants.evaluation.photos import picture_names

    for path in given:
        if not path.is_dir():
            yield path
            continue
        names = picture_names(path)
        if not names:
            raise InputError("no pictures in this folder", where=path)
        yield from (path / name for name in names)


def _loaded(
    family: Family, variant: str | None, timed: bool
) -> tuple[LoadedNetworks, Sequence[Candidate]]:
    """The networks, and the variants to choose from, most accurate first. timed: measure them;
    otherwise it is one, `variant` or the most accurate."""
    from tqdm import tqdm

    from edged.backends.auto import load_backends
    from edged.backends.bench import bench
    from edged.backends.loaded import LoadedNetworks, choices_of
    from edged.control.profile import Candidate, ladder
    from edged.variants.runtime import variants_run_by

    backend = load_backends("auto")[0][0]
    if timed:
        loaded = LoadedNetworks([family], [backend])
        with tqdm(total=TIMED_RUNS, unit="round", disable=None, leave=False) as bar:
            return loaded, ladder(bench(family, loaded, TIMED_RUNS, lambda: bar.update()))
    known = variants_run_by(backend, family.variants())
    wanted = max(known, key=family.top1) if variant is None else _variant(variant)
    if wanted not in known:
        fix = f"{family.name} has {', '.join(each.name for each in known)}"
        raise InputError("no such variant runs here", got=printable(wanted.name), fix=fix)
    choice = next(
        choice
        for network in family.networks
        for choices in choices_of(network, backend, (1,))
        for choice in choices
        if choice.variant == wanted
    )
    loaded = LoadedNetworks([family], [backend], wanted={choice})
    top1 = family.top1(wanted)
    return loaded, [Candidate(wanted, 1, top1, 0.0, 0.0, choice.runtime, choice.network)]


def _variant(text: str) -> Variant:
    from edged.variants.variant import Variant

    short = _SHORT.fullmatch(text)
    if short is not None:
        precision = short["precision"] or ""
        text = f"mobilenet_v1_{short['alpha']}_{short['resolution']}{precision}"
    return Variant.parse(text)


def _answers(
    paths: Iterable[Path],
    family: Family,
    loaded: LoadedNetworks,
    candidates: Sequence[Candidate],
    output: Output,
    budget_ms: float | None,
) -> Iterator[Answer | InputError]:
    """Of each picture in turn, or what is wrong with it."""
    from edged.capture.sent.decoder import PictureDecoder, Wanted
    from edged.clock import monotonic_ns
    from edged.pipeline.sent import SentPicture, SentRun
    from edged.variants.family import Fit

    side = max(each.variant.resolution for each in candidates)
    wanted = Wanted(side, family.input.fit is Fit.CROP)
    decide = _chooser(candidates, budget_ms)
    decoder = PictureDecoder()
    try:
        for number, path in enumerate(paths):
            if number == 0:
                _decoded(decoder, path, wanted)  # starts the process, whose time is not decoding's
            begun_ns = monotonic_ns()
            pixels = _decoded(decoder, path, wanted)
            if isinstance(pixels, InputError):
                yield pixels
                continue
            ready_ns = monotonic_ns()
            picture = SentPicture("", pixels, budget_ms or NO_BUDGET_MS, begun_ns, ready_ns)
            decision = decide((ready_ns - begun_ns) / 1e6)
            run = SentRun(picture, output, family.input.fit, decision, ready_ns)
            yield Answer(printable(str(path)), run.result(loaded, monotonic_ns))
    finally:
        decoder.close()


def _decoded(decoder: PictureDecoder, path: Path, wanted: Wanted) -> NDArray[np.uint8] | InputError:
    """Its pixels, or what is wrong with it."""
    from edged.capture.decode.pictures import BrokenPictureError
    from edged.capture.sent.bounds import PICTURE_SECONDS

    where = printable(str(path))
    if not path.is_file():  # opening a FIFO would block
        return InputError("not a file" if path.exists() else "no such file", where=where)
    try:
        with path.open("rb") as file:
            return decoder.frame(file, wanted, 2 * PICTURE_SECONDS)
    except TimeoutError:
        return InputError("takes too long to decode", where=where)
    except OSError as error:
        return InputError(f"cannot be read: {error.strerror}", where=where)
    except BrokenPictureError as error:
        return InputError(str(error), where=where)


def _chooser(
    candidates: Sequence[Candidate], budget_ms: float | None
) -> Callable[[float], Decision]:
    """What to run on a picture whose decoding took so many milliseconds."""
    from edged.control.selector import Decision, Reason, Situation, choose
    from edged.control.slowdown import Slowdown

    if budget_ms is None:
        only = Decision(candidates[0], 0.0, 1.0, Reason.MOST_ACCURATE)
        return lambda decode_ms: only
    device = Slowdown()
    return lambda decode_ms: choose(
        candidates, device, Situation(budget_ms - decode_ms, budget_ms, target=0.95)
    )


def _row(family: Family, answer: Answer, timed: bool) -> dict[str, Any]:
    """timed: there is a budget."""
    from edged.result import answer_to_json

    told = {"picture": answer.picture, **answer_to_json(family.name, answer.result)}
    del told["stages_ms"]["queue"]
    if not timed:
        for of_budget in ("budget_ms", "on_time", "reason"):
            del told[of_budget]
    return told


def _print(answers: Sequence[Answer], top: int) -> None:
    rows = []
    for picture, result in answers:
        told = [(printable(each.label), 100 * each.score) for each in result.top]
        further = ", ".join(f"{label} {percent:.1f}" for label, percent in told[1:])
        rows.append(
            {
                "picture": picture,
                "label": told[0][0] if told else "nothing sure",
                "percent": f"{told[0][1]:5.1f}" if told else None,
                "further": further or None,
                "variant": result.variant.name,
                "ms": f"{result.latency_ms:6.1f}" + ("" if result.on_time else " LATE"),
            }
        )
    heads = ["picture", "label", "%", "further labels", "variant", "ms"]
    if top == 1:
        heads.remove("further labels")
        for row in rows:
            del row["further"]
    print_table(rows, heads)
