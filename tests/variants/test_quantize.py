"""INT8 counterparts: measured beside the float networks, added, refused, replaced."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from functools import cache
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.errors import InputError
from edged.variants.evaluation.evaluate import verify
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Accuracy, Family, Network, load_family, write_family
from edged.variants.golden import golden_picture, with_golden
from edged.variants.int8.qdq import tensorrt_form
from edged.variants.int8.quantize import (
    Comparison,
    add_counterparts,
    compare,
    float_networks,
    make_counterparts,
    source_of,
    split,
)
from edged.variants.mobilenet import Architecture
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision, Variant
from edged.variants.weights.onnx_builder import Activation, build_network, expected_shapes
from tests.rig.command_line import edged
from tests.rig.families import content_of, model, reload

Capture = pytest.CaptureFixture[str]
SIDES = (96, 128)
TRAINED, RANDOM = 0.25, 0.03  # the alphas of the test's family
INT8 = [Variant(TRAINED, side, Precision.INT8) for side in SIDES]


@cache
def shipped() -> tuple[tuple[str, ...], bytes]:
    family = load_family("imagenette", Path())
    return family.labels, family.network(Variant(TRAINED, 128)).read()


@cache
def badly_quantised() -> bytes:
    """The shipped network with ReLU, one channel a thousand times too large and taken back by the
    next layer: the same to a float network, while 8 bits have no step left for the others."""
    read = onnx.load_model_from_string(shipped()[1])
    stored = {each.name: onnx.numpy_helper.to_array(each) for each in read.graph.initializer}
    architecture = Architecture(TRAINED, len(shipped()[0]))
    weights = {name: stored[name].astype(np.float32) for name in expected_shapes(architecture)}
    weights["block5.pointwise.weight"][0] *= 1000
    weights["block5.pointwise.bias"][0] = 2000
    weights["block6.depthwise.weight"][0] /= 1000
    return build_network(
        architecture, weights, scale=1 / 127.5, offset=-1.0, activation=Activation.RELU
    )


@cache
def drawn_family(content: bytes) -> tuple[Family, Mapping[str, bytes], bytes]:
    models = {"trained.onnx": content, "random.onnx": model(RANDOM, classes=10)}
    networks = tuple(
        Network.of(Path(name), models[name], alpha, SIDES)
        for name, alpha in zip(models, (TRAINED, RANDOM), strict=True)
    )
    bare = Family("ten", Path(), shipped()[0], load_family("imagenette", Path()).input, networks)
    family, golden = with_golden(bare, models, OrtBackend())
    return family, models, golden


def make_family(directory: Path, content: bytes | None = None) -> Family:
    """The shipped network and a random one, each at two resolutions, on disk."""
    family, models, golden = drawn_family(content or shipped()[1])
    return write_family(replace(family, directory=directory), models, golden)


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family(tmp_path / "ten")


def clear_photos(root: Path, family: Family, count: int) -> Path:
    """Drawn pictures, each in the folder of what the trained network clearly says of it."""
    network = family.network(Variant(TRAINED, SIDES[0]))
    runner = OrtBackend().load(network, network.read(), 1)
    preprocess = [Preprocessor(family.input, side) for side in SIDES]
    found = 0
    for seed in range(3000, 4000):
        picture = golden_picture(seed)[: 150 + seed % 50, : 200 + seed % 70]
        answers = {clear_answer(runner.run(make.photo(picture))) for make in preprocess}
        if len(answers) == 1 and (answer := answers.pop()) is not None:
            folder = root / family.labels[answer]
            folder.mkdir(parents=True, exist_ok=True)
            cv2.imwrite(str(folder / f"{seed}.png"), picture[:, :, ::-1])
            found += 1
            if found == count:
                return root
    raise AssertionError(f"only {found} such pictures")


def clear_answer(scores: NDArray[np.float32]) -> int | None:
    second, first = np.argsort(scores)[-2:]
    return int(first) if scores[first] - scores[second] > 0.12 else None


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("photos")
    return clear_photos(root / "pictures", make_family(root / "family"), 40)


@pytest.fixture(scope="module")
def hard(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A family that quantises badly, and photos of which it is sure."""
    root = tmp_path_factory.mktemp("hard")
    family = make_family(root / "family", badly_quantised())
    return family.directory, clear_photos(root / "pictures", family, 24)


def errors(printed: str) -> list[str]:
    """Without the note that the drawn pictures show few of the classes."""
    return [line for line in printed.splitlines() if ": no photo of " not in line]


# ------------------------------------------------------------------------------------- the command


def test_twins_are_added_measured_and_whole(family: Family, photos: Path, capsys: Capture) -> None:
    before = content_of(family.directory)
    assert edged("models", "quantize", family.directory, "--photos", photos, "--alpha", 0.25) == 0
    printed = capsys.readouterr()
    assert errors(printed.err) == []
    assert printed.out.count("kept") == 2
    assert "top-1 on 20 photos" in printed.out  # the other half calibrated
    assert f"edged bench --model {family.directory}" in printed.out

    written = reload(family.directory)
    network = written.network(INT8[0])
    assert network.path.name == "trained_int8.onnx"
    assert network.resolutions == SIDES
    assert network.size is not None
    assert network.size < 0.7 * len(shipped()[1])
    for variant in INT8:
        of_float = written.network(replace(variant, precision=Precision.FLOAT))
        for each in (network, of_float):
            found = each.accuracy[variant.resolution]
            assert (found.top1, found.photos, found.source) == (1.0, 20, photos.name)
    assert verify(written, OrtBackend()) == []
    # The manifest's numbers are what the network was made with, and make the other form.
    stored = {
        each.name: each for each in onnx.load_model_from_string(network.read()).graph.initializer
    }
    for name in ("conv", "block13.pointwise"):
        step = onnx.numpy_helper.to_array(stored[f"{name}.rounded.scale"])
        assert step == np.float32(network.calibration[name] / 255)
    assert tensorrt_form(shipped()[1], network.calibration, network.read())
    text = (family.directory / "family.yaml").read_text()
    assert "  calibration: {conv: " in text
    assert {name: data for name, data in content_of(family.directory).items() if name in before
            and name not in ("family.yaml", "golden.png")}.items() <= before.items()  # fmt: skip


def test_other_photos_may_measure_and_those_that_calibrate_need_no_labels(
    family: Family, photos: Path, tmp_path: Path, capsys: Capture
) -> None:
    plain = tmp_path / "plain"
    plain.mkdir()
    for seed in range(12):
        cv2.imwrite(str(plain / f"{seed}.png"), golden_picture(seed))
    (plain / "broken.jpg").write_bytes(b"\xff\xd8")
    into = tmp_path / "new" / "family"
    before = content_of(family.directory)
    arguments = ("--photos", plain, "--measure", photos, "--into", into, "--record", "clear ones")
    assert edged("models", "quantize", family.directory, *arguments, "--alpha", 0.25) == 0
    printed = capsys.readouterr()
    (problem,) = errors(printed.err)
    assert problem.startswith("edged: skipped: ")
    assert "broken.jpg: incomplete picture" in problem
    assert "top-1 on 40 photos" in printed.out
    assert content_of(family.directory) == before
    written = reload(into)
    assert written.network(INT8[0]).accuracy[SIDES[0]].source == "clear ones"
    assert len(written.networks) == 3
    assert verify(written, OrtBackend()) == []


def test_a_table_may_label_the_photos(family: Family, photos: Path, tmp_path: Path) -> None:
    table = tmp_path / "labels.csv"
    rows = [f"{path.name},{path.parent.name}" for path in photos.rglob("*.png")]
    table.write_text("file,label\n" + "\n".join(rows[:30]) + "\n")
    arguments = ("--photos", photos, "--labels", table, "--calibration", 10, "--alpha", 0.25)
    assert edged("models", "quantize", family.directory, *arguments) == 0
    assert reload(family.directory).network(INT8[0]).accuracy[SIDES[0]].photos == 20


def test_what_loses_too_much_is_left_out_unless_forced(
    hard: tuple[Path, Path], tmp_path: Path, capsys: Capture
) -> None:
    directory, photos = hard
    before = content_of(directory)
    arguments = ("models", "quantize", directory, "--photos", photos, "--alpha", 0.25)
    assert edged(*arguments) == 1
    printed = capsys.readouterr()
    assert printed.out.count("left out: loses more than 2 points") == 2
    assert "no INT8 variant was kept; nothing was written" in printed.err
    assert "--force" in printed.err
    assert content_of(directory) == before

    into = tmp_path / "forced"
    assert edged(*arguments, "--force", "--into", into) == 0
    assert capsys.readouterr().out.count("kept by --force: loses more than 2 points") == 2
    written = reload(into)
    assert set(INT8) <= set(written.variants())
    assert written.top1(INT8[0]) < written.top1(Variant(TRAINED, SIDES[0]))


def test_a_family_that_is_quantised_again_gets_new_counterparts(
    family: Family, photos: Path, tmp_path: Path
) -> None:
    arguments = ("models", "quantize", family.directory, "--photos", photos, "--alpha", 0.25)
    assert edged(*arguments) == 0
    first = reload(family.directory)
    assert edged(*arguments) == 0
    again = reload(family.directory)  # the same photos give the same bytes
    assert [each.sha256 for each in again.networks] == [each.sha256 for each in first.networks]
    grey = tmp_path / "grey"
    grey.mkdir()
    for level in range(100, 110):
        cv2.imwrite(str(grey / f"{level}.png"), np.full((96, 96, 3), level, np.uint8))
    assert edged(*arguments[:4], grey, "--measure", photos, "--alpha", 0.25, "--force") == 0
    third = reload(family.directory)
    assert third.variants() == first.variants()
    assert third.network(INT8[0]).calibration != first.network(INT8[0]).calibration
    onnx_files = [path for path in family.directory.iterdir() if path.suffix == ".onnx"]
    assert len(onnx_files) == 3


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("--photos", "nowhere"), "nowhere: cannot read the photos"),
        (("--photos", "empty"), "empty: no photos"),
        (("--photos", "few"), "too few pictures to calibrate with: use at least 10"),
        (("--photos", "few", "--measure", "many"), "too few pictures to calibrate with"),
        (("--photos", "many", "--measure", "few"), "too few pictures to measure with"),
        (("--photos", "many", "--measure", "many"), "must not be used for measuring"),
        (("--photos", "many", "--alpha", "0.5"), "of this alpha (got 0.5); it has 0.03, 0.25"),
        (("--photos", "many", "--into", "other"), "this folder already contains a family"),
        (("--photos", "many", "--into", "file/deep"), "a family must be a folder (got a file)"),
    ],
)  # fmt: skip
def test_mistakes_are_told_in_one_message_and_change_nothing(
    family: Family,
    photos: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    complaint: str,
    capsys: Capture,
) -> None:
    (tmp_path / "many").symlink_to(photos)
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").touch()
    make_family(tmp_path / "other")
    for number, path in enumerate(sorted(photos.rglob("*.png"))[:5]):
        few = tmp_path / "few" / path.parent.name
        few.mkdir(parents=True, exist_ok=True)
        (few / f"{number}.png").write_bytes(path.read_bytes())
    before = content_of(family.directory)
    paths = [each if each[0] in "-0" else str(tmp_path / each) for each in arguments]
    assert edged("models", "quantize", family.directory, *paths) == 2
    (problem,) = errors(capsys.readouterr().err)
    assert complaint in problem
    assert content_of(family.directory) == before


def test_a_folder_that_cannot_be_written_is_told_before_the_work(
    family: Family, photos: Path, capsys: Capture
) -> None:
    family.directory.chmod(0o555)
    if os.access(family.directory, os.W_OK):
        pytest.skip("root may write everywhere")
    assert edged("models", "quantize", family.directory, "--photos", photos) == 2
    assert "no write permission for this folder; " in capsys.readouterr().err


def test_a_damaged_network_is_told(family: Family, photos: Path, capsys: Capture) -> None:
    family.networks[0].path.write_bytes(b"damaged")
    assert edged("models", "quantize", family.directory, "--photos", photos) == 2
    assert "trained.onnx: the file is truncated" in capsys.readouterr().err


# --------------------------------------------------------------------------------------- its parts


def test_no_photo_both_calibrates_and_measures(family: Family, photos: Path) -> None:
    every = [photo.name for photo in Photos(photos, family)]
    for count in (0, 7, 40, 200):
        calibrating, measuring = split(Photos(photos, family), count)
        first, second = ([photo.name for photo in part] for part in (calibrating, measuring))
        assert (len(calibrating), len(measuring)) == (len(first), len(second))
        assert len(first) == min(count, 40)
        assert sorted(first + second) == sorted(every)
    spread = [every.index(photo.name) for photo in split(Photos(photos, family), 8)[0]]
    assert spread == list(range(0, 40, 5))


def test_a_family_without_float_networks_is_refused(family: Family) -> None:
    network = replace(family.networks[0], precision=Precision.INT8)
    with pytest.raises(InputError, match="no float networks to quantize"):
        float_networks(replace(family, networks=(network,)), None)


def test_a_network_of_another_make_is_named(family: Family, photos: Path) -> None:
    network = family.networks[0]
    changed = onnx.load_model_from_string(network.read())
    changed.graph.node[-1].op_type = "LogSoftmax"
    network.path.write_bytes(changed.SerializeToString())
    foreign = Network.of(network.path, network.path.read_bytes(), network.alpha, SIDES)
    with pytest.raises(InputError, match=r"trained\.onnx: not a float network built by edged"):
        make_counterparts(family, [foreign], Photos(photos, family), OrtBackend())


def test_the_loss_is_counted_photo_by_photo(hard: tuple[Path, Path]) -> None:
    family = reload(hard[0])
    photos = Photos(hard[1], family)
    networks = float_networks(family, [TRAINED])
    counterparts = make_counterparts(family, networks, photos, OrtBackend())
    found = {each.variant: each for each in compare(family, counterparts, photos, OrtBackend())}
    runner = OrtBackend().load(counterparts[0].int8, counterparts[0].model, 1)
    for variant in INT8:
        preprocess = Preprocessor(family.input, variant.resolution)
        right = np.array([
            int(runner.run(preprocess.photo(photo.picture)).argmax()) == photo.class_index
            for photo in photos
        ])  # fmt: skip
        each = found[variant]
        assert (each.of_float.top1, each.of_int8.top1) == (1.0, round(right.mean(), 4))
        assert each.loss_points == pytest.approx(100 * (1 - right.mean()))
        assert each.loss_standard_error == pytest.approx(100 * right.std() / len(right) ** 0.5)
        assert each.loses_too_much


def comparison(variant: Variant, photos: int = 100) -> Comparison:
    return Comparison(
        variant, Accuracy(0.8, None, photos, ""), Accuracy(0.79, None, photos, ""), 1.0, 0.5
    )


def test_variants_are_kept_one_by_one(family: Family, photos: Path) -> None:
    networks = float_networks(family, [TRAINED])
    counterparts = make_counterparts(family, networks, Photos(photos, family), OrtBackend())
    measured = [comparison(variant) for variant in INT8]
    family = add_counterparts(family, counterparts, measured, INT8, "a set", OrtBackend())
    assert set(INT8) <= set(family.variants())
    family = add_counterparts(family, counterparts, measured, INT8[1:], "a set", OrtBackend())
    assert INT8[0] not in family.variants()
    assert family.network(INT8[1]).resolutions == SIDES[1:]
    assert family.network(INT8[1]).accuracy == {SIDES[1]: Accuracy(0.79, None, 100, "a set")}
    # The float twin of what was left out was measured all the same.
    of_float = family.network(Variant(TRAINED, SIDES[0]))
    assert {each.source for each in of_float.accuracy.values()} == {"a set"}
    assert len(of_float.accuracy) == len(SIDES)


def test_the_photos_keep_their_name_where_they_are_the_same(family: Family) -> None:
    def known(top1: float, photos: int, source: str = "held-out") -> Family:
        accuracy = {side: Accuracy(top1, None, photos, source) for side in SIDES}
        networks = (replace(family.networks[0], accuracy=accuracy), *family.networks[1:])
        return replace(family, networks=networks)

    measured = [comparison(variant) for variant in INT8]
    assert source_of(known(0.8, 100), measured, "val.tar") == "held-out"
    assert source_of(known(0.797, 100), measured, "val.tar") == "held-out"
    assert source_of(known(0.8, 99), measured, "val.tar") == "val.tar"
    assert source_of(known(0.75, 100), measured, "val.tar") == "val.tar"
    assert source_of(family, measured, "val.tar") == "val.tar"


@pytest.mark.data
def test_the_shipped_family_loses_next_to_nothing(data: Path) -> None:
    family = load_family("imagenette", Path())
    network = replace(family.network(Variant(TRAINED, 128)), resolutions=(128,))
    folder = data / "photos"
    calibrating, _ = split(Photos(folder / "imagenette-train.tar", family), 50)
    measuring, _ = split(Photos(folder / "imagenette-val.tar", family), 500)
    counterparts = make_counterparts(family, [network], calibrating, OrtBackend())
    (found,) = compare(family, counterparts, measuring, OrtBackend())
    assert found.of_float.top1 > 0.75
    assert abs(found.loss_points) < 1.5
