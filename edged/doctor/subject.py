"""What the checks examine, gathered once."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import distributions
from pathlib import Path
from typing import TYPE_CHECKING

from edged.doctor import finding
from edged.doctor.account import Account, account_of, own_account
from edged.doctor.child import Run, run
from edged.doctor.finding import Finding
from edged.doctor.unit import Unit, installed_unit
from edged.errors import EdgedError, InputErrors
from edged.process import own_python
from edged.service.install import CONFIG

if TYPE_CHECKING:
    from edged.config.config import Config

_SYSTEMCTL_SECONDS = 10.0
_PROPERTIES = "ActiveState,SubState,Result,NRestarts,MainPID,NeedDaemonReload"


@dataclass(frozen=True, slots=True)
class Subject:
    """The device. root: the folder that stands for `/`. python: command of the Python that has
    edged. module_path: where to look for distributions. unit: None if the service is not installed.
    service: its properties from systemctl. account: None if the unit's user does not exist.
    config: None if missing or invalid; config_errors has the reasons.
    """

    root: Path
    environ: Mapping[str, str]
    run: Run
    python: Sequence[str]
    module_path: Sequence[str]
    unit: Unit | None
    service: Mapping[str, str]
    account: Account | None
    config_path: Path | None
    config: Config | None
    config_errors: tuple[Finding, ...]
    statvfs: Callable[[Path], os.statvfs_result] = os.statvfs

    @property
    def is_jetson(self) -> bool:
        return (self.root / "etc/nv_tegra_release").exists()

    def version(self, distribution: str) -> str | None:
        """Version of an installed distribution, without importing it; else None."""
        found = distributions(name=distribution, path=list(self.module_path))
        return next((each.version for each in found), None)

    def uses(self, *kinds: str) -> list[str]:
        """Names of the cameras with a source of these kinds."""
        from edged.capture.sources.table import kind_of

        cameras = () if self.config is None else self.config.cameras
        return [each.name for each in cameras if kind_of(each.capture.source).name in kinds]


def subject_of(
    config_path: Path | None,
    environ: Mapping[str, str],
    *,
    root: Path = Path("/"),
    run: Run = run,
    python: Sequence[str] = tuple(own_python()),
    module_path: Sequence[str] = tuple(sys.path),
) -> Subject:
    """config_path: default is that of the service, else the usual one if it exists."""
    unit = installed_unit(root)
    service = {} if unit is None else _service(run)
    if config_path is None and unit is not None and unit.config is not None:
        config_path = root / unit.config.relative_to("/")
    usual = root / CONFIG.relative_to("/")
    if config_path is None and os.access(usual, os.F_OK):
        config_path = usual
    config: Config | None = None
    errors: tuple[Finding, ...] = ()
    if config_path is not None:
        known = {**environ, **_environ_of(root / "proc" / service.get("MainPID", "0"))}
        config, errors = _read(config_path, known)
    account: Account | None = own_account()
    if unit is not None and (user := unit.value("User")):
        groups = " ".join(unit.values("SupplementaryGroups")).split()
        account = account_of(user, groups)
    return Subject(
        root,
        environ,
        run,
        python,
        module_path,
        unit,
        service,
        account,
        config_path,
        config,
        errors,
    )


def _service(run: Run) -> Mapping[str, str]:
    command = ["systemctl", "show", f"--property={_PROPERTIES}", "edged.service"]
    outcome = run(command, _SYSTEMCTL_SECONDS)
    if outcome.status != 0:
        return {}
    return dict(re.findall(r"^(\w+)=(.*)$", outcome.out, re.MULTILINE))


def _environ_of(process: Path) -> dict[str, str]:
    """Environment of the running service, for variables in the configuration."""
    try:
        content = (process / "environ").read_bytes()
    except OSError:  # not running, or readable by root only
        return {}
    entries = (entry.partition("=") for entry in os.fsdecode(content).split("\0"))
    return {name: value for name, equals, value in entries if equals}


def _read(path: Path, environ: Mapping[str, str]) -> tuple[Config | None, tuple[Finding, ...]]:
    try:
        from edged.config.config import load_config

        return load_config(path, environ), ()
    except InputErrors as failure:
        return None, tuple(finding.of(each) for each in failure.errors)
    except EdgedError as failure:
        return None, (finding.of(failure),)
    except Exception as failure:  # a broken library may raise anything
        what = f"cannot be read: {type(failure).__name__}: {failure}"
        return None, (finding.error(what, fix="first fix what runtime.packages reports"),)
