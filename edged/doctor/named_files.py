"""Files that a configuration names: whether they are valid, and the service may read them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

from edged.config.config import Config
from edged.config.schema import json_schema
from edged.doctor.account import Account, account_of, unreadable
from edged.doctor.unit import installed_unit
from edged.document.quoting import Keys, Schema
from edged.document.values import path_from
from edged.errors import EdgedError, InputError
from edged.private_file import SERVICE_FOLDER
from edged.service.install import USER
from edged.sinks.options import KINDS
from edged.web.tls import server_context

T = TypeVar("T")


def tls_errors(config: Config) -> Iterator[InputError]:
    """Errors for unusable certificates and keys."""
    if config.http is not None and config.http.tls is not None:
        yield from _useless(config, server_context, config.http.tls, "http", "tls")
    for name, sink in config.results.sinks.items():
        yield from _useless(config, KINDS[name].try_files, sink, "results", name)


def _useless(
    config: Config, make: Callable[[T], object], tls: T, *keys: str
) -> Iterator[InputError]:
    try:
        make(tls)
    except EdgedError as wrong:
        what = wrong.what if wrong.where is None else f"{wrong.where}: {wrong.what}"
        yield config.error(what, *keys, got=wrong.got, fix=wrong.fix)


def unreadable_errors(config: Config, root: Path = Path("/")) -> Iterator[InputError]:
    """Errors for files that the service's user has no permission to read, if the configuration is
    that of the service. root: the folder that stands for `/`.
    """
    account = service_account(config.path, root)
    if account is not None:
        for keys, path in (((), config.path.absolute()), *named_files(config)):
            for what, _, fix in unreadable(account, path):
                yield config.error(what, *keys, fix=fix)


def service_account(path: Path, root: Path = Path("/")) -> Account | None:
    """Account of the service that uses this configuration; None if none does."""
    unit = installed_unit(root)
    named = unit is not None and unit.config is not None and root / unit.config.relative_to("/")
    if path.absolute() != named and not path.absolute().is_relative_to(SERVICE_FOLDER):
        return None
    groups = "" if unit is None else " ".join(unit.values("SupplementaryGroups"))
    return account_of((unit and unit.value("User")) or USER, groups.split())


def named_files(config: Config) -> Iterator[tuple[Keys, Path]]:
    """With their keys: what the schema calls a path, or a file."""
    if config.document is not None:
        yield from _named(config.document.data, json_schema(), (), config.base)


def _named(value: object, described: Schema, keys: Keys, base: Path) -> Iterator[tuple[Keys, Path]]:
    known, others = described.get("properties", {}), described.get("additionalProperties") or {}
    if isinstance(value, dict):
        for key, each in value.items():
            yield from _named(each, known.get(key, others), (*keys, key), base)
    elif str(described.get("format")).endswith(("path", "-file")):
        yield keys, path_from(str(value), base)
