"""What the filter of system calls decides, on both processors: its program is run here."""

from __future__ import annotations

import ctypes
import ctypes.util
import errno
import fcntl
import os
import signal
import socket

import pytest

from edged.capture.confinement.syscall_filter import (
    ARCHITECTURES,
    NUMBERS,
    Instruction,
    available,
    program,
)

OWN, OTHER = 4711, 4712
ALLOWED = 0
MACHINES = pytest.mark.parametrize("machine", ARCHITECTURES)


def verdict(code: list[Instruction], architecture: int, number: int, *arguments: int) -> int:
    """ALLOWED or the errno, as the kernel's machine for such programs comes to it."""
    words = [number, architecture, 0, 0]  # the address of the call in two halves
    for argument in (*arguments, *(0,) * (6 - len(arguments))):
        words += [argument & 0xFFFFFFFF, argument >> 32 & 0xFFFFFFFF]
    at = accumulator = 0
    while True:
        kind, if_true, if_false, operand = code[at]
        at += 1
        if kind == 0x20:
            accumulator = words[operand // 4]
        elif kind == 0x54:
            accumulator &= operand
        elif kind == 0x15:
            at += if_true if accumulator == operand else if_false
        elif kind == 0x25:
            at += if_true if accumulator > operand else if_false
        else:
            assert kind == 0x06
            return ALLOWED if operand == 0x7FFF0000 else operand & 0xFFFF


class Filter:
    def __init__(self, machine: str, **granted: bool) -> None:
        self._machine = machine
        self.code = program(OWN, machine=machine, **granted)

    def __call__(self, name: str, *arguments: int) -> int:
        number = NUMBERS[self._machine][name]
        return verdict(self.code, ARCHITECTURES[self._machine], number, *arguments)


@MACHINES
def test_the_numbers_are_those_of_libseccomp(machine: str) -> None:
    path = ctypes.util.find_library("seccomp")
    if path is None:
        pytest.skip("needs libseccomp2")
    library = ctypes.CDLL(path)
    for name, number in NUMBERS[machine].items():
        said = library.seccomp_syscall_resolve_name_arch(ARCHITECTURES[machine], name.encode())
        assert said in (number, -1), name  # -1: newer than this library
    for name in NUMBERS["x86_64"].keys() - NUMBERS[machine].keys():
        said = library.seccomp_syscall_resolve_name_arch(ARCHITECTURES[machine], name.encode())
        assert said < 0, name


@MACHINES
def test_signals_and_settings_reach_only_itself(machine: str) -> None:
    call = Filter(machine, programs=True, network=True)
    for name in ("kill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo"):
        assert call(name, OWN, signal.SIGABRT) == ALLOWED
        for pid in (OTHER, 0, -1, -OWN, 1):
            assert call(name, pid, signal.SIGKILL) == errno.EPERM
    for name in ("prlimit64", "sched_setaffinity", "sched_setscheduler", "sched_setattr"):
        assert call(name, 0) == call(name, OWN) == ALLOWED
        assert call(name, OTHER) == errno.EPERM
    assert call("setpriority", os.PRIO_PROCESS, 0) == ALLOWED
    assert call("setpriority", os.PRIO_PROCESS, OTHER) == errno.EPERM
    assert call("setpriority", os.PRIO_USER, 0) == errno.EPERM
    assert call("fcntl", 3, fcntl.F_GETFL) == call("fcntl", 3, fcntl.F_SETLKW) == ALLOWED
    assert call("fcntl", 3, fcntl.F_SETOWN) == call("fcntl", 3, 15) == errno.EPERM
    assert call("ioctl", 3, 0xC0585611) == ALLOWED  # VIDIOC_DQBUF
    assert call("ioctl", 3, 0x8901) == call("ioctl", 3, 0x5412) == errno.EPERM
    for name in ("ptrace", "process_vm_writev", "pidfd_open", "pidfd_send_signal", "tkill"):
        assert call(name, OWN) == errno.EPERM


@MACHINES
def test_files_are_opened_but_neither_cut_nor_changed(machine: str) -> None:
    call = Filter(machine)
    openings = {"openat": (-100, 0)} | ({"open": (0,)} if machine == "x86_64" else {})
    for name, before in openings.items():
        for flags in (os.O_RDONLY, os.O_RDWR | os.O_NONBLOCK, os.O_WRONLY | os.O_TRUNC):
            assert call(name, *before, flags) == ALLOWED  # Landlock decides
        for flags in (os.O_TRUNC, os.O_ACCMODE, os.O_ACCMODE | os.O_TRUNC):
            assert call(name, *before, flags) == errno.EPERM
    without_landlock = Filter(machine, creates=False, writes=False)
    device_without = Filter(machine, creates=False)
    for flags in (os.O_RDWR, os.O_WRONLY):
        assert without_landlock("openat", -100, 0, flags) == errno.EPERM
        assert device_without("openat", -100, 0, flags) == ALLOWED
        assert device_without("openat", -100, 0, flags | os.O_CREAT) == errno.EPERM
    assert without_landlock("openat", -100, 0, os.O_RDONLY) == ALLOWED
    for name in ("truncate", "fchmodat", "fchownat", "utimensat", "setxattr", "renameat2"):
        assert call(name) == errno.EPERM
    assert call("openat2") == call("clone3") == errno.ENOSYS


@MACHINES
def test_sockets_and_programs_by_what_the_row_states(machine: str) -> None:
    nothing, network = Filter(machine), Filter(machine, network=True)
    local = Filter(machine, unix_sockets=True, udev=True, programs=True)
    for family in (socket.AF_UNIX, socket.AF_INET, socket.AF_INET6, socket.AF_NETLINK):
        assert nothing("socket", family) == errno.EPERM
    assert network("socket", socket.AF_INET) == network("socket", socket.AF_INET6) == ALLOWED
    assert network("socket", socket.AF_UNIX) == network("socket", socket.AF_PACKET) == errno.EPERM
    assert network("socket", socket.AF_NETLINK, 3, 0) == ALLOWED
    assert network("socket", socket.AF_NETLINK, 3, 9) == errno.EPERM  # audit
    assert local("socket", socket.AF_UNIX) == local("socket", socket.AF_NETLINK, 3, 15) == ALLOWED
    assert local("socket", socket.AF_INET) == errno.EPERM
    thread, process, namespace = 0x3D0F00, signal.SIGCHLD, 0x10000000
    assert nothing("clone", thread) == local("clone", thread) == local("clone", process) == ALLOWED
    assert nothing("clone", process) == nothing("execve") == errno.EPERM
    assert local("clone", process | namespace) == errno.EPERM
    assert local("clone", process | 0x8000) == errno.EPERM  # a child of the daemon
    assert local("execve") == ALLOWED


@MACHINES
def test_other_numberings_and_later_calls_do_not_exist(machine: str) -> None:
    code = program(OWN, machine=machine)
    kill = NUMBERS[machine]["kill"]
    for other in {0x40000003, 0x40000028, *ARCHITECTURES.values()} - {ARCHITECTURES[machine]}:
        assert verdict(code, other, kill, OWN) == errno.ENOSYS  # i386, 32-bit ARM
    assert verdict(code, ARCHITECTURES[machine], 0x40000000 | kill, OWN) == errno.ENOSYS  # x32
    assert verdict(code, ARCHITECTURES[machine], 463) == errno.ENOSYS
    assert verdict(code, ARCHITECTURES[machine], 462) == ALLOWED


def test_a_32_bit_process_on_a_64_bit_kernel_gets_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As with Raspberry Pi OS of 32 bits: every one of its calls would be unknown to the filter."""
    monkeypatch.setattr("sys.maxsize", 2**31 - 1)
    assert not available("aarch64")
    assert not available("x86_64")
