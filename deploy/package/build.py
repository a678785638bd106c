"""Build the .deb for a release and an architecture, including all Python dependencies.

usage: build.py RELEASE ARCH [--output FOLDER], or `make deb RELEASE=bookworm ARCH=arm64`

/usr/lib/edged is a virtual environment on the system's Python with access to the system's packages
(picamera2, TensorRT, PyGObject). Wheels are only downloaded, never run, so any machine can build
any package. Honours SOURCE_DATE_EPOCH. Needs pip and the dependency group `package`.
"""

from __future__ import annotations

import argparse
import gzip
import hashlib
import os
import re
import shutil
import string
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from importlib.metadata import PackageMetadata, distributions
from pathlib import Path

from changelog import debian_changelog
from completion import SHELLS, script
from manual import PAGES

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent


@dataclass(frozen=True, slots=True)
class Release:
    """python, glibc: minor versions of Python 3 and glibc 2. suffix: of the package's version.

    numpy_1: system modules built for NumPy 1 (picamera2's simplejpeg, JetPack's) do not load with
    NumPy 2.
    """

    python: int
    glibc: int
    suffix: str
    numpy_1: bool = False


RELEASES = {
    "bookworm": Release(11, 36, "deb12", numpy_1=True),
    "trixie": Release(13, 41, "deb13"),
    "jammy": Release(10, 35, "ubuntu22.04", numpy_1=True),  # JetPack 6
}
OPENCV = "opencv-python-headless>=5"
"""Declares NumPy 2 and also loads with NumPy 1. On ARM it shrinks a picture with a fifth of the
instructions that 4.11 takes, the last one that declares NumPy 1."""
MACHINES = {"arm64": "aarch64", "amd64": "x86_64"}
NCNN = "ncnn==1.0.20261020"
"""Installed without its dependencies (requests, portalocker): what edged imports uses none."""

COPYRIGHT = """\
Copyright 2026 The edged maintainers

Licensed under the Apache License, Version 2.0, which is in
/usr/share/common-licenses/Apache-2.0.
"""

UNUSED = ("sympy", "mpmath", "isympy.py", "humanfriendly", "coloredlogs", "coloredlogs.pth")
"""Dependencies of ONNX Runtime that only its training and conversion tools import."""
NOT_ON_A_DEVICE = (
    *("tests", "include", "*.pyi", "*.pxd", "*.lib", "*.a"),
    *("numpy/f2py", "numpy/distutils"),
    *("onnxruntime/transformers", "onnxruntime/tools", "onnxruntime/datasets"),
    *("ncnn/model_zoo", "ncnn/utils"),  # these import NCNN's dependencies
    "onnxruntime/capi/libonnxruntime.so.*",  # for C programs: the Python module contains it too
)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("release", choices=RELEASES)
    parser.add_argument("arch", choices=MACHINES)
    parser.add_argument("--output", type=Path, default=ROOT / "dist", metavar="FOLDER")
    options = parser.parse_args()
    os.umask(0o022)
    with tempfile.TemporaryDirectory(prefix="edged-deb-") as folder:
        tree = Path(folder) / "tree"
        lay_environment(tree, RELEASES[options.release])
        fetch_wheels(tree, RELEASES[options.release], options.arch, Path(folder))
        write_copyright(tree, site_packages(tree, RELEASES[options.release]))
        write_documents(tree, RELEASES[options.release])
        package = pack(tree, options.release, options.arch, options.output)
    write_checksums(options.output)
    installed_mb = int(field(package, "Installed-Size")) / 1024
    print(f"{hashlib.sha256(package.read_bytes()).hexdigest()}  {package}")
    print(f"{package.stat().st_size / 1e6:.1f} MB, installed {installed_mb:.0f} MiB")
    return 0


def site_packages(tree: Path, release: Release) -> Path:
    return tree / f"usr/lib/edged/lib/python3.{release.python}/site-packages"


def lay_environment(tree: Path, release: Release) -> None:
    """Create a virtual environment by hand: `venv` supports only the running Python."""
    home = tree / "usr/lib/edged"
    site_packages(tree, release).mkdir(parents=True)
    (home / "bin").mkdir()
    (home / "bin/python3").symlink_to(f"/usr/bin/python3.{release.python}")
    (home / "pyvenv.cfg").write_text(
        f"home = /usr/bin\ninclude-system-site-packages = true\nversion = 3.{release.python}\n"
    )
    for path in ("systemd/edged.yaml", "systemd/edged.service.d/jetson.conf"):
        shutil.copyfile(ROOT / path, home / Path(path).name)
    shutil.copyfile(HERE / "camera_names.py", home / "camera_names.py")
    launcher = tree / "usr/bin/edged"
    launcher.parent.mkdir()
    launcher.write_text(
        "#!/usr/lib/edged/bin/python3 -I\nfrom edged.cli import program\n\nprogram()\n"
    )
    launcher.chmod(0o755)


def fetch_wheels(tree: Path, release: Release, arch: str, scratch: Path) -> None:
    """Install edged and its dependencies, without what a device does not need."""
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--quiet"]
    wheels = scratch / "wheels"
    subprocess.run([*pip, "wheel", "--no-deps", "--wheel-dir", wheels, ROOT], check=True)
    (wheel,) = wheels.glob("edged-*.whl")
    site = site_packages(tree, release)
    install = [
        *(*pip, "install", "--target", site, "--no-compile", "--no-warn-conflicts"),
        "--only-binary=:all:",
        *("--implementation", "cp", "--python-version", f"3.{release.python}"),
        *(word for tag in platform_tags(release, arch) for word in ("--platform", tag)),
    ]
    subprocess.run(
        [*install, f"{wheel}[notify]", *(["numpy<2"] if release.numpy_1 else ())], check=True
    )
    alone = [NCNN]
    if release.numpy_1:
        for path in (site / "cv2", *site.glob("opencv_python_headless*")):
            remove(path)
        alone.append(OPENCV)
    subprocess.run([*install, "--no-deps", *alone], check=True)
    for name in (*UNUSED, "bin", "share", *(f"{name}-*.dist-info" for name in UNUSED)):
        for path in site.glob(name):
            remove(path)
    for pattern in NOT_ON_A_DEVICE:
        for path in list(site.rglob(pattern)):
            remove(path)
    for path in site.rglob("*"):
        if path.is_file():  # modules and libraries, some of which wheels make executable
            path.chmod(0o644)


def write_copyright(tree: Path, site: Path) -> None:
    """edged's licence, and of every other distribution in `site` the name of its own."""
    found = [each.metadata for each in distributions(path=[str(site)])]
    listed = sorted(
        f"  {about['Name']} {about['Version']}: {licence(about)}\n"
        for about in found
        if about["Name"] != "edged"
    )
    path = tree / "usr/share/doc/edged/copyright"
    path.parent.mkdir(parents=True)
    path.write_text(
        f"{COPYRIGHT}\n/{site.relative_to(tree)} also contains the following,\n"
        f"with the texts of their licences as their authors ship them.\n\n{''.join(listed)}"
    )


def write_documents(tree: Path, release: Release) -> None:
    """Manual pages, completion and Debian's changelog."""
    text = (ROOT / "CHANGELOG.md").read_text()
    built = datetime.fromtimestamp(epoch(), timezone.utc)
    files = {
        "doc/edged/changelog.gz": debian_changelog(text, release.suffix, built),
        **{f"man/{name}.gz": page() for name, page in PAGES.items()},
        **{name: script(shell) for name, shell in SHELLS.items()},
    }
    for name, content in files.items():
        path = tree / "usr/share" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode()
        path.write_bytes(gzip.compress(data, mtime=0) if name.endswith(".gz") else data)


def licence(about: PackageMetadata) -> str:
    """In one line. Raises ValueError if the distribution names none."""
    stated = [about.get("License-Expression"), about.get("License")]
    classified = about.get_all("Classifier") or []
    stated += [each.split(" :: ")[-1] for each in classified if each.startswith("License ::")]
    for text in stated:
        if text and "\n" not in text:
            return text
    raise ValueError(f"{about['Name']}: its metadata name no licence")


def platform_tags(release: Release, arch: str) -> Iterator[str]:
    """Tags that pip accepts on that release."""
    for minor in range(release.glibc, 16, -1):
        yield f"manylinux_2_{minor}_{MACHINES[arch]}"
    yield f"manylinux2014_{MACHINES[arch]}"


def remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def pack(tree: Path, release: str, arch: str, output: Path) -> Path:
    """Write the .deb of `tree` to `output`, atomically."""
    about = RELEASES[release]
    seconds = epoch()
    text = string.Template((HERE / "nfpm.yaml").read_text()).substitute(
        arch=arch,
        version=version(),
        metadata=about.suffix,
        python=f"3.{about.python}",
        next_python=f"3.{about.python + 1}",
        mtime=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(seconds)),
        tree=tree,
        root=ROOT,
    )
    for path in tree.rglob("*"):
        os.utime(path, (seconds, seconds), follow_symlinks=False)
    output.mkdir(parents=True, exist_ok=True)
    package = output / f"edged_{version()}+{about.suffix}_{arch}.deb"
    partial = package.with_suffix(".partial.deb")
    nfpm = Path(sys.executable).with_name("nfpm")
    try:
        subprocess.run(
            [nfpm, "package", "--config", "/dev/stdin", "--packager", "deb", "--target", partial],
            input=text, text=True, check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "SOURCE_DATE_EPOCH": str(seconds)},
        )  # fmt: skip
        partial.replace(package)
    finally:
        partial.unlink(missing_ok=True)
    return package


def write_checksums(output: Path) -> None:
    """Write SHA256SUMS of all packages in `output`."""
    lines = [
        f"{hashlib.sha256(path.read_bytes()).hexdigest()}  {path.name}\n"
        for path in sorted(output.glob("edged_*.deb"))
    ]
    (output / "SHA256SUMS").write_text("".join(lines))


def version() -> str:
    found = re.search(r'^version = "(.+)"', (ROOT / "pyproject.toml").read_text(), re.MULTILINE)
    assert found is not None
    return found[1]


def epoch() -> int:
    """Time of the package's files, in seconds."""
    return int(os.environ.get("SOURCE_DATE_EPOCH") or commit_time() or time.time())


def commit_time() -> str:
    """Time of the last commit in seconds; empty outside a repository and without git."""
    if shutil.which("git") is None:
        return ""
    shown = subprocess.run(
        ["git", "-C", ROOT, "log", "-1", "--format=%ct"],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    return shown.stdout.strip()


def field(package: Path, name: str) -> str:
    """A field of the package's control file."""
    shown = subprocess.run(
        ["dpkg-deb", "--field", package, name], capture_output=True, text=True, check=True
    )
    return shown.stdout.strip()


if __name__ == "__main__":
    sys.exit(main())
