"""The device's Debian system as a folder: systemd, a kernel with `vivid`, Python, no compiler left.

Debian comes from where this machine's apt takes it, if that has the suite.
"""

from __future__ import annotations

import platform
import re
import shutil
import subprocess
import tempfile
from dataclasses import dataclass
from pathlib import Path

from tests.device.step import step

SUITE = "bookworm"
PYTHON = "3.11"
"""The suite's."""
PACKAGES = ("busybox-static", "dbus", "kmod", "procps", "python3", "systemd-sysv", "udev")
CAMERAS = ("v4l-utils",)
LOOPBACK = ("gcc", "linux-headers-{name}", "make", "v4l2loopback-dkms")
"""Builds the kernel module v4l2loopback; under emulation that takes too long."""
LOOPBACK_MODULE = 'chroot "$1" dkms autoinstall -k "$(ls "$1"/lib/modules)"'
INITRD_MODULES = ("virtio_pci", "virtio_mmio", "virtio_blk", "ext4", "crc32c_generic")
_LEFT_OUT = ("man", "doc", "locale", "info")
_BINFMT = Path("/proc/sys/fs/binfmt_misc")


@dataclass(frozen=True, slots=True)
class Architecture:
    """name: Debian's; machine: the kernel's and the wheels'. cpu: as QEMU names it."""

    name: str
    machine: str
    qemu: tuple[str, ...]
    console: str
    cpu: str
    loopback: bool


ARCHITECTURES = {
    each.name: each
    for each in (
        Architecture(
            "amd64",
            "x86_64",
            ("qemu-system-x86_64", "-machine", "q35"),
            "ttyS0",
            "Nehalem",  # without FMA, which QEMU emulates slowly: eight networks take minutes
            True,
        ),
        Architecture(
            "arm64",
            "aarch64",
            ("qemu-system-aarch64", "-machine", "virt"),
            "ttyAMA0",
            "cortex-a72",  # Raspberry Pi 4
            False,
        ),
    )
}

WITHOUT_INITRAMFS_TOOLS = (
    'chroot "$1" dpkg-divert --local --rename --add /usr/sbin/update-initramfs && '
    'ln -s /bin/true "$1"/usr/sbin/update-initramfs'
)
"""They would take minutes under emulation, and this device knows its only disk."""
INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mount -t proc proc /proc; $b mount -t sysfs sys /sys; $b mount -t devtmpfs dev /dev
for module in /modules/*.ko; do $b insmod $module; done
while [ ! -b /dev/vda ]; do $b sleep 0.1; done
$b mount -t ext4 /dev/vda /root && $b mount --move /dev /root/dev
$b umount /sys; $b umount /proc
exec $b switch_root /root /sbin/init
"""


def make_root(rig: Path, architecture: Architecture) -> Path:
    packages = [*PACKAGES, *CAMERAS, f"linux-image-{architecture.name}"]
    if architecture.loopback:
        packages += [package.format(name=architecture.name) for package in LOOPBACK]

    def build(target: Path) -> None:
        if architecture.machine != platform.machine():
            _run_foreign_programs(architecture)
        with tempfile.TemporaryDirectory() as folder:
            command = ["mmdebstrap", "--mode=root", "--variant=minbase"]
            command += [f"--architectures={architecture.name}", f"--include={','.join(packages)}"]
            command += [f"--dpkgopt=path-exclude=/usr/share/{name}/*" for name in _LEFT_OUT]
            command += [f"--essential-hook={WITHOUT_INITRAMFS_TOOLS}"]
            if architecture.loopback:
                command += [f"--customize-hook={LOOPBACK_MODULE}"]
            sources = apt_sources(SUITE, Path("/etc/apt"), Path(folder))
            subprocess.run([*command, SUITE, target, *sources], check=True)
        write_initrd(target)

    return step(rig / f"root-{architecture.name}", f"{SUITE} {packages}\n{INIT}", build)


def kernel(root: Path) -> Path:
    (found,) = root.glob("boot/vmlinuz-*")
    return found


def initrd(root: Path) -> Path:
    return root / "boot" / "initrd.img"


def apt_sources(suite: str, configured: Path, folder: Path) -> list[str | Path]:
    """For mmdebstrap: this machine's sources of the suite; none where it has others.

    Lines as they are; paragraphs (`*.sources`) as files that are written into `folder`.
    """
    suites = {suite, f"{suite}-updates", f"{suite}-security"}
    found: list[str | Path] = []
    for file in sorted((configured, *configured.glob("sources.list.d")), key=str):
        for listed in sorted(file.glob("*.list")):
            for line in listed.read_text().splitlines():
                words = re.sub(r"\[.*?\]", "", line).split()
                if words[:1] == ["deb"] and len(words) > 3 and words[2] in suites:
                    found.append(line)
        for listed in sorted(file.glob("*.sources")):
            for paragraph in re.split(r"\n\s*\n", listed.read_text()):
                named = re.search(r"^Suites:(.*)$", paragraph, re.MULTILINE)
                if named is not None and suites & set(named[1].split()):
                    copy = folder / f"{len(found)}.sources"
                    copy.write_text(paragraph.strip() + "\n")
                    found.append(copy)
    return found


def write_initrd(root: Path) -> None:
    """Just enough to mount the disk."""
    (modules,) = (root / "lib" / "modules").iterdir()
    with tempfile.TemporaryDirectory() as folder:
        top = Path(folder)
        for name in ("bin", "modules", "proc", "sys", "dev", "root"):
            (top / name).mkdir()
        shutil.copy(root / "bin" / "busybox", top / "bin")
        (top / "init").write_text(INIT)
        (top / "init").chmod(0o755)
        for number, path in enumerate(in_order(INITRD_MODULES, (modules / "modules.dep"))):
            shutil.copy(modules / path, top / "modules" / f"{number:03}-{Path(path).name}")
        names = subprocess.run(["find", "."], cwd=top, check=True, capture_output=True).stdout
        archive = subprocess.run(
            ["cpio", "-o", "-H", "newc", "--quiet"],
            cwd=top,
            check=True,
            input=names,
            stdout=subprocess.PIPE,
        ).stdout
        initrd(root).write_bytes(archive)


def in_order(wanted: tuple[str, ...], dependencies: Path) -> list[str]:
    """The modules' paths with those they need, each after what it needs.

    A module that is built into the kernel has no file, and is left out.
    """
    needs: dict[str, list[str]] = {}
    for line in dependencies.read_text().splitlines():
        path, _, others = line.partition(":")
        needs[path] = others.split()
    by_name = {Path(path).name.removesuffix(".ko").replace("-", "_"): path for path in needs}
    found: dict[str, None] = {}
    for path in (by_name[name] for name in wanted if name in by_name):
        found |= dict.fromkeys([*reversed(needs[path]), path])  # the innermost stands last
    return list(found)


def _run_foreign_programs(architecture: Architecture) -> None:
    """Let the kernel start the other processor's programs through qemu-user, until it reboots."""
    if not (_BINFMT / "register").exists():
        subprocess.run(["mount", "-t", "binfmt_misc", "binfmt_misc", _BINFMT], check=True)
    name = f"qemu-{architecture.machine}"
    if not (_BINFMT / name).exists():
        rule = Path("/usr/lib/binfmt.d") / f"{name}.conf"
        (_BINFMT / "register").write_bytes(rule.read_bytes())
