"""Classifiers of two drawn classes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import cv2
import numpy as np

from edged.capture.decode.jpeg import encode_jpeg
from edged.teach.store import Classifier, TeachStore, picture_id
from edged.variants.family import Family
from edged.variants.taught import write_taught

CLASSES = ("open", "closed")
VIEW = "yard/gate"


def moment(number: int, minute: int = 0) -> str:
    """The name of moment `number`, from 0 to 9999, the next of which is later."""
    return f"20261130T10{minute:02}00Z-{number:04x}"


def drawn(label: int, number: int, side: int = 96) -> np.ndarray[Any, np.dtype[np.uint8]]:
    """A bright square on the left or on the right, before a background of its own; RGB."""
    random = np.random.default_rng(1000 * label + number)
    picture = random.integers(0, 60, (side, side, 3), dtype=np.uint8)
    picture = cv2.GaussianBlur(picture, (0, 0), 3)
    left, top = (side // 8 if label == 0 else side // 2) + random.integers(0, 8, 2)
    colour = (230, 90, 40) if label == 0 else (40, 120, 230)
    picture[top : top + side // 3, left : left + side // 3] = colour
    return picture


def jpeg(label: int, number: int) -> bytes:
    return encode_jpeg(drawn(label, number), 90)


def drawn_pictures(folder: Path, label: int, count: int, first: int = 0) -> Path:
    """A folder of so many files."""
    folder.mkdir(parents=True, exist_ok=True)
    for number in range(first, first + count):
        cv2.imwrite(str(folder / f"{number:03}.png"), drawn(label, number)[:, :, ::-1])
    return folder


def made(root: Path, name: str = "gate", **settings: Any) -> Classifier:
    return TeachStore(root).create(name, VIEW, CLASSES, **settings)


def with_none_photos(root: Path, count: int = 6) -> Path:
    """A few pictures for the class `none`, in place of those that come with edged."""
    photos = root / ".none/photos"
    photos.mkdir(parents=True)
    for number in range(count):
        spots = np.random.default_rng(900 + number).integers(0, 256, (6, 6, 3), dtype=np.uint8)
        content = encode_jpeg(cv2.resize(spots, (96, 96)), 90)
        (photos / f"{picture_id(content)}.jpg").write_bytes(content)
    return root


def filled(classifier: Classifier, moments: int = 4, pictures: int = 3) -> Classifier:
    """With so many moments of each class, of so many pictures."""
    for label, named in enumerate(classifier.settings.classes):
        for number in range(moments):
            for each in range(pictures):
                name = moment(100 * label + number)
                classifier.add(named, name, jpeg(label, 10 * number + each))
    return classifier


def report(version: int, top1: float | None = 0.9, **others: Any) -> dict[str, Any]:
    """As a training writes it. top1: None where it could not be judged."""
    shares = {} if top1 is None else {"top1": top1, "low": top1 - 0.1, "high": top1 + 0.05}
    names = ("mobilenet_v1_0.03_64", "mobilenet_v1_0.25_96")
    return {
        "format": 1,
        "version": version,
        "trained_at": "2026-11-30T10:15:00.000000Z",
        "classes": list(CLASSES),
        "none": True,
        "pictures": dict.fromkeys(CLASSES, 12),
        "moments": dict.fromkeys(CLASSES, 4),
        "moment_ids": [],
        "left_out": [],
        "warnings": [],
        "estimate": {
            "judged": top1 is not None,
            "rough": False,
            "moments": 8,
            "variants": {name: shares for name in names if shares},
        },
        "comparison": None,
        "confusion": {"labels": [*CLASSES, "none"], "counts": [[11, 1, 0], [0, 10, 2]]},
        "worst": [],
        "curve": [{"moments": 4, "pictures": 12, "top1": 0.8}],
        "thresholds": {},
        "advice": ["Add another moment of closed."],
        **others,
    }


def with_version(
    classifier: Classifier, backbone: Family, top1: float | None = 0.9, **others: Any
) -> int:
    """Adds a version with heads that know nothing and are its own; returns its number."""

    def write(folder: Path, number: int) -> None:
        rows = len(classifier.settings.classes) + classifier.settings.none
        heads = {
            network.sha256: np.full((rows, _channels(network.alpha) + 1), number, np.float32)
            for network in backbone.networks
        }
        settings = classifier.settings
        write_taught(folder, settings.name, backbone, settings.classes, heads, {}, settings.none)
        (folder / "report.json").write_text(json.dumps(report(number, top1, **others)))

    return classifier.add_version(write)


def _channels(alpha: float) -> int:
    return max(1, int(1024 * alpha))
