"""Teaching in memory: what the tests of the API and of the page teach."""

from __future__ import annotations

import io
import threading
import time
import zipfile
from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from functools import cache
from typing import Any, BinaryIO

import cv2
import numpy as np

from edged.errors import EdgedError, InputError
from tests.rig.metrics import VARIANTS


@cache
def jpeg(number: int) -> bytes:
    """A small picture, another one for each number."""
    hue = (number * 47) % 180
    hsv = np.full((48, 64, 3), (hue, 200, 220), np.uint8)
    cv2.putText(hsv, str(number), (6, 34), cv2.FONT_HERSHEY_SIMPLEX, 0.8, (0, 0, 255), 2)
    encoded = cv2.imencode(".jpg", cv2.cvtColor(hsv, cv2.COLOR_HSV2BGR))[1]
    return bytes(encoded.tobytes())


def report_of(version: int, classes: Collection[str], moments: int, top1: float) -> dict[str, Any]:
    """As a training writes it. moments: of each class."""
    labels = [*classes, "none"]
    judged = moments > 1
    of = sorted(VARIANTS, key=lambda each: (each.alpha, each.resolution))
    variants = {
        each.name: {
            "top1": round(top1 - 0.004 * (len(of) - index), 3),
            "low": round(top1 - 0.13, 3),
            "high": min(1.0, round(top1 + 0.05, 3)),
        }
        for index, each in enumerate(of)
    }
    many = 5 * moments
    counts = [
        [many - 2.0 if row == column else 1.0 for column in range(len(labels))]
        for row in range(len(classes))
    ]
    return {
        "format": 1,
        "version": version,
        "trained_at": "2026-11-30T10:20:00Z",
        "classes": list(classes),
        "none": True,
        "pictures": dict.fromkeys(classes, many),
        "moments": dict.fromkeys(classes, moments),
        "view": "",
        "backbone": "imagenet",
        "left_out": [],
        "warnings": [],
        "comparison": None,
        "estimate": {
            "judged": judged,
            "rough": moments == 2,
            "moments": moments * len(classes),
            "variants": variants if judged else {},
        },
        "confusion": {"labels": labels, "counts": counts}
        if judged
        else {"labels": [], "counts": []},
        "worst": [],
        "curve": [
            {"moments": step, "pictures": 5 * step, "top1": round(top1 - 0.1 / step, 3)}
            for step in range(2, moments * len(classes) + 1, 2)
        ]
        if judged
        else [],
        "thresholds": {
            label: {"above": 0.7 + 0.05 * index, "false_starts_per_day": 0.4}
            for index, label in enumerate(classes)
        }
        if judged
        else {},
        "advice": [f"Add one more moment of {next(iter(classes))} in other light."],
    }


@dataclass
class _Moment:
    id: str
    label: str | None
    reason: str | None
    at: float
    pictures: list[str] = field(default_factory=list)

    def described(self) -> dict[str, Any]:
        return {name: getattr(self, name) for name in ("id", "label", "reason", "at", "pictures")}


@dataclass
class _Classifier:
    name: str
    view: str
    classes: tuple[str, ...]
    moments: dict[str, _Moment] = field(default_factory=dict)
    reports: dict[int, dict[str, Any]] = field(default_factory=dict)
    deployed: dict[str, Any] | None = None
    training: dict[str, Any] | None = None
    recording: tuple[_Moment, float] | None = None
    answer: dict[str, Any] | None = None


class FakeTeaching:
    """asked: the calls that changed something. uploaded: content type and bytes. steps: looks that
    a training takes. failing: the error of every change."""

    def __init__(self, *views: str, top1: float = 0.93) -> None:
        self.views = list(views or ("door",))
        self.top1 = top1
        self.asked: list[tuple[Any, ...]] = []
        self.uploaded: list[tuple[str, int]] = []
        self.warning: str | None = None
        self.replaced: dict[str, Any] | None = None
        self.worse: dict[str, Any] | None = None
        self.failing: EdgedError | None = None
        self.rejected: list[list[str]] = []
        self.during_upload: Callable[[], object] = lambda: None
        self.received: Callable[[bytes], object] = lambda content: None
        self.steps = 4
        self._known: dict[str, _Classifier] = {}
        self._pictures: dict[str, bytes] = {}
        self._lock = threading.RLock()
        self._numbers = 0

    # reading

    def names(self) -> Collection[str]:
        return self._known.keys()

    def overview(self) -> dict[str, Any]:
        return {
            "views": self.views,
            "backbone": {"name": "imagenet", "warning": self.warning},
            "classifiers": {
                name: {
                    "view": each.view,
                    "classes": list(each.classes),
                    "deployed": each.deployed and each.deployed["version"],
                    "runs": each.deployed is not None,
                }
                for name, each in self._known.items()
            },
        }

    def describe(self, name: str) -> dict[str, Any]:
        with self._lock:
            each = self._of(name)
            self._go_on(each)
            newest = max(each.reports, default=None)
            recording = each.recording
            return {
                "name": name,
                "view": each.view,
                "classes": list(each.classes),
                "none": True,
                "labels": [*each.classes, "none"],
                "backbone": "imagenet",
                "moments": [moment.described() for moment in each.moments.values()],
                "recording": None
                if recording is None or recording[1] < time.monotonic()
                else {
                    "label": recording[0].label,
                    "moment": recording[0].id,
                    "pictures": len(recording[0].pictures),
                },
                "answer": each.answer,
                "versions": list(each.reports),
                "report": None if newest is None else each.reports[newest],
                "deployed": each.deployed,
                "training": each.training,
            }

    def picture(self, name: str, picture: str) -> bytes:
        self._of(name)
        if picture not in self._pictures:
            raise InputError("no such picture", where=name, got=picture)
        return self._pictures[picture]

    def export(self, name: str, file: BinaryIO) -> None:
        with zipfile.ZipFile(file, "w") as archive:
            for picture, content in self._pictures.items():
                archive.writestr(f"{name}/{picture}.jpg", content)

    # changing

    def create(self, name: str, view: str, classes: Collection[str]) -> None:
        self._note("create", name, view, tuple(classes))
        if view not in self.views:
            raise InputError("no such view", got=view, fix="it has " + ", ".join(self.views))
        if len(classes) < 2:
            raise InputError("expected at least two classes", got=", ".join(classes) or "none")
        self._known[name] = _Classifier(name, view, tuple(classes))

    def forget(self, name: str) -> None:
        self._note("forget", name)
        del self._known[name]

    def record(
        self, name: str, label: str, seconds: float, moment: str | None = None
    ) -> dict[str, Any]:
        self._note("record", name, label, seconds, moment)
        with self._lock:
            each = self._of(name)
            found = each.moments.get(moment or "") or self.add(name, label, pictures=0)
            self._fill(found, 2)
            each.recording = found, time.monotonic() + seconds
            return {"moment": found.id, "pictures": len(found.pictures)}

    def upload(
        self, name: str, label: str, content: BinaryIO, content_type: str, *, one_moment: bool
    ) -> dict[str, Any]:
        self._note("upload", name, label, content_type, one_moment)
        self.during_upload()
        data = content.read()
        self.uploaded.append((content_type, len(data)))
        self.received(data)
        count = 1
        if content_type == "application/zip":
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                count = len(archive.namelist())
        self.add(name, label, pictures=count)
        return {"added": count, "rejected": self.rejected}

    def correct(self, name: str, label: str, jpeg: bytes, unix: float) -> None:
        self._note("correct", name, label, jpeg, unix)
        if label not in self._of(name).classes:
            raise InputError("no such class", where=name, got=label)
        self.add(name, label, pictures=1)

    def label(self, name: str, moment: str, label: str | None) -> None:
        self._note("label", name, moment, label)
        self._moment(name, moment).label = label

    def discard(self, name: str, moment: str) -> None:
        self._note("discard", name, moment)
        self._moment(name, moment)
        del self._of(name).moments[moment]

    def train(self, name: str) -> None:
        self._note("train", name)
        each = self._of(name)
        if len({moment.label for moment in each.moments.values()} - {None}) < 2:
            raise InputError("a class has no picture", fix="add pictures of each class")
        each.training = {
            "stage": "features",
            "done": 0,
            "of": self.steps,
            "waiting": None,
        }

    def deploy(
        self, name: str, version: int | None = None, *, anyway: bool = False
    ) -> dict[str, Any]:
        self._note("deploy", name, version, anyway)
        each = self._of(name)
        if not each.reports:
            raise InputError("there is no version yet", fix="train it first")
        if self.worse is not None and not anyway:
            return {"worse": self.worse}
        before = None if each.deployed is None else each.deployed["version"]
        version = version or max(each.reports)
        self._runs(each, version, before)
        return {"deployed": version}

    def back(self, name: str) -> dict[str, Any]:
        self._note("back", name)
        each = self._of(name)
        if each.deployed is None:
            raise InputError("no version of it is deployed", where=name)
        before = each.deployed["before"]
        each.deployed = None
        if before is not None:
            self._runs(each, before, None)
        return {"name": name, "deployed": before}

    # for tests

    def add(
        self, name: str, label: str | None, reason: str | None = None, pictures: int = 3
    ) -> _Moment:
        """A moment with so many new pictures."""
        with self._lock:
            self._numbers += 1
            id = f"20261130T1015{self._numbers:02d}Z-{self._numbers:04x}"
            moment = _Moment(id, label, reason, 1796033700.0 + 60 * self._numbers)
            self._fill(moment, pictures)
            self._of(name).moments[id] = moment
            return moment

    def taught(
        self,
        name: str = "gate",
        *,
        moments: int = 4,
        view: str = "door",
        classes: tuple[str, ...] = ("open", "closed"),
    ) -> None:
        """A classifier with so many more moments of each class, and a version more."""
        if name not in self._known:
            self._known[name] = _Classifier(name, view, classes)
        for _ in range(moments):
            for label in self._known[name].classes:
                self.add(name, label)
        self._finish(self._of(name), moments)

    def answer(self, name: str, label: str, score: float | None) -> None:
        by = "means" if score is None else "version"
        self._of(name).answer = {"label": label, "score": score, "by": by}

    def _runs(self, each: _Classifier, version: int, before: int | None) -> None:
        each.deployed = {
            "version": version,
            "before": before,
            "since": 1796033700.0,
            "replaced": self.replaced,
            "runs": True,
            "overruled": None,
            "compared": None
            if before is None
            else {"name": each.name, "version": before, "results": 200, "differing": 3},
        }

    def _go_on(self, each: _Classifier) -> None:
        training = each.training
        if training is None or "done" not in training:
            return
        training["done"] += 1
        if training["done"] >= training["of"]:
            labels = [moment.label for moment in each.moments.values()]
            self._finish(each, min(labels.count(label) for label in each.classes))

    def _finish(self, each: _Classifier, moments: int) -> None:
        version = max(each.reports, default=0) + 1
        report = report_of(version, each.classes, moments, self.top1)
        labelled = [moment for moment in each.moments.values() if moment.label in each.classes]
        report["worst"] = [
            {
                "picture": moment.pictures[0],
                "label": moment.label,
                "said": next(label for label in each.classes if label != moment.label),
                "score": 0.31,
            }
            for moment in labelled[:3]
            if moments > 1 and moment.pictures
        ]
        each.reports[version] = report
        each.training = {"version": version}

    def _fill(self, moment: _Moment, pictures: int) -> None:
        for _ in range(pictures):
            number = len(self._pictures)
            self._pictures[f"{number:016x}"] = jpeg(number)
            moment.pictures.append(f"{number:016x}")

    def _moment(self, name: str, moment: str) -> _Moment:
        found = self._of(name).moments.get(moment)
        if found is None:
            raise InputError("no such moment", where=name, got=moment)
        return found

    def _of(self, name: str) -> _Classifier:
        return self._known[name]

    def _note(self, *call: Any) -> None:
        self.asked.append(call)
        if self.failing is not None:
            raise self.failing
