"""Make a signed apt repository of the packages in a folder; any web server can serve its files.

usage: repository.py KEY [--packages FOLDER] [--output FOLDER], or `make apt-repository KEY=…`

KEY: a secret key that GnuPG has, by fingerprint or address. Each release is a suite: apt gets the
package that was built for it. Needs apt-ftparchive (Debian's apt-utils).
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from build import MACHINES, RELEASES, ROOT


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("key")
    parser.add_argument("--packages", type=Path, default=ROOT / "dist", metavar="FOLDER")
    parser.add_argument("--output", type=Path, default=ROOT / "dist/apt", metavar="FOLDER")
    options = parser.parse_args()
    for program, package in (("apt-ftparchive", "apt-utils"), ("gpg", "gpg")):
        if shutil.which(program) is None:
            parser.error(f"{program} is missing; install it with: sudo apt install {package}")
    if not list(options.packages.glob("edged_*.deb")):
        parser.error(f"{options.packages}: no packages; make some with: make deb")
    if not subprocess.run(
        ["gpg", "--list-secret-keys", options.key], capture_output=True, check=False
    ).stdout:
        parser.error(f"GnuPG has no secret key {options.key}; see gpg --list-secret-keys")
    options.output.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=".apt-", dir=options.output.parent) as folder:
        made = Path(folder) / "made"
        made.mkdir()
        with (made / "edged.asc").open("wb") as file:  # for Signed-By
            subprocess.run(["gpg", "--armor", "--export", options.key], check=True, stdout=file)
        for name, release in RELEASES.items():
            if packages := sorted(options.packages.glob(f"edged_*+{release.suffix}_*.deb")):
                add_suite(made, name, packages, options.key)
        if options.output.exists():
            options.output.rename(Path(folder) / "before")
        made.rename(options.output)
    print(f"{options.output}: serve this folder; docs/operations.md says how devices use it")
    return 0


def add_suite(repository: Path, suite: str, packages: list[Path], key: str) -> None:
    pool = repository / "pool" / suite
    pool.mkdir(parents=True)
    for package in packages:
        shutil.copyfile(package, pool / package.name)
    dists = repository / "dists" / suite
    for arch in MACHINES:
        index = dists / f"main/binary-{arch}/Packages"
        index.parent.mkdir(parents=True)
        index.write_bytes(ftparchive(repository, "--arch", arch, "packages", f"pool/{suite}"))
    about = {"Origin": "edged", "Label": "edged", "Suite": suite, "Codename": suite,
             "Components": "main", "Architectures": " ".join(MACHINES)}  # fmt: skip
    fields = [f"-oAPT::FTPArchive::Release::{name}={value}" for name, value in about.items()]
    release = ftparchive(repository, *fields, "release", f"dists/{suite}")
    (dists / "Release").write_bytes(release)
    sign = ["gpg", "--batch", "--yes", "--local-user", key]
    for form, name in (("--clear-sign", "InRelease"), ("--detach-sign", "Release.gpg")):
        command = [*sign, "--armor", "--output", dists / name, form, dists / "Release"]
        subprocess.run(command, check=True)


def ftparchive(repository: Path, *arguments: str) -> bytes:
    """What it prints."""
    command = ["apt-ftparchive", *arguments]
    return subprocess.run(command, cwd=repository, check=True, stdout=subprocess.PIPE).stdout


if __name__ == "__main__":
    sys.exit(main())
