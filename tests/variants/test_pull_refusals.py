"""What a pull refuses: bad archives, labels, folders and disks."""

from __future__ import annotations

import gzip
import io
import subprocess
import sys
import tarfile
from pathlib import Path

import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.cli import main
from edged.errors import EdgedError, InputError
from edged.variants.mobilenet import Architecture
from edged.variants.official import LABELS_FILE, Weights
from edged.variants.variant import Variant
from edged.variants.weights.download_record import RECORD
from edged.variants.weights.pull import pull
from tests.rig.families import content_of
from tests.rig.pulls import CELL, FLOAT_FILE, IMAGENET, LABELS, archive, command, network, pulled
from tests.rig.tflite_files import UINT8, tflite_file
from tests.rig.weight_server import WeightServer, tgz
from tests.rig.weights import lively_weights

pytestmark = pytest.mark.usefixtures("mirror")

# --------------------------------------------------------------------------------------- bad files


def member(name: str, kind: bytes = tarfile.REGTYPE, link: str = "") -> bytes:
    """An archive of a good network and one member more."""
    file = io.BytesIO()
    with tarfile.open(fileobj=file, mode="w:gz") as made:
        good = tarfile.TarInfo("good.tflite")
        good.size = len(network(128))
        made.addfile(good, io.BytesIO(network(128)))
        bad = tarfile.TarInfo(name)
        bad.type, bad.linkname = kind, link
        made.addfile(bad)
    return file.getvalue()


def bomb() -> bytes:
    """Half a gigabyte of zeros in half a megabyte: a member that has to be passed over."""
    head = tarfile.TarInfo("weights.ckpt")
    head.size = 1 << 29
    block = gzip.compress(bytes(1 << 20), 9)
    return gzip.compress(head.tobuf()) + block * 512


ONE_LAYER_MORE = tflite_file(
    Architecture(0.03, 1001),
    lively_weights(Architecture(0.03, 1001)),
    changed=lambda writer, layer, value: (
        writer.operator("ADD", [value, value], writer.value((1, 1001)))
        if layer == "classifier"
        else value
    ),
)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (lambda: b"", "not a .tgz archive (got an empty file)"),
        (
            lambda: b"<!DOCTYPE html><title>Log in",
            "not a .tgz archive (got first bytes b'<!DOCTYP')",
        ),
        (lambda: archive(128)[: len(archive(128)) // 2], "a damaged or truncated archive"),
        (lambda: archive(128)[:-4], "a damaged or truncated archive"),
        (lambda: gzip.compress(b"no archive at all" * 99), "a damaged or truncated archive"),
        (bomb, "a damaged or truncated archive (got unpacked too large)"),
        (
            lambda: tgz({"weights.ckpt": b"1"}),
            "the archive must contain exactly one .tflite file (got none)",
        ),
        (
            lambda: tgz({"a.tflite": network(128), "b.tflite": network(128)}),
            "the archive must contain exactly one .tflite file (got 'a.tflite', 'b.tflite')",
        ),
        (lambda: member("../../etc/cron.d/x"), "an unsafe path or a special file (got '../../"),
        (lambda: member("/etc/cron.d/x"), "an unsafe path or a special file (got '/etc/"),
        (lambda: member("x", tarfile.SYMTYPE, "/etc"), "or a special file (got 'x')"),
        (lambda: member("x", tarfile.LNKTYPE, "good.tflite"), "or a special file (got 'x')"),
        (lambda: member("x", tarfile.CHRTYPE), "or a special file (got 'x')"),
        (lambda: tgz({"x.tflite": b""}), "neither a TensorFlow Lite file nor"),
        (lambda: tgz({"x.tflite": network(128)[:5000]}), "is a truncated or damaged"),
        (
            lambda: tgz({"x.tflite": ONE_LAYER_MORE}),
            "this is MobileNet v2; edged runs MobileNet v1",
        ),
        (
            lambda: archive(160, seed=1),
            "a network for 128 pixels, as its name says (got one for 160",
        ),
        (
            lambda: archive(128, alpha=0.5),
            "weights of alpha 0.25, as its name says (got alpha 0.5, separable body)",
        ),
        (
            lambda: archive(128, UINT8),
            "float TensorFlow Lite weights, as its name says (got de-quantised uint8",
        ),
    ],
)
def test_a_bad_archive_is_told_and_leaves_nothing(
    server: WeightServer, into: Path, content: object, message: str
) -> None:
    assert callable(content)
    server.files[FLOAT_FILE] = content()
    with pytest.raises(InputError) as raised:
        pulled(server, into)
    assert str(raised.value).startswith(f"{server.url}/{FLOAT_FILE}")
    assert message in str(raised.value)
    assert not into.exists()


def test_an_h5_of_another_architecture(server: WeightServer, into: Path, tmp_path: Path) -> None:
    import h5py

    name = "mobilenet_2_5_128_tf.h5"
    with h5py.File(tmp_path / "resnet.h5", "w") as file:
        file["conv1_conv/conv1_conv/kernel:0"] = [[1.0]]
    server.files[name] = (tmp_path / "resnet.h5").read_bytes()
    with pytest.raises(InputError, match=rf"{name}: contains only weights, without layer conv1"):
        pulled(server, into, kind=Weights.KERAS)
    server.files[name] = archive(128)
    with pytest.raises(InputError, match=rf"{name}: neither a TensorFlow Lite .* a gzip archive"):
        pulled(server, into, kind=Weights.KERAS)
    assert not into.exists()


@pytest.mark.parametrize(
    ("labels", "got"),
    [
        (b"<html>Log in</html>\n", "1 lines, the first one '<html>Log in</html>'"),
        (LABELS.removeprefix("background\n").encode(), "1000 lines, the first one 'class 1'"),
        (b"", "no labels"),
        (b"\xff" * 100, "not UTF-8"),
    ],
)
def test_bad_labels(server: WeightServer, into: Path, labels: bytes, got: str) -> None:
    server.files[LABELS_FILE] = labels
    with pytest.raises(InputError, match=LABELS_FILE) as raised:
        pulled(server, into)
    assert got in str(raised.value)
    assert not into.exists()


def test_a_family_of_other_labels_is_told_before_the_weights_come(
    server: WeightServer, into: Path
) -> None:
    pulled(server, into)
    before = content_of(into)
    (into / RECORD).unlink()
    server.files[LABELS_FILE] = LABELS.replace("class 7\n", "class x\n").encode()
    server.requests.clear()
    with pytest.raises(InputError, match="has other labels"):
        pulled(server, into, (0.25, 160))
    assert [name for name, _ in server.gets()] == [LABELS_FILE]
    before.pop(RECORD)
    assert content_of(into) == before


# -------------------------------------------------------------------------------- the user's world


def test_the_command(server: WeightServer, into: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(command(server, into)[3:]) == 0
    shown = capsys.readouterr()
    assert shown.out == (
        "mobilenet_v1_0.25_128: top-1 0.415 (published: ImageNet validation, by TF-Slim)\n"
        f"measure their accuracy: edged models evaluate {into} --photos …\n"
    )
    assert "edged: 1 file, " in shown.err
    assert main(command(server, into)[3:]) == 0
    assert "nothing to do, all 1 networks are complete" in capsys.readouterr().out
    assert main(command(server, into, "--resolution", "192")[3:]) == 1
    assert capsys.readouterr().err == (
        f"edged: {server.url}/mobilenet_v1_0.25_192.tgz: download failed: HTTP 404 Not Found\n"
    )


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["resnet"], "mobilenet-v1-imagenet"),
        (["mobilenet-v1-imagenet", "--alpha", "0.3"], "0.25"),
        (["mobilenet-v1-imagenet", "--quant", "--keras"], "not allowed with"),
    ],
)
def test_what_is_not_official(
    arguments: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as ended:
        main(["models", "pull", *arguments])
    assert ended.value.code == 2
    assert told in capsys.readouterr().err.splitlines()[-1]


def test_a_mirror_that_is_no_address(into: Path) -> None:
    with pytest.raises(InputError, match="not an http or https address"):
        pull(IMAGENET[Weights.FLOAT], [CELL], into, OrtBackend(), "/srv/weights")
    assert not into.exists()


def test_a_file_in_place_of_the_folder(server: WeightServer, into: Path) -> None:
    into.write_text("a file")
    with pytest.raises(InputError, match="a family must be a folder"):
        pulled(server, into)
    assert into.read_text() == "a file"


def test_a_folder_that_cannot_be_written(server: WeightServer) -> None:
    with pytest.raises(EdgedError, match=r"/proc/imagenet.*: cannot be written"):
        pulled(server, Path("/proc/imagenet"))


def test_a_disk_with_too_little_room_is_told_beforehand(server: WeightServer, into: Path) -> None:
    server.files[FLOAT_FILE] = b""
    server.sizes[FLOAT_FILE] = 1 << 62
    with pytest.raises(EdgedError, match=r"not enough disk space: \d+ MB are needed"):
        pulled(server, into)
    assert not into.exists()


def test_a_disk_that_fills_leaves_the_family(server: WeightServer, into: Path) -> None:
    """The limit on a file's size is between the archive that is there and the one that comes."""
    pulled(server, into)
    before = content_of(into)
    limit = len(server.files["mobilenet_v1_0.25_160.tgz"]) // 2
    program = (
        "import resource, sys; from edged.cli import main;"
        f"resource.setrlimit(resource.RLIMIT_FSIZE, ({limit}, resource.RLIM_INFINITY));"
        "sys.exit(main(sys.argv[1:]))"
    )
    arguments = command(server, into, "--resolution", "160")[3:]
    done = subprocess.run(
        [sys.executable, "-c", program, *arguments], capture_output=True, text=True
    )
    assert done.returncode == 1
    assert "cannot be written (got File too large)" in done.stderr
    assert "Traceback" not in done.stderr
    assert {name: (into / name).read_bytes() for name in before} == before
    assert pulled(server, into, (0.25, 160)) == (Variant(0.25, 160),)
