"""`edged doctor`."""

from __future__ import annotations

import argparse
import json
import os
import sys
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from edged import __version__
from edged.commands.parts import Commands, add_command, add_config, config_of

if TYPE_CHECKING:
    from edged.doctor.finding import Finding
    from edged.doctor.subject import Subject

_COLOURS = {"ok": "32", "info": "36", "warning": "33", "error": "31"}


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    doctor = add_command(
        commands,
        "doctor",
        _doctor,
        "check this device and the installation, and say how to fix what is wrong",
        "edged doctor -c edged.yaml",
    )
    doctor.epilog = f"exit status: 0 no problems, 1 warnings, 2 errors\n\n{doctor.epilog}"
    add_config(doctor, "default: the service's, else /etc/edged/edged.yaml if it exists")
    doctor.add_argument("--json", action="store_true", help="print JSON")


def _doctor(options: argparse.Namespace) -> int:
    from edged.doctor.doctor import examine
    from edged.doctor.subject import subject_of

    subject = subject_of(config_of(options), os.environ)
    found = examine(subject)
    if options.json:
        print(json.dumps(report(subject, found), indent=2))
    else:
        coloured = sys.stdout is not None and sys.stdout.isatty() and not os.environ.get("NO_COLOR")
        for line in listing(subject, found, coloured=coloured):
            print(line)
    return max((finding.severity.exit_status for _, finding in found), default=0)


def report(subject: Subject, found: Sequence[tuple[str, Finding]]) -> Mapping[str, object]:
    from edged.device import device_name

    return {
        "edged": __version__,
        "device": device_name(subject.root),
        "user": None if subject.account is None else subject.account.name,
        "configuration": None if subject.config_path is None else str(subject.config_path),
        "counts": _counts(found),
        "findings": [
            {
                "check": name,
                "severity": finding.severity.value,
                "what": finding.what,
                "got": finding.got,
                "fix": finding.fix,
            }
            for name, finding in found
        ],
    }


def listing(
    subject: Subject, found: Sequence[tuple[str, Finding]], *, coloured: bool = False
) -> Iterator[str]:
    """Lines for a terminal, the worst last, where they stay on the screen."""
    from edged.device import device_name

    user = "a user that does not exist" if subject.account is None else subject.account.name
    yield f"edged {__version__} on {device_name(subject.root)}, for the user {user}"
    width = max((len(name) for name, _ in found), default=0)
    for name, finding in sorted(found, key=lambda each: each[1].severity.rank):
        word = f"{finding.severity.value:7}"
        if coloured:
            word = f"\x1b[{_COLOURS[finding.severity.value]}m{word}\x1b[0m"
        yield f"{word}  {name:{width}}  {finding}"
    yield ", ".join(f"{word}: {count}" for word, count in _counts(found).items())


def _counts(found: Sequence[tuple[str, Finding]]) -> dict[str, int]:
    """By severity, the worst first."""
    from edged.doctor.finding import Severity

    counted = Counter(finding.severity for _, finding in found)
    return {severity.value: counted[severity] for severity in reversed(Severity)}
