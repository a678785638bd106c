"""Word size, processor, memory, clock and confinement."""

from __future__ import annotations

import ctypes
import platform
import struct
from collections.abc import Callable, Iterator

from edged.capture.confinement.confine import missing
from edged.device import has_dot_product
from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.subject import Subject
from edged.sensors.memory import meminfo
from edged.sensors.reading import read_text

NEEDED_MB = 256
"""A daemon with one camera uses 150 to 200 MB."""
LEAST_SWAP_FREE = 0.1
_LANDLOCK_FIX = (
    "use kernel 5.13 or later with CONFIG_SECURITY_LANDLOCK, and landlock in lsm= on its command "
    "line (cat /sys/kernel/security/lsm shows the active ones)"
)
_SYNCHRONISED_US = 16_000_000
"""The kernel's error estimate is below this once the clock is synchronised. timedatectl uses this
threshold too, because the flag STA_UNSYNC has other uses."""


def bits(
    subject: Subject,
    *,
    pointer_bits: int = 8 * struct.calcsize("P"),
    machine: str = platform.machine(),
) -> Iterator[Finding]:
    if pointer_bits == 64:
        yield ok(f"64-bit, {machine}")
        return
    kernel = "on a 64-bit kernel" if machine in ("aarch64", "x86_64") else machine
    yield error(
        "ONNX Runtime has no wheels for 32-bit systems",
        f"a {pointer_bits}-bit Python, {kernel}",
        "install the 64-bit system: Raspberry Pi OS (64-bit)",
    )


def dot_product(subject: Subject) -> Iterator[Finding]:
    """ARM only. A Cortex-A72 (Raspberry Pi 4) lacks it, a Cortex-A76 (Raspberry Pi 5) has it."""
    found = has_dot_product(subject.root)
    if found is None:
        return
    if found:
        yield ok("the processor has dot-product instructions: INT8 networks are fast")
    else:
        yield info(
            "the processor has no dot-product instructions: INT8 networks may be slower than float",
            fix="edged measures both; run edged bench",
        )


def memory(subject: Subject) -> Iterator[Finding]:
    field = {name: value >> 20 for name, value in meminfo(subject.root).items()}
    if not {"MemTotal", "MemAvailable"} <= field.keys():
        yield info("memory size cannot be read", "no figures in /proc/meminfo")
        return
    swap, swap_free = field.get("SwapTotal", 0), field.get("SwapFree", 0)
    got = f"{field['MemAvailable']} of {field['MemTotal']} MB, swap {swap_free} of {swap} MB"
    if field["MemAvailable"] < NEEDED_MB:
        fix = "stop other programs (a desktop?), or use fewer cameras or a network of smaller alpha"
        yield warning(f"less than {NEEDED_MB} MB of memory available", got, fix)
    elif swap and swap_free < LEAST_SWAP_FREE * swap:
        fix = "find what uses it: top -o %MEM; a device that swaps misses its budget"
        yield warning("swap is nearly full", got, fix)
    else:
        yield ok(f"available memory: {got}")


def confinement(
    subject: Subject, *, missing: Callable[[], list[str]] = missing
) -> Iterator[Finding]:
    """Kernel support for confining capture processes, and cameras that are not confined."""
    lacking = missing()
    for each in lacking:
        yield warning(
            "capture processes are not fully confined against hostile streams",
            f"the kernel has no {each}",
            _LANDLOCK_FIX
            if each.startswith("Landlock")
            else "use a kernel with CONFIG_SECCOMP_FILTER",
        )
    cameras = () if subject.config is None else subject.config.cameras
    free = [each.name for each in cameras if not each.capture.confine]
    for name in free:
        what = f"camera {name} is not confined: its process can read all that edged's user can"
        fix = "remove confine: false and try it; error messages name what it needs"
        yield warning(what, "confine: false", fix)
    if not lacking and len(free) < max(1, len(cameras)):
        yield ok("capture processes are confined by Landlock and a system call filter")


def clock_error_us() -> int | None:
    """The kernel's upper bound of the wall clock's error; None if unknown.

    adjtimex(2) with modes = 0 only reads; struct timex starts with an int and three longs.
    """
    try:
        answer = ctypes.create_string_buffer(512)
        if ctypes.CDLL(None).adjtimex(answer) < 0:
            return None
    except (AttributeError, OSError):
        return None
    return int(struct.unpack_from("@illl", answer)[3])


def clock(
    subject: Subject, *, error_us: Callable[[], int | None] = clock_error_us
) -> Iterator[Finding]:
    microseconds = error_us()
    if microseconds is None:
        yield info("synchronisation of the clock cannot be read")
    elif microseconds < _SYNCHRONISED_US:
        yield ok("the clock is synchronised")
    else:
        yield warning(
            "the clock is not synchronised: results may have a wrong time, and TLS may fail",
            fix="sudo timedatectl set-ntp true; a Raspberry Pi 4 has no battery-backed clock and "
            "needs a time server at each start",
        )


def _file(subject: Subject, name: str) -> str:
    return read_text(subject.root / name) or ""
