"""The training recipe, on drawn pictures: it learns, survives a kill and leaves a whole family."""

from __future__ import annotations

import csv
import os
import re
import shlex
import shutil
import signal
import subprocess
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.variants.evaluation.evaluate import verify
from edged.variants.family import load_family
from edged.variants.variant import Variant
from tests.rig.paths import PROJECT
from tests.rig.recipe import COLOURS, EPOCHS, command, draw_classes, log_of, run, without_times

torch = pytest.importorskip("torch", reason="the recipe needs torch, which make test-long installs")
pytestmark = [pytest.mark.long, pytest.mark.timeout(600)]

import export  # noqa: E402
import initial  # noqa: E402
import pictures  # noqa: E402
import train  # noqa: E402


@pytest.fixture(scope="module")
def training(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_classes(tmp_path_factory.mktemp("pictures") / "training", 20, seed=1)


@pytest.fixture(scope="module")
def held_out(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return draw_classes(tmp_path_factory.mktemp("pictures") / "held-out", 6, seed=2)


@pytest.fixture(scope="module")
def trained(
    training: Path, held_out: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, Path]:
    """(checkpoints, family) of an undisturbed run."""
    root = tmp_path_factory.mktemp("trained")
    options = [
        "--epochs",
        str(EPOCHS),
        "--into",
        str(root / "boxes"),
        "--about",
        str(root / "about.md"),
    ]
    (root / "about.md").write_text("Drawn by a test.")
    done = run(command(training, held_out, root / "checkpoints", *options))
    assert done.returncode == 0, done.stderr
    return root / "checkpoints", root / "boxes"


def test_the_family_loads_answers_and_knows_the_classes(trained: tuple[Path, Path]) -> None:
    _, directory = trained
    family = load_family(str(directory), Path())
    assert family.labels == tuple(COLOURS)
    assert family.variants() == (Variant(0.25, 64), Variant(0.25, 96))
    assert family.input.crop_fraction == 1.0
    assert verify(family, OrtBackend()) == []
    for variant in family.variants():
        accuracy = family.accuracy(variant)
        assert accuracy.photos == 18
        assert accuracy.source == "the held-out photos"
    assert family.top1(Variant(0.25, 96)) >= 0.8  # three colours; a guess has 0.33


def test_the_file_answers_as_the_trained_network_does(trained: tuple[Path, Path]) -> None:
    checkpoints, directory = trained
    averaged = train.load(checkpoints / "alpha_0.25.pt").averaged
    family = load_family(str(directory), Path())
    (onnx_network,) = family.networks
    runner = OrtBackend().load(onnx_network, onnx_network.read(), 1)
    random = np.random.default_rng(3)
    for side in (64, 96, 45):  # 45: SAME padding differs at odd sizes
        image = random.integers(0, 256, (1, side, side, 3), dtype=np.uint8)
        with torch.inference_mode():
            expected = averaged(train.normalised(image)).softmax(1).numpy()[0]
        np.testing.assert_allclose(runner.run(image), expected, atol=5e-3)  # 16-bit weights


def test_the_card_and_the_curve_tell_what_was_done(trained: tuple[Path, Path]) -> None:
    checkpoints, directory = trained
    card = (directory / "README.md").read_text()
    top1 = load_family(str(directory), Path()).top1(Variant(0.25, 96))
    assert f"| mobilenet_v1_0.25_96 | `mobilenet_v1_0.25.onnx` | {top1:.1%} ±" in card
    assert f"| {round(top1 * 18)} of 18 |" in card
    assert "Drawn by a test." in card
    with (directory / "training.csv").open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["epoch"] for row in rows] == [str(number) for number in range(1, EPOCHS + 1)]
    losses = [float(str(entry["loss"])) for entry in log_of(checkpoints)]
    assert losses[-1] < losses[0]


def test_a_killed_run_continues_as_if_it_had_not_been(
    training: Path, held_out: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    checkpoint = tmp_path / "alpha_0.25.pt"
    arguments = command(training, held_out, tmp_path, "--epochs", str(EPOCHS))
    process = subprocess.Popen(
        arguments, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
    )
    try:
        while not checkpoint.exists():
            assert process.poll() is None
            time.sleep(0.01)
    finally:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    before = len(log_of(tmp_path)) if checkpoint.with_suffix(".jsonl").exists() else 1
    assert 1 <= before < EPOCHS, "the kill came too late to prove anything"
    done = run(arguments)
    assert done.returncode == 0, done.stderr
    assert "epoch 1/" not in done.stdout
    assert without_times(log_of(tmp_path)) == without_times(log_of(trained[0]))


def test_another_training_s_checkpoint_is_refused(
    training: Path, held_out: Path, trained: tuple[Path, Path]
) -> None:
    done = run(command(training, held_out, trained[0], "--epochs", "2"))
    assert done.returncode == 2
    assert f"belongs to another training (got epochs {EPOCHS} there, 2 here)" in done.stderr


def test_a_checkpoint_that_would_run_code_is_refused(
    training: Path, held_out: Path, tmp_path: Path
) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"settings": Payload()}, tmp_path / "alpha_0.25.pt")
    done = run(command(training, held_out, tmp_path))
    assert done.returncode == 2
    assert "not a checkpoint of this recipe, or a damaged one" in done.stderr
    assert not (tmp_path / "ran").exists()


def test_export_leaves_out_what_is_not_finished(
    training: Path, held_out: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    run_of_two = train.new_run(train.Settings(0.5, 3, (64, 96), epochs=2, seed=1))
    train.save(run_of_two, tmp_path / "alpha_0.5.pt")
    (tmp_path / "alpha_0.25.pt").write_bytes((trained[0] / "alpha_0.25.pt").read_bytes())
    options = ["--export-only", "--alpha", "0.5", "--alpha", "0.75", "--into", str(tmp_path / "b")]
    done = run(command(training, held_out, tmp_path, *options))
    assert done.returncode == 0, done.stderr
    assert "alpha_0.5.pt: skipped, 0 of 2 epochs done" in done.stdout
    assert "alpha_0.75.pt: skipped, not trained yet" in done.stdout
    family = load_family(str(tmp_path / "b"), Path())
    assert family.variants() == (Variant(0.25, 64), Variant(0.25, 96))


def test_another_family_teaches_and_the_checkpoint_says_so(
    training: Path, held_out: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    directory = trained[1]
    taught = ["--teacher", str(directory), "--epochs", "1"]
    done = run(command(training, held_out, tmp_path, *taught))
    assert done.returncode == 0, done.stderr
    settings = train.load(tmp_path / "alpha_0.25.pt").settings
    assert settings.teacher is not None
    assert settings.teacher.startswith("boxes mobilenet_v1_0.25_")


def test_other_classes_in_the_held_out_pictures_are_refused(
    training: Path, held_out: Path, tmp_path: Path
) -> None:
    other = draw_classes(tmp_path / "other", 1, seed=6)
    (other / "red box").rename(other / "crimson box")
    into = ["--into", str(tmp_path / "family")]
    done = run(command(training, other, tmp_path, *into))
    assert done.returncode == 2
    assert "got crimson box, red box" in done.stderr
    assert "reading" not in done.stderr  # before anything long began


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("blue sky\n", "a class folder has no name here (got blue box)"),
        ("sky\n", "names.txt:1: expected a folder, a space (or tab)"),
        (
            "blue box\tbox\ngreen box\tbox\nred box\tred\n",
            "two class folders have the same name (got 'box')",
        ),
    ],
)
def test_names_that_do_not_fit_are_refused(
    training: Path, held_out: Path, tmp_path: Path, text: str, complaint: str
) -> None:
    names = tmp_path / "names.txt"
    names.write_text(text)
    done = run(command(training, held_out, tmp_path, "--names", str(names)))
    assert done.returncode == 2
    assert complaint in done.stderr


def test_a_retrained_network_replaces_its_predecessor_and_leaves_others(
    held_out: Path, tmp_path: Path
) -> None:
    def trained_with(seed: int, alpha: float) -> train.Run:
        """Untrained, but normalised, so that it answers different pictures differently."""
        made = train.new_run(train.Settings(alpha, 3, (64,), epochs=1, seed=seed))
        photos = pictures.read_photos(held_out, 64)
        for layer in made.averaged.body:
            layer.norm.momentum = 1.0
        with torch.no_grad():
            made.averaged.train()(train.normalised(photos.pixels))
        made.averaged.eval()
        torch.nn.init.normal_(made.averaged.classifier.weight, std=1)
        made.history.append({"alpha": alpha, "epoch": 1, "cpu_seconds": 1.0})
        return made

    def written(*runs: train.Run) -> dict[float, str]:
        family = export.begin_family(tmp_path / "boxes", tuple(COLOURS), {}, 1.0)
        family, _ = export.export(family, runs, held_out, "drawn boxes", "")
        assert verify(family, OrtBackend()) == []
        return {network.alpha: network.sha256 for network in family.networks}

    small, large, again = trained_with(1, 0.25), trained_with(1, 0.5), trained_with(2, 0.25)
    first = written(small)
    both = written(small, large)
    assert both[0.25] == first[0.25]
    replaced = written(again)
    assert replaced[0.25] != both[0.25]
    assert replaced[0.5] == both[0.5]
    files = {path.name for path in (tmp_path / "boxes").glob("*.onnx")}
    assert len(files) == 2


def test_classes_are_called_what_the_names_say(
    training: Path, held_out: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    (tmp_path / "names.txt").write_text("green box\tleaf\nred box\tfire\n\nblue box\tthe sea\n")
    options = ["--names", str(tmp_path / "names.txt"), "--into", str(tmp_path / "family")]
    done = run(command(training, held_out, trained[0], "--export-only", *options))
    assert done.returncode == 0, done.stderr
    family = load_family(str(tmp_path / "family"), Path())
    assert family.labels == ("the sea", "leaf", "fire")
    assert family.photo_folders["red box"] == "fire"
    assert family.top1(Variant(0.25, 96)) >= 0.8


def test_what_learned_nothing_says_so(
    training: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    """Pictures without what tells the classes apart: noise under three names."""
    random, noise = np.random.default_rng(1), tmp_path / "noise"
    for name in COLOURS:
        (noise / name).mkdir(parents=True)
        for number in range(8):
            picture = random.integers(0, 256, (64, 80, 3), dtype=np.uint8)
            assert cv2.imwrite(str(noise / name / f"{number}.png"), picture)
    into = ["--into", str(tmp_path / "mine"), "--export-only"]
    done = run(command(training, noise, trained[0], *into))
    assert done.returncode == 1
    assert (
        f"recipe: {tmp_path}/mine: no better than guessing on the held-out pictures: "
        "mobilenet_v1_0.25_64, mobilenet_v1_0.25_96; add pictures, train longer (--epochs), or "
        "start from weights (--from FAMILY)"
    ) in done.stderr
    card = (tmp_path / "mine" / "README.md").read_text()
    assert "**No better than guessing on these photos: mobilenet_v1_0.25_64, mobile" in card


def test_a_training_starts_from_the_weights_of_a_family(
    training: Path, held_out: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    family = load_family(str(trained[1]), Path())
    beginning = initial.Start(str(trained[1]), [0.25])
    assert beginning.alphas == (0.25,)
    settings = train.Settings(0.25, 3, (64, 96), epochs=1, seed=1)
    fresh = train.new_run(settings)
    photos = pictures.read_photos(held_out, 96)
    beginning.begin(fresh, photos.pixels, family.labels)
    (known,) = family.networks
    runner = OrtBackend().load(known, known.read(), 1)
    with torch.inference_mode():
        answers = fresh.averaged(train.normalised(photos.pixels)).softmax(1).numpy()
    expected = np.stack([runner.run(picture[None]) for picture in photos.pixels])
    np.testing.assert_allclose(answers, expected, atol=1e-3)

    fresh.network.train()  # with a batch's own statistics it is the same network still
    with torch.inference_mode():
        answers = fresh.network(train.normalised(photos.pixels)).softmax(1).numpy()
    np.testing.assert_allclose(answers, expected, atol=1e-2)

    options = ["--from", str(trained[1]), "--epochs", "1", "--into", str(tmp_path / "mine")]
    done = run(command(training, held_out, tmp_path / "checkpoints", *options))
    assert done.returncode == 0, done.stderr
    assert load_family(str(tmp_path / "mine"), Path()).top1(Variant(0.25, 96)) >= 0.8
    assert "Trained from the weights of boxes by" in (tmp_path / "mine" / "README.md").read_text()


def test_other_widths_than_the_family_has_are_refused(
    training: Path, held_out: Path, trained: tuple[Path, Path], tmp_path: Path
) -> None:
    options = ["--from", str(trained[1]), "--alpha", "0.5"]
    done = run(command(training, held_out, tmp_path, *options))
    assert done.returncode == 2
    assert "has no float network of this alpha (got 0.5); it has 0.25" in done.stderr


def test_held_out_pictures_inside_the_training_pictures_are_refused(
    training: Path, tmp_path: Path
) -> None:
    for inside in (training, training / "red box", training.parent):
        done = run(command(training, inside, tmp_path))
        assert done.returncode == 2
        assert f"{inside}: the held-out pictures are among the training pictures" in done.stderr


def test_a_picture_that_is_held_out_is_not_trained_on(
    training: Path, held_out: Path, tmp_path: Path
) -> None:
    shutil.copytree(held_out, tmp_path / "held-out")
    for name in COLOURS:
        shutil.copy(training / name / "00.png", tmp_path / "held-out" / name / "copy.png")
    done = run(command(training, tmp_path / "held-out", tmp_path / "checkpoints", "--epochs", "1"))
    assert done.returncode == 0, done.stderr
    assert "skipped 3 training pictures that are held out as well" in done.stderr


README = PROJECT / "models" / "README.md"
LINES = [
    shlex.split(line)[2:]
    for line in re.findall(
        r"^ +(python models/recipe .+)$", README.read_text().replace("\\\n", " "), re.MULTILINE
    )
]
SMALL = shlex.split("--alpha 0.25 --resolution 96 --epochs 3 --epoch-steps 8 --threads 1")


def test_every_line_of_the_readme_is_understood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where its pictures are not
    assert len(LINES) == 3
    for line in LINES:
        done = run(["python", "models/recipe", *line])
        assert done.returncode == 2
        assert done.stderr.startswith("recipe: ")  # not a usage


def test_the_first_line_of_the_readme_runs_as_it_is_written(
    training: Path, held_out: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(training, "pictures/training")
    shutil.copytree(held_out, "pictures/held-out")
    done = run(["python", "models/recipe", *LINES[0], *SMALL])
    assert done.returncode == 0, done.stderr
    family = load_family("models/mine", tmp_path)
    assert family.labels == tuple(COLOURS)
    assert family.top1(Variant(0.25, 96)) >= 0.8
