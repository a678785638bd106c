"""The child process that teaches a new version.

`python -m edged.teach.training.worker FOLDER BACKBONE` writes lines of JSON to standard output:
`{"stage": …, "done": …, "of": …}`, `{"waiting": why}`, then `{"version": n}` or `{"error": …}`. It
ends when standard input closes, with its parent. It yields to everything else, and is the first to
go when memory runs out; the next training goes on from the features that it has made.
"""

from __future__ import annotations

import json
import os
import sys
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO

from edged.atomic_file import write_synced
from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError
from edged.memory import keep_memory_small, return_free_memory
from edged.process import exit_when_closed, refuse_new_privileges, step_back
from edged.teach.backbone import given_backbone
from edged.teach.store import Classifier
from edged.teach.store.folder import alone, writing
from edged.teach.store.report import FILE as REPORT
from edged.teach.teach import Extractor, teach
from edged.teach.training.against import compared
from edged.teach.training.material import Material
from edged.teach.training.pressure import Yielding
from edged.teach.training.report import accuracy_of, report_json
from edged.variants.family import Family
from edged.variants.published import published_top1
from edged.variants.taught import write_taught

NICENESS = 10
TOLD_SECONDS = 0.2
"""Between two lines of progress."""


class _Progress:
    def __init__(self, target: IO[bytes]) -> None:
        self._target = target
        self._told = -TOLD_SECONDS
        self._stage = ""

    def say(self, **values: object) -> None:
        with suppress(BrokenPipeError):
            self._target.write(json.dumps(values).encode() + b"\n")
            self._target.flush()

    def at(self, stage: str, done: int, of: int) -> None:
        now = time.monotonic()
        if stage != self._stage or now - self._told >= TOLD_SECONDS:
            self._stage, self._told = stage, now
            self.say(stage=stage, done=done, of=of)


def train(
    classifier: Classifier, backbone: Family, progress: _Progress, warnings: Sequence[str] = ()
) -> int:
    """Teach on all labelled pictures; returns the new version's number. warnings: for the report.

    Raises InputError where there is too little to teach, EdgedError for want of memory or disk.
    """
    settings = classifier.settings
    classifier.check_complete()
    yielding = Yielding(lambda why: progress.say(waiting=why))
    material = Material(classifier, backbone.networks, OrtBackend(), progress.at, yielding)
    with writing(classifier.folder):
        material.prepare(settings.none)
        # The learning curve is that of the first.
        smallest = sorted(backbone.networks, key=lambda network: network.alpha)
        extractors = [
            Extractor(
                network.sha256,
                {each.resolution: published_top1(each) for each in network.variants()},
            )
            for network in smallest
        ]
        taught = teach(
            material.examples,
            settings.classes,
            extractors,
            material.features,
            material.none_features if settings.none else None,
            lambda done, of: progress.at("heads", done, of),
        )
        names = [each.name for each in extractors]
        comparison = compared(classifier, material.examples, taught, names, material.features)
    if material.passed_over:
        passed_over = (
            f"taught {len(material.examples)} pictures, in turn from all moments, and passed over "
            f"{material.passed_over}: more do not fit into memory"
        )
        warnings = [*warnings, passed_over]
    if material.made_twice:
        made_twice = (
            f"the features of {len(material.made_twice)} pictures do not fit into the quota of "
            f"{settings.quota_bytes / 1e6:g} MB, so every training computes them again; raise it: "
            f"edged teach {settings.name} --quota {2 * settings.quota_bytes / 1e6:g}"
        )
        warnings = [*warnings, made_twice]
    accuracy = accuracy_of(settings, taught, backbone, len(material.examples))
    trained_unix_ns = time.time_ns()

    def write(folder: Path, number: int) -> None:
        heads = dict(taught.heads)
        write_taught(
            folder, settings.name, backbone, settings.classes, heads, accuracy, settings.none
        )
        report = report_json(
            settings,
            backbone,
            number,
            trained_unix_ns,
            material.examples,
            material.moments,
            taught,
            material.left_out,
            warnings,
            comparison,
        )
        write_synced(folder / REPORT, report)

    return classifier.add_version(write)


def main(arguments: Sequence[str]) -> int:
    target = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what libraries print is no progress
    progress = _Progress(target)
    step_back(NICENESS)
    refuse_new_privileges()
    keep_memory_small()
    exit_when_closed(sys.stdin.fileno())
    folder = Path(arguments[0])
    try:
        with alone(folder):
            classifier = Classifier(folder)
            backbone = given_backbone(arguments[1], folder.parent, Path())
            warnings = [backbone.warning] if backbone.warning else []
            return_free_memory()
            progress.say(version=train(classifier, backbone.family, progress, warnings))
    except EdgedError as error:
        progress.say(error=str(error), status=error.exit_status)
        return error.exit_status
    except OSError as error:
        progress.say(error=f"{folder}: cannot be written: {error.strerror}", status=1)
        return 1
    except MemoryError:
        progress.say(error=f"{folder.name}: not enough memory to teach", status=1)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
