"""`edged teach NAME add`: pictures from files, or from the camera of the running daemon."""

from __future__ import annotations

import argparse
import sys
from functools import partial

from edged.commands.teach.place import Place
from edged.commands.teach.words import counted
from edged.errors import InputError
from edged.teach.store import check_label

RECORD_SECONDS = 10.0
MOST_NAMED = 20
"""Of the files that are left out."""


def add(options: argparse.Namespace) -> int:
    label = check_label(options.label)
    if options.from_camera == bool(options.paths):
        what = "expected pictures or --from-camera" + (", not both" if options.paths else "")
        fix = f"for example: edged teach {options.name} add {label} pictures/{label}"
        raise InputError(what, fix=fix)
    if not options.from_camera:
        for word, given in (("--for", options.seconds is not None),):
            if given:
                raise InputError(f"{word} is for --from-camera")
        return _add_files(options, label)
    if options.one_moment:
        raise InputError("a recording is one moment anyway", fix="leave out --one-moment")
    from edged.commands.teach.recording import record

    return record(Place(options), label, options.seconds or RECORD_SECONDS)


def _add_files(options: argparse.Namespace, label: str) -> int:
    from tqdm import tqdm

    from edged.teach.adding import add_pictures

    place = Place(options)
    with place.classifier() as classifier:
        classifier.check_class(label)
    with tqdm(unit="picture", disable=None, leave=False) as bar:

        def progress(pictures: int) -> None:
            bar.update(pictures - bar.n)

        added = add_pictures(
            classifier,
            label,
            options.paths,
            one_moment=options.one_moment,
            progress=progress,
            as_writer=place.as_owner,
        )
    say = partial(print, file=sys.stderr)
    for name, why in added.rejected[:MOST_NAMED]:
        say(f"edged: left out: {name}: {why}")
    if len(added.rejected) > MOST_NAMED:
        say(f"edged: left out: {len(added.rejected) - MOST_NAMED} more files")
    for name, other in added.other[:MOST_NAMED]:
        say(f"edged: left out: {name}: it is there already, as {other}")
    known = len(added.known) - len(added.other)
    there = f"; {counted(known, 'picture')} had been added before" if known else ""
    there += f"; left out {counted(added.same, 'picture')} equal to others" if added.same else ""
    print(
        f"added {counted(added.pictures, 'picture')} of {label} in "
        f"{counted(len(added.moments), 'moment')}{there}"
    )
    if added.pictures > 1 and len(added.moments) == 1 and not options.one_moment:
        print("they look alike or were taken together, so they count as one moment")
    return 0 if added.pictures or known else InputError.exit_status
