"""The arm64 root: Debian's Python, pinned wheels, QEMU with the plugin; made once and kept.

Nothing in it is ever started without QEMU, so neither binfmt_misc nor a static QEMU is needed: the
packages are only unpacked. Root is, for chroot and mounts, which are in a namespace of their own.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.benchmarks.arm.slots import Slot
from tests.device.root import PYTHON, SUITE, apt_sources
from tests.device.step import step
from tests.rig.paths import PROJECT

HERE = Path(__file__).resolve().parent
WHEELS = HERE / "wheels.txt"
PROGRAMS = {
    "qemu-aarch64": "qemu-user",
    "mmdebstrap": "mmdebstrap",
    "gcc": "gcc",
    "ldd": "libc-bin",
    "unshare": "util-linux",
}
"""With the Debian package that each is in."""
PACKAGES = (f"python{PYTHON}-minimal", f"libpython{PYTHON}-stdlib", "libstdc++6", "libgomp1")
FOLDERS = ("proc", "sys", "tmp", "work", "project", "host", "site", "pycache")
VIDEO = "dev/video0"
"""A file, so that the supervisor finds the camera; what opens it is guest.py's."""
GLIBC = 36
"""The suite's, of 2."""


@dataclass(frozen=True, slots=True)
class Processor:
    """As the kernel of its board tells it, in /proc/cpuinfo and /sys: runtimes ask there what they
    may use, and how large the caches are. caches_kb: data caches by level."""

    features: str
    variant: str
    part: str
    revision: int
    caches_kb: tuple[int, ...]


PROCESSORS = {
    "a72": Processor("fp asimd evtstrm crc32 cpuid", "0x0", "0xd08", 3, (32, 1024)),
    "a76": Processor(
        "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc "
        "dcpop asimddp",
        "0x4",
        "0xd0b",
        1,
        (64, 512, 2048),
    ),
}
"""Cortex-A72 and A76: a Raspberry Pi 4's and 5's."""
CORES = 4
MOUNT = """
mount --rbind /proc "$1/proc"
mount --bind "$2/cpuinfo" "$1/proc/cpuinfo"
mount --bind "$2/sys" "$1/sys"
mount --bind "$2" "$1/work"
mount --bind "$3" "$1/project"
root=$1; shift 3
exec chroot "$root" "$@"
"""
ENVIRONMENT = {
    "PYTHONPATH": "/project:/site",
    "PYTHONPYCACHEPREFIX": "/pycache",
    "PYTHONHASHSEED": "0",
    "HOME": "/work",
    "XDG_STATE_HOME": "/work/state",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}

Counts = dict[int, tuple[int, ...]]
"""By slot: how often a thread entered it, then instructions: all, multiply-adds, other SIMD,
memory, branches."""


class CannotCountError(Exception):
    """This machine lacks something; says what."""


def cache_folder() -> Path:
    return Path(os.environ.get("EDGED_CACHE") or Path.home() / ".cache" / "edged-tests")


@contextmanager
def one_maker(cache: Path) -> Iterator[None]:
    """Nobody else makes a part of the root meanwhile."""
    with (cache / "arm64.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def check_machine() -> None:
    """Raises CannotCountError."""
    if os.geteuid() != 0:
        raise CannotCountError("counting ARM instructions needs root: chroot and mounts")
    missing = sorted(
        {package for program, package in PROGRAMS.items() if shutil.which(program) is None}
    )
    if missing:
        raise CannotCountError(
            "counting ARM instructions needs Debian packages: apt-get install "
            f"--no-install-recommends {' '.join(missing)}"
        )


def make_root(cache: Path) -> Path:
    """About 15 s and 400 MB, unless it is there. Raises CannotCountError."""
    check_machine()
    recipe = hashlib.sha256(
        b"".join(file.read_bytes() for file in (Path(__file__), WHEELS, *sorted(HERE.glob("*.c"))))
    ).hexdigest()
    cache.mkdir(parents=True, exist_ok=True)
    try:
        with one_maker(cache):
            return step(cache / "arm64", recipe, _build)
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd))
        raise CannotCountError(f"status {error.returncode} of {command}") from error


def _build(root: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        command = ["mmdebstrap", "--quiet", "--mode=root", "--variant=extract"]
        command += ["--architectures=arm64", f"--include={','.join(PACKAGES)}", SUITE, str(root)]
        sources = apt_sources(SUITE, Path("/etc/apt"), Path(folder))
        subprocess.run([*command, *map(str, sources)], check=True)
    for name in FOLDERS:
        (root / name).mkdir(exist_ok=True)
    (root / VIDEO).touch()
    tags = [f"manylinux_2_{minor}_aarch64" for minor in range(GLIBC, 16, -1)]
    subprocess.run(
        [
            *(sys.executable, "-m", "pip", "--disable-pip-version-check", "-qq", "install"),
            *("--target", root / "site", "--no-deps", "--no-compile", "--only-binary=:all:"),
            *("--implementation", "cp", "--python-version", PYTHON, "--requirement", WHEELS),
            *(word for tag in (*tags, "manylinux2014_aarch64") for word in ("--platform", tag)),
        ],
        check=True,
    )
    _lay_programs(root)


def _lay_programs(root: Path) -> None:
    """QEMU with this machine's libraries, the plugin, and what starts both."""
    qemu = Path(shutil.which("qemu-aarch64") or "")
    host = root / "host"
    said = subprocess.run(["ldd", qemu], check=True, capture_output=True, text=True).stdout
    for library in re.findall(r"/\S+\.so\S*", said):
        name = "ld.so" if "/ld-linux" in library else Path(library).name
        shutil.copy(library, host / name)
    shutil.copy(qemu, host)
    compile_c = ["gcc", "-O2", "-Wall"]
    plugin = ["-shared", "-fPIC", "-o", host / "count.so", HERE / "count.c"]
    subprocess.run([*compile_c, *plugin], check=True)
    for processor in PROCESSORS:
        program = root / f"counted-cortex-{processor}"
        command = [*compile_c, "-static", "-o", program, HERE / "counted.c"]
        subprocess.run(command, check=True)


def run_counted(
    root: Path, processor: str, work: Path, *arguments: str, seconds: float
) -> list[list[Counts]]:
    """Run guest.py with these arguments, `work` being its /work; what its processes counted, one
    list each: what stood there at each of its dumps. Raises CannotCountError."""
    counts = work / "counts"
    shutil.rmtree(counts, ignore_errors=True)
    counts.mkdir()
    describe(processor, work)
    guest = [f"/counted-cortex-{processor}", "-m", "tests.benchmarks.arm.guest", *arguments]
    mounted = ["unshare", "--mount", "--propagation", "private", "sh", "-ec", MOUNT, "sh"]
    output = work / "output"
    with output.open("wb") as file:
        try:
            status: int | str = subprocess.run(
                [*mounted, str(root), str(work), str(PROJECT), *guest],
                env={"PATH": os.environ["PATH"], **ENVIRONMENT},
                stdout=file,
                stderr=subprocess.STDOUT,
                timeout=seconds,
            ).returncode
        except subprocess.TimeoutExpired:
            status = f"none after {seconds:.0f} s"
    if status:
        last = "\n".join(output.read_text(errors="replace").splitlines()[-15:])
        raise CannotCountError(f"{' '.join(guest)}: status {status}\n{last}")
    return [_dumps(file) for file in sorted(counts.iterdir(), key=lambda file: int(file.name))]


def _dumps(file: Path) -> list[Counts]:
    found: list[Counts] = [{}]
    for line in file.read_text().splitlines():
        if line == "end":
            found.append({})
        else:
            slot, *numbers = map(int, line.split())
            found[-1][slot] = tuple(numbers)
    return found[:-1]


def describe(name: str, work: Path) -> None:
    """The files that are mounted as /proc/cpuinfo and /sys."""
    processor = PROCESSORS[name]
    work.joinpath("processor").write_text(name)
    (work / "cpuinfo").write_text(
        "".join(
            f"processor\t: {number}\nBogoMIPS\t: 108.00\nFeatures\t: {processor.features}\n"
            "CPU implementer\t: 0x41\nCPU architecture: 8\n"
            f"CPU variant\t: {processor.variant}\nCPU part\t: {processor.part}\n"
            f"CPU revision\t: {processor.revision}\n\n"
            for number in range(CORES)
        )
    )
    top = work / "sys/devices/system/cpu"
    files = dict.fromkeys(("possible", "present", "online"), f"0-{CORES - 1}")
    for number in range(CORES):
        for level, size in enumerate(processor.caches_kb, 1):
            cache = f"cpu{number}/cache/index{level}"
            files |= {f"{cache}/level": str(level), f"{cache}/size": f"{size}K"}
            files |= {f"{cache}/type": "Data" if level == 1 else "Unified"}
    for file, text in files.items():
        (top / file).parent.mkdir(parents=True, exist_ok=True)
        (top / file).write_text(text + "\n")


def between(before: Counts, after: Counts, slot: Slot | int) -> tuple[int, ...]:
    """What was counted in a slot between two dumps."""
    zero = (0,) * 6
    return tuple(b - a for a, b in zip(before.get(slot, zero), after.get(slot, zero), strict=True))
