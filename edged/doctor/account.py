"""The account whose permissions are checked: the service's, or that of this process."""

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
        """Name of the user's primary group."""
        try:
            return grp.getgrgid(pwd.getpwuid(self.uid).pw_gid).gr_name
        except KeyError:
            return self.name

    def may(self, path: Path, rights: int) -> bool:
        """rights: of READ, WRITE and SEARCH. For other users than this process's, only the file
        mode counts, not ACLs."""
        if self.uid == os.geteuid():
            return os.access(path, rights)
        try:
            status = path.stat()
        except OSError:
            return False
        shift = 6 if status.st_uid == self.uid else 3 if status.st_gid in self.gids else 0
        return self.uid == 0 or (status.st_mode >> shift) & rights == rights

    def barred(self, path: Path, rights: int) -> Path | None:
        """The first folder on the way, or the path itself, that denies access; else None."""
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
    """None if the user does not exist; unknown groups are ignored."""
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
    """(what, got, fix) if the file exists but the account has no permission to read it."""
    barred = account.barred(path, READ)
    try:
        status = None if barred is None else barred.stat()
    except OSError:  # it does not exist, or this process has no permission
        return
    if status is None or barred is None:
        return
    yield (
        f"{path}: no read permission for the service's user {account.name}",
        f"{barred}: uid {status.st_uid}, gid {status.st_gid}, mode {status.st_mode & 0o777:o}",
        for_the_service(path, account.group) if barred == path else f"sudo chmod 755 {barred}",
    )
