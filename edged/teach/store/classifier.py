"""One classifier: its pictures by moment and label, and its versions."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from edged.atomic_file import read_file
from edged.errors import InputError, cannot_read
from edged.printable import printable
from edged.teach.store.comparison import Worse, worse_than
from edged.teach.store.deployed import Deployed, DeployedFile
from edged.teach.store.folder import entries, locked, move, put, remove, writing
from edged.teach.store.names import check_moment, is_picture_id, moment_unix, picture_id
from edged.teach.store.quota import make_room
from edged.teach.store.settings import FILE, Settings, read_settings
from edged.teach.store.shelf import REASON, SUFFIX, Moment, Shelf, reason_json
from edged.teach.store.versions import VERSIONS, Versions

if TYPE_CHECKING:
    from edged.variants.family import Family

LARGEST_PICTURE_BYTES = 1_000_000
"""Of a stored one, which has 256 pixels on its short side."""


class Classifier:
    """folder: of an existing one. Methods that write take the folder's lock, so that the command
    and the daemon may both use it; readers need none. Not for several threads at once.

    Raises InputError for a mistake, EdgedError if the disk is full; what was there is then
    unchanged.
    """

    def __init__(self, folder: Path, told: set[str] | None = None) -> None:
        """told: foreign files that were logged already."""
        self.folder = folder
        self.settings = read_settings(folder)
        self._shelf = Shelf(folder, set() if told is None else told)
        self._versions = Versions(folder)
        self._deployed = DeployedFile(folder.parent)

    @property
    def name(self) -> str:
        return self.settings.name

    # ------------------------------------------------------------------------------------ reading

    def moments(self) -> list[Moment]:
        """All, the oldest first; pictures without a label are those that were *seen*."""
        found = self._shelf.index().moments
        return [found[name] for name in sorted(found)]

    def picture(self, picture: str) -> bytes:
        """The JPEG."""
        moment = self.moment_of(picture)
        if moment is None:
            raise InputError("no such picture", where=self.name, got=repr(printable(picture, 60)))
        path = self._shelf.path(moment) / f"{picture}{SUFFIX}"
        try:
            return read_file(path, LARGEST_PICTURE_BYTES, links=False)
        except OSError as error:
            raise cannot_read(path, error) from None

    def moment_of(self, picture: str) -> Moment | None:
        """The moment that has this picture."""
        index = self._shelf.index()
        return index.moments.get(index.at.get(picture, "")) if is_picture_id(picture) else None

    @property
    def used_bytes(self) -> int:
        """Of the quota."""
        index = self._shelf.index()
        return index.pictures_bytes + index.features_bytes

    @property
    def pictures_bytes(self) -> int:
        return self._shelf.index().pictures_bytes

    # ----------------------------------------------------------------------------------- pictures

    def change(self, settings: Settings) -> None:
        """Replace the settings; classes that have pictures must stay, and so must the name."""
        with self._writing():
            used = {each.label for each in self.moments()} - {None}
            if lost := sorted(str(each) for each in used if each not in settings.classes):
                raise InputError(
                    f"the class {lost[0]} has pictures",
                    where=self.name,
                    fix="name it too, or give its moments another label first",
                )
            put(self.folder / FILE, replace(settings, name=self.name).to_json())
            self.settings = settings

    def add(self, label: str | None, moment: str, jpeg: bytes, reason: str = "") -> bool:
        """Add a picture to a moment, which begins with it; False if it is there already.

        label: None for one that was seen, which waits for a label; with a label, such a one is
        moved. reason: why it was kept.
        """
        self.check_class(label)
        unix = moment_unix(check_moment(moment))
        assert unix is not None
        picture = picture_id(jpeg)
        with self._writing():
            index = self._shelf.index()
            known = index.moments.get(index.at.get(picture, ""))
            if known is not None and (label is None or known.label is not None):
                return False
            before = index.moments.get(moment)
            if before is not None and before.label != label:
                whose = "has no label" if before.label is None else f"has the label {before.label}"
                raise InputError(f"the moment {moment} {whose}", where=self.name, got=repr(label))
            make_room(self._shelf, self.settings, len(jpeg), keep=moment, collected=label is None)
            index = self._shelf.index()
            place = self._shelf.place(label) / moment
            if reason and before is None:
                put(place / REASON, reason_json(reason))
            put(place / f"{picture}{SUFFIX}", jpeg)
            pictures = (picture,) if before is None else (*before.pictures, picture)
            reason = reason if before is None else before.reason
            size = index.bytes.get(moment, 0) + len(jpeg)
            if known is not None:
                self._take_out(known, picture)
            index.add(Moment(moment, label, tuple(sorted(pictures)), reason, unix), size)
            self._shelf.changed()
        return True

    def label(self, moment: str, label: str | None) -> None:
        """Give a moment this label; None takes it away."""
        self.check_class(label)
        with self._writing():
            found = self._moment(moment)
            if found.label == label:
                return
            index = self._shelf.index()
            move(self._shelf.path(found), self._shelf.place(label) / moment)
            index.moments[moment] = replace(found, label=label)
            self._shelf.changed()

    def discard(self, moment: str) -> None:
        """Delete a moment with its pictures."""
        with self._writing():
            found = self._moment(moment)
            index = self._shelf.index()
            remove(self._shelf.path(found))
            index.drop(moment)
            self._shelf.changed()

    def make_room(self, wanted: int) -> None:
        """For so many bytes: delete cached features, then the oldest moments without a label.
        Raises InputError if labelled pictures alone take the quota."""
        with self._writing():
            make_room(self._shelf, self.settings, wanted)

    def check_class(self, label: str | None) -> None:
        """Raises InputError for a label that is not one of its classes."""
        if label is not None and label not in self.settings.classes:
            raise InputError(
                "no such class",
                where=self.name,
                got=repr(printable(label, 60)),
                fix="its classes are " + ", ".join(self.settings.classes),
            )

    def check_complete(self) -> None:
        """Raises InputError where a class has no picture."""
        shown = {each.label for each in self.moments()}
        lacking = [each for each in self.settings.classes if each not in shown]
        if lacking:
            raise InputError(
                f"no pictures of {', '.join(lacking)} yet",
                where=self.name,
                fix=f"add some: edged teach {self.name} add {shlex.quote(lacking[0])} PICTURES",
            )

    def _moment(self, moment: str) -> Moment:
        found = self._shelf.index().moments.get(moment)
        if found is None:
            raise InputError(
                "no such moment",
                where=self.name,
                got=repr(printable(moment, 60)),
                fix=f"edged teach {self.name} --moments lists them",
            )
        return found

    def _take_out(self, moment: Moment, picture: str) -> None:
        """Delete one picture of a moment, and the moment with its last one."""
        index, path = self._shelf.index(), self._shelf.path(moment)
        rest = tuple(each for each in moment.pictures if each != picture)
        if not rest:
            remove(path)
            index.drop(moment.id)
            return
        file = path / f"{picture}{SUFFIX}"
        size = file.stat().st_size
        remove(file)
        index.moments[moment.id] = replace(moment, pictures=rest)
        index.bytes[moment.id] -= size

    # ----------------------------------------------------------------------------------- versions

    def versions(self) -> list[int]:
        """The oldest first."""
        return self._versions.numbers()

    def family(self, version: int) -> Family:
        return self._versions.family(version)

    def report(self, version: int) -> dict[str, Any]:
        """What was learned, and how sure that is: report.json."""
        return self._versions.report(version)

    def add_version(self, write: Callable[[Path, int], None]) -> int:
        """Add a version and return its number. write: fills a new folder with the family and
        report.json, given that number. Of older ones, the last five stay, with the one that runs
        and those that `back` leads to."""
        with self._writing():
            number = self._versions.add(write)
            self._versions.prune(self._deployed.used(self.name))
            self._shelf.changed()
        return number

    # ----------------------------------------------------------------------------------- deployed

    @property
    def deployed(self) -> Deployed | None:
        return self._deployed.read().get(self.name)

    @property
    def ran_before(self) -> Deployed | None:
        """What `back` leads to; None: the model of the view's configuration."""
        own = self.deployed
        return None if own is None else self._deployed.ran_before(own)

    def newest(self) -> int:
        """Raises InputError if there is no version yet."""
        return self._versions.newest()

    def worse_than_running(self, version: int | None = None) -> Worse | None:
        """None if the version (default: the newest) is not worse on pictures that were not taught
        than the version that runs, or if none does."""
        version, own = version or self.newest(), self.deployed
        report = self.report(version)
        if own is None or own.version == version or own.version not in self.versions():
            return None
        return worse_than(version, report, own.version, self.report(own.version))

    def deploy(self, version: int | None = None, view: str | None = None) -> Deployed:
        """From now on the version (default: the newest) runs on the view (default: the
        classifier's), in place of any other classifier that was deployed to it. The running daemon
        takes it over."""
        version = version or self.newest()
        self._versions.family(version)  # it can be read
        with writing(self.folder), locked(self.folder), locked(self.folder.parent):
            new, known = self.after_deploy(version, view)
            if known != self._deployed.read():
                self._deployed.write(known)
        return new

    def after_deploy(
        self, version: int, view: str | None = None
    ) -> tuple[Deployed, Mapping[str, Deployed]]:
        """What `deploy` would return, and all that would be deployed then."""
        known = dict(self._deployed.read())
        own = known.get(self.name)
        view = view or self.settings.view
        if own is not None and (own.version, own.view) == (version, view):
            return own, known
        known.pop(self.name, None)
        before = None if own is None else own.version
        if own is not None and own.version == version:
            before = own.before
        replaced = own.replaced if own is not None and own.view == view else None
        for other in [each for each in known.values() if each.view == view]:
            replaced = other
            del known[other.name]
        new = Deployed(self.name, view, version, before, time.time(), replaced)
        return new, {**known, self.name: new}

    # ------------------------------------------------------------------------------------- export

    def write_archive(self, file: IO[bytes]) -> None:
        """Write all of it as a zip file: settings, pictures by class and moment, versions. Raises
        OSError."""
        import zipfile  # seldom needed

        with zipfile.ZipFile(file, "w", zipfile.ZIP_STORED) as archive:
            for path in self._files():
                with suppress(FileNotFoundError):  # removed meanwhile
                    content = read_file(path, 1 << 30, links=False)
                    archive.writestr(str(path.relative_to(self.folder.parent)), content)

    def _files(self) -> Iterator[Path]:
        yield self.folder / FILE
        for moment in self.moments():
            for picture in moment.pictures:
                yield self._shelf.path(moment) / f"{picture}{SUFFIX}"
        for number in self.versions():
            for each in entries(self.folder / VERSIONS / str(number)):
                yield Path(each.path)

    # ------------------------------------------------------------------------------------ writing

    @contextmanager
    def _writing(self) -> Iterator[None]:
        with writing(self.folder), locked(self.folder):
            yield
