"""Teaching in a running daemon: what the page, the API and the pipeline call.

The store on disk is the one state that counts. Deploying writes it; the daemon sees the change and
goes over to it as in a reload, between two frames.
"""

from __future__ import annotations

import logging
import threading
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edged.clock import Clock, monotonic_ns
from edged.errors import EdgedError, InputError
from edged.result import Result
from edged.switches.switch import ON, Switch
from edged.teach.adding import add_pictures
from edged.teach.backbone import Backbone, backbone_of
from edged.teach.description import description
from edged.teach.live import COMPARED_SECONDS, LiveClassifier, Sight
from edged.teach.pictures.importing import Upload, import_pictures
from edged.teach.recording import Recorder
from edged.teach.store import Classifier, TeachStore, new_moment, picture_id
from edged.teach.store.deployed import Deployed, astray
from edged.teach.training import TrainingProcess
from edged.variants.family import Family

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

LONGEST_RECORDING_SECONDS = 60.0
BACKBONE_NS = 10_000_000_000

log = logging.getLogger("edged.teach")


@dataclass(frozen=True, slots=True)
class Configured:
    """What the configuration says. base: where relative paths start. models: by view. overruled:
    the line that overrules a classifier (second) deployed to a view (first); empty without one.
    needed: why it is no longer valid with the classifiers (second) instead of those that there are
    (first)."""

    base: Path = Path()
    models: Mapping[str | None, str] = field(default_factory=dict)
    overruled: Callable[[str, str], str] = lambda view, name: ""
    needed: Callable[[TeachStore, TeachStore], str] = lambda now, then: ""


class Teaching:
    """switch: of a view."""

    def __init__(
        self,
        store: TeachStore,
        *,
        switch: Callable[[str], Switch] = lambda view: ON,
        clock: Clock = monotonic_ns,
        unix: Callable[[], float] = time.time,
    ) -> None:
        self.store = store
        self._switch = switch
        self._clock = clock
        self._unix = unix
        self._recorder = Recorder()
        self._live: Mapping[str, LiveClassifier] = {}
        self._by_view: Mapping[str, tuple[LiveClassifier, ...]] = {}
        self._families: Mapping[str, Family] = {}
        self._readers: dict[str, Classifier] = {}
        self._reading_lock = threading.Lock()
        self._training: tuple[str, TrainingProcess] | None = None
        self._changing = threading.Lock()
        self._followed = self._state()
        self._configured = Configured()
        self._astray: frozenset[str] = frozenset()
        """What was told of deployed classifiers without a view."""
        self._found_backbone: tuple[int, dict[str, str | None]] = (0, {})

    # the daemon

    @property
    def views(self) -> frozenset[str]:
        """Views that a classifier is taught for; their whole region is captured."""
        return frozenset(self._by_view)

    def changed(self) -> bool:
        """Whether the store has changed so that the run must: a classifier, or what is deployed."""
        return self._state() != self._followed

    def look(self) -> None:
        """Read the classifiers; before a run is built on them."""
        self._followed = self._state()
        self._read()

    def _read(self) -> None:
        live: dict[str, LiveClassifier] = {}
        for name in self.store.names():
            try:
                classifier = self.store.open(name)
            except EdgedError as error:
                log.error("%s", error)
                continue
            live[name] = self._live.get(name) or LiveClassifier(
                classifier, self._recorder, self._clock, self._unix
            )
            live[name].classifier = classifier
        by_view: dict[str, tuple[LiveClassifier, ...]] = {}
        for each in live.values():
            view = each.classifier.settings.view
            by_view[view] = (*by_view.get(view, ()), each)
        self._live, self._by_view = live, by_view
        with self._reading_lock:
            self._readers = {}

    def follow(self, families: Mapping[str, Family], configured: Configured) -> None:
        """families: what the views run from now on."""
        deployed = self.store.deployed()
        for name, each in self._live.items():
            family = families.get(each.classifier.settings.view)
            each.compared = None
            now = deployed.get(name)
            each.runs = _runs(family, now)
            before = None if now is None else self.store.ran_before(now)
            if family is None or now is None or before is None or not each.runs:
                continue
            until_unix = now.since_unix + COMPARED_SECONDS
            if self._unix() < until_unix:
                with suppress(EdgedError):  # it was deleted
                    was = self.store.family(before)
                    each.compare(family, before.name, before.version, was, until_unix)
        self._families, self._configured = families, configured
        told, self._astray = self._astray, frozenset(astray(deployed, families.keys()))
        for warning in sorted(self._astray - told):
            log.warning("%s", warning)

    def close(self) -> None:
        training = self._training
        if training is not None:
            training[1].stop()

    def _state(self) -> tuple[object, ...]:
        if not self.store.root.exists():  # nothing was ever taught: the daemon asks often
            return ()
        return self.store.state()

    # the pipeline

    def observe(
        self,
        result: Result,
        features: NDArray[np.float32],
        rows: NDArray[np.float32],
        network: str,
        pixels: NDArray[np.uint8],
    ) -> None:
        """A result of a view that runs a classifier; see Pipeline.seen."""
        self._observe(Sight(result, pixels, features, rows, network))

    def show(self, result: Result, pixels: NDArray[np.uint8]) -> None:
        """A result of any view; see Pipeline.show."""
        family = self._families.get(result.view)
        if result.view in self._by_view and family is not None and family.backbone is None:
            self._observe(Sight(result, pixels))

    def _observe(self, sight: Sight) -> None:
        for each in self._by_view.get(sight.result.view, ()):
            each.observe(sight)

    def least_side(self, view: str) -> int:
        return max((each.side for each in self._by_view.get(view, ())), default=0)

    # the API; InputError for a mistake

    def names(self) -> Collection[str]:
        return self._live.keys()

    def overview(self) -> dict[str, Any]:
        deployed = self.store.deployed()
        return {
            "views": sorted(self._families),
            "backbone": self._told_backbone(),
            "classifiers": {
                name: {
                    "view": each.classifier.settings.view,
                    "classes": list(each.classifier.settings.classes),
                    "deployed": deployed[name].version if name in deployed else None,
                    "runs": each.runs,
                }
                for name, each in self._live.items()
            },
        }

    def describe(self, name: str) -> dict[str, Any]:
        live = self._of(name)
        recording = live.recording
        with self._reading(name) as classifier:
            told = description(classifier)
        if told["deployed"] is not None:
            told["deployed"] |= self._told_deployed(live, told["view"])
        return told | {
            "recording": None
            if recording is None or self._clock() >= recording.until_ns
            else {
                "label": recording.label,
                "moment": recording.moment,
                "pictures": recording.pictures,
            },
            "answer": live.answer(),
            "training": self._progress(name),
        }

    def _told_deployed(self, live: LiveClassifier, view: str) -> dict[str, Any]:
        compared = live.compared
        return {
            "runs": live.runs,
            "overruled": self._configured.overruled(view, live.classifier.name) or None,
            "compared": None
            if compared is None
            else {
                "name": compared.name,
                "version": compared.version,
                "results": compared.results,
                "differing": compared.differing,
            },
        }

    def create(self, name: str, view: str, classes: Collection[str]) -> None:
        if view not in self._families:
            raise InputError(
                "no such view", got=view, fix="it has " + ", ".join(sorted(self._families))
            )
        self.store.create(name, view, tuple(classes))
        self._read()

    def forget(self, name: str) -> None:
        self._of(name)
        training = self._training
        if training is not None and training[0] == name and training[1].running:
            raise InputError(f"{name} is being trained", fix="wait for its end")
        self._check_needed(name, self.store.without(name))
        self.store.forget(name)
        self._read()

    def record(
        self, name: str, label: str, seconds: float, moment: str | None = None
    ) -> dict[str, Any]:
        live = self._of(name)
        live.classifier.check_class(label)
        view = live.classifier.settings.view
        if view not in self._families:
            what, fix = "the configuration has no such view any more", f"edged teach {name} --view"
            raise InputError(what, got=view, fix=f"move it: {fix} {'|'.join(self._families)}")
        if not 0 < seconds <= LONGEST_RECORDING_SECONDS:
            what = f"seconds must be more than 0, at most {LONGEST_RECORDING_SECONDS:g}"
            raise InputError(what, got=seconds)
        if not (switch := self._switch(view)).on:
            what = f"{view} is {switch.words()}: it gives no pictures"
            raise InputError(what, fix="switch it on, or add pictures from files")
        moment = live.record(label, seconds, moment)
        recording = live.recording
        return {"moment": moment, "pictures": 0 if recording is None else recording.pictures}

    def upload(
        self, name: str, label: str, content: Any, content_type: str, *, one_moment: bool
    ) -> dict[str, Any]:
        """content: a file."""
        upload = Upload(f"upload.{content_type.rpartition('/')[2]}", content)
        added = add_pictures(self._open(name), label, [upload], one_moment=one_moment)
        rejected = [list(each) for each in added.rejected]
        rejected += [[file, f"it is there already, as {other}"] for file, other in added.other]
        return {"added": added.pictures, "rejected": rejected}

    def correct(self, name: str, label: str, jpeg: bytes, unix: float) -> None:
        """Add what was taken at that time as a moment of its own; one that is there already gets
        the label."""
        classifier = self._open(name)
        classifier.check_class(label)
        imported = import_pictures([Upload("snapshot.jpg", jpeg)])
        for _, why in imported.rejected:
            raise InputError("the picture cannot be used", got=why)
        (picked,) = imported.picked
        known = classifier.moment_of(picture_id(picked.jpeg))
        if known is None or known.label is None:
            classifier.add(label, new_moment(unix), picked.jpeg)
        elif known.pictures[1:] and known.label != label:
            what = f"the picture is in a moment with others, which has the label {known.label}"
            raise InputError(what, where=name, fix="give that moment the label, or discard it")
        else:
            classifier.label(known.id, label)

    def label(self, name: str, moment: str, label: str | None) -> None:
        self._open(name).label(moment, label)

    def discard(self, name: str, moment: str) -> None:
        self._open(name).discard(moment)

    def picture(self, name: str, picture: str) -> bytes:
        with self._reading(name) as classifier:
            return classifier.picture(picture)

    def export(self, name: str, file: IO[bytes]) -> None:
        self._open(name).write_archive(file)

    def train(self, name: str) -> None:
        classifier = self._open(name)
        classifier.check_complete()
        with self._changing:
            training = self._training
            if training is not None and training[1].running:
                raise InputError(f"{training[0]} is being trained", fix="wait for its end")
            if training is not None:
                training[1].stop()
            backbone = self._backbone(
                classifier.settings.backbone, classifier.settings.view
            ).reference
            self._training = name, TrainingProcess(classifier.folder, backbone)

    def deploy(
        self, name: str, version: int | None = None, *, anyway: bool = False
    ) -> dict[str, Any]:
        classifier = self._open(name)
        version = classifier.newest() if version is None else version
        self._check_needed(name, self.store.after_deploy(name, version))
        worse = None if anyway else classifier.worse_than_running(version)
        if worse is not None:
            return {"worse": {"why": str(worse), **worse._asdict()}}
        return {"deployed": classifier.deploy(version).version}

    def back(self, name: str) -> dict[str, Any]:
        self._check_needed(name, self.store.after_back(name))
        _, now = self.store.back(name)
        found = {} if now is None else {"name": now.name, "deployed": now.version}
        return {"name": name, "deployed": None} | found

    def _check_needed(self, name: str, then: TeachStore) -> None:
        if why := self._configured.needed(self.store, then):
            raise InputError(why, where=name, fix="change it first")

    def _of(self, name: str) -> LiveClassifier:
        live = self._live.get(name)
        if live is None:
            raise InputError("no such classifier", got=name, fix="create it: edged teach NAME")
        return live

    @contextmanager
    def _reading(self, name: str) -> Iterator[Classifier]:
        """One for all requests, a thread at a time: its index is read when it has changed."""
        self._of(name)
        with self._reading_lock:
            if name not in self._readers:
                self._readers[name] = self.store.open(name)
            yield self._readers[name]

    def _open(self, name: str) -> Classifier:
        """For one thread."""
        self._of(name)
        return self.store.open(name)

    def _backbone(self, own: str, view: str | None) -> Backbone:
        """own: what the classifier names. view: whose configured model may serve."""
        configured = self._configured
        return backbone_of(own, self.store.root, configured.models.get(view), configured.base)

    def _told_backbone(self) -> dict[str, str | None]:
        """Of new classifiers; found anew after a while, because a person may pull a better one."""
        until_ns, told = self._found_backbone
        if self._clock() >= until_ns:
            found = self._backbone("", next(iter(self._configured.models), None))
            told = {"name": found.family.name, "warning": found.warning}
            self._found_backbone = self._clock() + BACKBONE_NS, told
        return told

    def _progress(self, name: str) -> dict[str, Any] | None:
        """Of the training that runs, or the error of the last one."""
        training = self._training
        if training is None or training[0] != name:
            return None
        return training[1].state.to_json()


def _runs(family: Family | None, deployed: Deployed | None) -> bool:
    """Whether the family is what is deployed, not what runs instead."""
    if family is None or deployed is None or not family.heads:
        return False
    return (family.name, family.directory.name) == (deployed.name, str(deployed.version))
