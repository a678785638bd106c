"""What the Debian package brings suffices to send messages, and to get the networks to teach on.

Its Python environment, made of the same wheels as the package, for the Python of this test.
"""

from __future__ import annotations

import os
import platform
import shlex
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from edged.teach.backbone import pull_command
from edged.variants.official import ALPHAS, LABELS_FILE, RESOLUTIONS, TAUGHT_FROM
from edged.variants.variant import Variant
from tests.rig.package import build
from tests.rig.pulls import LABELS, archive, family_in, network
from tests.rig.webhook import serving
from tests.rig.weight_server import WeightServer, weight_server

pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

NOT_IN_IT = ("h5py", "onnx", "torch")


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The package's, isolated from everything but its own modules and the system's."""
    folder = tmp_path_factory.mktemp("package")
    kind, version = platform.libc_ver()
    arch = next((deb for deb, name in build.MACHINES.items() if name == platform.machine()), None)
    if kind != "glibc" or arch is None:
        pytest.skip("the package is for glibc on arm64 and amd64")
    release = build.Release(sys.version_info.minor, int(version.split(".")[1]), "here")
    tree = folder / "tree"
    build.lay_environment(tree, release)
    build.fetch_wheels(tree, release, arch, folder)
    shutil.rmtree(folder / "wheels")
    home = tree / "usr/lib/edged"
    (home / "bin/python3").unlink()
    (home / "bin/python3").symlink_to(Path(sys.base_prefix) / "bin/python3")
    settings = (home / "pyvenv.cfg").read_text().replace("/usr/bin", f"{sys.base_prefix}/bin")
    (home / "pyvenv.cfg").write_text(settings.replace("packages = true", "packages = false"))
    return home / "bin/python3"


@pytest.fixture(scope="module")
def mirror() -> Iterator[WeightServer]:
    files = {LABELS_FILE: LABELS.encode()}
    for alpha in ALPHAS:
        files[f"mobilenet_v1_{alpha}_{TAUGHT_FROM}.tgz"] = archive(TAUGHT_FROM, alpha=alpha)
    with weight_server(files) as server:
        yield server


def run(python: Path, *arguments: str | Path, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [python, "-I", *arguments],
        env={"PATH": os.defpath, "HOME": "/nonexistent", "no_proxy": "*", **environ},
        capture_output=True,
        text=True,
    )


def test_what_teaching_does_not_need_is_not_in_it(python: Path) -> None:
    program = "import sys; from importlib.util import find_spec as f; print(*filter(f, sys.argv))"
    assert run(python, "-c", program, *NOT_IN_IT, "tflite").stdout == "tflite\n"


def test_the_printed_command_gets_the_networks(
    python: Path, mirror: WeightServer, tmp_path: Path
) -> None:
    """The one that is printed where teaching finds no networks of ImageNet; here from a mirror."""
    state = tmp_path / "state"
    sudo, edged, *words = shlex.split(pull_command(state / "teach", service=state))
    assert (sudo, edged) == ("sudo", "edged")
    launcher = python.parents[3] / "bin/edged"
    pulled = run(python, launcher, *words, "--from", mirror.url, STATE_DIRECTORY=str(state))
    assert pulled.returncode == 0, pulled.stderr
    family = family_in(state / "imagenet")
    assert family.variants() == tuple(
        Variant(alpha, side) for alpha in ALPHAS for side in RESOLUTIONS
    )
    assert len(family.networks) == len(ALPHAS)


def test_a_message_is_sent(python: Path, tmp_path: Path) -> None:
    with serving(200) as server:
        address = f"ntfy://127.0.0.1:{server.server_port}/topic"
        (tmp_path / "edged.yaml").write_text(
            f"cameras: {{door: {{source: synthetic}}}}\n"
            f"results: {{notify: {{phone: {{url: '{address}'}}}}}}\n"
        )
        launcher = python.parents[3] / "bin/edged"
        sent = run(python, launcher, "notify", "--test", "-c", tmp_path / "edged.yaml")
    assert (sent.returncode, sent.stdout) == (0, "phone: taken\n"), sent.stderr
    assert server.got[0][2].startswith(b"\xff\xd8")


def test_weights_of_tensorflow_lite_are_imported(python: Path, tmp_path: Path) -> None:
    (tmp_path / "x.tflite").write_bytes(network(128))
    (tmp_path / "labels.txt").write_text(LABELS)
    launcher = python.parents[3] / "bin/edged"
    into = tmp_path / "mine"
    imported = run(
        *(python, launcher, "models", "import", tmp_path / "x.tflite"),
        *("--labels", tmp_path / "labels.txt", "--into", into),
    )
    assert imported.returncode == 0, imported.stderr
    assert family_in(into).variants() == (Variant(0.25, 128),)
