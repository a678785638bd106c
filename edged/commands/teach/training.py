"""`edged teach NAME train`."""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path

from edged.commands.teach.place import Place
from edged.commands.teach.status import next_command
from edged.commands.teach.times import times_ms
from edged.commands.teach.words import counted, learned, thresholds, to_add
from edged.teach.description import description
from edged.teach.training import Training, TrainingProcess

_STAGES = {"none": "features of `none`", "features": "features", "heads": "heads"}


def train(options: argparse.Namespace) -> int:
    if options.plot is not None:
        from edged.commands.plots.plot import check_plot

        check_plot(options.plot)
    place = Place(options)
    with place.classifier() as classifier:
        pass
    backbone = place.backbone(classifier)
    if backbone.warning:
        print(f"edged: warning: {backbone.warning}", file=sys.stderr)
    if options.none_photos is not None:
        _take_none_photos(place, options.none_photos)
    version = _followed(place, classifier.folder, backbone.reference)
    with place.classifier() as classifier:
        about = description(classifier)
        report = classifier.report(version)
        times = times_ms(classifier.family(version), place.store.root.parent)
    if getattr(options, "json", False):
        print(json.dumps(report, indent=2, ensure_ascii=False))
    else:
        pictures, moments = (sum(report[each].values()) for each in ("pictures", "moments"))
        print(
            f"version {version}: taught on {counted(pictures, 'picture')} in "
            f"{counted(moments, 'moment')}"
        )
        for line in learned(report):
            print(line)
        for head, lines in (
            ("what to add next:", to_add(report)),
            ("thresholds for events:", thresholds(report)),
        ):
            for number, line in enumerate(lines):
                print(f"{head}\n  {line}" if number == 0 else f"  {line}")
        print(f"next: {next_command(about)}")
    sys.stdout.flush()
    if options.plot is not None:
        from edged.commands.plots.plot import write_figure
        from edged.commands.plots.teach import draw_report

        title = f"{options.name}, version {version}"
        write_figure(draw_report(report, title, times), options.plot)
    return 0


def _followed(place: Place, folder: Path, backbone: str) -> int:
    """The new version's number; shows how far it is."""
    from tqdm import tqdm

    with tqdm(
        total=0, disable=None, leave=False, bar_format="{desc}: {percentage:3.0f}%|{bar}| {elapsed}"
    ) as bar:

        def told(training: Training) -> None:
            bar.total, bar.n = max(1, training.of), training.done
            bar.set_description_str(training.waiting or _STAGES.get(training.stage, "starting"))

        with place.as_owner():
            process = TrainingProcess(folder, backbone, told=told)
        with process:
            return process.wait()


def _take_none_photos(place: Place, folder: Path) -> None:
    from edged.teach.own_none import take_none_photos

    count = take_none_photos(place.store.root, folder, place.as_owner)
    print(f"the class `none` is taught on {counted(count, 'photo')} of {folder} from now on")
