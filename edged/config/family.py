"""Checks the configuration against its families: variants, accuracy and classes."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

from edged.config.camera import DEFAULT_MODEL, ViewConfig
from edged.config.config import Config
from edged.errors import EdgedError, InputError, InputErrors
from edged.events.events import Watch
from edged.teach.backbone import backbone_of
from edged.teach.store import Settings, TeachStore, teach_directory
from edged.teach.store.deployed import Deployed, to_move
from edged.teach.store.names import is_name
from edged.variants.family import Family, load_family, shipped_families
from edged.variants.taught import to_teach, untaught
from edged.variants.variant import Variant
from edged.view import titled

_WEIGHTS = (".tflite", ".keras", ".h5", ".hdf5", ".onnx", ".pt", ".pth", ".pb")

_UNKNOWN = "unknown"
"""Name of the family of a view of which it is not known what is deployed to it."""


class Families:
    """The families of a configuration's views, each read once."""

    def __init__(
        self, config: Config, store: TeachStore | None = None, *, replacing: bool = False
    ) -> None:
        """replacing: a version that is deployed but lacks what the configuration needs counts as
        one that cannot be read; otherwise it is what the view runs, and an error."""
        self._config = config
        self._store = store or TeachStore(teach_directory(os.environ))
        self._replacing = replacing
        self._read: dict[tuple[str, str], Family] = {}
        self.by_view: dict[str, Family] = {}
        """Of each view for which one can be read, once `errors` is through."""
        self.instead: dict[str, str] = {}
        """By view: what it runs, and why not the classifier that it should."""

    def key(self, view: ViewConfig) -> str:
        """What the view runs: its own `model`, else the classifier deployed to it, else the `model`
        of its camera or the top."""
        deployed = None if view.names_model else self._store.deployed_to(view.id)
        return view.model if deployed is None else deployed.name

    def of(self, view: ViewConfig) -> Family:
        """Raises InputError with the line of `model`."""
        key = self.key(view)
        unknown = self._is_unknown(view, key)
        at = key, view.id if unknown or self._is_taught(key) else ""
        if at not in self._read:
            find = self._unknown if unknown else self._find
            self._read[at] = find(view, key)
        return self._read[at]

    def errors(self) -> Iterator[InputError]:
        """All errors of the families, of the views' variants and accuracy, and of the events'
        classes; each once, though several views may share a value."""
        yield from {str(error): error for error in self._errors()}.values()

    def _errors(self) -> Iterator[InputError]:
        config, by_view = self._config, self.by_view
        seen: set[str] = set()
        unreadable: set[object] = set()
        for view in config.views:
            key = self.key(view)
            place = key, config.place(view.id, "model")
            if place in unreadable:
                continue
            try:
                family = self.of(view)
            except InputError as wrong:
                unreadable.add(place)
                yield from wrong.errors if isinstance(wrong, InputErrors) else (wrong,)
                continue
            if key not in seen:
                yield from filter(None, (network.wrong_size() for network in family.networks))
            seen.add(key)
            by_view[view.id] = family
            yield from model_errors(config, view, family)
        labels = {view: family.labels for view, family in by_view.items()}
        others = tuple(labels) if len(seen) == 1 else ()  # for rules whose views are unknown
        rules = [
            replace(rule, views=tuple(view for view in rule.views if view in labels) or others)
            for rule in config.events
        ]
        try:
            Watch.of(rules, labels, dict.fromkeys(labels, 0.0))
        except InputErrors as wrong:
            yield from wrong.errors

    def _is_taught(self, key: str) -> bool:
        if key in shipped_families():
            return False
        return key in self._store.deployed() or key in self._store.names()

    def _is_unknown(self, view: ViewConfig, key: str) -> bool:
        """Whether it depends on what the damaged list does not tell."""
        if not self._store.damage or key in self._store.deployed():
            return False
        return not view.names_model or self._is_taught(key)

    def _find(self, view: ViewConfig, key: str) -> Family:
        if self._is_taught(key):
            return self._taught(view, key)
        try:
            return load_family(key, self._config.base)
        except InputErrors:  # located in the manifest
            raise
        except InputError as wrong:
            fix = wrong.fix
            if Path(key).suffix in _WEIGHTS:
                fix = "convert a file of weights to a family with: edged models import"
            elif is_name(key):
                teach = f"teach it: edged teach {key} --view {view.id} --classes A,B"
                fix = teach if fix is None else f"{fix}; or {teach}"
            what = wrong.what if wrong.where is None else f"{wrong.where}: {wrong.what}"
            place = self._config.place(view.id, "model")
            raise self._config.error(what, *place, got=wrong.got, fix=fix) from None

    def _unknown(self, view: ViewConfig, model: str) -> Family:
        """What is configured or, for events that need other classes, nothing that gives a
        result."""
        found, silent = self._find(view, model), "gives no result"
        others = [
            (silent if to_teach(found) else f"runs {model}", found),
            (silent, self._silent(view, _UNKNOWN, found)),
        ]
        return self._instead(view, others, self._store.damage)

    def _taught(self, view: ViewConfig, name: str) -> Family:
        """What is deployed of the classifier, or nothing that gives a result before there is
        something. Where that cannot run, the first of `_others` that can."""
        deployed = self._store.deployed().get(name)
        try:
            if deployed is None:
                return self._untaught(self._store.open(name).settings)
            family = self._store.family(deployed)
            if not self._replacing or not (why := self._unfit(view, family)):
                return family
            fix = f"change the configuration, or return: edged teach {name} back"
            wrong: EdgedError = InputError(
                why, where=f"version {deployed.version} of {name}", fix=fix
            )
        except EdgedError as error:
            wrong = error.errors[0] if isinstance(error, InputErrors) else error
        before = None if deployed is None else self._store.ran_before(deployed)
        return self._instead(view, self._others(view, name, before), wrong)

    def _instead(
        self, view: ViewConfig, others: Iterable[tuple[str, Family]], wrong: object
    ) -> Family:
        """The first that the view can run, else the last."""
        for what, family in others:
            self.instead[view.id] = f"{titled(view.id)} {what}: {wrong}"
            if not self._unfit(view, family):
                break
        return family

    def _others(
        self, view: ViewConfig, name: str, before: Deployed | None
    ) -> Iterator[tuple[str, Family]]:
        """What the view may run instead, in words: what `edged teach NAME back` leads to, what is
        configured above, and, for events that need its classes, nothing that gives a result."""
        if before is not None and before.view == view.id:
            with suppress(EdgedError):
                found = self._store.family(before)
                yield f"runs version {before.version} of {before.name}, not {name}", found
        models = [view.model, view.model_above, DEFAULT_MODEL]
        while name in models:  # which may itself be configured
            del models[0]
        model = models[0]
        configured = self._find(view, model)
        yield f"runs {model}, not {name}", configured
        own, classes = configured, tuple[str, ...]()
        with suppress(EdgedError):
            settings = self._store.open(name).settings
            classes = settings.classes
            own = self._untaught(settings)
        for networks in (own, configured):  # of which one may lack the view's variants
            yield "gives no result", self._silent(view, name, networks, classes)

    def _silent(
        self, view: ViewConfig, name: str, networks: Family, classes: Iterable[str] = ()
    ) -> Family:
        """Without results, and with all classes that the view's events need."""
        rules = [each for each in self._config.events if view.id in each.views]
        needed = [label for rule in rules for label in rule.classes]
        return untaught(name, networks.base, tuple(dict.fromkeys((*classes, *needed))))

    def _unfit(self, view: ViewConfig, family: Family) -> str:
        """Why the view cannot run it; empty if it can."""
        errors = model_errors(self._config, view, family)
        return lacking(self._config, view.id, family) or next(map(str, errors), "")

    def _untaught(self, settings: Settings) -> Family:
        backbone = backbone_of(settings.backbone, self._store.root, None, self._config.base)
        return untaught(settings.name, backbone.family, settings.classes)


def overruled(config: Config, view: str, name: str) -> str:
    """The line that overrules a classifier deployed to the view, and what to change; empty if there
    is none."""
    known = next((each for each in config.views if each.id == view), None)
    if known is None:
        how = to_move(name, (each.id for each in config.views))
        return f"the configuration has no {titled(view)}; {how}"
    if not known.names_model or known.model == name or config.document is None:
        return ""
    line = config.document.line(*config.place(view, "model"))
    return (
        f"{config.path}:{line} gives {titled(view)} a model of its own, which overrules what is "
        f"deployed; write `model: {name}` there, or remove that line, then reload edged"
    )


def lacking(config: Config, view: str, family: Family) -> str:
    """Which class an event of the view needs and the family has not; empty if none."""
    for rule in config.events:
        for name in rule.classes if view in rule.views else ():
            if name not in family.labels:
                return f"the event {rule.name} of {view} needs the class {name}, which it lacks"
    return ""


def needed(config: Config, now: TeachStore, then: TeachStore) -> str:
    """Why the configuration is no longer valid with the classifiers as they are `then`; empty if it
    is, if it is not valid now for the same reason, or if it cannot be known what is deployed: then
    one after the other has to be deployed anew."""
    if now.damage:
        return ""
    known = {str(error) for error in family_errors(config, store=now)}
    new = [error for error in family_errors(config, store=then) if str(error) not in known]
    return f"the configuration would no longer be valid: {new[0]}" if new else ""


def family_errors(config: Config, store: TeachStore | None = None) -> Iterator[InputError]:
    """As `Families.errors`."""
    return Families(config, store).errors()


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
    untaught = family.backbone is not None and not family.heads
    if view.min_top1 > 0 and not family.states_accuracy and not untaught:
        what = f"needs measured accuracy, which the family {family.name} lacks"
        fix = (
            "remove the key, or measure the family with labelled photos: edged models "
            f"evaluate {family.directory} --photos PHOTOS --record NAME"
        )
        if family.backbone is not None:
            fix = "remove the key, or teach it from at least three moments of each class: "
            fix += f"edged teach {family.name}"
        yield config.error(what, *config.place(view.id, "min_top1"), fix=fix)
