"""Whose rights are judged: those of the service, or of whoever runs this."""

from __future__ import annotations

import grp
import os
import pwd
from collections.abc import Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edged.private_file import for_the_service

READ, WRITE, SEARCH = os.R_OK, os.W_OK, os.X_OK


@dataclass(frozen=True, slots=True)
class Account:
    name: str
    uid: int
    gids: frozenset[int]

    @property
    def group(self) -> str:
        """The user's own one, by name."""
        try:
            return grp.getgrgid(pwd.getpwuid(self.uid).pw_gid).gr_name
        except KeyError:
            return self.name

    def may(self, path: Path, rights: int) -> bool:
        """rights: of READ, WRITE and SEARCH. For another user than this process's only the mode
        is looked at, not access lists."""
        if self.uid == os.geteuid():
            return os.access(path, rights)
        try:
            status = path.stat()
        except OSError:
            return False
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.gids else 0
        return self.uid == 0 or (status.st_mode >> shift) & rights == rights

    def barred(self, path: Path, rights: int) -> Path | None:
        """What keeps it from the path: the first folder on the way, or the path itself."""
        for folder in reversed(path.parents):
            if not self.may(folder, SEARCH):
                return folder
        return None if self.may(path, rights) else path


def own_account() -> Account:
    uid = os.geteuid()
    try:
        name = pwd.getpwuid(uid).pw_name
    except KeyError:
        name = str(uid)
    return Account(name, uid, frozenset((os.getegid(), *os.getgroups())))


def account_of(user: str, groups: Iterable[str]) -> Account | None:
    """None where there is no such user; groups that are not there are left out."""
    try:
        entry = pwd.getpwnam(user)
    except (KeyError, ValueError):
        return None
    gids = {entry.pw_gid, *os.getgrouplist(user, entry.pw_gid)}
    for group in groups:
        with suppress(KeyError):
            gids.add(grp.getgrnam(group).gr_gid)
    return Account(user, entry.pw_uid, frozenset(gids))


def unreadable(account: Account, path: Path) -> Iterator[tuple[str, str, str]]:
    """(what, got, fix) where the service's user may not read a file that is there."""
    barred = account.barred(path, READ)
    try:
        status = None if barred is None else barred.stat()
    except OSError:  # it is not there, or not to be looked at
        return
    if status is None or barred is None:
        return
    yield (
        f"{path}: the service's user {account.name} may not read it",
        f"{barred}: uid {status.st_uid}, gid {status.st_gid}, mode {status.st_mode & 0o777:o}",
        for_the_service(path, account.group) if barred == path else f"sudo chmod 755 {barred}",
    )
