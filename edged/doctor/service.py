"""The service: its unit compared with the shipped one, its user and its state."""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator
from pathlib import Path

from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.subject import Subject
from edged.errors import REINSTALL
from edged.service.install import PACKAGED_UNIT, as_root, shipped
from edged.state import in_container

_OURS = re.compile(r"^(ExecStart|User)=.*$", re.MULTILINE)
"""What `edged service install` fills in."""

_OWN = "for your own changes use: sudo systemctl edit edged"


def unit(subject: Subject) -> Iterator[Finding]:
    found = subject.unit
    if found is None and in_container(subject.environ):
        return
    if found is None:
        yield info("edged is not installed as a service", fix=_install(subject))
        return
    packaged = (subject.root / PACKAGED_UNIT).exists()
    by_package = found.path == f"/{PACKAGED_UNIT}"
    if not found.text:
        yield warning(f"{found.path} is masked", fix="sudo systemctl unmask edged")
        return
    text, ours = found.text, shipped("edged.service")
    if not by_package:
        text, ours = _OURS.sub(r"\1=", text), _OURS.sub(r"\1=", ours)
    changes = _changes(ours, text)
    if packaged and not by_package:  # systemctl revert would take every drop-in along
        what = f"{found.path} overrides the package's unit and its updates"
        fix = f"sudo rm {found.path} && sudo systemctl daemon-reload; {_OWN}"
        yield warning(what, ", ".join(changes) or None, fix)
    elif changes:
        what = f"{found.path} differs from the shipped unit"
        fix = f"{REINSTALL if packaged else _install(subject)}; {_OWN}"
        yield warning(what, ", ".join(changes), fix)
    else:
        yield ok(f"{found.path} is the shipped unit")
    for path in found.drop_ins:
        yield info(f"modified by {path}")
    if subject.is_jetson and not any(path.endswith("/jetson.conf") for path in found.drop_ins):
        yield warning(
            "the drop-in for Jetson is missing: no GPU, no CSI camera",
            fix=REINSTALL if packaged else _install(subject),
        )


def _install(subject: Subject) -> str:
    return as_root(Path(subject.python[0]), "install")


def _changes(shipped_text: str, text: str) -> list[str]:
    """Names of changed directives; values may be passwords (Environment=)."""
    before, after = (
        [line for line in each.splitlines() if line.strip() and line[0] not in "#;"]
        for each in (shipped_text, text)
    )
    lines = [line[2:] for line in difflib.ndiff(before, after) if line[0] in "+-"]
    return list(dict.fromkeys(line.partition("=")[0] for line in lines))


def account(subject: Subject) -> Iterator[Finding]:
    if subject.unit is None or not subject.unit.text:
        return
    user = subject.unit.value("User")
    if subject.account is None:
        yield error(f"the service's user {user} does not exist", fix="sudo systemd-sysusers")
    else:
        yield ok(f"the service runs as {subject.account.name}")


def state(subject: Subject) -> Iterator[Finding]:
    if subject.unit is None or not subject.service:
        return
    shown = subject.service
    active = f"{shown.get('ActiveState')} ({shown.get('SubState')})"
    if shown.get("ActiveState") == "failed":
        fix = "see: journalctl -u edged -n 30"
        yield error("the service has failed", shown.get("Result"), fix)
    elif shown.get("NRestarts", "0") != "0":
        what = f"the service has restarted {shown['NRestarts']} times"
        yield warning(what, active, "see: journalctl -u edged")
    else:
        yield ok(f"the service is {active}")
    if shown.get("NeedDaemonReload") == "yes":
        yield warning("systemd has not loaded the changed unit", fix="sudo systemctl daemon-reload")


def memory_limit(subject: Subject) -> Iterator[Finding]:
    """Raspberry Pi OS disables the memory controller."""
    try:
        controllers = (subject.root / "sys/fs/cgroup/cgroup.controllers").read_text()
    except OSError:
        return
    if subject.unit is not None and "memory" not in controllers.split():
        yield warning(
            "MemoryMax= of the unit has no effect, so a leak could take down the device",
            f"controllers {controllers.strip()}",
            "add cgroup_enable=memory to the line in /boot/firmware/cmdline.txt, and reboot",
        )
