"""The ncnn backend: it answers as ONNX Runtime does, and leaves the processor to others."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.device import has_dot_product
from edged.errors import EdgedError
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Family, Network, load_family
from edged.variants.golden import check_golden, golden_picture
from edged.variants.mobilenet import Architecture
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Runner
from edged.variants.variant import Precision, Variant
from edged.variants.weights.onnx_builder import Storage, build_network
from tests.rig.families import model
from tests.rig.ncnn_forms import FORMS
from tests.rig.paths import PROJECT
from tests.rig.random_weights import random_weights
from tests.rig.weights import lively_weights

ncnn = pytest.importorskip("ncnn", reason="needs ncnn: pip install 'edged[ncnn]'")

from edged.backends.ncnn.ncnn import NcnnBackend, check_version, computes_in_fp16  # noqa: E402

PHOTOS = int(os.environ.get("EDGED_NCNN_PHOTOS", "4"))
"""How many real photos each variant is compared on; 200 is the proof."""
SIDES = (64, 97)
FAMILY = load_family("imagenette", Path())
FLOAT = [network for network in FAMILY.networks if network.precision is Precision.FLOAT]


def entry(content: bytes) -> Network:
    return Network.of(Path("some/file.onnx"), content, 0.03, SIDES)


def load(content: bytes, threads: int = 1) -> Runner:
    return NcnnBackend().load(entry(content), content, threads)


def picture(side: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, side, side, 3), dtype=np.uint8)


def made(architecture: Architecture, **choices: Any) -> bytes:
    usual = {"scale": 1 / 127.5, "offset": -1.0}
    weights = random_weights if architecture.hidden else lively_weights
    return build_network(architecture, weights(architecture, 3), **{**usual, **choices})


def assert_same(ours: Runner, theirs: Runner, images: Iterator[NDArray[np.uint8]]) -> None:
    for image in images:
        np.testing.assert_allclose(ours.run(image), theirs.run(image), atol=1e-5)


# --------------------------------------------------------------------- the answers are the same


def ids(network: Network) -> str:
    return network.path.stem


@pytest.mark.parametrize("network", FLOAT, ids=ids)
@pytest.mark.parametrize("threads", [1, 2])
def test_shipped_networks_answer_the_golden_picture(network: Network, threads: int) -> None:
    runner = NcnnBackend().load(network, network.read(), threads)
    check_golden(runner, FAMILY, network, FAMILY.golden_picture())


def compare(network: Network, family: Family, pictures: Callable[[], Iterator[Any]]) -> None:
    content = network.read()
    ours, theirs = (made.load(network, content, 1) for made in (NcnnBackend(), OrtBackend()))
    for side in network.resolutions:
        preprocess = Preprocessor(family.input, side)
        assert_same(ours, theirs, (preprocess(each) for each in pictures()))


@pytest.mark.parametrize("network", FLOAT, ids=ids)
def test_scores_are_those_of_onnx_runtime(network: Network) -> None:
    compare(network, FAMILY, lambda: (golden_picture(seed) for seed in range(3)))


@pytest.mark.data
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("network", FLOAT, ids=ids)
def test_scores_on_photos_are_those_of_onnx_runtime(network: Network, data: Path) -> None:
    photos = Photos(data / "photos" / "imagenette-val.tar", FAMILY)
    pictures = [photo.picture for photo in islice(photos, PHOTOS)]
    compare(network, FAMILY, lambda: iter(pictures))


@pytest.mark.parametrize(
    ("architecture", "choices"),
    [
        *FORMS,
        (Architecture(0.25, 10), {"storage": Storage.FLOAT32}),
        (Architecture(0.05, 2, narrowest=1), {"scale": 1 / 255, "offset": 0.0}),
    ],
    ids=str,
)
def test_every_form_that_edged_makes_is_taken(
    architecture: Architecture, choices: dict[str, Any]
) -> None:
    content = made(architecture, **choices)
    ours, theirs = load(content), OrtBackend().load(entry(content), content, 1)
    assert_same(ours, theirs, (picture(side) for side in (*SIDES, 128)))


def test_threads_change_nothing_but_time() -> None:
    image = picture(96)
    one, three = load(model(0.25)).run(image), load(model(0.25), threads=3).run(image)
    assert np.abs(one - three).max() < 1e-5


def test_one_runner_serves_several_threads_at_once() -> None:
    runner, images = load(model(0.25)), [picture(side, seed) for side in SIDES for seed in (1, 2)]
    expected = [runner.run(image) for image in images]
    wrong: list[Any] = []

    def work(number: int) -> None:
        answers = [runner.run(images[number]) for _ in range(50)]
        wrong.extend(each for each in answers if not (each == expected[number]).all())

    workers = [threading.Thread(target=work, args=[number]) for number in range(len(images))]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert wrong == []


def test_scores_are_the_callers_own_and_any_memory_is_read_right() -> None:
    runner, image = load(model(0.03)), picture(64)
    first = runner.run(image)
    kept = first.copy()
    mirrored = runner.run(image[:, :, ::-1])
    assert (first == kept).all()
    np.testing.assert_array_equal(mirrored, runner.run(image[:, :, ::-1].copy()))


# ------------------------------------------------------------------------- threads and processor


def test_a_runner_takes_the_threads_it_was_given_and_no_more() -> None:
    """The calling thread is one of them; its other networks use the same ones."""
    counts, counted, done = [], threading.Event(), threading.Event()

    def count() -> int:
        return len(list(Path("/proc/self/task").iterdir()))

    def work(threads: int) -> None:
        before = count()
        for _ in range(2):
            load(model(0.25), threads=threads).run(picture(96))
            counts.append(count() - before)
        counted.set()
        done.wait()  # its threads end with it

    workers = [threading.Thread(target=work, args=[threads]) for threads in (1, 2, 4)]
    for worker in workers:
        counted.clear()
        worker.start()
        counted.wait()
    done.set()
    for worker in workers:
        worker.join()
    assert counts == [0, 0, 1, 1, 3, 3]


def run_python(program: str) -> str:
    environment = {name: value for name, value in os.environ.items() if "OMP_" not in name}
    done = subprocess.run(
        [sys.executable, "-c", program],
        env={**environment, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        capture_output=True,
        text=True,
        check=True,
        timeout=60,
    )
    return done.stdout


LOADED = f"""
import sys, time
sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
import numpy as np
from edged.backends.ncnn.ncnn import NcnnBackend
from edged.variants.family import load_family
from edged.variants.variant import Variant
network = load_family("imagenette", Path()).network(Variant(0.25, 128))
runner = NcnnBackend().load(network, network.read(), 2)
image = np.zeros((1, 128, 128, 3), np.uint8)
runner.run(image)
"""


def test_threads_sleep_between_frames() -> None:
    """Where they spin, as OpenMP does by itself, this takes 2 s of processor time or more."""
    said = run_python(
        f"{LOADED}\n"
        "before = time.process_time()\n"
        "for _ in range(20):\n"
        "    time.sleep(0.1)\n"
        "    runner.run(image)\n"
        "print(time.process_time() - before)"
    )
    assert float(said) < 0.5


def test_it_needs_neither_onnx_nor_what_the_package_asks_for() -> None:
    unwanted = {"onnx", "portalocker", "requests", "tqdm"}
    assert run_python(f"{LOADED}\nprint({unwanted} & set(sys.modules))") == "set()\n"


def test_others_run_while_a_network_does() -> None:
    """Python's lock is free meanwhile: otherwise several cameras would wait for each other."""
    network = FAMILY.network(Variant(1.0, 224))
    runner, image, ticks, done = load(network.read()), picture(224), [0], threading.Event()

    def tick() -> None:
        while not done.is_set():
            ticks[0] += 1
            time.sleep(1e-4)

    interval = sys.getswitchinterval()
    sys.setswitchinterval(30)  # nothing else takes the lock away
    worker = threading.Thread(target=tick)
    worker.start()
    try:
        before = ticks[0]
        runner.run(image)
        found = ticks[0] - before
    finally:
        sys.setswitchinterval(interval)
        done.set()
        worker.join()
    assert found > 3


# --------------------------------------------------------------------------- the package itself


def test_it_says_what_it_is() -> None:
    backend = NcnnBackend()
    assert (backend.name, backend.version) == ("ncnn", ncnn.__version__)
    facts = backend.describe()
    assert (facts["version"], facts["arithmetic"]) == (ncnn.__version__, "float32")


@pytest.mark.skipif(not computes_in_fp16(), reason="the processor does not compute in float16")
def test_float16_gives_the_golden_scores() -> None:
    network = FAMILY.network(Variant(0.5, 160))
    runner = NcnnBackend(fp16=True).load(network, network.read(), 1)
    check_golden(runner, FAMILY, replace(network, tolerance={}), FAMILY.golden_picture())


def test_a_version_that_keeps_the_lock_is_refused() -> None:
    check_version("1.0.20261020")
    check_version("1.1.0")
    with pytest.raises(EdgedError, match=r"got 1\.0\.20260526.*pip install"):
        check_version("1.0.20260526")


def test_a_missing_package_is_told_with_the_command() -> None:
    said = run_python(
        "import sys\n"
        "sys.modules['ncnn'] = None\n"
        "from edged.backends.ncnn.ncnn import NcnnBackend\n"
        "try:\n"
        "    NcnnBackend()\n"
        "except Exception as error:\n"
        "    print(type(error).__name__, error)"
    )
    assert said.startswith("MissingPackageError ncnn is not installed")
    assert "pip install 'edged[ncnn]'" in said


# --------------------------------------------------------------------------- in the daemon

leaves_int8_out = pytest.mark.skipif(bool(has_dot_product()), reason="it runs INT8 here")


@leaves_int8_out
def test_the_daemon_runs_float_variants_on_it_and_leaves_int8_out(tmp_path: Path) -> None:
    config = tmp_path / "edged.yaml"
    config.write_text(
        "backend: ncnn\nlatency_budget_ms: 1000\n"
        "cameras: {door: {source: synthetic}}\nresults: {jsonl: '-'}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "edged", "run", "-c", str(config), "--frames", "5"],
        capture_output=True,
        text=True,
        check=True,
        timeout=100,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
    )
    results = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(results) == 5
    assert not any(result["variant"].endswith("_int8") for result in results)
    assert "left out:" in done.stderr
    (profile,) = tmp_path.glob("profile-*.json")
    assert json.loads(profile.read_text())["key"]["backend"] == "ncnn"


@leaves_int8_out
def test_a_family_that_it_cannot_run_says_what_can(tmp_path: Path) -> None:
    config = tmp_path / "edged.yaml"
    config.write_text(
        "backend: ncnn\nvariants: [mobilenet_v1_0.25_128_int8]\ncameras: {a: {source: synthetic}}\n"
    )
    done = subprocess.run(
        [sys.executable, "-m", "edged", "run", "-c", str(config), "--frames", "1"],
        capture_output=True,
        text=True,
        check=False,
        timeout=100,
        env={**os.environ, "STATE_DIRECTORY": str(tmp_path)},
    )
    assert done.returncode == 2
    assert "ncnn runs only float networks that edged wrote" in done.stderr
    assert "use backend: onnxruntime" in done.stderr
