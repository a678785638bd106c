"""Where the classifiers are, and the configuration of the device's daemon."""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from edged.commands.parts import find_config
from edged.config.family import needed
from edged.errors import InputError
from edged.state import SERVICE_STATE, as_owner
from edged.teach.backbone import Backbone, backbone_of
from edged.teach.store import Classifier, TeachStore, teach_directory

if TYPE_CHECKING:
    from edged.config.config import Config


class Place:
    """For one command, which reads and writes the classifiers' folder in `as_owner` or
    `classifier`, and its caller's files outside of them."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.name: str = options.name
        self._options = options
        self.store = TeachStore(teach_directory(os.environ))
        self._config: Config | None = None
        self._read = False

    def as_owner(self) -> AbstractContextManager[None]:
        return as_owner(self.store.root)

    @contextmanager
    def classifier(self) -> Iterator[Classifier]:
        """The one that is named. Raises InputError if there is none."""
        with self.as_owner():
            try:
                found = self.store.open(self.name)
            except InputError as error:
                raise self.with_hint(error) from None
            yield found

    def with_hint(self, error: InputError) -> InputError:
        """Names the service's folder, where another user may look in vain."""
        root = self.store.root
        if root.is_relative_to(SERVICE_STATE) or not SERVICE_STATE.is_dir():
            return error
        fix = f"looked in {root}; for the service's classifiers use sudo"
        fix = "; ".join(filter(None, (error.fix, fix)))
        return InputError(error.what, where=error.where, got=error.got, fix=fix)

    def check_needed(self, then: Callable[[str], TeachStore]) -> None:
        """Raises InputError where the configuration, read as the caller, needs what is gone then.

        then: the store as it will be, given the name.
        """
        if self.config is None:
            return
        with self.as_owner():
            try:
                why_not = needed(self.config, self.store, then(self.name))
            except InputError as error:
                raise self.with_hint(error) from None
        if why_not:
            raise InputError(why_not, where=self.name, fix="change it first")

    @property
    def config(self) -> Config | None:
        """None if there is no configuration, or, unless it was named, if it is not valid."""
        if not self._read:
            self._config, self._read = find_config(self._options.config), True
        return self._config

    def backbone(self, classifier: Classifier) -> Backbone:
        """What it is taught on. Raises InputError."""
        config = self.config
        views = () if config is None else config.views
        view = classifier.settings.view
        model = next((each.model for each in views if each.id == view), None)
        base = Path.cwd() if config is None else config.base
        return backbone_of(classifier.settings.backbone, self.store.root, model, base)
