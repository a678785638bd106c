"""Configuration, family, state and cache folders."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from edged.backends.tensorrt.cache import cache_directory
from edged.doctor import finding
from edged.doctor.account import SEARCH, WRITE, unreadable
from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.subject import Subject
from edged.errors import EdgedError, InputErrors
from edged.state import SERVICE_STATE, in_container, state_directory

VERIFY_SECONDS = 300.0
LEAST_FREE_MB = 50
_UNSET = re.compile(r"the variable (\w+|\*+) is not set")
_FORBIDDEN = "no permission to read it"


def configuration(subject: Subject) -> Iterator[Finding]:
    path = subject.config_path
    if path is None:
        fix = "name one: edged doctor -c edged.yaml"
        yield info("no configuration to check", "no /etc/edged/edged.yaml", fix)
        return
    yield from _ownership(subject, path)
    for each in subject.config_errors:
        if _UNSET.search(each.what) and subject.unit is not None:
            fix = "to use the variables of the running service: sudo edged doctor"
            yield warning(each.what, each.got, fix)
        elif _FORBIDDEN in each.what and subject.unit is not None:
            yield warning(each.what, each.got, "sudo edged doctor")
        else:
            yield each
    if subject.config is None:
        return
    from edged.config.warnings import warnings

    yield ok(f"{path}: valid; cameras {', '.join(map(str, subject.config.cameras))}")
    for text in warnings(subject.config, subject.root / "dev"):
        yield warning(text)


def _ownership(subject: Subject, path: Path) -> Iterator[Finding]:
    """Whether the service can read the configuration and the files that it names."""
    account = subject.account
    if subject.unit is None or account is None:
        return
    files = [path.absolute()]
    if subject.config is not None:
        from edged.doctor.named_files import named_files

        files += [file for _, file in named_files(subject.config)]
    for file in files:
        yield from (error(*found) for found in unreadable(account, file))


def family(subject: Subject) -> Iterator[Finding]:
    """Runs `edged models verify` in a child."""
    if subject.config is None and subject.config_path is not None:
        yield info("not checked, because the configuration is invalid")
        return
    try:
        from edged.config.family import Families
        from edged.teach.store import TeachStore, teach_directory
        from edged.variants.family import load_family, shipped_families

        if subject.config is None:
            folders = [load_family(name, Path("/")).directory for name in shipped_families()]
        else:
            service = subject.root / SERVICE_STATE.relative_to("/")
            store = TeachStore(teach_directory(subject.environ, service))
            families = Families(subject.config, store, replacing=True)
            found = [families.of(view).directory for view in subject.config.views]
            folders = list(dict.fromkeys(found))
            yield from map(error, families.instead.values())
    except InputErrors as failure:
        yield from (finding.of(each) for each in failure.errors)
        return
    except EdgedError as failure:
        yield finding.of(failure)
        return
    except ImportError as failure:
        yield error("the family cannot be read", str(failure), "see runtime.packages")
        return
    for folder in folders:
        yield from _verified(subject, folder)


def _verified(subject: Subject, folder: Path) -> Iterator[Finding]:
    command = [*subject.python, "-m", "edged", "models", "verify", str(folder)]
    outcome = subject.run(command, VERIFY_SECONDS)
    problems = [line for line in outcome.err.splitlines() if line.startswith("edged: ")]
    if outcome.status == 0:
        yield ok(outcome.out.strip())
    elif outcome.signal is not None:
        what = f"{folder}: a network crashes ONNX Runtime on this processor"
        yield error(what, outcome.signal, "install another version of onnxruntime")
    elif problems:
        yield from (error(line.removeprefix("edged: ")) for line in problems)
    else:
        yield error(f"{folder}: cannot be verified", outcome.said)


def state_folder(subject: Subject) -> Iterator[Finding]:
    """The profile's folder; without it each start measures all variants."""
    yield from _folder(subject, "STATE_DIRECTORY", "var/lib/edged", state_directory)


def cache_folder(subject: Subject) -> Iterator[Finding]:
    """The folder of built engines."""
    yield from _folder(subject, "CACHE_DIRECTORY", "var/cache/edged", cache_directory)


def _folder(
    subject: Subject,
    variable: str,
    service: str,
    otherwise: Callable[[Mapping[str, str]], Path | None],
) -> Iterator[Finding]:
    """systemd creates the service's folders; others must be writable."""
    managed = subject.unit is not None and not subject.environ.get(variable)
    path = subject.root / service if managed else otherwise(subject.environ)
    if path is None:
        yield warning("no folder to write to", "HOME is not set", f"set {variable} to a folder")
        return
    there = next(each for each in (path, *path.parents) if os.access(each, os.F_OK))
    free_mb, read_only = _space(subject, there)
    if read_only:
        fix = "check mount, and dmesg for the reason"
        yield warning(f"{path}: the file system is read-only", None, fix)
    elif not there.is_dir():
        what = f"{path}: a file has the name of a folder"
        yield warning(what, str(there), f"remove it, or set {variable}")
    elif not managed and subject.account and not subject.account.may(there, WRITE | SEARCH):
        fix = f"sudo install -d -o {subject.account.name} {path}, or set {variable}"
        if in_container(subject.environ):
            uid = subject.account.uid
            fix = f"on the device, for the folder that is mounted there: sudo chown {uid} FOLDER"
        what = f"{path}: no write permission for {subject.account.name}"
        yield warning(what, str(there), fix)
    elif free_mb < LEAST_FREE_MB:
        yield warning(f"{path}: the disk is nearly full", f"{free_mb} MB free", "free some space")
    else:
        yield ok(f"{path}: writable, {free_mb} MB free")


def _space(subject: Subject, folder: Path) -> tuple[int, bool]:
    """(MB available to users other than root, whether the file system is read-only)"""
    status = subject.statvfs(folder)
    return status.f_bavail * status.f_frsize // 1_000_000, bool(status.f_flag & os.ST_RDONLY)
