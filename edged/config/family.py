"""Checks the configuration against its family: variants, accuracy and classes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

from edged.config.config import Config
from edged.errors import InputError, InputErrors
from edged.events.events import Watch
from edged.variants.family import Family, load_family
from edged.variants.variant import Variant

_WEIGHTS = (".tflite", ".keras", ".h5", ".hdf5", ".onnx", ".pt", ".pth", ".pb")


def family_of(config: Config) -> Family:
    """Raises InputError with the line of `model`."""
    try:
        return load_family(config.model, config.base)
    except InputErrors:  # located in the manifest
        raise
    except InputError as wrong:
        fix = wrong.fix
        if Path(config.model).suffix in _WEIGHTS:
            fix = "convert a file of weights to a family with: edged models import"
        what = wrong.what if wrong.where is None else f"{wrong.where}: {wrong.what}"
        raise config.error(what, "model", got=wrong.got, fix=fix) from None


def family_errors(
    config: Config, found: Callable[[Family], object] = lambda family: None
) -> Iterator[InputError]:
    """All errors of the family, its variants and classes. found: called with the family."""
    try:
        family = family_of(config)
    except InputErrors as wrong:
        yield from wrong.errors
        return
    except InputError as wrong:
        yield wrong
        return
    found(family)
    yield from filter(None, (network.wrong_size() for network in family.networks))
    yield from model_errors(family, config)
    cameras = {camera: 0.0 for event in config.events for camera in event.cameras}
    try:
        Watch.of(config.events, family.labels, cameras)
    except InputErrors as wrong:
        yield from wrong.errors


def model_errors(family: Family, config: Config) -> Iterator[InputError]:
    """For variants that the family lacks, and for min_top1 without measured accuracy."""
    known = family.variants()
    fp16 = [variant for network in family.networks for variant in network.fp16_variants()]
    for index, name in enumerate(config.variants or ()):
        if Variant.parse(name) not in (*known, *fp16):
            what = f"no such variant in the family {family.name}"
            fix = "it has " + ", ".join(variant.name for variant in known)
            yield config.error(what, "variants", index, got=name, fix=fix)
    wishes = [camera.name for camera in config.cameras if camera.min_top1 > 0]
    if wishes and not family.states_accuracy:
        what = f"needs measured accuracy, which the family {family.name} lacks"
        fix = (
            "remove the key, or measure the family with labelled photos: edged models "
            f"evaluate {family.directory} --photos PHOTOS --record NAME"
        )
        yield config.error(what, "cameras", wishes[0], "min_top1", fix=fix)
