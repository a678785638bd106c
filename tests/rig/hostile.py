"""A source that tries to break out of its capture process, and reports what it reached.

It stands in for what a hostile stream makes of a library: arbitrary code in a child of the daemon.
Complete in itself, so that it can take the place of the synthetic source on a device.
"""

from __future__ import annotations

import ctypes
import fcntl
import os
import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from edged.capture.admission import Admission
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError

MARK = "attacks, reached: "
SECRET = "hunter2-of-the-door"
"""Whoever runs this puts it into the daemon's environment and another camera's source."""
NAME = f"hostile-{os.getpid()}"
_ONLY = os.environ.get("HOSTILE_FOLDERS")
"""Where it may leave traces if nothing stops it."""
_X86 = os.uname().machine == "x86_64"
_NUMBERS = {
    "process_vm_readv": (310, 270),
    "ptrace": (101, 117),
    "tkill": (200, 130),
    "tgkill": (234, 131),
    "rt_sigqueueinfo": (129, 138),
    "pidfd_open": (434, 434),
    "kcmp": (312, 272),
    "perf_event_open": (298, 241),
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "keyctl": (250, 219),
    "shmget": (29, 194),
    "msgget": (68, 186),
    "unshare": (272, 97),
    "sched_setaffinity": (203, 122),
    "clone3": (435, 435),
    "openat2": (437, 437),
    "mount": (165, 40),
}
_libc = ctypes.CDLL(None, use_errno=True)


class SyntheticSource:
    def __init__(self, request: CaptureRequest, admission: Admission) -> None:
        self._own = request.source

    def open(self) -> Granted:
        tried, reached = 0, dict[str, None]()
        for name, attack in attacks(self._own):
            tried += 1
            try:
                answer = attack()
            except Exception:
                continue
            if answer is not None and answer is not False:
                reached.setdefault(name)
        told = ", ".join(reached) or "nothing"
        if "HOSTILE_REPORT" in os.environ:  # a message is short
            Path(os.environ["HOSTILE_REPORT"]).write_text(told)
        text = f"{tried} {MARK}{told[:800]}."
        raise SourceError(Failure.OPEN_FAILED, text, fix="trust nobody")

    def read(self, wanted: int) -> Picture | None:
        return None

    def close(self) -> None:
        pass


Attack = Callable[[], Any]
"""What it returns is its success, unless that is None or False."""


def attacks(own: str) -> Iterator[tuple[str, Attack]]:
    daemon = os.getppid()
    yield "a secret in its own environment", lambda: SECRET in str(os.environ) or None
    yield "credentials", lambda: os.environ.get("CREDENTIALS_DIRECTORY")
    yield "descriptors beyond its own", _foreign_descriptors
    yield from _on_process("the daemon", daemon)
    yield from _on_the_parent(daemon)
    for pid in _others():
        yield from _on_process("another process", pid)
    yield "a signal to its group", lambda: os.kill(0, 0) is None
    yield "a signal to all", lambda: os.kill(-1, 0) is None
    yield from _on_files(own)
    yield from _on_the_kernel()
    yield from _on_the_api(own)


def _others() -> list[int]:
    """Of its own kind or not: who is there shows even without /proc being readable."""
    if _ONLY:
        return []
    last = max(os.getpid(), os.getppid()) + 300
    own = (os.getpid(), os.getppid())
    return [n for n in range(1, last) if n not in own and Path(f"/proc/{n}").exists()]


def _on_process(who: str, pid: int) -> Iterator[tuple[str, Attack]]:
    for file in ("environ", "mem", "maps", "cmdline"):
        yield f"{file} of {who}", lambda file=file: _readable(f"/proc/{pid}/{file}")
    yield f"descriptors of {who}", lambda: _listed(f"/proc/{pid}/fd")
    yield f"root of {who}", lambda: _listed(f"/proc/{pid}/root")
    yield f"a signal to {who}", lambda: os.kill(pid, 0) is None
    yield f"tgkill of {who}", lambda: _call("tgkill", pid, pid, 0)
    yield f"tkill of {who}", lambda: _call("tkill", pid, 0)
    yield f"pidfd of {who}", lambda: _call("pidfd_open", pid, 0)
    yield f"kcmp of {who}", lambda: _call("kcmp", pid, pid, 1, 0, 0)
    yield f"vm_read of {who}", lambda: _vm_read(pid)
    yield (
        f"limits of {who}",
        lambda: _libc.prlimit(pid, 7, None, ctypes.create_string_buffer(16)) == 0 or None,
    )


def _on_the_parent(pid: int) -> Iterator[tuple[str, Attack]]:
    """What would disturb others if it worked."""
    yield (
        "memory of the daemon to write",
        lambda: os.close(os.open(f"/proc/{pid}/mem", os.O_RDWR)) is None,
    )
    yield "trace of the daemon", lambda: _call("ptrace", 0x4206, pid, 0, 0)
    yield (
        "priority of the daemon",
        lambda: os.setpriority(os.PRIO_PROCESS, pid, os.getpriority(os.PRIO_PROCESS, pid)) is None,
    )
    yield (
        "cores of the daemon",
        lambda: os.sched_setaffinity(pid, os.sched_getaffinity(pid)) is None,
    )
    yield (
        "siginfo to the daemon",
        lambda: _call(
            "rt_sigqueueinfo", pid, 0, ctypes.create_string_buffer(b"\0" * 8 + b"\xff" * 4, 128)
        ),
    )
    yield "signals by descriptors", lambda: fcntl.fcntl(os.pipe()[0], fcntl.F_SETOWN, pid) == 0


def _on_files(own: str) -> Iterator[tuple[str, Attack]]:
    for folder in _folders():
        yield f"names in {folder}", lambda folder=folder: _listed(folder)
        yield f"a file in {folder}", lambda folder=folder: _made(Path(folder, NAME))
        yield f"a folder in {folder}", lambda folder=folder: _made_folder(Path(folder, NAME))
        yield f"a link in {folder}", lambda folder=folder: _made_link(Path(folder, NAME))
    for file in _files():
        yield f"content of {file}", lambda file=file: _readable(file)
        yield f"to write {file}", lambda file=file: os.close(os.open(file, os.O_WRONLY)) is None
        yield (
            f"to open {file} for neither",
            lambda file=file: os.close(os.open(file, os.O_ACCMODE)) is None,
        )
    if not Path(own).is_file():
        return
    mine = Path(own)  # may be read and no more
    size = mine.stat().st_size
    yield "its file to append", lambda: os.close(os.open(mine, os.O_WRONLY | os.O_APPEND)) is None
    yield (
        "its file to cut short while reading",
        lambda: os.close(os.open(mine, os.O_RDONLY | os.O_TRUNC)) is None,
    )
    yield "its file to cut short", lambda: os.truncate(mine, size) is None
    yield "its file's mode", lambda: mine.chmod(mine.stat().st_mode) is None
    yield "its file's time", lambda: os.utime(mine) is None
    yield "its file's attributes", lambda: os.setxattr(mine, "user.hostile", b"1") is None
    yield "its file's owner", lambda: os.chown(mine, os.getuid(), os.getgid()) is None
    yield "its file's name", lambda: _renamed(mine)
    yield "a way past the flags", lambda: _call("openat2", -100, str(mine).encode(), b"\0" * 24, 24)


def _on_the_kernel() -> Iterator[tuple[str, Attack]]:
    for family in (
        socket.AF_UNIX,
        socket.AF_INET,
        socket.AF_INET6,
        socket.AF_NETLINK,
        socket.AF_PACKET,
        38,
        40,
    ):
        yield f"a socket of family {int(family)}", lambda family=family: _socket(family)
    yield "another process", _forked
    yield "another program", lambda: subprocess.run(["/bin/true"], check=True) is not None
    yield "another image", lambda: os.posix_spawn("/bin/true", ["true"], {})
    yield "io_uring", lambda: _call("io_uring_setup", 1, ctypes.create_string_buffer(120))
    yield (
        "bpf",
        lambda: _call("bpf", 0, ctypes.create_string_buffer(b"\2\0\0\0\4\0\0\0\4\0\0\0\1", 64), 64),
    )
    yield "userfaultfd", lambda: _call("userfaultfd", 1)
    yield (
        "perf",
        lambda: _call(
            "perf_event_open", ctypes.create_string_buffer(b"\1\0\0\0\x70\0\0\0", 112), 0, -1, -1, 0
        ),
    )
    yield "a namespace", lambda: _call("unshare", 0x10000000)
    yield "a mount", lambda: _call("mount", b"none", b"/mnt", b"tmpfs", 0, None)
    yield "keys", lambda: _call("keyctl", 0, -3, 1)
    yield "shared memory", lambda: _call("shmget", 0, 4096, 0o1600)
    yield "a message queue", lambda: _call("msgget", 0, 0o1600)


def _on_the_api(own: str) -> Iterator[tuple[str, Attack]]:
    """Of the daemon's HTTP server: at its usual port, and where the source's address is."""
    ports = {9640, *(int(port) for port in re.findall(r"//127\.0\.0\.1:(\d+)/", own))}
    for port in sorted(ports):
        for family, host in ((socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::ffff:127.0.0.1")):
            yield "a change of the daemon", partial(_changed, family, host, port)
            yield "a change of the daemon", partial(_changed, family, host, port, leaving=True)


def _changed(family: int, host: str, port: int, leaving: bool = False) -> bool:
    """leaving: end the connection at once, so that the kernel no longer knows whose it was."""
    body = b'{"view": "door", "classes": ["open", "closed"]}'
    head = (
        f"POST /api/v1/teach/{NAME} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    )
    answer = _answer(family, host, port, head.encode() + body, leaving=leaving)
    if leaving:
        time.sleep(0.5)
        answer = _answer(family, host, port, b"GET /api/v1/teach HTTP/1.0\r\n\r\n")
        return NAME.encode() in answer
    return answer.startswith(b"HTTP/1.1 2")


def _answer(family: int, host: str, port: int, data: bytes, leaving: bool = False) -> bytes:
    with socket.socket(family) as client:
        client.settimeout(5)
        client.connect((host, port))
        client.sendall(data)
        answer = b""
        while not leaving and (more := client.recv(65536)):
            answer += more
        return answer


def _folders() -> list[str]:
    """Where a service or a person may write, and where secrets lie."""
    if _ONLY:
        return _ONLY.split(":")
    home = os.environ.get("HOME", "/root")
    names = [
        "/tmp",
        "/var/tmp",
        "/dev/shm",
        "/etc/edged",
        "/var/lib/edged",
        "/var/cache/edged",
        "/run/edged",
        "/run/credentials",
        "/run/credentials/edged.service",
        home,
        f"{home}/.ssh",
        str(Path.cwd()),
    ]
    return [name for name in dict.fromkeys(names) if name and name != "/" and Path(name).is_dir()]


def _files() -> list[str]:
    names = [
        "/etc/edged/edged.yaml",
        "/etc/edged/door",
        "/etc/shadow",
        "/run/credentials/edged.service/door",
        "/proc/sys/kernel/pid_max",
        __file__,
    ]
    return [name for name in names if name and Path(name).is_file() and name != __file__]


def _foreign_descriptors() -> list[str] | None:
    """Beyond pipes to the daemon, its mailbox, and what the interpreter has for itself."""
    found = []
    for fd in range(256):
        try:
            name = str(Path(f"/proc/self/fd/{fd}").readlink())
        except OSError:
            continue
        if not name.startswith(("pipe:", "/memfd:edged-mailbox", "anon_inode:[eventfd]")):
            found.append(name)
    return found or None


def _readable(path: str) -> bool:
    with Path(path).open("rb") as file:
        if path.endswith(("/mem", "/maps")):
            return True  # that it opens is enough: the check is made there
        return bool(file.read(64))


def _made(path: Path) -> bool:
    path.write_bytes(b"x")
    path.unlink()
    return True


def _made_folder(path: Path) -> bool:
    path.mkdir()
    path.rmdir()
    return True


def _made_link(path: Path) -> bool:
    path.symlink_to("/")
    path.unlink()
    return True


def _listed(path: str) -> bool:
    return list(Path(path).iterdir()) is not None


def _renamed(path: Path) -> bool:
    path.rename(path.with_suffix(".x")).rename(path)
    return True


def _socket(family: int) -> bool:
    kind = {
        socket.AF_PACKET: socket.SOCK_RAW,
        socket.AF_NETLINK: socket.SOCK_RAW,
        38: socket.SOCK_SEQPACKET,
    }
    socket.socket(family, kind.get(family, socket.SOCK_STREAM)).close()
    return True


def _forked() -> bool:
    pid = os.fork()
    if pid == 0:
        os._exit(0)
    os.waitpid(pid, 0)
    return True


def _vm_read(pid: int) -> bool | None:
    buffer = ctypes.create_string_buffer(8)
    own = (ctypes.c_size_t * 2)(ctypes.addressof(buffer), 8)
    address = (ctypes.c_size_t * 2)(ctypes.addressof(_libc.getpid), 8)
    count = _libc.process_vm_readv(pid, own, 1, address, 1, 0)
    # EFAULT: it may look, and nothing is there.
    return True if count > 0 or ctypes.get_errno() == 14 else None


def _call(name: str, *arguments: Any) -> bool | None:
    number = _NUMBERS[name][0 if _X86 else 1]
    words = [ctypes.c_long(each) if isinstance(each, int) else each for each in arguments]
    return True if _libc.syscall(ctypes.c_long(number), *words) >= 0 else None


if __name__ == "__main__":
    # In place of `-m edged.capture.worker`: MEMFD EVENTFD [--abi N]
    from edged.capture import worker

    worker.make_source = SyntheticSource  # type: ignore[assignment]
    options = {"abi": int(sys.argv[4])} if "--abi" in sys.argv else {}
    sys.exit(worker.main(sys.argv[1:3], **options))
