"""What the virtual device decides before it is built; that it works is what building it shows."""

from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

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


def test_what_a_wheel_needs_in_any_case(tmp_path: Path) -> None:
    wheel = tmp_path / "edged-1-py3-none-any.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        archive.writestr(
            "edged-1.dist-info/METADATA",
            "Name: edged\nRequires-Dist: numpy>=1.24\nRequires-Dist: onnx; extra == 'models'\n",
        )
    assert requirements(wheel) == ["numpy>=1.24"]
