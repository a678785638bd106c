from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from edged.errors import InputError
from edged.state import SERVICE_STATE
from edged.teach.backbone import IMAGENET, backbone_of, given_backbone, pull_command, ways_on
from edged.variants.family import Family, write_family

PULL = "edged models pull mobilenet-v1-imagenet --teach"
IMAGENET_LABELS = tuple(f"class {number}" for number in range(1000))


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """The classifiers' folder, not yet made."""
    return tmp_path / "state" / "teach"


def imagenet_in(folder: Path, family: Family) -> Path:
    """A family of so many classes; its networks know fewer, which nobody asks them."""
    write_family(replace(family, directory=folder, labels=IMAGENET_LABELS, photo_folders={}), {})
    return folder


def test_without_imagenet_the_shipped_networks_are_taught_with_a_warning(root: Path) -> None:
    found = backbone_of("", root, None, Path())
    assert (found.reference, found.family.name) == ("imagenette", "imagenette")
    assert found.warning == (
        "the networks of imagenette know only 10 classes of pictures; on those of ImageNet "
        f"teaching is far better: {pull_command(root)}"
    )


def test_what_was_pulled_to_teach_on_is_taken_without_a_warning(root: Path, family: Family) -> None:
    folder = imagenet_in(root.parent / IMAGENET, family)
    found = backbone_of("", root, "imagenette", Path())
    assert (found.reference, found.warning) == (str(folder), None)


def test_networks_of_imagenet_that_run_already_are_taken_first(root: Path, family: Family) -> None:
    imagenet_in(root.parent / IMAGENET, family)
    own = imagenet_in(root.parent / "own", family)
    assert backbone_of("", root, "own", root.parent).reference == str(own)


def test_other_networks_that_run_already_come_before_the_shipped_ones(
    root: Path, family: Family
) -> None:
    found = backbone_of("", root, str(family.directory), Path())
    assert found.reference == str(family.directory)
    assert found.warning is not None
    assert found.warning.startswith("the networks of animals know only 6 classes")


def test_a_backbone_that_is_gone_names_the_command_that_gets_it(root: Path) -> None:
    folder = root.parent / IMAGENET
    with pytest.raises(InputError) as raised:
        given_backbone(str(folder), root, Path())
    assert str(raised.value) == (f"{folder}: no networks to teach on; {PULL} --into {folder}")
    with pytest.raises(InputError, match=r"elsewhere: not a family: no family\.yaml"):
        given_backbone("elsewhere", root, Path())


@pytest.mark.parametrize(
    ("state", "environ", "command"),
    [
        ("/nowhere/service", {"STATE_DIRECTORY": "/nowhere/service"}, f"sudo {PULL}"),
        ("/nowhere/service", {"HOME": "/root"}, f"sudo {PULL}"),
        ("/nowhere/state/edged", {"XDG_STATE_HOME": "/nowhere/state"}, PULL),
        ("/nowhere/.local/state/edged", {"HOME": "/nowhere"}, PULL),
        ("/nowhere/a b", {"HOME": "/home/pi"}, f"{PULL} --into '/nowhere/a b/imagenet'"),
    ],
)
def test_the_command_fills_the_very_folder(
    state: str, environ: dict[str, str], command: str
) -> None:
    assert pull_command(Path(state) / "teach", environ, Path("/nowhere/service")) == command


def test_in_a_container_everybody_is_the_services_user(tmp_path: Path) -> None:
    environ = {"EDGED_CONTAINER": "1", "STATE_DIRECTORY": str(tmp_path)}
    assert pull_command(tmp_path / "teach", environ, tmp_path) == PULL


def test_the_ways_on_are_those_of_the_daemon_that_names_them() -> None:
    """Where the service keeps its state, only root may write."""
    assert ways_on(SERVICE_STATE / "teach") == (
        f"ImageNet's 1000 classes: sudo {PULL}, then model: {SERVICE_STATE}/imagenet",
        "your own classes: sudo edged teach gate --view CAMERA --classes open,closed",
    )
