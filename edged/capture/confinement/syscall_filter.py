"""A system-call filter (seccomp(2)): calls that a capture process never needs fail with EPERM.

It denies access to other processes (signals, memory, limits, priorities), ways around the filter
(io_uring, other call numberings), and file changes that Landlock does not cover before ABI 3.
Denied calls do not kill the process, because libraries probe. Calls newer than the table fail with
ENOSYS, so that libraries fall back to older ones.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import struct
import sys
from collections.abc import Iterable, Sequence

from edged.process import prctl

_PR_SET_SECCOMP, _MODE_FILTER = 22, 2

Instruction = tuple[int, int, int, int]
"""struct sock_filter: code, jump if true, jump if false, operand."""
_LOAD, _AND, _RETURN = 0x20, 0x54, 0x06  # BPF_LD|W|ABS, BPF_ALU|AND|K, BPF_RET|K
_EQUAL, _GREATER = 0x15, 0x25  # BPF_JMP|BPF_JEQ|K, BPF_JMP|BPF_JGT|K
_NUMBER_AT, _ARCHITECTURE_AT, _ARGUMENTS_AT = 0, 4, 16
_ALLOW: Instruction = (_RETURN, 0, 0, 0x7FFF0000)

ARCHITECTURES = {"x86_64": 0xC000003E, "aarch64": 0xC00000B7}
"""AUDIT_ARCH_…, in the order of the table's columns."""
_NEWEST = 462
"""mseal; numbers from 424 on are the same on all architectures."""
_TABLE = """
# other processes: their memory, descriptors, signals, priorities
ptrace 101 117, process_vm_readv 310 270, process_vm_writev 311 271, process_madvise 440 440
process_mrelease 448 448, kcmp 312 272, get_robust_list 274 100, perf_event_open 298 241
pidfd_open 434 434, pidfd_getfd 438 438, pidfd_send_signal 424 424, tkill 200 130, kill 62 129
tgkill 234 131, rt_sigqueueinfo 129 138, rt_tgsigqueueinfo 297 240, migrate_pages 256 238
move_pages 279 239, ioprio_set 251 30, prlimit64 302 261, setpriority 141 140
sched_setaffinity 203 122, sched_setscheduler 144 119, sched_setparam 142 118, sched_setattr 314 274
# memory and messages that processes of one user share by a key
shmget 29 194, shmat 30 196, shmctl 31 195, semget 64 190, semop 65 193, semctl 66 191
semtimedop 220 192, msgget 68 186, msgsnd 69 189, msgrcv 70 188, msgctl 71 187, mq_open 240 180
mq_unlink 241 181, mq_timedsend 242 182, mq_timedreceive 243 183, mq_notify 244 184
mq_getsetattr 245 185, add_key 248 217, request_key 249 218, keyctl 250 219
# ways around a filter, and into the kernel
io_uring_setup 425 425, io_uring_enter 426 426, io_uring_register 427 427, bpf 321 280
userfaultfd 323 282, clone3 435 435, openat2 437 437, fcntl 72 25, ioctl 16 29
# files: open is looked at, the rest changes names, owners and attributes
open 2 -, openat 257 56, creat 85 -, truncate 76 45, chmod 90 -, fchmod 91 52, fchmodat 268 53
fchmodat2 452 452, chown 92 -, fchown 93 55, lchown 94 -, fchownat 260 54, utime 132 -, utimes 235 -
futimesat 261 -, utimensat 280 88, setxattr 188 5, lsetxattr 189 6, fsetxattr 190 7
removexattr 197 14, lremovexattr 198 15, fremovexattr 199 16, link 86 -, linkat 265 37, symlink 88 -
symlinkat 266 36, rename 82 -, renameat 264 38, renameat2 316 276, mkdir 83 -, mkdirat 258 34
rmdir 84 -, unlink 87 -, unlinkat 263 35, mknod 133 -, mknodat 259 33, open_by_handle_at 304 265
name_to_handle_at 303 264, quotactl 179 60, quotactl_fd 443 443
# new processes and connections
clone 56 220, fork 57 -, vfork 58 -, execve 59 221, execveat 322 281, socket 41 198
# the system
mount 165 40, umount2 166 39, pivot_root 155 41, chroot 161 51, move_mount 429 429
open_tree 428 428, fsopen 430 430, fsconfig 431 431, fsmount 432 432, fspick 433 433
mount_setattr 442 442, unshare 272 97, setns 308 268, acct 163 89, swapon 167 224, swapoff 168 225
reboot 169 142, kexec_load 246 104, kexec_file_load 320 294, init_module 175 105
finit_module 313 273, delete_module 176 106, sethostname 170 161, setdomainname 171 162
settimeofday 164 170, clock_settime 227 112, clock_adjtime 305 266, adjtimex 159 171, iopl 172 -
ioperm 173 -, modify_ldt 154 -, syslog 103 116, vhangup 153 58, fanotify_init 300 262
fanotify_mark 301 263, personality 135 92
"""
"""Name, number on x86-64, on aarch64."""


def _numbers(column: int) -> dict[str, int]:
    lines = [line for line in _TABLE.splitlines() if not line.startswith("#")]
    entries = [entry.split() for entry in ", ".join(filter(None, lines)).split(", ")]
    return {words[0]: int(words[column]) for words in entries if words[column] != "-"}


NUMBERS = {machine: _numbers(1 + index) for index, machine in enumerate(ARCHITECTURES)}

_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY = 8, 10, 15, 1024, 1026
_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX = 0x8901, 0x8902, 0x5412, 0x541C
_CLONE_THREAD, _CLONE_PARENT, _CLONE_NAMESPACES = 0x10000, 0x8000, 0x7E020000
_PRIO_PROCESS = 0
_AF_UNIX, _AF_INET, _AF_INET6, _AF_NETLINK = 1, 2, 10, 16
_NETLINK_ROUTE, _NETLINK_UEVENT = 0, 15


def available(machine: str = platform.machine()) -> bool:
    """Whether the kernel supports filters and the table covers the processor."""
    if machine not in ARCHITECTURES or sys.maxsize < 2**32:  # a 32-bit process has other calls
        return False
    try:
        prctl(_PR_SET_SECCOMP, _MODE_FILTER, 0)
    except OSError as error:
        return error.errno == errno.EFAULT  # it tried to read the filter
    return False


def install(filtered: list[Instruction]) -> None:
    """Apply to the calling thread and its children; needs no_new_privs. Raises OSError."""
    code = ctypes.create_string_buffer(b"".join(struct.pack("=HBBI", *each) for each in filtered))
    header = ctypes.create_string_buffer(struct.pack("@HP", len(filtered), ctypes.addressof(code)))
    prctl(_PR_SET_SECCOMP, _MODE_FILTER, ctypes.addressof(header))


def program(
    own_pid: int,
    *,
    network: bool = False,
    unix_sockets: bool = False,
    udev: bool = False,
    programs: bool = False,
    creates: bool = True,
    writes: bool = True,
    machine: str = platform.machine(),
) -> list[Instruction]:
    """The filter of the process own_pid, the only one that it and its children may signal.

    udev: may receive device events. programs: may start programs. creates, writes: may open files
    for it, as far as Landlock permits.
    """
    own = (0, own_pid)
    rules: dict[str, Sequence[Instruction]] = {
        **dict.fromkeys(NUMBERS[machine], (_fail(errno.EPERM),)),
        # Filters cannot see these arguments, which are in memory.
        **dict.fromkeys(("clone3", "openat2"), (_fail(errno.ENOSYS),)),
        **dict.fromkeys(
            ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"), _only(0, own[1:])
        ),
        **dict.fromkeys(
            ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setparam"),
            _only(0, own),
        ),
        "sched_setattr": _only(0, own),
        "setpriority": [*_unless(0, ~0, _PRIO_PROCESS), *_only(1, own)],
        "fcntl": _never(1, (_F_SETOWN, _F_SETSIG, _F_SETOWN_EX, _F_SETLEASE, _F_NOTIFY)),
        "ioctl": _never(1, (_FIOSETOWN, _SIOCSPGRP, _TIOCSTI, _TIOCLINUX)),
        "open": _opening(1, creates=creates, writes=writes),
        "openat": _opening(2, creates=creates, writes=writes),
        "socket": _socket(network=network, unix_sockets=unix_sockets, udev=udev),
        "clone": [*_unless(0, _CLONE_THREAD, _CLONE_THREAD), _ALLOW],
    }
    if programs:
        rules["clone"] = [*_unless(0, _CLONE_NAMESPACES | _CLONE_PARENT, 0), _ALLOW]
        for name in ("fork", "vfork", "execve", "execveat"):
            rules.pop(name, None)
    found = [
        (_LOAD, 0, 0, _ARCHITECTURE_AT),
        (_EQUAL, 1, 0, ARCHITECTURES[machine]),
        _fail(errno.ENOSYS),
        (_LOAD, 0, 0, _NUMBER_AT),
        (_GREATER, 0, 1, _NEWEST),  # those of x32 have a bit far above
        _fail(errno.ENOSYS),
    ]
    for name, rule in rules.items():
        if name in NUMBERS[machine]:
            found += [(_EQUAL, 0, len(rule), NUMBERS[machine][name]), *rule]
    return [*found, _ALLOW]


def _fail(number: int) -> Instruction:
    return _RETURN, 0, 0, 0x00050000 | number


def _load(argument: int) -> Instruction:
    """The lower half, a whole int; both architectures are little-endian."""
    return _LOAD, 0, 0, _ARGUMENTS_AT + 8 * argument


def _only(argument: int, values: Iterable[int]) -> list[Instruction]:
    each = [step for value in values for step in ((_EQUAL, 0, 1, value), _ALLOW)]
    return [_load(argument), *each, _fail(errno.EPERM)]


def _never(argument: int, values: Iterable[int]) -> list[Instruction]:
    refused = _fail(errno.EPERM)
    each = [step for value in values for step in ((_EQUAL, 0, 1, value), refused)]
    return [_load(argument), *each, _ALLOW]


def _unless(argument: int, mask: int, value: int) -> list[Instruction]:
    """Fail unless the masked argument has this value, else continue."""
    bits = (_AND, 0, 0, mask & 0xFFFFFFFF)
    return [_load(argument), bits, (_EQUAL, 1, 0, value), _fail(errno.EPERM)]


def _opening(flags: int, *, creates: bool, writes: bool) -> list[Instruction]:
    """Also denies O_RDONLY with O_TRUNC, which Landlock covers from ABI 3 on, and access mode 3,
    which it does not cover."""
    refused = [(os.O_ACCMODE, os.O_ACCMODE), (os.O_ACCMODE | os.O_TRUNC, os.O_TRUNC)]
    if not creates:
        refused.append((os.O_CREAT, os.O_CREAT))
    if not writes:
        refused += [(os.O_ACCMODE, os.O_WRONLY), (os.O_ACCMODE, os.O_RDWR)]
    steps = (
        [_load(flags), (_AND, 0, 0, mask), (_EQUAL, 0, 1, value), _fail(errno.EPERM)]
        for mask, value in refused
    )
    return [*(step for each in steps for step in each), _ALLOW]


def _socket(*, network: bool, unix_sockets: bool, udev: bool) -> list[Instruction]:
    """By family, and AF_NETLINK by protocol; getaddrinfo needs NETLINK_ROUTE."""
    families = (_AF_INET, _AF_INET6) * network + (_AF_UNIX,) * unix_sockets
    protocols = (_NETLINK_ROUTE,) * network + (_NETLINK_UEVENT,) * udev
    return [
        _load(0),
        *(step for family in families for step in ((_EQUAL, 0, 1, family), _ALLOW)),
        (_EQUAL, 1, 0, _AF_NETLINK),
        _fail(errno.EPERM),
        *_only(2, protocols),
    ]
