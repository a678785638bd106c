"""What was taught on this device: a folder for each classifier."""

from __future__ import annotations

import logging
from collections.abc import Iterable, Iterator, Mapping
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import TYPE_CHECKING

from edged.errors import EdgedError, InputError
from edged.printable import printable
from edged.state import SERVICE_STATE, daemon_state_directory
from edged.teach.store.classifier import Classifier
from edged.teach.store.deployed import FILE as DEPLOYED
from edged.teach.store.deployed import Deployed, DeployedFile
from edged.teach.store.folder import (
    alone,
    clear_remains,
    entries,
    is_folder,
    locked,
    made,
    put_folder,
    remove,
    writing,
)
from edged.teach.store.names import check_name, is_name
from edged.teach.store.settings import FILE, QUOTA_BYTES, Settings

if TYPE_CHECKING:
    from edged.variants.family import Family

MOST_CLASSIFIERS = 100
"""The daemon looks at each several times a second, and each has a quota of its own."""

log = logging.getLogger("edged.teach")


def teach_directory(environ: Mapping[str, str], service: Path = SERVICE_STATE) -> Path:
    """The folder of the classifiers, which may not exist yet."""
    return daemon_state_directory(environ, service) / "teach"


class TeachStore:
    """root: the folder, created with the first classifier. Thread-safe to read."""

    def __init__(self, root: Path) -> None:
        self.root = root.resolve()
        self._deployed = DeployedFile(self.root)
        self._told: set[str] = set()

    def names(self) -> list[str]:
        """Of the classifiers. What else is in the folder is ignored with a message."""
        found = []
        for each in entries(self.root):
            if is_folder(each) and is_name(each.name) and Path(each.path, FILE).is_file():
                found.append(each.name)
            elif each.name != DEPLOYED and each.path not in self._told:
                self._told.add(each.path)
                log.warning("%s: not the folder of a classifier; ignored", each.path)
        return found

    def settings_changed_ns(self) -> dict[str, int]:
        """When the settings of each classifier were written."""
        found = {}
        for name in self.names():
            with suppress(FileNotFoundError):  # just forgotten
                found[name] = (self.root / name / FILE).stat().st_mtime_ns
        return found

    def open(self, name: str) -> Classifier:
        """Raises InputError if there is none, or if its settings are damaged."""
        if not self._is_there(name):
            raise self._unknown(name)
        try:
            return Classifier(self.root / name, self._told)
        except InputError as error:
            fix = error.fix or f"restore the file, or delete all of it: edged teach {name} forget"
            raise InputError(error.what, where=error.where, got=error.got, fix=fix) from None

    def create(
        self,
        name: str,
        view: str,
        classes: Iterable[str],
        *,
        backbone: str = "",
        none: bool = True,
        quota_bytes: int = QUOTA_BYTES,
    ) -> Classifier:
        """backbone: a shipped family's name or an absolute folder; empty for the best that the
        device has, at each training. Raises InputError, EdgedError."""
        settings = Settings.checked(
            check_name(name),
            view,
            tuple(classes),
            none=none,
            backbone=backbone,
            quota_bytes=quota_bytes,
        )
        with writing(self.root):
            made(self.root)
            with locked(self.root):
                clear_remains(self.root)
                if len(self.names()) >= MOST_CLASSIFIERS:
                    what = f"there are {MOST_CLASSIFIERS} classifiers already"
                    raise InputError(what, got=name, fix="delete one: edged teach NAME forget")
                place = self.root / name
                if place.is_dir() and any(place.iterdir()):
                    what = "there is a classifier of this name already"
                    raise InputError(what, got=name, fix=f"see it: edged teach {name}")
                self._deployed.drop(name)  # of one that was removed by hand
                put_folder(place, {FILE: settings.to_json()})
        return Classifier(self.root / name, self._told)

    def forget(self, name: str) -> None:
        """Delete a classifier, also one that is damaged or gone, with its pictures and versions.
        Its view runs its model again. Raises InputError while it is being trained."""
        folder = self.root / name
        is_there = self._is_there(name)
        if not is_there and name not in self.deployed():
            raise self._unknown(name)
        with writing(folder), ExitStack() as held:
            for each in (alone(folder), locked(folder)) if is_there else ():
                held.enter_context(each)
            held.enter_context(locked(self.root))
            if is_there:
                remove(folder)
            with suppress(OSError):  # the entry then tells that it is gone
                self._deployed.drop(name)

    def back(self, name: str) -> tuple[Deployed, Deployed | None]:
        """Return to what ran on the classifier's view before: its version before, else the
        classifier that it replaced. What was deployed of it, which may be gone, and what runs now;
        None: the model of its configuration. Raises InputError if no version of it is deployed."""
        if name not in self.deployed():
            self.open(name)
        with writing(self.root), locked(self.root):
            own = self.deployed().get(name)
            new, known = self._deployed.after_back(name)
            self._deployed.write(known)
        assert own is not None
        return own, new

    def deployed(self) -> Mapping[str, Deployed]:
        """By classifier, also those that are gone; at most one a view. Cheap: the file is read when
        it has changed."""
        return self._deployed.read()

    @property
    def damage(self) -> str:
        """Why not all that is deployed is known; empty if it is."""
        return self._deployed.damage

    def family(self, deployed: Deployed) -> Family:
        """Raises EdgedError if it is gone or cannot be read."""
        name, version = deployed.name, deployed.version
        if not self._deployed.folder(deployed).is_dir():
            fix = f"restore {self._deployed.folder(deployed)}, or return: edged teach {name} back"
            raise InputError(f"there is no version {version} of {name}", fix=fix)
        return self.open(name).family(version)

    def troubles(self) -> Iterator[str]:
        """Why what is deployed cannot run, or is not known."""
        yield from filter(None, (self.damage, *map(self.trouble, self.deployed())))

    def trouble(self, name: str) -> str:
        """Why what is deployed of the classifier cannot run; empty if it can, or nothing is."""
        deployed = self.deployed().get(name)
        try:
            if deployed is not None:
                self.family(deployed)
        except EdgedError as error:
            return str(error)
        return ""

    def state(self) -> tuple[object, ...]:
        """Equal while what the views run is the same."""
        deployed = self.deployed()
        there = {name: self._deployed.folder(each).is_dir() for name, each in deployed.items()}
        return self.settings_changed_ns(), deployed, there, self.damage

    def deployed_to(self, view: str) -> Deployed | None:
        return next((each for each in self.deployed().values() if each.view == view), None)

    def ran_before(self, deployed: Deployed) -> Deployed | None:
        """What the view runs after the way back; None: the model of its configuration."""
        return self._deployed.ran_before(deployed)

    def without(self, name: str) -> TeachStore:
        """As this will be when the classifier is forgotten; only to read."""
        others = {each: own for each, own in self.deployed().items() if each != name}
        return _Supposed(self.root, others, gone=name)

    def after_back(self, name: str) -> TeachStore:
        """As this will be after the classifier's way back; only to read. Raises InputError."""
        if name not in self.deployed():
            self.open(name)
        return _Supposed(self.root, self._deployed.after_back(name)[1])

    def after_deploy(self, name: str, version: int) -> TeachStore:
        """As this will be when the version is deployed; only to read. Raises InputError."""
        classifier = self.open(name)
        classifier.family(version)  # it can be read
        return _Supposed(self.root, classifier.after_deploy(version)[1])

    def _is_there(self, name: str) -> bool:
        """Its folder, at least."""
        folder = self.root / name
        return is_name(name) and folder.is_dir() and not folder.is_symlink()

    def _unknown(self, name: str) -> InputError:
        shown = name if is_name(name) else "NAME"
        return InputError(
            "no such classifier",
            got=repr(printable(name, 60)),
            fix=f"create it: edged teach {shown} --view CAMERA/VIEW --classes open,closed",
        )


class _Supposed(TeachStore):
    """With other deployments, and perhaps without one of the classifiers."""

    def __init__(self, root: Path, deployed: Mapping[str, Deployed], gone: str = "") -> None:
        super().__init__(root)
        self._then = deployed
        self._gone = gone

    def names(self) -> list[str]:
        return [each for each in super().names() if each != self._gone]

    def _is_there(self, name: str) -> bool:
        return name != self._gone and super()._is_there(name)

    def deployed(self) -> Mapping[str, Deployed]:
        return self._then

    @property
    def damage(self) -> str:
        return ""
