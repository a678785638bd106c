"""A disk that fails, or a process that is killed, at the n-th write to files of one name.

For a process started with the shim in LD_PRELOAD; gcc makes it.
"""

from __future__ import annotations

import ctypes
import shutil
import subprocess
from pathlib import Path

import pytest

KILL, FULL = 1, 2

SHIM = r"""
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/types.h>
#include <unistd.h>

static long left = -1, synced = 0;
static int mode;
static char wanted[256];

void fault_arm(long after, int how, const char *name) {
    left = after; mode = how; synced = 0;
    strncpy(wanted, name, sizeof wanted - 1);
}
long fault_synced(void) { return synced; }

static int is_wanted(int fd) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    return wanted[0] && strstr(path, wanted) != NULL;
}
static int fails(int fd) {
    if (left < 0 || !is_wanted(fd)) return 0;
    if (left > 0) { left--; return 0; }
    return 1;
}
static void die(void) { kill(getpid(), SIGKILL); pause(); }

#define REAL(name, ...) \
    static __typeof__(name) *real; if (!real) real = dlsym(RTLD_NEXT, __VA_ARGS__)

ssize_t pwrite64(int fd, const void *data, size_t size, off64_t at) {
    REAL(pwrite64, "pwrite64");
    if (!fails(fd)) return real(fd, data, size, at);
    if (mode == 1) { real(fd, data, size / 2, at); die(); }
    errno = ENOSPC; return -1;
}
ssize_t write(int fd, const void *data, size_t size) {
    REAL(write, "write");
    if (!fails(fd)) return real(fd, data, size);
    if (mode == 1) { real(fd, data, size / 2); die(); }
    errno = ENOSPC; return -1;
}
int ftruncate64(int fd, off64_t size) {
    REAL(ftruncate64, "ftruncate64");
    if (mode == 1 && fails(fd)) die();
    return real(fd, size);
}
int fdatasync(int fd) {
    REAL(fdatasync, "fdatasync");
    if (mode == 1 && fails(fd)) die();
    if (is_wanted(fd)) synced++;
    return real(fd);
}
int fsync(int fd) {
    REAL(fsync, "fsync");
    if (mode == 1 && fails(fd)) die();
    if (is_wanted(fd)) synced++;
    return real(fd);
}
"""


def shim(folder: Path) -> Path:
    """The library."""
    if shutil.which("gcc") is None:
        pytest.skip("needs gcc to make a disk fail")
    source, library = folder / "faults.c", folder / "faults.so"
    source.write_text(SHIM)
    compiler = ["gcc", "-shared", "-fPIC", "-w", "-o", str(library), str(source), "-ldl"]
    subprocess.run(compiler, check=True)
    return library


def arm(after: int, how: int, name: str) -> None:
    """Fail at the write after so many; -1 for never. name: part of the files' paths."""
    ctypes.CDLL(None).fault_arm(ctypes.c_long(after), how, name.encode())


def synced() -> int:
    """Number of syncs of these files since `arm`."""
    return int(ctypes.CDLL(None).fault_synced())
