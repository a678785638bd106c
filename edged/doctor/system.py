"""The system: its width, its processor, its memory, its clock, what it confines."""

from __future__ import annotations

import ctypes
import platform
import re
import struct
from collections.abc import Callable, Iterator

from edged.capture.confinement.confine import missing
from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.subject import Subject
from edged.sensors.memory import meminfo
from edged.sensors.reading import read_text

NEEDED_MB = 256
"""A daemon with one camera takes 150 to 200 MB."""
LEAST_SWAP_FREE = 0.1
_LANDLOCK_FIX = (
    "a kernel of 5.13 or later with CONFIG_SECURITY_LANDLOCK; where it has that, add landlock to "
    "lsm= of its command line (cat /sys/kernel/security/lsm lists what is there)"
)
_SYNCHRONISED_US = 16_000_000
"""The kernel's estimated error is below that once something sets the clock; systemd's timedatectl
judges by the same number, because the flag STA_UNSYNC has other uses."""


def bits(
    subject: Subject,
    *,
    pointer_bits: int = 8 * struct.calcsize("P"),
    machine: str = platform.machine(),
) -> Iterator[Finding]:
    """machine: of the kernel."""
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
    """ARM only. A Cortex-A72 (Raspberry Pi 4) does not have it, a Cortex-A76 (5) does."""
    features = re.search(r"^Features\s*:(.*)$", _file(subject, "proc/cpuinfo"), re.MULTILINE)
    if features is None:
        return
    if "asimddp" in features[1].split():
        yield ok("the processor has dot-product instructions: INT8 networks are fast")
    else:
        yield info(
            "the processor has no dot-product instructions: INT8 networks may be slower than float",
            fix="edged measures both; see edged bench",
        )


def memory(subject: Subject) -> Iterator[Finding]:
    field = {name: value >> 20 for name, value in meminfo(subject.root).items()}
    if not {"MemTotal", "MemAvailable"} <= field.keys():
        yield info("how much memory there is cannot be read", "no figures in /proc/meminfo")
        return
    swap, swap_free = field.get("SwapTotal", 0), field.get("SwapFree", 0)
    got = f"{field['MemAvailable']} of {field['MemTotal']} MB, swap {swap_free} of {swap} MB"
    if field["MemAvailable"] < NEEDED_MB:
        fix = "end other programs (a desktop?), fewer cameras, or a network of a smaller alpha"
        yield warning(f"less than {NEEDED_MB} MB of memory are available", got, fix)
    elif swap and swap_free < LEAST_SWAP_FREE * swap:
        fix = "see what takes it: top -o %MEM; a device that swaps misses its budget"
        yield warning("swap is nearly full", got, fix)
    else:
        yield ok(f"available memory: {got}")


def confinement(
    subject: Subject, *, missing: Callable[[], list[str]] = missing
) -> Iterator[Finding]:
    """Of capture processes; and the cameras that go without."""
    lacking = missing()
    for each in lacking:
        yield warning(
            "a capture process that a hostile stream takes over can do more than it needs",
            f"the kernel has no {each}",
            _LANDLOCK_FIX if each.startswith("Landlock") else "a kernel with CONFIG_SECCOMP_FILTER",
        )
    cameras = () if subject.config is None else subject.config.cameras
    free = [each.name for each in cameras if not each.capture.confine]
    for name in free:
        what = f"camera {name} is not confined: its process can read what the user of edged can"
        fix = "leave confine: false out, and see whether it works: errors name what it needs"
        yield warning(what, "confine: false", fix)
    if not lacking and len(free) < max(1, len(cameras)):
        yield ok("capture processes are confined by Landlock and a filter of system calls")


def clock_error_us() -> int | None:
    """What the kernel takes for the error of the wall clock at most; None where it does not tell.

    adjtimex(2) with modes = 0 only reads; a struct timex begins with an int and three longs.
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
        yield info("whether the clock is synchronised cannot be read")
    elif microseconds < _SYNCHRONISED_US:
        yield ok("the clock is synchronised")
    else:
        yield warning(
            "the clock is not synchronised: results carry a wrong time, and certificates may fail",
            fix="sudo timedatectl set-ntp true; a Raspberry Pi 4 has no clock of its own and needs "
            "the network at each start",
        )


def _file(subject: Subject, name: str) -> str:
    return read_text(subject.root / name) or ""
