"""`edged teach` and `edged teach NAME`: list, create, change, show."""

from __future__ import annotations

import argparse
import json
import os
import shlex
import sys
from collections.abc import Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from edged.clock import rfc3339
from edged.commands.parts import print_table
from edged.commands.teach.place import Place
from edged.commands.teach.words import counted, learned, thresholds, to_add
from edged.errors import InputError
from edged.teach.backbone import given_backbone
from edged.teach.description import description
from edged.teach.store import Classifier, Settings, check_name, check_view
from edged.teach.store.settings import QUOTA_BYTES

MOST_WRONG = 3
"""Pictures that are shown of those that it gets wrong."""


def show(options: argparse.Namespace) -> int:
    """Without a name all; a classifier that is not there is created, if it is described."""
    place = Place(options)
    if options.name is None:
        return _list(place, options.json)
    check_name(options.name)
    settings = ("view", "classes", "none", "backbone", "quota")
    given = {each for each in settings if getattr(options, each) is not None}
    known = options.name in place.store.names()
    if known and given:
        _change(place, options)
    elif given & {"view", "classes"}:
        _create(place, options)
    with place.as_owner():
        trouble = place.store.trouble(options.name)
    if trouble:
        print(f"edged: {trouble}", file=sys.stderr)
    with place.classifier() as classifier:
        about = description(classifier)
    if options.json:
        print(json.dumps(about, indent=2, ensure_ascii=False))
    elif options.moments:
        _print_moments(about)
    else:
        for line in shown(about, classifier):
            print(line)
    return 0


def _list(place: Place, as_json: bool) -> int:
    rows: list[dict[str, Any]] = []
    status = 0
    with place.as_owner():
        deployed = place.store.deployed()
        for trouble in place.store.troubles():
            print(f"edged: {trouble}", file=sys.stderr)
            status = 2
        for name in place.store.names():
            try:
                classifier = place.store.open(name)
            except InputError as error:
                if name not in deployed:  # otherwise it was told
                    print(f"edged: {error}", file=sys.stderr)
                status = error.exit_status
                continue
            moments = [each for each in classifier.moments() if each.label is not None]
            versions = classifier.versions()
            rows.append(
                {
                    "name": name,
                    "view": classifier.settings.view,
                    "classes": list(classifier.settings.classes),
                    "moments": len(moments),
                    "pictures": sum(len(each.pictures) for each in moments),
                    "newest": versions[-1] if versions else None,
                    "deployed": deployed[name].version if name in deployed else None,
                }
            )
    if as_json:
        print(json.dumps(rows, indent=2, ensure_ascii=False))
    elif rows:
        print_table([{**row, "classes": ", ".join(row["classes"])} for row in rows], tuple(rows[0]))
    elif not status:
        print(f"nothing has been taught yet ({place.store.root})")
        print("begin: edged teach NAME --view CAMERA/VIEW --classes open,closed")
    return status


def _create(place: Place, options: argparse.Namespace) -> None:
    if options.view is None or not options.classes:
        lacking = "--view CAMERA/VIEW" if options.view is None else "--classes open,closed"
        raise InputError("a new classifier needs a view and classes", fix=f"add {lacking}")
    _check_view(place, options.view)
    backbone = _backbone(place, options)
    with place.as_owner():
        classifier = place.store.create(
            options.name,
            options.view,
            options.classes,
            backbone=backbone,
            none=options.none is not False,
            quota_bytes=QUOTA_BYTES if options.quota is None else round(options.quota * 1e6),
        )
    print(f"created {options.name} in {classifier.folder}")
    if warning := place.backbone(classifier).warning:
        print(f"edged: warning: {warning}", file=sys.stderr)


def _change(place: Place, options: argparse.Namespace) -> None:
    if options.view is not None:
        _check_view(place, options.view)
    backbone = _backbone(place, options)
    with place.classifier() as classifier:
        before = classifier.settings
        wanted = Settings.checked(
            before.name,
            options.view or before.view,
            options.classes or before.classes,
            none=before.none if options.none is None else options.none,
            backbone=backbone or before.backbone,
            quota_bytes=before.quota_bytes if options.quota is None else round(options.quota * 1e6),
            created=before.created,
        )
        if wanted != before:
            classifier.change(replace(wanted))


def _backbone(place: Place, options: argparse.Namespace) -> str:
    """The reference as it is stored; empty for none. Raises InputError."""
    if options.backbone is None:
        return ""
    return given_backbone(options.backbone, place.store.root, Path.cwd()).reference


def _check_view(place: Place, view: str) -> None:
    """Raises InputError for one that the configuration does not have."""
    check_view(view)
    if place.config is None:
        what = f"no configuration was found, so it was not checked whether it has the view {view}"
        print(f"edged: warning: {what}; name it with: -c FILE", file=sys.stderr)
    else:
        known = [each.id for each in place.config.views]
        if view not in known:
            raise InputError(
                "the configuration has no such view",
                where=place.config.path,
                got=view,
                fix="it has " + ", ".join(known),
            )


def shown(about: Mapping[str, Any], classifier: Classifier) -> Iterator[str]:
    """For a person."""
    name = about["name"]
    labelled = [each for each in about["moments"] if each["label"] is not None]
    seen = [each for each in about["moments"] if each["label"] is None]
    none = "" if about["none"] else ", without `none`"
    yield f"{name}: view {about['view']}, classes {', '.join(about['classes'])}{none}"
    width = max(map(len, about["classes"]))
    for label in about["classes"]:
        own = [each for each in labelled if each["label"] == label]
        pictures = sum(len(each["pictures"]) for each in own)
        yield (
            f"  {label.ljust(width)}  {counted(len(own), 'moment')}, {counted(pictures, 'picture')}"
        )
    if seen:
        yield (
            f"  {counted(len(seen), 'moment')} without a class yet; to see them: "
            f"edged teach {name} --moments"
        )
    used, quota = about["used_bytes"] / 1e6, about["quota_bytes"] / 1e6
    yield f"  {used:.1f} of {quota:g} MB"
    report = about["report"]
    if report is not None:
        yield f"version {report['version']}, taught {_minute(report['trained_at'])}:"
        yield from (f"  {line}" for line in learned(report))
        yield from _listed("what to add next:", to_add(report))
        yield from _listed("thresholds for events:", thresholds(report))
        yield from _listed("pictures it gets wrong:", _wrong(about))
    elif about["versions"]:
        yield f"version {about['versions'][-1]} has no readable report"
    deployed = about["deployed"]
    if deployed is not None:
        since = _minute(rfc3339(round(deployed["since"] * 1e9)))
        yield f"deployed: version {deployed['version']} to {deployed['view']} since {since}"
    yield f"next: {next_command(about)}"


def _wrong(about: Mapping[str, Any]) -> Iterator[str]:
    """Of the last report, the worst ones that are still there; perhaps their label is wrong."""
    moment_of = {picture: each for each in about["moments"] for picture in each["pictures"]}
    shown = [each for each in about["report"]["worst"] if each["picture"] in moment_of]
    for each in shown[:MOST_WRONG]:
        moment = moment_of[each["picture"]]
        yield (
            f"{each['picture']} of moment {moment['id']}, {moment['label']}, was taken for "
            f"{each['said']}"
        )


def _minute(stamp: str) -> str:
    """`2026-11-30 10:15 UTC` of RFC 3339."""
    return f"{stamp[:16].replace('T', ' ')} UTC"


def _listed(head: str, lines: Iterator[str]) -> Iterator[str]:
    found = list(lines)
    if found:
        yield head
        yield from (f"  {line}" for line in found)


def next_command(about: Mapping[str, Any]) -> str:
    """What a person would do now."""
    name, report, deployed = about["name"], about["report"], about["deployed"]
    command = f"{'sudo ' if os.environ.get('SUDO_USER') else ''}edged teach {name}"
    labelled = [each for each in about["moments"] if each["label"] is not None]
    counts = {label: sum(each["label"] == label for each in labelled) for label in about["classes"]}
    least = min(counts, key=lambda label: counts[label])
    add = f"{command} add {shlex.quote(least)} --from-camera --for 20s"
    if counts[least] == 0:
        return f"{add} (or name pictures)"
    moments = sorted(each["id"] for each in labelled)
    if (
        report is None
        or report.get("moment_ids") != moments
        or report["classes"] != about["classes"]
    ):
        return f"{command} train"
    if deployed is None or deployed["version"] != report["version"]:
        return f"{command} deploy"
    return f"{add} (another moment)" if counts[least] < 3 else f"edged teach {name} --moments"


def _print_moments(about: Mapping[str, Any]) -> None:
    rows = [
        {
            "moment": each["id"],
            "class": each["label"],
            "pictures": len(each["pictures"]),
            "reason": each["reason"],
        }
        for each in about["moments"]
    ]
    if rows:
        print_table(rows, tuple(rows[0]))
    else:
        print("no moments yet")
