"""The versions of a classifier: a family of format 2 each, with a report of how it was taught."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from edged.errors import InputError, InputErrors
from edged.teach.store.folder import clear_remains, entries, is_folder, made, move, remove
from edged.teach.store.report import FILE as REPORT
from edged.teach.store.report import read_report
from edged.variants.family import Family, load_family
from edged.variants.manifest import MANIFEST
from edged.variants.network import read_checked

VERSIONS = "versions"
KEPT = 5


class Versions:
    """folder: of the classifier."""

    def __init__(self, folder: Path) -> None:
        self._name = folder.name
        self._folder = folder / VERSIONS

    def path(self, number: int) -> Path:
        return self._folder / str(number)

    def numbers(self) -> list[int]:
        """Those that are complete, the oldest first."""
        return sorted(
            int(each.name)
            for each in entries(self._folder)
            if is_folder(each)
            and each.name.isascii()
            and each.name.isdecimal()
            and not each.name.startswith("0")
            and Path(each.path, MANIFEST).is_file()
            and Path(each.path, REPORT).is_file()
        )

    def newest(self) -> int:
        """Raises InputError if there is none."""
        known = self.numbers()
        if not known:
            raise InputError(
                "it has not been taught yet",
                where=self._name,
                fix=f"edged teach {self._name} train",
            )
        return known[-1]

    def family(self, number: int) -> Family:
        """With heads that can be read. Raises InputError."""
        self._check(number)
        folder = self.path(number).absolute()
        try:
            family = load_family(str(folder), Path())
            for head in family.heads.values():
                read_checked(head.path, head.sha256)
        except InputError as wrong:
            first = wrong.errors[0] if isinstance(wrong, InputErrors) else wrong
            if not str(first.where).startswith(f"{folder}/"):  # of the backbone
                raise
            again = f"edged teach {self._name} train, then deploy"
            fix = f"teach it again ({again}), or return: edged teach {self._name} back"
            raise InputError(first.what, where=first.where, got=first.got, fix=fix) from None
        return family

    def report(self, number: int) -> dict[str, Any]:
        """Raises InputError."""
        self._check(number)
        return read_report(self.path(number) / REPORT)

    def _check(self, number: int) -> None:
        known = self.numbers()
        if number not in known:
            has = ", ".join(map(str, known))
            raise InputError(
                "no such version",
                where=self._name,
                got=number,
                fix=f"it has {has}" if has else f"teach it first: edged teach {self._name} train",
            )

    def add(self, write: Callable[[Path, int], None]) -> int:
        """Needs the folder's lock. Raises OSError, and what `write` raises."""
        made(self._folder)
        clear_remains(self._folder)
        used = [int(each.name) for each in entries(self._folder) if each.name.isdecimal()]
        number = max(used, default=0) + 1
        partial = self._folder / f".{number}.partial"
        try:
            partial.mkdir(mode=0o750)
            write(partial, number)
            move(partial, self.path(number))
        except BaseException:
            shutil.rmtree(partial, ignore_errors=True)
            raise
        return number

    def prune(self, stay: Iterable[int | None]) -> None:
        """Delete the oldest; the last five stay, and those named."""
        for number in self.numbers()[:-KEPT]:
            if number not in stay:
                remove(self.path(number))
