"""What the virtual device decides before it is built; that it works is what building it shows."""

from __future__ import annotations

import subprocess
import zipfile
from pathlib import Path
from shutil import which

import pytest

from tests.device.packages import NEWER, digest
from tests.device.root import apt_sources, in_order
from tests.device.share import requirements
from tests.device.step import step


def test_a_step_is_made_once_and_again_when_its_recipe_changes(tmp_path: Path) -> None:
    made: list[str] = []

    def make(recipe: str) -> None:
        def build(target: Path) -> None:
            made.append(recipe)
            target.mkdir()

        step(tmp_path / "root", recipe, build)

    for recipe in ("a", "a", "b"):
        make(recipe)
    assert made == ["a", "b"]


def test_a_step_that_failed_is_made_again(tmp_path: Path) -> None:
    def fail(target: Path) -> None:
        target.write_text("half")
        raise OSError

    with pytest.raises(OSError):
        step(tmp_path / "image", "a", fail)
    assert not (tmp_path / "image").exists()
    step(tmp_path / "image", "a", lambda target: target.write_text("whole") and None)
    assert (tmp_path / "image").read_text() == "whole"


def test_the_sources_of_the_suite_are_taken_from_apt(tmp_path: Path) -> None:
    parts = tmp_path / "apt" / "sources.list.d"
    parts.mkdir(parents=True)
    (tmp_path / "apt" / "sources.list").write_text(
        "# deb file:/mirror bookworm main\n"
        "deb [signed-by=/a key.gpg] file:/mirror bookworm main\n"
        "deb-src file:/mirror bookworm main\n"
        "deb file:/mirror trixie main\n"
    )
    (parts / "debian.sources").write_text(
        "Types: deb\nURIs: file:/security\nSuites: bookworm-security\nComponents: main\n\n\n"
        "Types: deb\nURIs: file:/others\nSuites: somebody-bookworm\nComponents: main\n"
    )
    line, file = apt_sources("bookworm", tmp_path / "apt", tmp_path)
    assert line == "deb [signed-by=/a key.gpg] file:/mirror bookworm main"
    assert isinstance(file, Path)
    assert "file:/security" in file.read_text()
    assert "file:/others" not in file.read_text()


def test_modules_come_after_those_they_need(tmp_path: Path) -> None:
    dependencies = tmp_path / "modules.dep"
    dependencies.write_text(
        "kernel/fs/ext4.ko: kernel/fs/jbd2.ko kernel/lib/crc16.ko\n"
        "kernel/fs/jbd2.ko: kernel/lib/crc16.ko\n"
        "kernel/lib/crc16.ko:\n"
        "kernel/drivers/virtio-blk.ko:\n"
    )
    assert in_order(("virtio_blk", "built_in", "ext4"), dependencies) == [
        "kernel/drivers/virtio-blk.ko",
        "kernel/lib/crc16.ko",
        "kernel/fs/jbd2.ko",
        "kernel/fs/ext4.ko",
    ]


def test_what_a_wheel_needs_in_any_case_and_the_second_runtime(tmp_path: Path) -> None:
    wheel = tmp_path / "edged-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "edged-1.dist-info/METADATA",
            "Name: edged\nRequires-Dist: numpy>=1.24\nRequires-Dist: onnx; extra == 'models'\n"
            "Requires-Dist: ncnn>=1; extra == 'ncnn'\n",
        )
    assert requirements(wheel) == ["numpy>=1.24", "ncnn>=1"]


def test_a_package_is_made_again_when_what_is_in_it_has_changed(tmp_path: Path) -> None:
    (tmp_path / "edged/__pycache__").mkdir(parents=True)
    (tmp_path / "edged/cli.py").write_text("first")
    (tmp_path / "pyproject.toml").write_text("")

    def seen() -> str:
        return digest(tmp_path, ("edged", "pyproject.toml"))

    before = seen()
    (tmp_path / "edged/__pycache__/cli.pyc").write_text("compiled")
    (tmp_path / "README.md").write_text("")
    assert seen() == before
    (tmp_path / "edged/cli.py").write_text("other")
    assert seen() != before
    (tmp_path / "edged/cli.py").rename(tmp_path / "edged/main.py")
    (tmp_path / "edged/main.py").write_text("first")
    assert seen() != before


def test_the_next_version_differs_in_number_and_default_configuration(tmp_path: Path) -> None:
    if which("dpkg-deb") is None:
        pytest.skip("dpkg-deb is not installed")
    tree = tmp_path / "tree"
    for name, text in {
        "DEBIAN/control": "Package: edged\nVersion: 1+deb12\nArchitecture: all\n"
        "Maintainer: us\nDescription: x\n",
        "usr/lib/edged/edged.yaml": "cameras: {}\n",
        "usr/bin/edged": "",
    }.items():
        (tree / name).parent.mkdir(parents=True, exist_ok=True)
        (tree / name).write_text(text)
    old, new = tmp_path / "old.deb", tmp_path / "new.deb"
    subprocess.run(["dpkg-deb", "--build", tree, old], check=True, stdout=subprocess.DEVNULL)
    subprocess.run([NEWER, old, new], check=True)
    versions = [
        subprocess.run(
            ["dpkg-deb", "--field", each, "Version"], check=True, capture_output=True, text=True
        ).stdout.strip()
        for each in (old, new)
    ]
    subprocess.run(["dpkg", "--compare-versions", versions[0], "lt", versions[1]], check=True)
    subprocess.run(["dpkg-deb", "--extract", new, tmp_path / "out"], check=True)
    text = (tmp_path / "out/usr/lib/edged/edged.yaml").read_text()
    assert text.startswith("cameras: {}\n#")
