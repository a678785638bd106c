"""Pictures for training: read once into memory, cropped for every batch."""

from __future__ import annotations

import tarfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import cv2
import numpy as np
from numpy.typing import NDArray
from tqdm import tqdm

from edged.capture.decode import crop
from edged.errors import InputError
from edged.variants.evaluation.photos import Photos as PhotoFiles
from edged.variants.evaluation.photos import picture_names
from edged.variants.family import Family, InputContract

CROP_AREA = (0.35, 1.0)
"""A training crop covers this share of the square. Inception's crops go down to 0.08, which is
too much variety for a narrow network (the MobileNet paper, section 3, limits it for that)."""
CROP_ASPECT = (3 / 4, 4 / 3)


@dataclass(frozen=True, slots=True)
class Photos:
    """pixels: uint8 (n, side, side, 3), RGB. classes: int64 (n,), positions in `folders`.

    skipped: for each file that could not be decoded, which and why.
    """

    pixels: NDArray[np.uint8]
    classes: NDArray[np.int64]
    folders: tuple[str, ...]
    skipped: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.classes)


def read_photos(source: Path, side: int, folders: Sequence[str] | None = None) -> Photos:
    """Decode every picture of a folder or tar archive that holds one folder per class.

    Each becomes its centre square, side x side pixels; grey, CMYK and 16-bit ones become 8-bit
    RGB, and a camera's EXIF orientation is applied. The classes are the folders in the order of
    their names; `folders` states what they must be (those of the training, for held-out pictures).
    Raises InputError when there is nothing to read, a class has no readable picture, or the
    classes are others than `folders`.
    """
    found = class_folders(source)
    if folders is not None and found != tuple(folders):
        difference = sorted(set(found) ^ set(folders))
        raise InputError(
            "its classes are not those of the training pictures",
            where=source,
            got=f"only one of the two has {', '.join(difference)}",
        )
    # A family of nothing but labels: the reader of an evaluation's photos needs no more.
    files = PhotoFiles(source, Family(source.name, source, found, InputContract(), ()))
    pixels = np.empty((len(files), side, side, 3), np.uint8)
    classes = np.empty(len(files), np.int64)
    count = 0
    title = f"reading {source.name}"
    for photo in tqdm(files, desc=title, unit=" pictures", disable=None):
        pixels[count] = centre_square(photo.picture, side)
        classes[count] = photo.class_index
        count += 1
    for index, folder in enumerate(found):
        if not (classes[:count] == index).any():
            raise _empty(source, folder)
    return Photos(pixels[:count], classes[:count], found, tuple(map(str, files.broken)))


def class_folders(source: Path) -> tuple[str, ...]:
    """The innermost folders' names, sorted; InputError when one of them has no pictures."""
    names = picture_names(source)
    if not names:
        raise InputError(
            "no pictures",
            where=source,
            fix="give a folder or a tar archive with one folder of pictures per class",
        )
    parents = {PurePosixPath(name).parent for name in names}
    if PurePosixPath() in parents:
        raise InputError("pictures outside the class folders", where=source)
    holding = {folder for parent in parents for folder in (parent, *parent.parents)}
    for folder in _folders(source):
        hidden = any(part.startswith(".") for part in folder.parts)
        if folder not in holding and not hidden:
            raise _empty(source, str(folder))
    return tuple(sorted({parent.name for parent in parents}))


def _folders(source: Path) -> list[PurePosixPath]:
    if source.is_dir():
        inside = (path.relative_to(source) for path in source.rglob("*") if path.is_dir())
        return [PurePosixPath(path.as_posix()) for path in inside]
    with tarfile.open(source) as archive:
        return [PurePosixPath(member.name) for member in archive if member.isdir()]


def _empty(source: Path, folder: str) -> InputError:
    return InputError(
        f"the class {folder!r} has no readable picture",
        where=source,
        fix="add pictures to its folder, or remove the folder",
    )


def centre_square(picture: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The largest centred square, shrunk by area averaging (or enlarged linearly) to side."""
    seen = crop.centre_square(picture)
    if len(seen) == side:
        return seen
    interpolation = cv2.INTER_AREA if len(seen) > side else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(seen, (side, side), interpolation=interpolation), np.uint8)


def whole(pixels: NDArray[np.uint8], side: int) -> NDArray[np.uint8]:
    """The squares (n, s, s, 3) as a camera's frames reach the network: (n, side, side, 3)."""
    return np.stack([centre_square(picture, side) for picture in pixels])


def augmented(
    pixels: NDArray[np.uint8], side: int, random: np.random.Generator
) -> NDArray[np.uint8]:
    """A random crop of each square (n, s, s, 3), perhaps mirrored, as (n, side, side, 3).

    Shrinks by area averaging or by linear sampling, at random: cameras and decoders do both.
    """
    result = np.empty((len(pixels), side, side, 3), np.uint8)
    full = pixels.shape[1]
    for index, picture in enumerate(pixels):
        area = random.uniform(*CROP_AREA) * full * full
        aspect = np.exp(random.uniform(*np.log(CROP_ASPECT)))
        width = min(full, max(1, round(np.sqrt(area * aspect))))
        height = min(full, max(1, round(np.sqrt(area / aspect))))
        left = random.integers(full - width + 1)
        top = random.integers(full - height + 1)
        crop = picture[top : top + height, left : left + width]
        shrinks = side < min(width, height)
        by_area = shrinks and random.random() < 0.5
        interpolation = cv2.INTER_AREA if by_area else cv2.INTER_LINEAR
        cut = cv2.resize(crop, (side, side), interpolation=interpolation)
        result[index] = cut[:, ::-1] if random.random() < 0.5 else cut
    return result
