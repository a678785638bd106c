"""Installation of the systemd unit, user and first configuration for an edged installed with pip.

Does not start the service, and does not modify what a package has installed.
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
"""Location of systemd/: inside an installed package, or beside it in a checkout."""

PACKAGED_UNIT = "usr/lib/systemd/system/edged.service"
CONFIG = Path("/etc/edged/edged.yaml")
USER = "edged"
_UNITS = "etc/systemd/system"
_JETSON = f"{_UNITS}/edged.service.d/jetson.conf"
_SYSUSERS = "etc/sysusers.d/edged.conf"
_KEPT = ("etc/edged", "var/lib/edged", "var/cache/edged")
_HIDDEN = ("/home", "/root", "/run/user", "/tmp", "/var/tmp")
"""Hidden from the service by ProtectHome= and PrivateTmp=."""

Run = Callable[[Sequence[str]], None]


@dataclass(frozen=True, slots=True)
class Service:
    """interpreter: the Python that has edged. config: absolute path."""

    interpreter: Path
    config: Path = CONFIG
    user: str = USER


def shipped(name: str) -> str:
    """Text of a file in systemd/, such as `edged.service`."""
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
    """Raises EdgedError if the command does not exist or fails."""
    try:
        subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except FileNotFoundError:
        raise EdgedError("this system has no systemd", got=f"no {command[0]}") from None
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
    """Write files that are missing or differ; returns a line for each step.

    root: the folder that stands for `/`. user_id: default is this process's. code: folders that the
    interpreter reads. Raises InputError before, EdgedError after anything is written.
    """
    if (root / PACKAGED_UNIT).exists():
        raise InputError(
            "the service is already installed by a package",
            where=f"/{PACKAGED_UNIT}",
            fix="change it with: sudo systemctl edit edged",
        )
    _check_root(user_id, service.interpreter, "install")
    if (root / _UNITS / "edged.service").is_symlink():
        raise InputError(
            "the service is masked, or its unit is a symbolic link",
            where=f"/{_UNITS}/edged.service",
            fix="sudo systemctl unmask edged, or delete the link",
        )
    _check_user(service.user)
    _check_executable(service.interpreter)
    _check_visible((service.interpreter, *code, service.config))
    run(["systemd-sysusers", "--version"])  # fails before anything is written without systemd
    config = root / service.config.relative_to("/")
    if service.config != CONFIG and not config.is_file():
        raise InputError("no such file", where=service.config, fix="create the configuration first")

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
    done.append(f"users and groups of /{_SYSUSERS} exist")
    if str(CONFIG.relative_to("/")) in files and _give_to_service(config, service.user, root):
        done.append(f"{CONFIG}: readable by root and the service only, as it may hold passwords")
    if (root / "run/systemd/system").is_dir():  # systemd runs: not an image build
        run(["systemctl", "daemon-reload"])
        done.append("systemd has loaded the unit")
    return done


def uninstall(
    interpreter: Path,
    *,
    root: Path = Path("/"),
    run: Run = run_command,
    user_id: int | None = None,
) -> list[str]:
    """Stop the service and remove what `install` wrote except the configuration; returns a line for
    each step. State, the user and the administrator's drop-ins stay. Raises as `install` does.
    """
    if (root / PACKAGED_UNIT).exists():
        fix = "remove it with: sudo apt remove edged"
        what = "the service was installed by a package"
        raise InputError(what, where=f"/{PACKAGED_UNIT}", fix=fix)
    _check_root(user_id, interpreter, "uninstall")
    unit = root / _UNITS / "edged.service"
    if not unit.is_file() or unit.is_symlink():
        raise InputError("the service is not installed", where=f"/{_UNITS}/edged.service")
    runs = (root / "run/systemd/system").is_dir()
    run(["systemctl", *(["--now"] if runs else [f"--root={root}"]), "disable", "edged.service"])
    done = ["stopped and disabled"]
    for name in (f"{_UNITS}/edged.service", _JETSON, _SYSUSERS):
        path = root / name
        try:
            if path.exists():
                path.unlink()
                done.append(f"removed: /{name}")
        except OSError as error:
            raise EdgedError("cannot be removed", where=f"/{name}", got=error.strerror) from error
    with suppress(OSError):  # not empty: the administrator's drop-ins
        (root / _JETSON).parent.rmdir()
    if runs:
        run(["systemctl", "daemon-reload"])
    kept = " ".join(f"/{name}" for name in _KEPT if (root / name).exists())
    return [*done, f"kept, with the user {USER}: {kept} (sudo rm -r {kept})"] if kept else done


def _check_root(user_id: int | None, interpreter: Path, verb: str) -> None:
    if (os.geteuid() if user_id is None else user_id) != 0:
        fix = f"run it as root: {as_root(interpreter, verb)}"
        raise InputError(f"only root can {verb} the service", fix=fix)


def as_root(interpreter: Path, verb: str) -> str:
    """`edged service VERB` of an edged from pip, with its full path: sudo does not search virtual
    environments."""
    return f"sudo {interpreter.with_name('edged')} service {verb}"


def _command(service: Service) -> str:
    """-I: ignore the working directory and PYTHON… variables."""
    return f"{_quoted(service.interpreter)} -I -m edged run -c {_quoted(service.config)}"


def _quoted(path: Path) -> str:
    """Quote an argument of ExecStart= as in systemd.service(5)."""
    text = str(path).replace("%", "%%").replace("$", "$$")
    if not any(sign in text for sign in " \t\"'\\;"):
        return text
    return '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"'


def _give_to_service(config: Path, user: str, root: Path) -> bool:
    """Set group and mode so that only root and the user can read it; False if unknown in `root`."""
    try:
        entries = (line.split(":") for line in (root / "etc/passwd").read_text().splitlines())
        group = next(int(entry[3]) for entry in entries if entry[0] == user)
        os.chown(config, 0, group)
        config.chmod(0o640)
    except (OSError, StopIteration):  # an image whose users are created later
        return False
    return True


def _check_user(name: str) -> None:
    try:
        known = name == USER or bool(pwd.getpwnam(name))
    except (KeyError, ValueError):
        known = False
    if not known:
        raise InputError("no such user", got=repr(name), fix="omit --user to use edged")


def _check_visible(paths: Iterable[Path]) -> None:
    for path in paths:
        for seen in (path, path.resolve()):
            if not str(seen).isprintable():
                raise InputError("a unit cannot contain this path", got=repr(str(seen)))
            if any(seen.is_relative_to(folder) for folder in _HIDDEN):
                raise InputError(
                    "the service cannot access home folders and /tmp",
                    where=seen,
                    fix="install edged elsewhere: sudo /usr/bin/python3 -m venv /opt/edged && "
                    "sudo /opt/edged/bin/pip install CHECKOUT (the source folder or a wheel)"
                    if path.suffix not in (".yaml", ".yml")
                    else f"move it, for example to {CONFIG}",
                )


def _check_executable(interpreter: Path) -> None:
    """ExecStart= has no escapes for the path of the program."""
    if any(sign in str(interpreter) for sign in '$"\\'):
        raise InputError(
            "a unit cannot start a program with this path",
            got=repr(str(interpreter)),
            fix="install edged elsewhere: sudo /usr/bin/python3 -m venv /opt/edged",
        )


def _make_folder(path: Path) -> None:
    """Create a world-readable folder, whatever the umask."""
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
        path.chmod(0o644)  # whatever the umask
    except OSError as error:
        raise EdgedError("cannot be written", where=name, got=error.strerror) from error
    return f"written: {name}"
