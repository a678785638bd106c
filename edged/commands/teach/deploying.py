"""`edged teach NAME deploy` and `back`."""

from __future__ import annotations

import argparse
import sys

from edged.commands.teach.place import Place
from edged.config.family import overruled
from edged.errors import EdgedError, InputError
from edged.view import titled


def deploy(options: argparse.Namespace) -> int:
    place = Place(options)
    config = place.config  # before anything is changed
    with place.classifier() as classifier:
        version = options.version or classifier.newest()
    place.check_needed(lambda name: place.store.after_deploy(name, version))
    with place.classifier() as classifier:
        worse = classifier.worse_than_running(version)
        if worse is not None and not options.anyway:
            raise EdgedError(
                str(worse),
                where=place.name,
                fix=f"add what it lacks (edged teach {place.name}), or: edged teach {place.name} "
                f"deploy --version {version} --anyway",
            )
        replaced = place.store.deployed_to(classifier.settings.view)
        if not classifier.report(version)["estimate"]["judged"]:
            print(f"edged: version {version} could not be judged", file=sys.stderr)
        deployed = classifier.deploy(version)
    instead = ""
    if replaced is not None and replaced.name != place.name:
        instead = f", in place of {replaced.name}"
    print(f"version {version} is deployed to {deployed.view}{instead}")
    if config is None:
        what = "no configuration was found, so nothing was checked against one"
        fix = "see whether an event needs a class that it lacks: edged check FILE"
        print(f"edged: warning: {what}; {fix}", file=sys.stderr)
    if config is not None and (line := overruled(config, deployed.view, place.name)):
        print(f"edged: warning: {line}", file=sys.stderr)
    else:
        print(f"a running daemon takes it over at once; to return: edged teach {place.name} back")
    return 0


def back(options: argparse.Namespace) -> int:
    place = Place(options)
    place.check_needed(place.store.after_back)
    with place.as_owner():
        try:
            before, now = place.store.back(place.name)
        except InputError as error:
            raise place.with_hint(error) from None
    if now is None:
        print(f"{titled(before.view)} runs the model of its configuration again")
    elif now.name != before.name:
        print(f"version {now.version} of {now.name} runs on {now.view} again, not {before.name}")
    else:
        print(f"version {now.version} runs on {now.view} again, not {before.version}")
    return 0
