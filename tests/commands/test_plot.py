"""Whether a picture can be drawn is told first; it reaches the disk whole, the same twice."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import cv2
import pytest

from edged.commands.plots.plot import check_plot, new_figure, write_figure
from edged.errors import EdgedError, InputError
from tests.rig.full_disk import no_room


def drawn(path: Path) -> bytes:
    figure = new_figure(2, 1)
    figure.add_subplot().plot([1, 2], [3, 1], label="a line")
    write_figure(figure, path)
    return path.read_bytes()


@pytest.mark.parametrize(
    ("name", "begin"), [("a.png", b"\x89PNG"), ("a.SVG", b"<?xml"), ("a.pdf", b"%PDF")]
)
def test_the_name_decides_the_kind_and_the_same_figures_give_the_same_bytes(
    tmp_path: Path, name: str, begin: bytes
) -> None:
    check_plot(tmp_path / name)
    first = drawn(tmp_path / name)
    assert first.startswith(begin)
    assert drawn(tmp_path / name) == first
    assert [path.name for path in tmp_path.iterdir()] == [name]


def test_a_picture_has_the_size_asked_for(tmp_path: Path) -> None:
    drawn(tmp_path / "a.png")
    assert cv2.imread(str(tmp_path / "a.png")).shape == (200, 400, 3)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("a.jpg", r"a\.jpg: not a supported plot format .*got '\.jpg'.*\.pdf, \.png, \.svg"),
        ("a", r"not a supported plot format .*got ''"),
        ("nowhere/a.png", r"nowhere: no such folder"),
    ],
)
def test_what_cannot_be_written_is_told_before(tmp_path: Path, name: str, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        check_plot(tmp_path / name)


def test_what_fails_leaves_what_was_there(tmp_path: Path) -> None:
    whole = drawn(tmp_path / "a.png")
    wrong = r"/a\.png: cannot write the plot .*File too large"
    with no_room(), pytest.raises(EdgedError, match=wrong):
        drawn(tmp_path / "a.png")
    assert (tmp_path / "a.png").read_bytes() == whole
    assert [path.name for path in tmp_path.iterdir()] == ["a.png"]


def test_without_the_package_the_message_says_how_to_install_it(tmp_path: Path) -> None:
    program = (
        "import sys; sys.modules['matplotlib'] = None\n"
        "from edged.cli import main\n"
        "sys.exit(main(sys.argv[1:]))\n"
    )
    photos, plot = str(tmp_path), str(tmp_path / "a.png")
    evaluate = ["models", "evaluate", "imagenette", "--photos", photos, "--plot", plot]
    done = subprocess.run(
        [sys.executable, "-c", program, *evaluate], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "pip install 'edged[plot]'" in done.stderr
    assert len(done.stderr.splitlines()) == 1
