"""Confines a capture process, before it reads untrusted data, with Landlock and a system-call
filter.

It can read what the source needs (needs.py), the system's libraries and certificates. It can write
only the mailbox and the source's device, and cannot inspect or signal other processes. If the
kernel lacks one of the two mechanisms, the other applies alone.
"""

from __future__ import annotations

import ctypes
import os
import re
import stat
import struct
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from pathlib import Path

import edged
from edged.capture.confinement import landlock, syscall_filter
from edged.capture.confinement.landlock import EXECUTE, IOCTL_DEV, READ_DIR, READ_FILE, WRITE_FILE
from edged.capture.confinement.needs import CONFINED, Needs
from edged.capture.device_watch import is_folder, is_there
from edged.capture.messages import LONGEST_MESSAGE
from edged.capture.source import CaptureRequest, Failure, SourceError
from edged.printable import printable
from edged.process import refuse_inspection, refuse_new_privileges
from edged.secret import redact

_READ = READ_FILE | READ_DIR
_DEVICE = READ_FILE | WRITE_FILE | IOCTL_DEV
_PREPARE_SECONDS = 30.0

_SYSTEM = (
    *("/usr", "/lib", "/lib32", "/lib64", "/bin", "/sbin", "/nix/store", "/opt/vc", "/sys"),
    *("/etc/ld.so.cache", "/etc/ld.so.preload", "/etc/localtime", "/etc/timezone"),
    *("/etc/passwd", "/etc/group", "/etc/nsswitch.conf", "/etc/alternatives", "/etc/glvnd"),
    *("/proc/self", "/proc/cpuinfo", "/proc/meminfo", "/proc/stat", "/proc/filesystems"),
)
_NETWORK = (
    *("/etc/ssl", "/etc/pki", "/etc/ca-certificates", "/etc/crypto-policies", "/etc/gnutls"),
    *("/etc/resolv.conf", "/etc/hosts", "/etc/host.conf", "/etc/gai.conf", "/etc/services"),
    *("/etc/protocols", "/run/systemd/resolve"),
)
_STREAMS = ("/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom")
_PATHS_IN = re.compile(r"(LD|SSL_CERT|OPENSSL|GST|LIBCAMERA)_\w+")
"""Environment variables with paths of libraries and their files."""

# linux/capability.h
_CAPABILITIES_VERSION = 0x20080522
_DAC_OVERRIDE, _DAC_READ_SEARCH = 1, 2


def confine(request: CaptureRequest, needs: Needs, *, abi: int = landlock.KNOWN_ABI) -> None:
    """Confine this process and its children permanently. Call it before starting threads.

    abi: the highest Landlock ABI to use. Raises SourceError if the kernel supports confinement and
    refuses it.
    """
    refuse_new_privileges()
    refuse_inspection()
    if not request.confine:
        return
    _prepare(needs.prepared_by)
    if (threads := _threads()) != 1:  # the others would not be confined
        raise _unconfined(f"it has {threads} threads")
    try:
        _drop_capabilities()
        if (abi := min(abi, landlock.kernel_abi())) > 0:
            landlock.restrict(_allowed(needs, os.environ), abi)
        if syscall_filter.available():
            syscall_filter.install(
                syscall_filter.program(
                    os.getpid(),
                    network=needs.network,
                    unix_sockets=needs.unix_sockets,
                    udev=needs.udev,
                    programs=needs.programs,
                    creates=abi > 0,
                    writes=abi > 0 or bool(needs.devices),
                )
            )
    except OSError as error:
        raise _unconfined(error.strerror) from None


def missing() -> list[str]:
    """The mechanisms that this kernel lacks, with the reason."""
    found = []
    if why := landlock.why_missing():
        found.append(f"Landlock ({why})")
    if not syscall_filter.available():
        found.append("system-call filters")
    return found


def explanation(error: BaseException, needs: Needs) -> str:
    """The text of `error`, with the path that the confinement denied if that may be the reason."""
    text = str(error)
    paths = list(dict.fromkeys(_paths_of(error)))
    refused = re.search(r"permission denied|not permitted", text, re.IGNORECASE)
    # Only sources of uncertain needs write files.
    writing = not needs.certain and (refused or re.search(r"\bwrit(e|ing)\b", text, re.IGNORECASE))
    for path in (Path(path) for path in paths if path not in needs.devices):
        if _kept_from_reading(path) or (writing and _kept_from_writing(path)):
            denied = f"the confinement denies access to {path}"
            return f"{text}; {denied}: set confine: false for this camera"
    by_mode = any(not os.access(path, os.R_OK) for path in paths if not _missing(path))
    unopened = isinstance(error, SourceError) and error.reason is Failure.OPEN_FAILED
    unclear = unopened and getattr(error, "fix", None) is None and not needs.certain
    if (refused and not by_mode) or unclear:
        return _with(CONFINED, text)
    return text


def _with(hint: str, text: str) -> str:
    """Append `hint`, cutting `text` so that both fit into a message."""
    return printable(redact(text), LONGEST_MESSAGE - len(hint)) + hint


def _paths_of(error: BaseException | None) -> Iterator[str]:
    """Paths in the text of an error and of its causes, and their file names."""
    while error is not None:
        name = getattr(error, "filename", None)
        if isinstance(name, str | bytes):
            yield os.fsdecode(name).removeprefix("file:")
        yield from re.findall(r"(?<![\w/.:])/[^\s\"'`:,;()<>]+", str(error))
        error = error.__cause__ or error.__context__


def _kept_from_reading(path: Path) -> bool:
    """Although owner and mode, which access(2) checks, allow it; False without a file."""
    return os.access(path, os.R_OK) and _refused(path, os.O_RDONLY)


def _kept_from_writing(path: Path) -> bool:
    if _missing(path):  # it may have to be created
        return is_folder(path.parent) and os.access(path.parent, os.W_OK)
    return os.access(path, os.W_OK) and path.is_file() and _refused(path, os.O_WRONLY)


def _missing(path: Path | str) -> bool:
    """False also if a folder above it cannot be read."""
    try:
        Path(path).stat()
    except (FileNotFoundError, NotADirectoryError):
        return True
    except OSError:
        pass
    return False


def _refused(path: Path, flags: int) -> bool:
    try:
        os.close(os.open(path, flags | os.O_NONBLOCK | os.O_CLOEXEC))
    except PermissionError:
        return True
    except OSError:
        pass
    return False


def _unconfined(why: str | None) -> SourceError:
    what = f"the capture process could not be confined: {why}"
    return SourceError(Failure.OPEN_FAILED, what, fix="to run without confinement: confine: false")


def _threads() -> int:
    try:
        return sum(1 for _ in Path("/proc/self/task").iterdir())
    except OSError:
        return 1


def _allowed(needs: Needs, environ: Mapping[str, str]) -> dict[str, int]:
    """Rights by path."""
    libraries = (*_SYSTEM, *_python_folders(), *_of_environment(environ))
    network = _NETWORK if needs.network else ()
    plugins = _plugin_lists(environ) if needs.programs else ()
    allowed: dict[str, int] = {}
    for patterns, rights in (
        (libraries, _READ | EXECUTE if needs.programs else _READ),
        (needs.lists, READ_DIR),
        ((*network, *plugins, *needs.reads), _READ),
        ((*_STREAMS, *needs.devices), _DEVICE),
    ):
        for path in (path for pattern in patterns for path in _matches(pattern)):
            allowed[path] = allowed.get(path, 0) | rights
    return allowed


def _matches(pattern: str) -> list[str]:
    path = Path(pattern)
    if is_there(path):
        return [pattern]
    try:
        return [str(each) for each in path.parent.glob(path.name)]
    except (OSError, ValueError):  # no permission, or not a file name
        return []


def _python_folders() -> Iterator[str]:
    """Folders of modules, except the current directory and a checkout's."""
    package = Path(edged.__file__).parent
    yield str(package)
    for prefix in {sys.prefix, sys.base_prefix, sys.exec_prefix, sys.base_exec_prefix}:
        for name in ("bin", "lib", "lib64", "share", "pyvenv.cfg"):
            yield str(Path(prefix, name))
    others = {"", "/", str(package.parent)}
    with suppress(OSError):  # deleted
        others.add(str(Path.cwd()))
    for folder in sys.path:
        if folder not in others or Path(folder).name in ("site-packages", "dist-packages"):
            yield folder


def _of_environment(environ: Mapping[str, str]) -> Iterator[str]:
    for name, value in environ.items():
        if _PATHS_IN.fullmatch(name):
            yield from (path for path in value.split(":") if path.startswith("/") and path != "/")


def _plugin_lists(environ: Mapping[str, str]) -> Iterator[str]:
    """Folders of the user's GStreamer plug-ins and of the registry, which is replaced by rename."""
    home = environ.get("HOME", "/")
    yield str(Path(environ.get("XDG_DATA_HOME") or f"{home}/.local/share", "gstreamer-1.0"))
    yield str(Path(environ.get("XDG_CACHE_HOME") or f"{home}/.cache", "gstreamer-1.0"))
    folder = Path(environ.get("GST_REGISTRY", "/")).parent
    if str(folder) not in ("/", ".", home) and not _is_common(folder):
        yield str(folder)


def _is_common(folder: Path) -> bool:
    try:
        return bool(folder.stat().st_mode & stat.S_IWOTH)
    except OSError:
        return True


def _prepare(command: tuple[str, ...]) -> None:
    if not command:
        return
    import subprocess  # slow, and takes memory

    with suppress(OSError, subprocess.TimeoutExpired):  # the source reports it
        subprocess.run(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            timeout=_PREPARE_SECONDS,
            check=False,
        )


def _drop_capabilities() -> None:
    """Keep only root's access to files of others, which Landlock limits."""
    libc = ctypes.CDLL(None, use_errno=True)
    header = ctypes.create_string_buffer(struct.pack("=Ii", _CAPABILITIES_VERSION, 0))
    sets = ctypes.create_string_buffer(24)
    if libc.capget(header, sets) == 0:
        effective, permitted = struct.unpack_from("=2I", sets)
        kept = permitted & (1 << _DAC_OVERRIDE | 1 << _DAC_READ_SEARCH)
        wanted = struct.pack("=6I", effective & kept, kept, 0, 0, 0, 0)
        libc.capset(header, ctypes.create_string_buffer(wanted))
