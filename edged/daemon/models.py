"""What the views of a configuration run, before it is loaded."""

from __future__ import annotations

import logging
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field

from edged.backends.auto import Backends, load_backends
from edged.backends.loaded import choices_of
from edged.config.camera import ViewConfig
from edged.config.config import Config
from edged.config.family import Families, model_errors
from edged.errors import InputErrors
from edged.teach.store import TeachStore
from edged.variants.family import Family
from edged.variants.heads import HeadMatrix
from edged.variants.runtime import Engines, variants_run_by
from edged.variants.taught import head_matrices
from edged.variants.variant import Choice, Variant
from edged.view import titled

log = logging.getLogger("edged")


@dataclass(frozen=True, slots=True)
class Model:
    """What a view runs. variants: those that may run, as the backends run them. heads: of a taught
    family, by their networks' sha256; None for another."""

    family: Family
    variants: tuple[Variant, ...]
    heads: Mapping[str, HeadMatrix] | None = field(default=None, compare=False)

    @classmethod
    def of(cls, config: Config, view: ViewConfig, family: Family, backends: Backends) -> Model:
        run = {each for one in backends for each in variants_run_by(one, family.variants())}
        names = view.variants
        variants = tuple(each for each in sorted(run) if names is None or each.name in names)
        if not variants:
            what = "no runtime of this device computes in float16"
            keys = config.place(view.id, "variants")
            raise config.error(what, *keys, got=", ".join(names or ()), fix="remove _fp16")
        return cls(family, variants, head_matrices(family))

    def known_top1(self) -> dict[Variant, float]:
        """Top-1 of the variants whose accuracy is known."""
        found = {variant: self.family.accuracy(variant) for variant in self.variants}
        return {variant: each.top1 for variant, each in found.items() if each is not None}

    def top1(self, backends: Backends, threads: Iterable[int]) -> dict[Choice, float]:
        """Accuracy of every choice, for ranking."""
        known = {variant: self.family.top1(variant) for variant in self.variants}
        return {
            choice: known[choice.variant]
            for network in self.family.networks
            for backend in backends
            for choices in choices_of(network, backend, threads)
            for choice in choices
            if choice.variant in known
        }

    def warn_of_min_top1(self, view: ViewConfig) -> None:
        """Warn if no variant reaches the view's min_top1."""
        best = max(self.variants, key=self.family.top1)
        if self.family.top1(best) < view.min_top1:
            log.warning(
                "%s: no variant reaches min_top1 %g; using the most accurate, %s (%.3f)",
                *(titled(view.id), view.min_top1, best, self.family.top1(best)),
            )


@dataclass(frozen=True, slots=True)
class Models:
    """What a configuration loads. Equal values mean the same files, compared by hash.

    by_view: views with equal models have the same object. backend_name: as configured. taught:
    views that a classifier is taught for. instead: by view, what it runs and why not the classifier
    that it should.
    """

    by_view: Mapping[str, Model]
    threads: tuple[int, ...]
    backend_name: str
    backends: Backends = field(compare=False)
    why: str = field(compare=False)
    taught: frozenset[str] = frozenset()
    instead: Mapping[str, str] = field(default_factory=dict, compare=False)

    @classmethod
    def of(
        cls,
        config: Config,
        before: Models | None = None,
        store: TeachStore | None = None,
        taught: Collection[str] = (),
        *,
        replacing: bool = True,
    ) -> Models:
        """Read the manifests. Raises InputError for a missing or unsuitable family, EdgedError for
        an unusable runtime. before: its backends are used again if they are the same. replacing: as
        of Families."""
        families = Families(config, store, replacing=replacing)
        errors = [
            error
            for view in config.views
            for error in model_errors(config, view, families.of(view))
        ]
        if errors:
            raise InputErrors(errors)
        for what in families.instead.values():
            log.error("%s", what)
        if before is not None and before.backend_name == config.backend:
            backends, why = before.backends, before.why
        else:
            backends, why = load_backends(config.backend, background=True)
        made: dict[Model, Model] = {}
        by_view = {}
        for view in config.views:
            model = Model.of(config, view, families.of(view), backends)
            by_view[view.id] = made.setdefault(model, model)
        of_views = frozenset(taught) & by_view.keys()
        of_backends = config.threads, config.backend, backends, why
        return cls(by_view, *of_backends, of_views, families.instead)

    def loads_the_same(self, other: Models) -> bool:
        """Whatever the views are called that run it."""
        mine, theirs = (set(each.by_view.values()) for each in (self, other))
        return mine == theirs and self.backends is other.backends and self.threads == other.threads

    @property
    def families(self) -> list[Family]:
        """Each once."""
        return list({id(each.family): each.family for each in self.by_view.values()}.values())

    @property
    def versions(self) -> dict[str, str]:
        """By runtime."""
        return {each.name: each.version for each in self.backends}

    @property
    def engines(self) -> Engines:
        """Only TensorRT builds them, and it runs alone."""
        return self.backends[0].engines

    def top1(self) -> dict[str, Mapping[Choice, float]]:
        """By view; equal models have the same mapping."""
        models = {id(each): each for each in self.by_view.values()}
        found = {key: each.top1(self.backends, self.threads) for key, each in models.items()}
        return {view: found[id(model)] for view, model in self.by_view.items()}
