"""The Debian package as nFPM makes it and dpkg-deb reads it, of a tree without the wheels.

tests/device/package.sh installs the whole one under a running systemd.
"""

from __future__ import annotations

import gzip
import io
import os
import re
import subprocess
import sys
import tarfile
import time
from datetime import datetime, timezone
from pathlib import Path
from shutil import which

import pytest

from edged.errors import DEBIAN_PREFIX
from tests.rig.package import PACKAGE, build, changelog
from tests.rig.paths import PROJECT

SCRIPTS = ("postinst", "prerm", "postrm")


@pytest.fixture(scope="module")
def dpkg_deb() -> str:
    command = which("dpkg-deb")
    if command is None:
        pytest.skip("dpkg-deb is not installed")
    return command


def packed(folder: Path, release: str = "bookworm", arch: str = "arm64") -> Path:
    tree = folder / "tree"
    build.lay_environment(tree, build.RELEASES[release])
    module = build.site_packages(tree, build.RELEASES[release]) / "edged" / "__init__.py"
    module.parent.mkdir()
    module.write_text("")
    build.write_copyright(tree, build.site_packages(tree, build.RELEASES[release]))
    build.write_documents(tree, build.RELEASES[release])
    package: Path = build.pack(tree, release, arch, folder / "dist")
    return package


@pytest.fixture(scope="module")
def package(dpkg_deb: str, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return packed(tmp_path_factory.mktemp("deb"))


def control(dpkg_deb: str, package: Path, name: str) -> str:
    archive = subprocess.run(
        [dpkg_deb, "--ctrl-tarfile", package], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        found = files.extractfile(f"./{name}") if f"./{name}" in files.getnames() else None
        return found.read().decode() if found else ""


def test_name_and_fields(package: Path) -> None:
    version = f"{build.version()}+deb12"
    assert package.name == f"edged_{version}_arm64.deb"
    assert build.field(package, "Package") == "edged"
    assert build.field(package, "Version") == version
    assert build.field(package, "Architecture") == "arm64"
    depends = build.field(package, "Depends").split(", ")
    assert {"python3 (>= 3.11)", "python3 (<< 3.12)"} <= set(depends)
    assert build.field(package, "Recommends").split(", ") == [
        "ca-certificates",
        "systemd",
        "procps",
    ]


@pytest.mark.parametrize(
    ("release", "python", "suffix"),
    [("trixie", (13, 14), "deb13"), ("jammy", (10, 11), "ubuntu22.04")],
)
def test_each_release_has_its_own_python(
    dpkg_deb: str,
    tmp_path: Path,
    release: str,
    python: tuple[int, int],
    suffix: str,
) -> None:
    package = packed(tmp_path, release, "amd64")
    depends = build.field(package, "Depends")
    assert f"python3 (>= 3.{python[0]})" in depends
    assert f"python3 (<< 3.{python[1]})" in depends
    assert build.field(package, "Version").endswith(f"+{suffix}")
    assert build.field(package, "Architecture") == "amd64"


def test_what_is_where_and_whose(dpkg_deb: str, package: Path) -> None:
    archive = subprocess.run(
        [dpkg_deb, "--fsys-tarfile", package], capture_output=True, check=True
    ).stdout
    with tarfile.open(fileobj=io.BytesIO(archive)) as files:
        members = {member.name.lstrip("./"): member for member in files.getmembers()}
        unit = files.extractfile(members["usr/lib/systemd/system/edged.service"])
        assert unit is not None
        assert unit.read() == (PACKAGE.parents[1] / "systemd/edged.service").read_bytes()
    assert members["usr/bin/edged"].mode == 0o755
    assert members["usr/lib/edged/bin/python3"].linkname == "/usr/bin/python3.11"
    assert "usr/lib/edged/lib/python3.11/site-packages/edged/__init__.py" in members
    assert f"{DEBIAN_PREFIX}/pyvenv.cfg".lstrip("/") in members
    for name in ("usr/lib/edged/edged.yaml", "usr/lib/edged/jetson.conf"):
        assert members[name].mode == 0o644
    assert {(member.uid, member.gid) for member in members.values()} == {(0, 0)}
    assert {member.uname for member in members.values()} <= {"root", ""}


def test_the_copyright_names_every_licence(tmp_path: Path) -> None:
    site = build.site_packages(tmp_path, build.RELEASES["bookworm"])
    stated = {
        "edged": "License-Expression: Apache-2.0\n",
        "ncnn": "License: BSD-3\nClassifier: License :: OSI Approved :: BSD License\n",
        "numpy": "License-Expression: BSD-3-Clause AND 0BSD\n",
        "whole": "License: All of\n it\nClassifier: License :: OSI Approved :: MIT License\n",
    }
    for name, text in stated.items():
        (site / f"{name}-1.dist-info").mkdir(parents=True)
        metadata = f"Metadata-Version: 2.4\nName: {name}\nVersion: 1\n{text}"
        (site / f"{name}-1.dist-info/METADATA").write_text(metadata)
    build.write_copyright(tmp_path, site)
    text = (tmp_path / "usr/share/doc/edged/copyright").read_text()
    assert text.startswith(build.COPYRIGHT)
    assert text.endswith(
        "\n  ncnn 1: BSD-3\n  numpy 1: BSD-3-Clause AND 0BSD\n  whole 1: MIT License\n"
    )
    (site / "whole-1.dist-info/METADATA").write_text("Name: whole\nVersion: 1\n")
    with pytest.raises(ValueError, match="whole: its metadata name no licence"):
        build.write_copyright(tmp_path, site)


def test_the_documents_are_where_programs_look_for_them(tmp_path: Path) -> None:
    build.write_documents(tmp_path, build.RELEASES["bookworm"])
    share = tmp_path / "usr/share"
    for page in ("man1/edged.1", "man5/edged.yaml.5"):
        text = gzip.decompress((share / f"man/{page}.gz").read_bytes()).decode()
        assert text.startswith(".TH EDGED")
    assert "edged" in (share / "bash-completion/completions/edged").read_text()
    assert (share / "zsh/vendor-completions/_edged").read_text().startswith("#compdef edged\n")
    assert "complete -c edged" in (share / "fish/vendor_completions.d/edged.fish").read_text()
    assert gzip.decompress((share / "doc/edged/changelog.gz").read_bytes()).startswith(b"edged (")


def test_debian_reads_the_changelog(tmp_path: Path) -> None:
    if which("dpkg-parsechangelog") is None:
        pytest.skip("dpkg-parsechangelog is not installed (apt-get install dpkg-dev)")
    text = (PROJECT / "CHANGELOG.md").read_text()
    built = datetime(2026, 12, 1, tzinfo=timezone.utc)
    file = tmp_path / "changelog"
    file.write_text(changelog.debian_changelog(text, "deb12", built))
    parsed = subprocess.run(
        ["dpkg-parsechangelog", "--file", file, "--all", "--format", "rfc822"],
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert parsed.stderr == ""
    versions = re.findall(r"^Version: (.+)", parsed.stdout, re.M)
    assert versions == [f"{each}+deb12" for each in re.findall(r"^## (\S+)", text, re.M)]
    assert versions[0] == f"{build.version()}+deb12"
    assert text.count("\n- ") <= parsed.stdout.count("\n   * ")
    assert max(map(len, file.read_text().splitlines())) <= 80


def test_a_release_without_a_date_is_refused() -> None:
    with pytest.raises(ValueError, match=r"expected VERSION \(YYYY-MM-DD\) in a heading, got 1\.0"):
        changelog.debian_changelog("## 1.0\n", "deb12", datetime.now(timezone.utc))


def test_the_package_has_the_ncnn_that_the_extra_asks_for() -> None:
    version = build.NCNN.removeprefix("ncnn==")
    assert f'ncnn = ["ncnn>={version}"]' in (PROJECT / "pyproject.toml").read_text()


def test_there_is_no_conffile_that_dpkg_would_ask_about(dpkg_deb: str, package: Path) -> None:
    assert control(dpkg_deb, package, "conffiles") == ""


def test_lintian_finds_no_error(package: Path) -> None:
    """Of all but the wheels; `make lint-deb` checks a whole package."""
    if which("lintian") is None:
        pytest.skip("lintian is not installed (apt-get install lintian)")
    said = subprocess.run(
        ["lintian", "--allow-root", "--fail-on", "error", package],
        capture_output=True, text=True, check=False, timeout=100,
    )  # fmt: skip
    assert said.returncode == 0, said.stdout + said.stderr


def test_the_scripts_are_the_packages_and_a_shell_reads_them(dpkg_deb: str, package: Path) -> None:
    for name in SCRIPTS:
        script = PACKAGE / name
        assert control(dpkg_deb, package, name) == script.read_text()
        subprocess.run(["sh", "-n", script], check=True)


def test_the_same_sources_make_the_same_package(package: Path, tmp_path: Path) -> None:
    assert packed(tmp_path).read_bytes() == package.read_bytes()


def test_without_git_and_a_date_a_package_has_the_present_time(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("SOURCE_DATE_EPOCH", raising=False)
    assert int(build.commit_time()) == build.epoch()
    monkeypatch.setenv("PATH", str(tmp_path))
    begun = int(time.time())
    assert begun <= build.epoch() <= time.time()


def test_the_checksums_are_those_of_sha256sum(package: Path) -> None:
    build.write_checksums(package.parent)
    subprocess.run(
        ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"],
        cwd=package.parent,
        check=True,
    )


def test_the_environment_sees_the_systems_packages_behind_its_own(tmp_path: Path) -> None:
    """With the Python that runs this test in place of the system's."""
    release = build.Release(sys.version_info.minor, 17, "here")
    build.lay_environment(tmp_path, release)
    home = tmp_path / "usr/lib/edged"
    (home / "bin/python3").unlink()
    (home / "bin/python3").symlink_to(Path(sys.base_prefix) / "bin/python3")
    (home / "pyvenv.cfg").write_text(
        (home / "pyvenv.cfg").read_text().replace("/usr/bin", f"{sys.base_prefix}/bin")
    )
    shown = subprocess.run(
        [
            home / "bin/python3",
            "-I",
            "-c",
            "import sys; print(*sys.path, sys.executable, sep='\\n')",
        ],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(tmp_path)},
    )
    *path, executable = shown.stdout.splitlines()
    ours = str(build.site_packages(tmp_path, release))
    theirs = [entry for entry in path if entry.endswith("-packages") and entry != ours]
    assert executable == str(home / "bin/python3")
    assert str(tmp_path) not in path
    assert theirs
    assert path.index(ours) < path.index(theirs[0])
