"""The installed systemd unit and its drop-ins."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

UNIT = "edged.service"
FOLDERS = ("etc/systemd/system", "run/systemd/system", "usr/lib/systemd/system")
"""The first folder that has the unit applies; drop-ins come from all."""


@dataclass(frozen=True, slots=True)
class Unit:
    """path: absolute, on the device. drop_ins: path → text, in the order of application."""

    path: str
    text: str
    drop_ins: dict[str, str]

    def values(self, directive: str) -> list[str]:
        """All values of the directive; an empty assignment resets them."""
        found: list[str] = []
        for text in (self.text, *self.drop_ins.values()):
            for value in re.findall(rf"^{directive}=(.*)$", text, re.MULTILINE):
                found = [*found, value.strip()] if value.strip() else []
        return found

    def value(self, directive: str) -> str:
        """The last value; "" without one."""
        return (self.values(directive) or [""])[-1]

    @property
    def command(self) -> list[str]:
        try:
            words = shlex.split(self.value("ExecStart"))
        except ValueError:
            return []
        return [word.replace("%%", "%").replace("$$", "$") for word in words]

    @property
    def config(self) -> Path | None:
        """The configuration named by its command."""
        words = self.command
        for option in ("-c", "--config"):
            if option in words[:-1]:
                path = Path(words[words.index(option) + 1])
                return path if path.is_absolute() else None
        if "run" in words[:-1] and words[words.index("run") + 1].startswith("/"):
            return Path(words[words.index("run") + 1])
        return None


def installed_unit(root: Path) -> Unit | None:
    for folder in FOLDERS:
        path = root / folder / UNIT
        if path.exists():
            return Unit(f"/{folder}/{UNIT}", _text(path), _drop_ins(root))
    return None


def _drop_ins(root: Path) -> dict[str, str]:
    """Sorted by file name; of equal names the first folder's applies."""
    by_name: dict[str, Path] = {}
    for folder in FOLDERS:
        for path in (root / folder / f"{UNIT}.d").glob("*.conf"):
            by_name.setdefault(path.name, path)
    return {f"/{by_name[name].relative_to(root)}": _text(by_name[name]) for name in sorted(by_name)}


def _text(path: Path) -> str:
    """Empty for a masked unit, which is a link to /dev/null."""
    try:
        return path.read_text("utf-8", errors="replace")
    except OSError:
        return ""
