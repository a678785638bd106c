"""`edged models pull --teach`: a network of each width, run at every resolution."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.cli import main
from edged.commands.pull import backbone_folder
from edged.errors import EdgedError
from edged.variants.features import features_name
from edged.variants.official import RESOLUTIONS, TAUGHT_FROM, Weights
from edged.variants.published import published_top1
from edged.variants.variant import Variant
from edged.variants.weights.pull import UNDER_WAY, pull
from tests.rig.families import content_of
from tests.rig.pulls import HASTY, IMAGENET, archive, family_in, pulled
from tests.rig.pulls import command as ordinary
from tests.rig.weight_server import WeightServer, status

pytestmark = pytest.mark.usefixtures("mirror")

FILES = {f"mobilenet_v1_{alpha}_{TAUGHT_FROM}.tgz": alpha for alpha in (0.25, 0.5)}
VARIANTS = tuple(Variant(alpha, side) for alpha in FILES.values() for side in RESOLUTIONS)


@pytest.fixture(autouse=True)
def _two_widths(server: WeightServer) -> None:
    server.files |= {name: archive(TAUGHT_FROM, alpha=alpha) for name, alpha in FILES.items()}


def pulled_to_teach(server: WeightServer, into: Path) -> tuple[Variant, ...]:
    cells = [(alpha, TAUGHT_FROM) for alpha in FILES.values()]
    release = IMAGENET[Weights.FLOAT]
    _, new = pull(release, cells, into, OrtBackend(), server.url, HASTY, resolutions=RESOLUTIONS)
    return new


def command(server: WeightServer, *more: str) -> list[str]:
    """Into the state folder, of two widths."""
    (program, *words), into = ordinary(server, Path("DIR"))[:6], ("--into", "DIR")
    arguments = [program, *words, "--teach", "--alpha", "0.25", "0.5", "--from", server.url, *more]
    assert not set(into) & set(arguments)
    return arguments


def run(arguments: list[str], state: Path) -> subprocess.CompletedProcess[str]:
    environ = {**os.environ, "STATE_DIRECTORY": str(state)}
    return subprocess.run(arguments, env=environ, capture_output=True, text=True, timeout=110)


def test_each_network_runs_at_every_resolution(server: WeightServer, into: Path) -> None:
    assert pulled_to_teach(server, into) == VARIANTS
    family = family_in(into)
    assert family.variants() == VARIANTS
    assert len(family.networks) == len(FILES)
    assert {name for name, _ in server.gets()} == {*FILES, "ImageNetLabels.txt"}
    for network in family.networks:
        assert features_name(network.read()) == "features"


def test_a_published_accuracy_is_that_of_the_very_network(server: WeightServer, into: Path) -> None:
    """Those at other resolutions were published of other networks: an order at most."""
    pulled_to_teach(server, into)
    family = family_in(into)
    known = {network.alpha: network.accuracy for network in family.networks}
    assert {alpha: set(found) for alpha, found in known.items()} == {0.25: {160}, 0.5: {160}}
    assert known[0.5][160].top1 == 0.591
    assert not family.states_accuracy
    for variant in VARIANTS:
        assert family.accuracy(variant) is None
        assert family.top1(variant) == published_top1(variant)


def test_what_is_there_is_not_fetched_again(server: WeightServer, into: Path) -> None:
    pulled_to_teach(server, into)
    before = content_of(into)
    server.requests.clear()
    assert pulled_to_teach(server, into) == ()
    assert server.requests == []
    assert content_of(into) == before


def test_networks_of_one_resolution_each_become_the_backbones(
    server: WeightServer, into: Path
) -> None:
    pulled(server, into, (0.25, 128), (0.25, TAUGHT_FROM))
    pulled_to_teach(server, into)
    family = family_in(into)
    assert family.variants() == VARIANTS
    assert len(family.networks) == len(FILES)


def test_a_failed_pull_leaves_nothing_and_continues(server: WeightServer, into: Path) -> None:
    first, last = FILES
    server.troubles[last] = [status(404)]
    with pytest.raises(EdgedError, match="HTTP 404"):
        pulled_to_teach(server, into)
    assert {path.name for path in into.iterdir()} == {UNDER_WAY}
    server.requests.clear()
    assert pulled_to_teach(server, into) == VARIANTS
    assert first not in {name for name, _ in server.gets()}
    family_in(into)


def test_the_command_fills_the_folder_where_teaching_looks(
    server: WeightServer, tmp_path: Path
) -> None:
    done = run(command(server), tmp_path)
    assert done.returncode == 0, done.stderr
    assert family_in(tmp_path / "imagenet").variants() == VARIANTS
    assert done.stdout == (
        "mobilenet_v1_0.25_160: top-1 0.455 (published: ImageNet validation, by TF-Slim)\n"
        "mobilenet_v1_0.5_160: top-1 0.591 (published: ImageNet validation, by TF-Slim)\n"
        f"{tmp_path}/imagenet: each network runs at 128, 160, 192, 224 pixels\n"
        "teach your own classes: edged teach gate --view CAMERA --classes open,closed\n"
    )
    again = run(command(server), tmp_path)
    assert again.stdout == f"{tmp_path}/imagenet: nothing to do, all 2 networks are complete\n"


def test_who_cannot_write_where_the_service_looks_is_told(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    home = {"HOME": str(tmp_path)}
    own = tmp_path / ".local/state/edged/imagenet"
    assert backbone_folder(home, tmp_path / "no service") == own
    assert capsys.readouterr().err == ""
    service = tmp_path / "service"
    service.write_text("a file, where not even root can make a folder")
    assert backbone_folder(home, service) == own
    assert capsys.readouterr().err == (
        f"edged: note: the service looks in {service}, where this user may not write; for the "
        "service, run this command with sudo\n"
    )
    assert backbone_folder({}, tmp_path / "no service") == tmp_path / "no service/imagenet"


def test_a_choice_of_resolutions_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    status = main(["models", "pull", "mobilenet-v1-imagenet", "--teach", "--resolution", "224"])
    assert status == 2
    assert capsys.readouterr().err == (
        "edged: --teach runs each network at every resolution; omit --resolution\n"
    )
