"""The ONNX Runtime backend, on real networks and on files that are none."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

from edged.backends.onnxruntime import INPUT_NAME, OUTPUT_NAME, OrtBackend, check_version
from edged.errors import EdgedError, InputError
from edged.variants.family import Network
from edged.variants.weights import onnx_builder as builder
from tests.rig.families import model
from tests.rig.paths import PROJECT

CI_VARIABLES = ("CI", "TF_BUILD", "GITHUB_ACTIONS", "ORT_TELEMETRY_DISABLED")


def entry(content: bytes, resolutions: tuple[int, ...] = (64, 96)) -> Network:
    return Network.of(Path("some/file.onnx"), content, 0.03, resolutions)


def load(content: bytes, resolutions: tuple[int, ...] = (64, 96), threads: int = 1) -> Any:
    return OrtBackend().load(entry(content, resolutions), content, threads)


def picture(side: int, seed: int = 0) -> NDArray[np.uint8]:
    return np.random.default_rng(seed).integers(0, 256, (1, side, side, 3), dtype=np.uint8)


def test_a_runner_gives_scores_at_each_resolution() -> None:
    runner = load(model(0.03))
    answers = [runner.run(picture(side)) for side in (64, 96, 64)]
    for scores in answers:
        assert (scores.shape, scores.dtype) == ((6,), np.float32)
        assert scores.sum() == pytest.approx(1, abs=1e-5)
    assert (answers[0] == answers[2]).all()
    assert (answers[0] != answers[1]).any()


def test_scores_are_the_callers_own() -> None:
    runner = load(model(0.03))
    first = runner.run(picture(64))
    kept = first.copy()
    runner.run(picture(64, seed=1))
    assert (first == kept).all()


def test_threads_change_nothing_but_time() -> None:
    image = picture(96)
    one, three = load(model(0.25)).run(image), load(model(0.25), threads=3).run(image)
    assert np.abs(one - three).max() < 1e-5


def test_a_session_has_the_threads_it_was_given_and_no_more() -> None:
    """The calling thread is one of them."""
    counts = []
    for threads in (1, 2, 4):
        before = len(list(Path("/proc/self/task").iterdir()))
        runner = load(model(0.03), threads=threads)
        runner.run(picture(64))
        counts.append(len(list(Path("/proc/self/task").iterdir())) - before)
        del runner
    assert counts == [0, 1, 3]


def test_it_says_what_it_is() -> None:
    import onnxruntime

    backend = OrtBackend()
    assert (backend.name, backend.version) == ("onnxruntime", onnxruntime.__version__)
    facts = backend.describe()
    assert facts["version"] == onnxruntime.__version__
    assert facts["provider"] in onnxruntime.get_available_providers()


def test_the_names_are_those_that_networks_are_built_with() -> None:
    assert (INPUT_NAME, OUTPUT_NAME) == (builder.INPUT_NAME, builder.OUTPUT_NAME)


@pytest.mark.parametrize("content", [b"", b"no network at all", b"\x00" * 5000, b"\x08\x08"])
def test_a_foreign_file_is_named(content: bytes) -> None:
    with pytest.raises(InputError, match=r"some/file\.onnx: ONNX Runtime cannot load"):
        load(content)


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(share: float) -> None:
    whole = model(0.03)
    with pytest.raises(InputError, match=r"some/file\.onnx"):
        load(whole[: int(len(whole) * share)])


def other_network(
    *,
    image: str = INPUT_NAME,
    kind: int = TensorProto.UINT8,
    shape: tuple[object, ...] = (1, "height", "width", 3),
    scores: str = OUTPUT_NAME,
    axes: tuple[int, ...] = (1, 2),
    inputs: int = 1,
    outputs: int = 1,
) -> bytes:
    """Means of the colours, declared as asked."""
    nodes = [
        helper.make_node("Cast", [image], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], [scores], axes=axes, keepdims=0),
    ]
    values = [helper.make_tensor_value_info(image, kind, shape)]
    for number in range(1, inputs):
        values.append(helper.make_tensor_value_info(f"extra{number}", TensorProto.FLOAT, [1]))
        nodes.append(helper.make_node("Identity", [f"extra{number}"], [f"unused{number}"]))
    results = [helper.make_tensor_value_info(scores, TensorProto.FLOAT, None)]
    for number in range(1, outputs):
        nodes.append(helper.make_node("Identity", [scores], [f"more{number}"]))
        results.append(helper.make_tensor_value_info(f"more{number}", TensorProto.FLOAT, None))
    graph = helper.make_graph(nodes, "other", values, results)
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    return bytes(made.SerializeToString())


def test_the_stand_in_network_itself_is_accepted() -> None:
    image = picture(64)
    expected = image.reshape(-1, 3).mean(axis=0)
    assert load(other_network()).run(image) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (other_network(image="input"), r"input: tensor\(uint8\)"),
        (other_network(kind=TensorProto.FLOAT), r"image: tensor\(float\)"),
        (other_network(shape=(1, 3, "height", "width"), axes=(2, 3)), r"\[1, 3, 'height', 'width'"),
        (other_network(shape=(1, 224, 224, 3)), r"\[1, 224, 224, 3\]"),
        (other_network(shape=("n", 64, 64, 3)), r"\['n', 64, 64, 3\]"),
        (other_network(shape=(1, "height", "width", 1)), r"'width', 1\]"),
        (other_network(shape=(1, "pixels", 3), axes=(1,)), r"\[1, 'pixels', 3\]"),
        (other_network(inputs=2), r"extra1: tensor\(float\)"),
    ],
)
def test_another_input_is_refused_and_told(content: bytes, got: str) -> None:
    complaint = rf"file\.onnx: the network's input is not image: uint8.*got .*{got}"
    with pytest.raises(InputError, match=complaint):
        load(content)


def test_a_fixed_size_serves_the_resolution_it_has() -> None:
    content = other_network(shape=(1, 64, 64, 3))
    assert load(content, (64,)).run(picture(64)).shape == (3,)


@pytest.mark.parametrize(
    ("content", "got"),
    [
        (other_network(scores="probabilities"), r"probabilities: tensor\(float\)"),
        (other_network(axes=(1,)), r"scores: tensor\(float\) \[1, "),
        (other_network(outputs=2), "more1"),
    ],
)
def test_another_output_is_refused_and_told(content: bytes, got: str) -> None:
    with pytest.raises(InputError, match=rf"the network's output is not scores: float.*{got}"):
        load(content)


def test_a_network_that_cannot_run_at_a_resolution_says_so() -> None:
    """Declared for any size, but made for one."""
    shape = numpy_helper.from_array(np.array([1, 64 * 64 * 3], np.int64), "shape")
    nodes = [
        helper.make_node("Reshape", [INPUT_NAME, "shape"], ["flat"]),
        helper.make_node("Cast", ["flat"], [OUTPUT_NAME], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "rigid",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [1, "h", "w", 3])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [1, "classes"])],
        [shape],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    onnx.checker.check_model(made)
    runner = load(made.SerializeToString())
    assert runner.run(picture(64)).shape == (64 * 64 * 3,)
    with pytest.raises(EdgedError, match=r"file\.onnx: the network fails on .*96, 96"):
        runner.run(picture(96))


def test_an_answer_of_another_width_than_declared_is_refused() -> None:
    """A file may say one thing and do another, as far as the picture decides it."""
    nodes = [
        helper.make_node("Cast", [INPUT_NAME], ["float"], to=TensorProto.FLOAT),
        helper.make_node("ReduceMean", ["float"], ["means"], axes=[1, 2], keepdims=0),
        helper.make_node("Greater", ["means", "threshold"], ["chosen"]),
        helper.make_node("Squeeze", ["chosen", "first"], ["flat"]),
        helper.make_node("Compress", ["means", "flat"], [OUTPUT_NAME], axis=1),
    ]
    graph = helper.make_graph(
        nodes,
        "changing",
        [helper.make_tensor_value_info(INPUT_NAME, TensorProto.UINT8, [1, "h", "w", 3])],
        [helper.make_tensor_value_info(OUTPUT_NAME, TensorProto.FLOAT, [1, 3])],
        [
            numpy_helper.from_array(np.float32(100), "threshold"),
            numpy_helper.from_array(np.array([0], np.int64), "first"),
        ],
    )
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    made.ir_version = 8
    runner = load(made.SerializeToString())
    bright = np.full((1, 64, 64, 3), 200, np.uint8)
    assert runner.run(bright).shape == (3,)
    with pytest.raises(InputError, match=r"file\.onnx: .*scores of shape \(1, 2\), not \(1, 3\)"):
        runner.run(bright * np.array([1, 1, 0], np.uint8))


# --------------------------------------------------------------------------- the package itself


@pytest.mark.parametrize("version", ["1.21.0", "1.21.0+jetson"])
def test_the_version_that_crashes_is_refused(version: str) -> None:
    with pytest.raises(EdgedError, match=r"illegal instruction.*got 1\.21\.0.*pip install"):
        check_version(version)


@pytest.mark.parametrize("version", ["1.20.1", "1.21.1", "1.32.0", "1.2.1"])
def test_other_versions_are_not(version: str) -> None:
    check_version(version)


def run_backend(path: Path, before: str = "") -> str:
    """What a process says that makes the backend, with packages of its own."""
    program = f"""
import sys
{before}
from edged.errors import EdgedError
from edged.backends.onnxruntime import OrtBackend
try:
    OrtBackend()
except EdgedError as error:
    print(type(error).__name__, error.exit_status, error)
"""
    environment = {**os.environ, "PYTHONPATH": f"{path}{os.pathsep}{PROJECT}"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True
    )
    return done.stdout


def test_the_version_that_crashes_is_not_even_imported(tmp_path: Path) -> None:
    (tmp_path / "onnxruntime").mkdir()
    (tmp_path / "onnxruntime" / "__init__.py").write_text("import os\nos.abort()\n")
    facts = tmp_path / "onnxruntime-1.21.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: onnxruntime\nVersion: 1.21.0\n")
    assert "illegal instruction" in run_backend(tmp_path)


def test_a_missing_package_is_told_with_the_command(tmp_path: Path) -> None:
    said = run_backend(tmp_path, "sys.modules['onnxruntime'] = None")
    assert said.startswith("MissingPackageError 1 ")
    assert "pip install onnxruntime" in said


def test_a_build_under_another_name_is_taken(tmp_path: Path) -> None:
    """Boards have an onnxruntime of their own, from a package of another name."""
    before = """
import importlib.metadata
def none(name):
    raise importlib.metadata.PackageNotFoundError(name)
importlib.metadata.version = none
"""
    assert run_backend(tmp_path, before) == ""


def test_the_runtime_leaves_no_identity_of_the_device_behind(tmp_path: Path) -> None:
    """ONNX Runtime 1.32 writes a device id below the home and reports it, if it is let."""
    script = "from edged.backends.onnxruntime import OrtBackend; OrtBackend()"
    environ = {name: value for name, value in os.environ.items() if name not in CI_VARIABLES}
    subprocess.run(
        [sys.executable, "-c", script],
        check=True,
        timeout=60,
        env={**environ, "HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")},
    )
    assert list(tmp_path.rglob("*")) == []
