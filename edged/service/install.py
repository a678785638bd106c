"""systemd/ for an edged that pip installed: its unit, user and first configuration.

Does not know the daemon, starts nothing, and leaves what a package brought alone.
"""

from __future__ import annotations

import os
import pwd
import subprocess
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from edged.atomic_file import write_whole
from edged.errors import EdgedError, InputError

_PACKAGE = Path(__file__).parent.parent
SHIPPED = (_PACKAGE / "systemd", _PACKAGE.parent / "systemd")
"""Where systemd/ lies: inside an installed package, or beside it in a checkout."""

PACKAGED_UNIT = "usr/lib/systemd/system/edged.service"
REINSTALL = "sudo apt install --reinstall ./edged_*.deb (the package's file)"
"""It is in no archive that apt could fetch it from."""
CONFIG = Path("/etc/edged/edged.yaml")
USER = "edged"
_UNITS = "etc/systemd/system"
_JETSON = f"{_UNITS}/edged.service.d/jetson.conf"
_SYSUSERS = "etc/sysusers.d/edged.conf"
_KEPT = ("etc/edged", "var/lib/edged", "var/cache/edged")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""What ProtectHome= and PrivateTmp= of the unit take out of its sight."""

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Service:
    """interpreter: the Python that has edged. config: absolute, where the service reads it."""

    interpreter: Path
    config: Path = CONFIG
    user: str = USER


def shipped(name: str) -> str:
    """The text of a file in systemd/, such as `edged.service`."""
    return next(folder / name for folder in SHIPPED if folder.is_dir()).read_text("utf-8")


def unit_text(service: Service) -> str:
    """The shipped unit with this interpreter, configuration and user."""
    text = shipped("edged.service")
    for shipped_line, line in (
        (f"/usr/bin/edged run -c {CONFIG}", _command(service)),
        (f"User={USER}\n", f"User={service.user}\n"),
    ):
        assert text.count(shipped_line) == 1, shipped_line
        text = text.replace(shipped_line, line)
    return text


def run_command(command: Sequence[str]) -> None:
    """Raises EdgedError when it is not there or fails."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError:
        raise EdgedError("there is no systemd here", got=f"no {command[0]}") from None
    except (OSError, subprocess.SubprocessError) as error:
        said = (getattr(error, "stderr", "") or str(error)).strip()
        raise EdgedError(f"{' '.join(command)} failed", got=said) from None


def install(
    service: Service,
    *,
    root: Path = Path("/"),
    run: Run = run_command,
    user_id: int | None = None,
    code: Iterable[Path] = (_PACKAGE,),
) -> list[str]:
    """Write what is not there or differs; returns what was done, a line each.

    root: the folder that stands for `/`. user_id: who does it, if not this process's. code: folders
    that the interpreter reads. Raises InputError before anything is written, EdgedError after.
    """
    _check_root(user_id, service.interpreter, "install")
    if (root / PACKAGED_UNIT).exists():
        raise InputError(
            "a package has installed the service",
            where=f"/{PACKAGED_UNIT}",
            fix="change it with: sudo systemctl edit edged",
        )
    if (root / _UNITS / "edged.service").is_symlink():
        raise InputError(
            "the service is masked, or its unit is a link to another file",
            where=f"/{_UNITS}/edged.service",
            fix="sudo systemctl unmask edged, or delete the link",
        )
    _check_user(service.user)
    _check_executable(service.interpreter)
    _check_visible((service.interpreter, *code, service.config))
    run(["systemd-sysusers", "--version"])  # before anything is written where there is no systemd
    config = root / service.config.relative_to("/")
    if service.config != CONFIG and not config.is_file():
        raise InputError("no such file", where=service.config, fix="write the configuration first")

    files = {
        f"{_UNITS}/edged.service": unit_text(service),
        _SYSUSERS: shipped("sysusers.d/edged.conf"),
    }
    if (root / "etc/nv_tegra_release").exists():  # JetPack
        files[_JETSON] = shipped("edged.service.d/jetson.conf")
    if not config.exists():
        files[str(CONFIG.relative_to("/"))] = shipped("edged.yaml")
    done = [_put(root / name, text, f"/{name}") for name, text in files.items()]

    run(["systemd-sysusers", f"--root={root}", Path(_SYSUSERS).name])
    done.append(f"users and groups of /{_SYSUSERS} are there")
    if str(CONFIG.relative_to("/")) in files and _give_to_service(config, service.user, root):
        done.append(f"{CONFIG}: root and the service may read it, for passwords in it")
    if (root / "run/systemd/system").is_dir():  # systemd runs: this is no image being built
        run(["systemctl", "daemon-reload"])
        done.append("systemd has read the unit")
    return done


def uninstall(
    interpreter: Path,
    *,
    root: Path = Path("/"),
    run: Run = run_command,
    user_id: int | None = None,
) -> list[str]:
    """End the service and remove what `install` wrote but the configuration; returns what was done,
    a line each. State, drop-ins of the administrator and the user stay. Raises as `install` does.
    """
    _check_root(user_id, interpreter, "uninstall")
    if (root / PACKAGED_UNIT).exists():
        fix = "remove it with: sudo apt remove edged"
        raise InputError("a package has installed the service", where=f"/{PACKAGED_UNIT}", fix=fix)
    unit = root / _UNITS / "edged.service"
    if not unit.is_file() or unit.is_symlink():
        raise InputError("edged is no service here", where=f"/{_UNITS}/edged.service")
    runs = (root / "run/systemd/system").is_dir()
    run(["systemctl", *(["--now"] if runs else [f"--root={root}"]), "disable", "edged.service"])
    done = ["stopped, and not started at boot any more"]
    for name in (f"{_UNITS}/edged.service", _JETSON, _SYSUSERS):
        path = root / name
        try:
            if path.exists():
                path.unlink()
                done.append(f"removed: /{name}")
        except OSError as error:
            raise EdgedError("cannot be removed", where=f"/{name}", got=error.strerror) from error
    with suppress(OSError):  # with drop-ins of others in it
        (root / _JETSON).parent.rmdir()
    if runs:
        run(["systemctl", "daemon-reload"])
    kept = " ".join(f"/{name}" for name in _KEPT if (root / name).exists())
    return [*done, f"kept, with the user {USER}: {kept} (sudo rm -r {kept})"] if kept else done


def _check_root(user_id: int | None, interpreter: Path, verb: str) -> None:
    if (os.geteuid() if user_id is None else user_id) != 0:
        fix = f"run it as root: sudo {interpreter} -m edged service {verb}"
        raise InputError(f"a service is {verb}ed by root", fix=fix)


def _command(service: Service) -> str:
    """-I: neither the folder it is started in nor PYTHON… variables bring other code."""
    return f"{_quoted(service.interpreter)} -I -m edged run -c {_quoted(service.config)}"


def _quoted(path: Path) -> str:
    """As systemd.service(5) wants an argument of ExecStart= that holds what it would replace."""
    text = str(path).replace("%", "%%").replace("$", "$$")
    if not any(sign in text for sign in " \t\"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _give_to_service(config: Path, user: str, root: Path) -> bool:
    """To the group of the user, by the device's own list, so that nobody else reads it."""
    try:
        entries = (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())
        group = next(int(entry[3]) for entry in entries if entry[0] == user)
        os.chown(config, 0, group)
        config.chmod(0o640)
    except (OSError, StopIteration):  # an image that gets its users later
        return False
    return True


def _check_user(name: str) -> None:
    """The unit's own user is made by the installation."""
    try:
        known = name == USER or bool(pwd.getpwnam(name))
    except (KeyError, ValueError):
        known = False
    if not known:
        raise InputError("there is no such user", got=repr(name), fix="without --user it is edged")


def _check_visible(paths: Iterable[Path]) -> None:
    for path in paths:
        for seen in (path, path.resolve()):
            if not str(seen).isprintable():
                raise InputError("a unit cannot hold this name", got=repr(str(seen)))
            if any(seen.is_relative_to(folder) for folder in _HIDDEN):
                raise InputError(
                    "the service could not see it: home folders and /tmp are hidden from it",
                    where=seen,
                    fix="install edged elsewhere: sudo /usr/bin/python3 -m venv /opt/edged && "
                    "sudo /opt/edged/bin/pip install CHECKOUT (its folder, or a wheel made of it)"
                    if path.suffix not in (".yaml", ".yml")
                    else f"move it, for example to {CONFIG}",
                )


def _check_executable(interpreter: Path) -> None:
    """systemd.service(5): the name of the program itself knows no escapes."""
    if any(sign in str(interpreter) for sign in '$"\\'):
        raise InputError(
            "a unit cannot start a program of this name",
            got=repr(str(interpreter)),
            fix="install edged elsewhere: sudo /usr/bin/python3 -m venv /opt/edged",
        )


def _make_folder(path: Path) -> None:
    """Open to everybody's eyes, whatever the umask of who installs."""
    if not path.is_dir():
        _make_folder(path.parent)
        path.mkdir()
        path.chmod(0o755)


def _put(path: Path, text: str, name: str) -> str:
    content = text.encode()
    try:
        if path.is_file() and path.read_bytes() == content:
            return f"unchanged: {name}"
        _make_folder(path.parent)
        write_whole(path, content)
        path.chmod(0o644)  # whatever the umask of who installs
    except OSError as error:
        raise EdgedError("cannot be written", where=name, got=error.strerror) from error
    return f"written: {name}"
