"""Which family's networks give the features that a classifier is taught on."""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edged.errors import InputError
from edged.state import SERVICE_STATE, daemon_state_directory, in_container
from edged.variants.family import Family, load_family
from edged.variants.manifest import MANIFEST

IMAGENET = "imagenet"
"""The folder beside the classifiers' that `edged models pull … --teach` fills."""
SHIPPED = "imagenette"
_PULL = "edged models pull mobilenet-v1-imagenet --teach"
_IMAGENET_CLASSES = 1000


@dataclass(frozen=True, slots=True)
class Backbone:
    """reference: a shipped family's name or an absolute folder. warning: a sentence, if another one
    would be far better."""

    reference: str
    family: Family
    warning: str | None = None


def backbone_of(own: str, root: Path, model: str | None, base: Path) -> Backbone:
    """The classifier's own, else an ImageNet family, else the best that there is.

    own: of its settings, may be empty. root: the folder of the classifiers. model: of the
    configuration, or None; relative to base. Raises InputError if its own cannot be read.
    """
    if own:
        return given_backbone(own, root, base)
    configured = None if model is None else _family(model, base)
    for family in (configured, _family(str(_imagenet(root)), base)):
        if family is not None and _knows_imagenet(family):
            return _backbone(family, root)
    return _backbone(configured or load_family(SHIPPED, base), root)


def given_backbone(reference: str, root: Path, base: Path) -> Backbone:
    """The one that a person names. Raises InputError; where the networks of ImageNet would lie,
    with the command that gets them."""
    imagenet = _imagenet(root)
    if base / reference == imagenet and not (imagenet / MANIFEST).exists():
        raise InputError("no networks to teach on", where=imagenet, fix=pull_command(root))
    return _backbone(load_family(reference, base).base, root)


def pull_command(
    root: Path, environ: Mapping[str, str] = os.environ, service: Path = SERVICE_STATE
) -> str:
    """What gets the networks of ImageNet for the classifiers in `root`, typed in a shell."""
    state = root.resolve().parent
    if state == service and not in_container(environ):  # whose user edged is already
        return f"sudo {_PULL}"
    in_shell = {name: value for name, value in environ.items() if name != "STATE_DIRECTORY"}
    if state == daemon_state_directory(in_shell, service):
        return _PULL
    return f"{_PULL} --into {shlex.quote(str(_imagenet(root)))}"


def ways_on(root: Path) -> tuple[str, str]:
    """How a view learns other classes than those of a shipped family. root: of the classifiers."""
    pull = pull_command(root)
    sudo = "sudo " if pull.startswith("sudo ") else ""
    return (
        f"ImageNet's 1000 classes: {pull}, then model: {_imagenet(root)}",
        f"your own classes: {sudo}edged teach gate --view CAMERA --classes open,closed",
    )


def _imagenet(root: Path) -> Path:
    return root.resolve().parent / IMAGENET


def _family(reference: str, base: Path) -> Family | None:
    """The family whose networks the reference's are; None if it is none (yet)."""
    with suppress(InputError):
        return load_family(reference, base).base
    return None


def _backbone(family: Family, root: Path) -> Backbone:
    reference = family.directory.name if family.is_shipped else str(family.directory.absolute())
    if _knows_imagenet(family):
        return Backbone(reference, family)
    return Backbone(
        reference,
        family,
        f"the networks of {family.name} know only {len(family.labels)} classes of pictures; on "
        f"those of ImageNet teaching is far better: {pull_command(root)}",
    )


def _knows_imagenet(family: Family) -> bool:
    return len(family.labels) == _IMAGENET_CLASSES
