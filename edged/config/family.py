"""Checks the configuration against its families: variants, accuracy and classes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

from edged.config.camera import ViewConfig
from edged.config.config import Config
from edged.errors import InputError, InputErrors
from edged.events.events import Watch
from edged.variants.family import Family, load_family
from edged.variants.variant import Variant

_WEIGHTS = (".tflite", ".keras", ".h5", ".hdf5", ".onnx", ".pt", ".pth", ".pb")


def family_of(config: Config, view: ViewConfig) -> Family:
    """Raises InputError with the line of `model`."""
    try:
        return load_family(view.model, config.base)
    except InputErrors:  # located in the manifest
        raise
    except InputError as wrong:
        fix = wrong.fix
        if Path(view.model).suffix in _WEIGHTS:
            fix = "convert a file of weights to a family with: edged models import"
        what = wrong.what if wrong.where is None else f"{wrong.where}: {wrong.what}"
        place = config.place(view.id, "model")
        raise config.error(what, *place, got=wrong.got, fix=fix) from None


def family_errors(config: Config, found: dict[str, Family] | None = None) -> Iterator[InputError]:
    """All errors of the families, of the views' variants and accuracy, and of the events' classes.

    found: gets the family of each view for which it can be read.
    """
    errors = _errors(config, {} if found is None else found)
    yield from {str(error): error for error in errors}.values()  # views may share a value


def _errors(config: Config, found: dict[str, Family]) -> Iterator[InputError]:
    families: dict[str, Family] = {}
    unreadable = set()
    for view in config.views:
        place = config.place(view.id, "model")
        if view.model not in families and place not in unreadable:
            try:
                families[view.model] = family = family_of(config, view)
            except InputError as wrong:
                unreadable.add(place)
                yield from wrong.errors if isinstance(wrong, InputErrors) else (wrong,)
                continue
            yield from filter(None, (network.wrong_size() for network in family.networks))
        if view.model in families:
            found[view.id] = families[view.model]
            yield from model_errors(config, view, families[view.model])
    labels = {view: family.labels for view, family in found.items()}
    others = tuple(labels) if len(families) == 1 else ()  # for rules whose views are unknown
    rules = [
        replace(rule, views=tuple(view for view in rule.views if view in labels) or others)
        for rule in config.events
    ]
    try:
        Watch.of(rules, labels, dict.fromkeys(labels, 0.0))
    except InputErrors as wrong:
        yield from wrong.errors


def model_errors(config: Config, view: ViewConfig, family: Family) -> Iterator[InputError]:
    """For variants that the family lacks, and for min_top1 without measured accuracy."""
    known = family.variants()
    fp16 = [variant for network in family.networks for variant in network.fp16_variants()]
    for index, name in enumerate(view.variants or ()):
        if Variant.parse(name) not in (*known, *fp16):
            what = f"no such variant in the family {family.name}"
            fix = "it has " + ", ".join(variant.name for variant in known)
            place = config.place(view.id, "variants")
            yield config.error(what, *place, index, got=name, fix=fix)
    if view.min_top1 > 0 and not family.states_accuracy:
        what = f"needs measured accuracy, which the family {family.name} lacks"
        fix = (
            "remove the key, or measure the family with labelled photos: edged models "
            f"evaluate {family.directory} --photos PHOTOS --record NAME"
        )
        yield config.error(what, *config.place(view.id, "min_top1"), fix=fix)
