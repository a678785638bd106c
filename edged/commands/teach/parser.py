"""The arguments of `edged teach`. Each verb's function is in a module of its own."""

from __future__ import annotations

import argparse
import re
from collections.abc import Callable, Container
from functools import partial
from importlib import import_module

from edged.commands.parts import Commands, add_command, file_or_folder, positive_float, positive_int

_CONFIG = "the configuration (default: ./edged.yaml, else /etc/edged/edged.yaml, if there is one)"


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    teach = add_command(
        commands,
        "teach",
        _run("status", "show"),
        "teach classes of your own: list, create or show a classifier, and more with a verb",
        "edged teach gate --view yard/gate --classes open,closed",
    )
    # Without one: list all.
    name = teach.add_argument("name", metavar="NAME", help="a classifier; without it, list all")
    name.required = False
    teach.add_argument(
        "--view", metavar="CAMERA[/VIEW]", help="create it for this view, or move it there"
    )
    teach.add_argument(
        "--classes", type=_classes, metavar="A,B,…", help="its classes, separated by commas"
    )
    teach.add_argument(
        "--no-none",
        dest="none",
        action="store_const",
        const=False,
        help="without the class `none`, which takes what is none of the classes",
    )
    teach.add_argument(
        "--backbone",
        metavar="FAMILY",
        help="family whose networks it is taught on, a shipped one or a folder (default: one of "
        "ImageNet, if the configuration or the state folder has it)",
    )
    teach.add_argument(
        "--quota", type=positive_float, metavar="MB", help="limit of its pictures (default: 200)"
    )
    teach.add_argument("--moments", action="store_true", help="list its moments")
    teach.add_argument("-c", "--config", type=file_or_folder, metavar="FILE", help=_CONFIG)
    teach.add_argument("--json", action="store_true", help="print JSON")

    teach.usage = "%(prog)s [options] [NAME [VERB …]]"
    verbs = teach.add_subparsers(
        metavar="VERB",
        title="verbs",
        prog="edged teach NAME",
        required=False,
        help="what to do with the classifier",
    )
    _add_add(verbs)
    _add_train(verbs)
    _add_deploy(verbs)
    _add_back(verbs)
    _add_moments(verbs)
    export = add_command(
        verbs,
        "export",
        _run("keeping", "export"),
        "write pictures, labels and versions into a zip file",
        "edged teach gate export gate.zip",
    )
    export.add_argument("path", type=file_or_folder, metavar="FILE", help="the zip file")
    take_over = add_command(
        verbs,
        "import",
        _run("keeping", "take_over"),
        "take over the newest version of an export from another device",
        "edged teach gate import gate.zip",
    )
    take_over.add_argument("path", type=file_or_folder, metavar="FILE", help="the zip file")
    forget = add_command(
        verbs,
        "forget",
        _run("keeping", "forget"),
        "delete a classifier with its pictures and versions",
        "edged teach gate forget",
    )
    for verb in (export, take_over, forget):
        _add_config(verb)
    name.type = partial(_name, verbs.choices)


def _add_add(verbs: Commands[argparse.ArgumentParser]) -> None:
    adding = add_command(
        verbs,
        "add",
        _run("adding", "add"),
        "add pictures of a class: files, folders or zip files, or from the camera",
        "edged teach gate add open --from-camera --for 20s",
    )
    adding.add_argument("label", metavar="CLASS", help="one of its classes")
    adding.add_argument(
        "paths",
        type=file_or_folder,
        nargs="*",
        metavar="PATH",
        help="pictures, folders or zip files",
    )
    adding.add_argument(
        "--one-moment",
        action="store_true",
        help="they show one and the same moment (default: what was taken within 30 s, or looks "
        "alike, is one)",
    )
    adding.add_argument(
        "--from-camera",
        action="store_true",
        help="record from the view of the running daemon; only pictures that differ are kept",
    )
    adding.add_argument(
        "--for",
        dest="seconds",
        type=_seconds,
        metavar="TIME",
        help="with --from-camera: how long, for example 20s (default: 10s)",
    )
    _add_config(adding)


def _add_train(verbs: Commands[argparse.ArgumentParser]) -> None:
    train = add_command(
        verbs,
        "train",
        _run("training", "train"),
        "teach a new version, and print what it learned and how sure that is",
        "edged teach gate train --plot gate.png",
    )
    train.add_argument(
        "--none-photos",
        type=file_or_folder,
        metavar="DIR",
        help="mixed photos of anything, from which all classifiers learn the class `none` from now "
        "on (default: those that come with edged)",
    )
    train.add_argument(
        "--plot",
        type=file_or_folder,
        metavar="FILE",
        help="plot the learning curve, the confusions, and the accuracy of the variants against "
        "their time: .png, .svg or .pdf",
    )
    _add_config(train)
    train.add_argument(
        "--json",
        action="store_true",
        default=argparse.SUPPRESS,
        help="print the report as JSON",
    )


def _add_deploy(verbs: Commands[argparse.ArgumentParser]) -> None:
    deploy = add_command(
        verbs,
        "deploy",
        _run("deploying", "deploy"),
        "let a version run on its view; a running daemon takes it over",
        "edged teach gate deploy",
    )
    deploy.add_argument(
        "--version", type=positive_int, metavar="N", help="which version (default: the newest)"
    )
    deploy.add_argument(
        "--anyway",
        action="store_true",
        help="also one that is worse than what runs, but with the classes that events need",
    )
    _add_config(deploy)


def _add_back(verbs: Commands[argparse.ArgumentParser]) -> None:
    back = add_command(
        verbs,
        "back",
        _run("deploying", "back"),
        "return to the version, or to the other classifier, that ran before",
        "edged teach gate back",
    )
    _add_config(back)


def _add_moments(verbs: Commands[argparse.ArgumentParser]) -> None:
    label = add_command(
        verbs,
        "label",
        _run("keeping", "label"),
        "give a moment another class, or one that was seen its class",
        "edged teach gate label 20261130T101500Z-3f2a open",
    )
    discard = add_command(
        verbs,
        "discard",
        _run("keeping", "discard"),
        "delete moments with their pictures",
        "edged teach gate discard 20261130T101500Z-3f2a",
    )
    for verb in (label, discard):
        _add_config(verb)
    label.add_argument("moment", metavar="MOMENT", help="`edged teach NAME --moments` lists them")
    label.add_argument("label", metavar="CLASS", help="one of its classes")
    discard.add_argument(
        "moments", nargs="+", metavar="MOMENT", help="`edged teach NAME --moments` lists them"
    )


def _add_config(parser: argparse.ArgumentParser) -> None:
    """Of a verb; before it counts, too."""
    parser.add_argument(
        *("-c", "--config"),
        type=file_or_folder,
        default=argparse.SUPPRESS,
        metavar="FILE",
        help=_CONFIG,
    )


def _name(verbs: Container[str], text: str) -> str:
    """A verb in its place has lost the name before it."""
    if text in verbs:
        what = f"{text} is a verb; name the classifier first: edged teach NAME {text} ..."
        raise argparse.ArgumentTypeError(what)
    return text


def _run(module: str, function: str) -> Callable[[argparse.Namespace], int]:
    """That function of a module, which is imported when it runs."""

    def command(options: argparse.Namespace) -> int:
        found = import_module(f"edged.commands.teach.{module}")
        status: int = getattr(found, function)(options)
        return status

    return command


def _classes(text: str) -> tuple[str, ...]:
    return tuple(filter(None, (each.strip() for each in text.split(","))))


def _seconds(text: str) -> float:
    """`20s`, `20`, or `2m`."""
    match = re.fullmatch(r"(\d+(?:\.\d+)?)\s*(s|m|min)?", text)
    seconds = 0.0 if match is None else float(match[1]) * (60 if match[2] in ("m", "min") else 1)
    if not 0 < seconds <= 600:
        raise argparse.ArgumentTypeError(f"must be a time up to 10m, such as 20s, got {text}")
    return seconds
