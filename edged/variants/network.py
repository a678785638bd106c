"""One network of a family, as its manifest describes it."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from edged.atomic_file import read_file
from edged.errors import InputError, cannot_read
from edged.variants.external_data import has_external_data
from edged.variants.variant import Precision, Variant

MEND = "copy the family's folder again (a shipped family: install edged again)"

LARGEST_BYTES = 1 << 30
"""Of a network; MobileNet v1 at alpha 1.0 has 17 MB of weights."""


@dataclass(frozen=True, slots=True)
class Accuracy:
    """Shares from 0 to 1. source: what it was measured on, or `published: …`. low, high: limits of
    top1's interval of 95 %, where it was estimated."""

    top1: float
    top5: float | None
    photos: int | None
    source: str
    low: float | None = None
    high: float | None = None


@dataclass(frozen=True, slots=True)
class Network:
    """One ONNX file: a width multiplier in one precision, at one or more resolutions.

    golden: for each resolution the best classes of the golden picture and their scores.
    tolerance: how far those scores may be off, where that is not the usual (golden.py).
    size: bytes of the file, where known. calibration: what an INT8 network was made with (qdq.py).
    """

    path: Path
    sha256: str
    alpha: float
    precision: Precision
    resolutions: tuple[int, ...]
    accuracy: Mapping[int, Accuracy] = field(default_factory=dict, hash=False)
    golden: Mapping[int, tuple[tuple[int, float], ...]] = field(default_factory=dict, hash=False)
    tolerance: Mapping[int, float] = field(default_factory=dict, hash=False)
    size: int | None = None
    calibration: Mapping[str, float] = field(default_factory=dict, hash=False)

    @classmethod
    def of(
        cls,
        path: Path,
        model: bytes,
        alpha: float,
        resolutions: Iterable[int],
        precision: Precision = Precision.FLOAT,
    ) -> Network:
        """The entry of a network to be written to `path`."""
        digest = hashlib.sha256(model).hexdigest()
        return cls(path, digest, alpha, precision, tuple(sorted(resolutions)), size=len(model))

    def variants(self) -> tuple[Variant, ...]:
        return tuple(Variant(self.alpha, side, self.precision) for side in self.resolutions)

    def fp16_variants(self) -> tuple[Variant, ...]:
        """Of a float network in a runtime that computes in float16."""
        return tuple(
            variant.fp16 for variant in self.variants() if variant.precision is Precision.FLOAT
        )

    def wrong_size(self) -> InputError | None:
        """An error if the file's size, known without reading it, is not the manifest's."""
        with suppress(OSError):  # `read` names it
            return size_error(self.path, self.size, self.path.stat().st_size)
        return None

    def read(self) -> bytes:
        """The file's content; InputError if it does not match the manifest, or refers to other
        files, which a runtime would open."""
        model = read_checked(self.path, self.sha256, self.size)
        if has_external_data(model):
            raise InputError(
                "the network keeps its weights in another file, which edged does not open",
                where=self.path,
                fix="save it with all weights inside, or create it with edged models import",
            )
        return model


def read_checked(path: Path, sha256: str, size: int | None = None) -> bytes:
    """Read a file; InputError if it is missing or does not match size and hash."""
    try:
        data = read_file(path, LARGEST_BYTES)
    except OSError as error:
        raise cannot_read(path, error, MEND) from None
    if (wrong := size_error(path, size, len(data))) is not None:
        raise wrong
    digest = hashlib.sha256(data).hexdigest()
    if digest != sha256:
        raise InputError(
            f"the file is damaged or changed: the manifest says sha256 {sha256}",
            where=path,
            got=f"sha256 {digest}",
            fix=f"{MEND}; if the change is intended, write the new sha256 into the manifest",
        )
    return data


def size_error(path: Path, expected: int | None, found: int) -> InputError | None:
    if expected is None or found == expected:
        return None
    how = "truncated" if found < expected else "too long"
    what = f"the file is {how}: the manifest says {expected} bytes"
    return InputError(what, where=path, got=f"{found} bytes", fix=MEND)
