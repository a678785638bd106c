"""What is taught and asked in the benchmark: photos of trash, two clips, and strangers."""

from __future__ import annotations

import csv
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import av
import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.still import decode_picture

Picture = NDArray[np.uint8]
SHORT_SIDE = 256
"""A kept picture's short side has at most so many pixels."""
STRANGERS = 500
CLIPS = {
    "bottle": ("bottle-detection.mp4", 29.8),
    "person": ("one-by-one-person-detection.mp4", 10.0),
}
"""By name: the file and its frames a second."""


class Labelled(NamedTuple):
    """label: index into the set's classes. moment: of one label."""

    name: str
    label: int
    moment: str


class Set(NamedTuple):
    """pool: to teach from. test: other objects, or later."""

    name: str
    classes: tuple[str, ...]
    pool: tuple[Labelled, ...]
    test: tuple[Labelled, ...]


def read_set(data: Path, name: str) -> Set:
    """`trash`, `bottle` or `person`."""
    table = "trashnet-1187" if name == "trash" else name
    with (data / "teach" / f"{table}.csv").open() as file:
        rows = list(csv.DictReader(file))
    classes = tuple(sorted({row["label"] for row in rows}))
    parts: dict[str, list[Labelled]] = {"pool": [], "test": []}
    for row in rows:
        label = classes.index(row["label"])
        moment = f"{row['label']}-{row['moment']}"
        parts[row["split"]].append(Labelled(row.get("file") or row["frame"], label, moment))
    return Set(name, classes, tuple(parts["pool"]), tuple(parts["test"]))


def pictures(data: Path, name: str) -> Iterator[tuple[str, Picture]]:
    """The pictures of a set, or those of `strangers`, each with its name."""
    if name == "trash":
        yield from _archived(data / "teach/trashnet-1187.tar", 1)
    elif name == "strangers":
        yield from _archived(data / "photos/ilsvrc2012-val650.tar", 1)
        yield from _archived(data / "photos/imagenette-val.tar", 4)
    else:
        wanted = {each.name for part in read_set(data, name)[2:] for each in part}
        for number, frame in enumerate(_frames(data / "video" / CLIPS[name][0])):
            if str(number) in wanted:
                yield str(number), small(frame)


def small(picture: Picture) -> Picture:
    """As the store keeps it."""
    height, width = picture.shape[:2]
    shrink = SHORT_SIDE / min(height, width)
    if shrink >= 1:
        return picture
    size = round(width * shrink), round(height * shrink)
    return np.asarray(cv2.resize(picture, size, interpolation=cv2.INTER_AREA), np.uint8)


def _archived(path: Path, every: int) -> Iterator[tuple[str, Picture]]:
    with tarfile.open(path) as archive:
        members = sorted((each for each in archive if each.isfile()), key=lambda each: each.name)
        for member in members[::every]:
            file = archive.extractfile(member)
            assert file is not None
            yield member.name, small(decode_picture(file.read(), SHORT_SIDE))


def _frames(path: Path) -> Iterator[Picture]:
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            yield frame.to_ndarray(format="rgb24")
