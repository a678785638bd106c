"""The apt repository, as apt reads it: signed with a key made for the test, without root."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from shutil import which

import pytest

from tests.rig.package import PACKAGE, build

PROGRAMS = {"apt-ftparchive": "apt-utils", "apt-get": "apt", "dpkg-deb": "dpkg", "gpg": "gpg"}
KEY = "packages@edged.example"


@pytest.fixture(scope="module")
def gnupg() -> Iterator[dict[str, str]]:
    """The environment of a GnuPG that has the key. Its socket needs a short path."""
    for program, package in PROGRAMS.items():
        if which(program) is None:
            pytest.skip(f"{program} is not installed (apt-get install {package})")
    with tempfile.TemporaryDirectory(prefix="gnupg-") as home:
        environment = {**os.environ, "GNUPGHOME": home}
        command = ["gpg", "--batch", "--quiet", "--passphrase", "", "--quick-generate-key"]
        subprocess.run([*command, KEY, "ed25519", "sign"], env=environment, check=True)
        yield environment
        subprocess.run(["gpgconf", "--kill", "all"], env=environment, check=True)


@pytest.fixture(scope="module")
def packages(gnupg: dict[str, str], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Without the wheels: for two releases, one of them for two architectures."""
    folder = tmp_path_factory.mktemp("packages")
    for release, arch in (("bookworm", "amd64"), ("bookworm", "arm64"), ("trixie", "amd64")):
        tree = folder / f"{release}-{arch}"
        build.lay_environment(tree, build.RELEASES[release])
        build.pack(tree, release, arch, folder / "dist")
    return folder / "dist"


def make(key: str, packages: Path, output: Path, gnupg: dict[str, str]) -> tuple[int, str]:
    command = [sys.executable, PACKAGE / "repository.py", key]
    done = subprocess.run(
        [*command, "--packages", packages, "--output", output],
        env=gnupg, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return done.returncode, done.stderr


@pytest.fixture
def repository(gnupg: dict[str, str], packages: Path, tmp_path: Path) -> Path:
    assert make(KEY, packages, tmp_path / "apt", gnupg) == (0, "")
    return tmp_path / "apt"


class Apt:
    """apt on a device with the repository in its sources and nothing else."""

    def __init__(self, folder: Path, repository: Path, suite: str, arch: str = "amd64") -> None:
        for name in ("etc", "state/lists/partial", "cache/archives/partial"):
            (folder / name).mkdir(parents=True)
        (folder / "status").write_text("")
        (folder / "etc/edged.sources").write_text(
            f"Types: deb\nURIs: file:{repository}\nSuites: {suite}\nComponents: main\n"
            f"Signed-By: {repository}/edged.asc\n"
        )
        options = {"Dir::Etc": f"{folder}/etc", "Dir::Etc::SourceParts": f"{folder}/etc",
                   "Dir::State": f"{folder}/state", "Dir::State::Status": f"{folder}/status",
                   "Dir::Cache": f"{folder}/cache", "APT::Architecture": arch,
                   "APT::Architectures": arch, "APT::Sandbox::User": ""}  # fmt: skip
        self._options = [f"-o{name}={value}" for name, value in options.items()]
        self._folder = folder

    def __call__(self, *words: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["apt-get", *self._options, *words], cwd=self._folder, capture_output=True, text=True,
            check=False, env={**os.environ, "LC_ALL": "C.UTF-8"}, timeout=60,
        )  # fmt: skip


@pytest.mark.parametrize(
    ("suite", "arch", "suffix"),
    [("bookworm", "amd64", "deb12"), ("bookworm", "arm64", "deb12"), ("trixie", "amd64", "deb13")],
)
def test_apt_gets_the_package_of_its_release(
    suite: str, arch: str, suffix: str, repository: Path, packages: Path, tmp_path: Path
) -> None:
    apt = Apt(tmp_path / "device", repository, suite, arch)
    updated = apt("update")
    assert (updated.returncode, updated.stderr) == (0, "")
    fetched = apt("download", "edged")
    assert fetched.returncode == 0, fetched.stderr
    name = f"edged_{build.version()}+{suffix}_{arch}.deb"
    assert (tmp_path / "device" / name).read_bytes() == (packages / name).read_bytes()


def test_apt_refuses_what_somebody_has_changed(repository: Path, tmp_path: Path) -> None:
    index = repository / "dists/bookworm/main/binary-amd64/Packages"
    index.write_text(index.read_text().replace("libc6", "libc5"))
    updated = Apt(tmp_path / "index", repository, "bookworm")("update")
    assert updated.returncode != 0
    assert "Hash Sum mismatch" in updated.stderr or "unexpected size" in updated.stderr
    signed = repository / "dists/bookworm/InRelease"
    signed.write_text(signed.read_text().replace("Origin: edged", "Origin: other"))
    updated = Apt(tmp_path / "release", repository, "bookworm")("update")
    assert updated.returncode != 0
    assert "BADSIG" in updated.stderr or "not valid" in updated.stderr


def test_it_is_made_again_as_a_whole(
    repository: Path, gnupg: dict[str, str], packages: Path, tmp_path: Path
) -> None:
    (repository / "pool/bookworm/edged_old.deb").write_text("")
    assert make(KEY, packages, repository, gnupg) == (0, "")
    assert not (repository / "pool/bookworm/edged_old.deb").exists()
    assert [each.name for each in tmp_path.iterdir() if each.name.startswith(".apt")] == []


def test_without_a_key_or_packages_it_says_so_and_changes_nothing(
    repository: Path, gnupg: dict[str, str], packages: Path, tmp_path: Path
) -> None:
    before = sorted(repository.rglob("*"))
    status, said = make("nobody@edged.example", packages, repository, gnupg)
    assert status == 2
    assert "no secret key nobody@edged.example" in said
    status, said = make(KEY, tmp_path, repository, gnupg)
    assert status == 2
    assert "no packages; make some with: make deb" in said
    assert sorted(repository.rglob("*")) == before
