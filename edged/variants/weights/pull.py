"""Makes a family of the official ImageNet weights: `edged models pull`.

Downloads go to the locked folder `.pull` inside the family's folder, and stay there for the next
attempt if this one fails. The family is written once, at the end.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, replace
from importlib.util import find_spec
from pathlib import Path
from urllib.parse import urlsplit

from edged.atomic_file import open_to_write
from edged.errors import EdgedError, InputError, MissingPackageError
from edged.secret import redact
from edged.variants import official
from edged.variants.family import Family, Fit
from edged.variants.mobilenet import Architecture
from edged.variants.official import Release
from edged.variants.runtime import Backend
from edged.variants.variant import Variant
from edged.variants.weights.archive import read_network
from edged.variants.weights.download import check_url, download, size_of
from edged.variants.weights.download_record import (
    RECORD,
    Download,
    read_record,
    unwritable,
    write_record,
)
from edged.variants.weights.http_client import USUAL, RetryPolicy
from edged.variants.weights.importing import (
    Converted,
    add_networks,
    begin_family,
    check_labels,
    convert,
    read_labels,
    read_weights,
)
from edged.variants.weights.onnx_builder import ImportedWeights

UNDER_WAY = ".pull"

_MOST_BYTES = 192 << 20
"""Twice the largest official archive."""
_MOST_LABEL_BYTES = 1 << 20
_LOCK = "lock"


@dataclass(frozen=True, slots=True)
class Watch:
    """progress: bytes received and total bytes of all files, None if the server does not state
    them. note: a line of text."""

    progress: Callable[[int, int | None], None] = lambda received, total: None
    note: Callable[[str], None] = lambda message: None


def pull(
    release: Release,
    cells: Sequence[tuple[float, int]],
    into: Path,
    backend: Backend,
    mirror: str | None = None,
    policy: RetryPolicy = USUAL,
    watch: Watch = Watch(),
    resolutions: Sequence[int] = (),
) -> tuple[Family, tuple[Variant, ...]]:
    """Add the networks of `cells`, pairs of alpha and resolution, to the family in `into`.

    mirror: the URL of a folder with all files, instead of their official addresses. resolutions: at
    which each network runs, by default its cell's only. Returns the family and its new variants; an
    intact network of an earlier pull is not downloaded again. Raises EdgedError if a download
    fails, InputError for a wrong file; the family is then unchanged.
    """
    for address in (release.directory, official.LABELS_DIRECTORY) if mirror is None else (mirror,):
        check_url(address)
    missing = [package for package in release.packages if find_spec(package) is None]
    if missing:
        raise MissingPackageError(
            f"reading these weights needs the {missing[0]} package", "pip install 'edged[models]'"
        )
    begin_family(into, Fit.CROP)  # refuses an unsuitable folder before any change
    with _locked_folder(into) as folder:
        family, record = begin_family(into, Fit.CROP), read_record(into / RECORD)
        wanted = {
            release.file_name(*cell): cell
            for cell in cells
            if not all(
                _is_there(family, variant, record.get(release.file_name(*cell)))
                for variant in _variants(cell, resolutions)
            )
        }
        if not wanted:
            return family, ()
        source = _Source(release.directory if mirror is None else mirror, folder, policy, watch)
        source.plan(list(wanted))
        labels_from = official.LABELS_DIRECTORY if mirror is None else mirror
        labels, record[official.LABELS_FILE] = _labels(
            _Source(labels_from, folder, policy, Watch(note=watch.note)),
            record.get(official.LABELS_FILE),
            into,
        )
        check_labels(family, labels[1:])
        made = []
        for name, (alpha, resolution) in wanted.items():
            with source.file(name, record.get(name), into) as (path, sha256):
                new = _made(path, release, alpha, resolution, labels, resolutions)
            made.append(new)
            record[name] = Download(sha256, new.network.sha256)
        watch.note(f"converting {_count(len(made), 'network')}")
        # The record first: after a power cut the next pull checks against it.
        write_record(into / RECORD, record)
        family = add_networks(begin_family(into, Fit.CROP), made, backend)
        _empty(folder)
        new_variants = (_variants(cell, resolutions) for cell in wanted.values())
        return family, tuple(sorted(variant for each in new_variants for variant in each))


def _variants(cell: tuple[float, int], resolutions: Sequence[int]) -> tuple[Variant, ...]:
    """Of the cell's network."""
    alpha, resolution = cell
    return tuple(Variant(alpha, side) for side in resolutions or (resolution,))


def _is_there(family: Family, variant: Variant, recorded: Download | None) -> bool:
    """Whether the family's network is exactly the one built from this download."""
    if recorded is None or variant not in family.variants():
        return False
    network = family.network(variant)
    try:
        return network.sha256 == recorded.network and bool(network.read())
    except InputError:
        return False


# --------------------------------------------------------------------------------------- the files


@dataclass(slots=True)
class _Source:
    """A folder on a server. received, total: bytes of all wanted files."""

    address: str
    folder: Path
    policy: RetryPolicy
    watch: Watch
    received: int = 0
    total: int | None = None

    def plan(self, names: Sequence[str]) -> None:
        """Report the total size and check the free disk space."""
        sizes = {name: self._size(name) for name in names}
        known = sum(size for size in sizes.values() if size is not None)
        self.total = None if None in sizes.values() else known
        here = sum(path.stat().st_size for name in names for path in self._here(name))
        of = "at least " if self.total is None else ""
        already = f", {_megabytes(here)} already downloaded" if here else ""
        self.watch.note(f"{_count(len(names), 'file')}, {of}{_megabytes(known)}{already}")
        needed = max(0, known - here) + known // 4  # room for the networks
        free = shutil.disk_usage(self.folder).free
        if needed > free:
            raise EdgedError(
                f"not enough disk space: {_megabytes(needed)} are needed temporarily",
                where=self.folder.parent,
                got=f"{_megabytes(free)} free",
                fix="free some space, or pull fewer at once with --alpha and --resolution",
            )

    @contextmanager
    def file(
        self, name: str, recorded: Download | None, into: Path, most_bytes: int = _MOST_BYTES
    ) -> Iterator[tuple[Path, str]]:
        """The complete file and its sha256. Deletes the file on InputError."""
        path, url = self.folder / name, self._url(name)
        if not path.exists():
            before = self.received

            def progress(received: int) -> None:
                self.watch.progress(before + received, self.total)

            download(url, path, most_bytes, self.policy, progress, self.watch.note)
        self.received += path.stat().st_size
        self.watch.progress(self.received, self.total)
        sha256 = _sha256(path)
        try:
            if recorded is not None and recorded.sha256 != sha256:
                raise InputError(
                    f"the file differs from the earlier download with sha256 {recorded.sha256}",
                    where=path,
                    got=f"sha256 {sha256}",
                    fix=f"if the change is legitimate, delete its line in {into / RECORD}",
                )
            yield path, sha256
        except InputError as error:
            path.unlink(missing_ok=True)
            where = (error.where or str(path)).replace(str(path), redact(url))
            raise InputError(error.what, where=where, got=error.got, fix=error.fix) from None

    def _size(self, name: str) -> int | None:
        path = self.folder / name
        if path.exists():
            return path.stat().st_size
        return size_of(self._url(name), self.policy, self.watch.note)

    def _here(self, name: str) -> list[Path]:
        paths = (self.folder / name, self.folder / f"{name}.part")
        return [path for path in paths if path.exists()]

    def _url(self, name: str) -> str:
        parts = urlsplit(self.address)
        return parts._replace(path=f"{parts.path.rstrip('/')}/{name}").geturl()


def _labels(
    source: _Source, recorded: Download | None, into: Path
) -> tuple[tuple[str, ...], Download]:
    """ImageNet's, with the background class first. Deletes the file."""
    with source.file(official.LABELS_FILE, recorded, into, _MOST_LABEL_BYTES) as (path, sha256):
        labels = read_labels(path)
        if len(labels) != official.LABELS or labels[0] != "background":
            raise InputError(
                f"not ImageNet's labels: {official.LABELS} lines, the first one `background`",
                where=path,
                got=f"{len(labels)} lines, the first one {labels[0][:40]!r}",
            )
        path.unlink()
    return labels, Download(sha256)


def _made(
    path: Path,
    release: Release,
    alpha: float,
    resolution: int,
    labels: tuple[str, ...],
    resolutions: Sequence[int],
) -> Converted:
    """The network of a downloaded file. Raises InputError naming `path`.

    Its published accuracy is that at its own resolution; at others nobody has published one of this
    network.
    """
    if path.suffix == ".h5":
        imported = _read(path, path)
    else:
        network = path.with_suffix(".tflite")
        try:
            network.write_bytes(read_network(path))
            imported = _read(network, path)
        except OSError as error:
            raise unwritable(error, network) from None
        finally:
            network.unlink(missing_ok=True)
    _check(imported, path, release, alpha, resolution)
    sides = tuple(resolutions) or (resolution,)
    new = convert(imported, path, alpha, sides, labels, path.parent / official.LABELS_FILE)
    accuracy = {side: release.accuracy(alpha, side) for side in sides if side == resolution}
    return replace(new, network=replace(new.network, accuracy=accuracy))


def _read(weights: Path, came_as: Path) -> ImportedWeights:
    try:
        return read_weights(weights)
    except InputError as error:
        where = (error.where or str(came_as)).replace(str(weights), str(came_as))
        raise InputError(error.what, where=where, got=error.got) from None


def _check(
    imported: ImportedWeights, path: Path, release: Release, alpha: float, resolution: int
) -> None:
    """Raise InputError if the weights do not match the file's name."""
    found = imported.architecture
    if found.layers() != Architecture(alpha, found.classes).layers():
        right, got = f"weights of alpha {alpha}", f"alpha {found.alpha}, {found.body.value} body"
    elif imported.resolution not in (None, resolution):
        right, got = f"a network for {resolution} pixels", f"one for {imported.resolution}"
    elif not imported.source.endswith(f"({release.kind})"):
        right, got = f"{release.kind} weights", imported.source.partition(" (")[2].rstrip(")")
    else:
        return
    raise InputError(f"does not contain {right}, as its name says", where=path, got=got)


# -------------------------------------------------------------------------------------- the folder


@contextmanager
def _locked_folder(into: Path) -> Iterator[Path]:
    """The download folder, locked for one process; removed afterwards if empty."""
    folder = into / UNDER_WAY
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock = open_to_write(folder / _LOCK, "ab")
    except OSError as error:
        raise unwritable(error, folder) from None
    with lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            held = os.path.samestat(os.fstat(lock.fileno()), (folder / _LOCK).stat())
        except (BlockingIOError, FileNotFoundError):  # FileNotFoundError: another pull just ended
            held = False
        except OSError as error:
            raise unwritable(error, folder) from None
        if not held:
            raise EdgedError(
                "another pull into this folder is running", where=into, fix="wait for it"
            )
        try:
            yield folder
        finally:
            with suppress(OSError):  # the outer folder contains a family
                if {path.name for path in folder.iterdir()} == {_LOCK}:
                    (folder / _LOCK).unlink()
                    folder.rmdir()
                    into.rmdir()


def _empty(folder: Path) -> None:
    for path in folder.iterdir():
        if path.name != _LOCK:
            path.unlink()


def _sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(1 << 20):
            digest.update(block)
    return digest.hexdigest()


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f} MB" if size < 10e6 else f"{size / 1e6:.0f} MB"
