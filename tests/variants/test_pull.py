from __future__ import annotations

import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path

import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError, InputError
from edged.variants.mobilenet import Architecture
from edged.variants.official import ALPHAS, LABELS_FILE, RESOLUTIONS, Weights
from edged.variants.published import published_top1
from edged.variants.variant import Variant
from edged.variants.weights.download_record import RECORD
from edged.variants.weights.pull import UNDER_WAY, Watch, pull
from tests.rig.families import content_of, import_weights
from tests.rig.keras_files import keras_file
from tests.rig.pulls import (
    CELL,
    FLOAT_FILE,
    HASTY,
    IMAGENET,
    LABELS,
    archive,
    command,
    family_in,
    network,
    pulled,
)
from tests.rig.weight_server import WeightServer, cut, hold, redirect, status, tgz, weight_server

pytestmark = pytest.mark.usefixtures("mirror")

# -------------------------------------------------------------------------------- what is official


@pytest.mark.parametrize("kind", list(Weights))
def test_sixteen_files_with_published_accuracies(kind: Weights) -> None:
    release = IMAGENET[kind]
    cells = [(alpha, resolution) for alpha in ALPHAS for resolution in RESOLUTIONS]
    assert len({release.file_name(*cell) for cell in cells}) == 16
    for cell in cells:
        accuracy = release.accuracy(*cell)
        assert accuracy.top5 is not None
        assert 0.39 < accuracy.top1 < accuracy.top5 < 0.9
        assert accuracy.source.startswith("published")
    for smaller, larger in pairwise(cells):
        if smaller[0] == larger[0]:
            assert release.accuracy(*smaller).top1 < release.accuracy(*larger).top1


def test_the_accuracies_are_those_that_order_variants() -> None:
    for alpha in ALPHAS:
        for resolution in RESOLUTIONS:
            published = IMAGENET[Weights.FLOAT].accuracy(alpha, resolution).top1
            assert published == pytest.approx(published_top1(Variant(alpha, resolution)))


def test_the_names_are_those_of_the_servers() -> None:
    for kind, directory, name in (
        (
            Weights.FLOAT,
            "https://storage.googleapis.com/download.tensorflow.org/models/mobilenet_v1_2018_08_02",
            "mobilenet_v1_1.0_224.tgz",
        ),
        (
            Weights.QUANT,
            "https://storage.googleapis.com/download.tensorflow.org/models/mobilenet_v1_2018_08_02",
            "mobilenet_v1_1.0_224_quant.tgz",
        ),
        (
            Weights.KERAS,
            "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet",
            "mobilenet_1_0_224_tf.h5",
        ),
    ):
        release = IMAGENET[kind]
        assert (release.directory, release.file_name(1.0, 224)) == (directory, name)


# ------------------------------------------------------------------------------------------ a pull


def test_a_pull_makes_a_family(server: WeightServer, into: Path) -> None:
    notes: list[str] = []
    progress: list[tuple[int, int | None]] = []
    watch = Watch(lambda received, total: progress.append((received, total)), notes.append)
    new = pulled(server, into, CELL, (0.25, 160), watch=watch)
    assert new == (Variant(0.25, 128), Variant(0.25, 160))
    family = family_in(into)
    assert family.variants() == new
    assert (len(family.labels), family.labels[0]) == (1000, "class 1")
    accuracy = family.accuracy(new[0])
    assert (accuracy.top1, accuracy.top5, accuracy.photos) == (0.415, 0.663, None)
    assert accuracy.source == "published: ImageNet validation, by TF-Slim"
    assert {path.name for path in into.iterdir()} == {
        "family.yaml",
        "golden.png",
        "labels.txt",
        "mobilenet_v1_0.25_128.onnx",
        "mobilenet_v1_0.25_160.onnx",
        RECORD,
    }
    total = sum(len(server.files[name]) for name, _ in server.gets() if name != LABELS_FILE)
    assert progress[-1] == (total, total)
    assert progress == sorted(progress)
    assert notes == [f"2 files, {total / 1e6:.1f} MB", "converting 2 networks"]


def test_the_networks_are_those_that_an_import_makes(
    server: WeightServer, into: Path, tmp_path: Path
) -> None:
    pulled(server, into)
    (tmp_path / "x.tflite").write_bytes(network(128))
    (tmp_path / "labels").write_text(LABELS)
    imported = import_weights(
        tmp_path / "x.tflite",
        None,
        alpha=0.25,
        resolutions=(128,),
        labels=tmp_path / "labels",
        into=tmp_path / "by hand",
    )
    assert family_in(into).networks[0].sha256 == imported.sha256


def test_quantised_weights_have_accuracies_of_their_own(server: WeightServer, into: Path) -> None:
    pulled(server, into, kind=Weights.QUANT)
    assert family_in(into).top1(Variant(*CELL)) == 0.395


def test_keras_weights(server: WeightServer, into: Path, tmp_path: Path) -> None:
    keras_file(tmp_path / "keras.h5", Architecture(0.25, 1000))
    server.files["mobilenet_2_5_192_tf.h5"] = (tmp_path / "keras.h5").read_bytes()
    pulled(server, into, (0.25, 192), kind=Weights.KERAS)
    family = family_in(into)
    assert family.top1(Variant(0.25, 192)) == 0.49
    assert len(family.labels) == 1000


def test_a_second_pull_adds_and_does_not_fetch_again(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    first = (into / "mobilenet_v1_0.25_128.onnx").read_bytes()
    server.requests.clear()
    assert pulled(server, into, CELL, (0.25, 160)) == (Variant(0.25, 160),)
    assert FLOAT_FILE not in {name for _, name, _ in server.requests}
    assert len(family_in(into).networks) == 2
    assert (into / "mobilenet_v1_0.25_128.onnx").read_bytes() == first


def test_what_is_there_and_whole_needs_no_server(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    before = content_of(into)
    server.requests.clear()
    assert pulled(server, into) == ()
    assert server.requests == []
    assert content_of(into) == before


def test_other_weights_of_the_same_cell_replace_it(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    assert pulled(server, into, kind=Weights.QUANT) == (Variant(*CELL),)
    assert [network.accuracy[128].top1 for network in family_in(into).networks] == [0.395]
    assert pulled(server, into) == (Variant(*CELL),)
    assert family_in(into).top1(Variant(*CELL)) == 0.415


def test_a_damaged_network_is_fetched_again(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    (into / "mobilenet_v1_0.25_128.onnx").write_bytes(b"damaged")
    pulled(server, into)
    assert family_in(into).variants() == (Variant(*CELL),)


def test_a_redirecting_mirror(server: WeightServer, into: Path) -> None:
    server.files["cdn"] = server.files[FLOAT_FILE]
    server.troubles[FLOAT_FILE] = [redirect(f"{server.url}/cdn")]
    assert pulled(server, into) == (Variant(*CELL),)


def test_a_mirror_whose_address_has_a_query(server: WeightServer, into: Path) -> None:
    pull(IMAGENET[Weights.FLOAT], [CELL], into, OrtBackend(), f"{server.url}/?token=1", HASTY)
    assert family_in(into)


# ----------------------------------------------------------------------------------- interruptions


def test_a_failed_pull_leaves_the_family_and_continues(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    before = content_of(into)
    size = len(server.files["mobilenet_v1_0.25_160.tgz"])
    server.troubles["mobilenet_v1_0.25_160.tgz"] = [cut(size // 2), status(404)]
    with pytest.raises(EdgedError, match="HTTP 404"):
        pulled(server, into, (0.25, 160))
    assert {path.name for path in (into / UNDER_WAY).iterdir()} == {
        "lock",
        "mobilenet_v1_0.25_160.tgz.mark",
        "mobilenet_v1_0.25_160.tgz.part",
    }
    assert {name: (into / name).read_bytes() for name in before} == before
    family_in(into)
    notes: list[str] = []
    server.requests.clear()
    pulled(server, into, (0.25, 160), watch=Watch(note=notes.append))
    assert ("mobilenet_v1_0.25_160.tgz", f"bytes={size // 2}-") in server.gets()
    assert "already downloaded" in notes[0]
    assert not (into / UNDER_WAY).exists()
    assert len(family_in(into).networks) == 2


def test_files_that_came_whole_are_kept_for_the_next_attempt(
    server: WeightServer, into: Path
) -> None:
    server.troubles["mobilenet_v1_0.25_160.tgz"] = [status(403)]
    with pytest.raises(EdgedError, match="HTTP 403"):
        pulled(server, into, CELL, (0.25, 160))
    assert not (into / "family.yaml").exists()
    server.requests.clear()
    pulled(server, into, CELL, (0.25, 160))
    assert FLOAT_FILE not in {name for _, name, _ in server.requests}
    assert len(family_in(into).networks) == 2


@contextmanager
def held_halfway(server: WeightServer, into: Path) -> Iterator[subprocess.Popen[str]]:
    """A pull of another process that waits for the second half of its file."""
    half = len(server.files[FLOAT_FILE]) // 2
    server.troubles[FLOAT_FILE] = [hold(half)]
    program = (  # a shell starts what is in the background with SIGINT ignored, and so its children
        "import signal, sys; signal.signal(signal.SIGINT, signal.default_int_handler);"
        "from edged.cli import main; sys.exit(main(sys.argv[1:]))"
    )
    arguments = [sys.executable, "-c", program, *command(server, into)[3:]]
    with subprocess.Popen(arguments, stderr=subprocess.PIPE, text=True) as process:
        try:
            part = into / UNDER_WAY / f"{FLOAT_FILE}.part"
            # The last buffer may not have been written out yet.
            while process.poll() is None and not (
                part.exists() and part.stat().st_size > half // 2
            ):
                time.sleep(0.02)
            yield process
        finally:
            process.kill()


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGINT, signal.SIGTERM])
def test_a_pull_that_is_ended_continues(
    server: WeightServer, into: Path, number: signal.Signals
) -> None:
    with held_halfway(server, into) as process:
        process.send_signal(number)
        _, messages = process.communicate()
    if number == signal.SIGINT:
        assert process.returncode == 130
        assert "interrupted; run the same command to continue" in messages
    assert "Traceback" not in messages
    assert not (into / "family.yaml").exists()
    server.requests.clear()
    assert pulled(server, into) == (Variant(*CELL),)
    ((_, continued),) = [get for get in server.gets() if get[0] == FLOAT_FILE]
    assert continued is not None
    assert not (into / UNDER_WAY).exists()
    family_in(into)


def test_two_pulls_into_one_folder(server: WeightServer, into: Path) -> None:
    with held_halfway(server, into):
        with pytest.raises(EdgedError, match="another pull into this folder is running"):
            pulled(server, into)
        assert pulled(server, into.with_name("other")) == (Variant(*CELL),)
    pulled(server, into)
    family_in(into)


# --------------------------------------------------------------------------------- the sha256 kept


def test_a_file_that_changed_is_refused(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    network_path = into / "mobilenet_v1_0.25_128.onnx"
    network_path.unlink()
    (into / "family.yaml").unlink()
    server.files[FLOAT_FILE] = archive(128, seed=1)
    with pytest.raises(InputError, match=r"differs from the earlier download") as raised:
        pulled(server, into)
    assert raised.value.where == f"{server.url}/{FLOAT_FILE}"
    assert str(into / RECORD) in str(raised.value)
    assert not (into / "family.yaml").exists()
    lines = (into / RECORD).read_text().splitlines(keepends=True)
    (into / RECORD).write_text("".join(line for line in lines if not line.startswith("mobilenet")))
    pulled(server, into)
    family_in(into)


def test_labels_that_changed_are_refused(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    server.files[LABELS_FILE] = LABELS.replace("class 7\n", "class x\n").encode()
    with pytest.raises(InputError, match="differs from the earlier download"):
        pulled(server, into, (0.25, 160))


def test_a_damaged_record_is_told(server: WeightServer, into: Path) -> None:
    pulled(server, into)
    with (into / RECORD).open("a") as record:
        record.write("mobilenet_v1_0.25_160.tgz 1234\n")
    with pytest.raises(InputError, match=r"downloads\.txt:5: expected a file name and its sha256"):
        pulled(server, into, (0.25, 160))


# ------------------------------------------------------------------------------------ real weights


@pytest.mark.data
@pytest.mark.timeout(900)
def test_real_weights_make_the_networks_that_an_import_makes(
    data: Path, into: Path, tmp_path: Path
) -> None:
    """To the byte, so that they evaluate alike. Coral's files come in archives like TF-Slim's."""
    folder = data / "weights"
    files = {LABELS_FILE: (folder / "imagenet_labels.txt").read_bytes()}
    cells = [(0.25, 128), (0.5, 160), (0.75, 192)]
    for alpha, resolution in cells:
        name = f"mobilenet_v1_{alpha}_{resolution}_quant"
        content = (folder / f"{name}.tflite").read_bytes()
        files[f"{name}.tgz"] = tgz({"./": b"", f"./{name}.tflite": content})
    files["mobilenet_2_5_224_tf.h5"] = (folder / "mobilenet_v1_0.25_224.h5").read_bytes()
    with weight_server(files) as server:
        pulled(server, into, *cells, kind=Weights.QUANT)
        pulled(server, into, (0.25, 224), kind=Weights.KERAS)
    family = family_in(into)
    for alpha, resolution, name in (
        *((*cell, "mobilenet_v1_{}_{}_quant.tflite".format(*cell)) for cell in cells),
        (0.25, 224, "mobilenet_v1_0.25_224.h5"),
    ):
        imported = import_weights(
            folder / name,
            None,
            alpha=alpha,
            resolutions=(resolution,),
            labels=folder / "imagenet_labels.txt",
            into=tmp_path / "by hand",
        )
        assert family.network(Variant(alpha, resolution)).sha256 == imported.sha256
