from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import onnxruntime
import pytest

from edged.errors import InputError
from edged.variants.mobilenet import Architecture
from edged.variants.weights.keras import read_keras
from edged.variants.weights.onnx_builder import (
    Activation,
    ImportedWeights,
    Storage,
    build_network,
    check_weights,
)
from tests.rig.keras_files import keras_file
from tests.rig.weights import TINY


def same(imported: ImportedWeights, expected: dict[str, Any]) -> None:
    assert imported.weights.keys() == expected.keys()
    for name, values in expected.items():
        assert imported.weights[name].dtype == np.float32
        np.testing.assert_allclose(imported.weights[name], values, rtol=2e-6, atol=1e-7)


@pytest.mark.parametrize("layout", ["weights", "model", "nested"])
@pytest.mark.parametrize("classifier", ["conv_preds", "dense_3"])
def test_weights_come_back_with_batch_norm_folded(path: Path, layout: str, classifier: str) -> None:
    expected = keras_file(path, TINY, layout=layout, classifier=classifier)
    imported = read_keras(path)
    assert imported.architecture.layers() == TINY.layers()
    assert imported.architecture.classes == 5
    assert (imported.scale, imported.offset) == (1 / 127.5, -1.0)
    assert imported.activation is Activation.RELU6
    assert imported.resolution == (None if layout == "weights" else 96)
    check_weights(imported.architecture, imported.weights)
    same(imported, expected)


@pytest.mark.parametrize(("alpha", "classes"), [(1.0, 3), (0.75, 2), (0.25, 1000)])
def test_alpha_and_classes_come_from_the_shapes(path: Path, alpha: float, classes: int) -> None:
    keras_file(path, Architecture(alpha, classes))
    assert read_keras(path).architecture == Architecture(alpha, classes)


def test_a_whole_model_states_its_own_epsilon(path: Path) -> None:
    expected = keras_file(path, TINY, layout="model", epsilon=0.1)
    same(read_keras(path), expected)


def described(model: dict[str, Any], name: str) -> dict[str, Any]:
    layers = model["config"]["layers"]
    (config,) = [layer["config"] for layer in layers if layer["config"]["name"] == name]
    assert isinstance(config, dict)
    return config


def test_a_rescaling_layer_states_the_input_contract(path: Path) -> None:
    def rescale(model: dict[str, Any]) -> None:
        config = {"name": "rescaling", "scale": 1 / 255, "offset": 0.5}
        model["config"]["layers"].insert(1, {"class_name": "Rescaling", "config": config})

    keras_file(path, TINY, layout="model", changed=rescale)
    imported = read_keras(path)
    assert (imported.scale, imported.offset) == (1 / 255, 0.5)


def test_relu_throughout_is_kept_and_a_mixture_refused(path: Path) -> None:
    def plain(model: dict[str, Any]) -> None:
        for layer in model["config"]["layers"]:
            if layer["class_name"] == "ReLU":
                layer["config"]["max_value"] = None

    keras_file(path, TINY, layout="model", changed=plain)
    assert read_keras(path).activation is Activation.RELU

    def mixed(model: dict[str, Any]) -> None:
        described(model, "conv_pw_3_relu")["max_value"] = None

    keras_file(path, TINY, layout="model", changed=mixed)
    with pytest.raises(InputError, match=r"layer conv_pw_3_relu: .*mixes ReLU and ReLU6"):
        read_keras(path)


def _set(layer: str, key: str, value: object) -> Callable[[dict[str, Any]], None]:
    def change(model: dict[str, Any]) -> None:
        described(model, layer)[key] = value

    return change


def _of_kind(layer: str, kind: str) -> Callable[[dict[str, Any]], None]:
    def change(model: dict[str, Any]) -> None:
        for described_layer in model["config"]["layers"]:
            if described_layer["config"]["name"] == layer:
                described_layer["class_name"] = kind

    return change


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (_of_kind("conv_pw_4_relu", "Add"), r"layer conv_pw_4_relu: .*an unsupported layer.*Add"),
        (
            _set("conv_pw_4_relu", "negative_slope", 0.1),
            r"conv_pw_4_relu: .*a ReLU with a negative slope",
        ),
        (
            _set("conv_pw_4_relu", "max_value", 3.0),
            r"conv_pw_4_relu: .*uses an activation other than.*3\.0",
        ),
        (_set("conv_pw_4", "activation", "swish"), r"layer conv_pw_4: .*got swish"),
        (
            _set("conv_dw_3", "dilation_rate", [2, 2]),
            r"layer conv_dw_3: .*uses a dilated convolution",
        ),
        (_set("conv_dw_3", "padding", "valid"), r"layer conv_dw_3: .*does not pad as"),
        (_set("conv_dw_3", "strides", [1, 2]), r"layer conv_dw_3: .*height and width differently"),
        (_set("conv_dw_3", "strides", [2, 2]), r"layer conv_dw_3: .*depthwise of stride 1"),
        (
            _set("conv_pad_4", "padding", [[1, 1], [1, 1]]),
            r"layer conv_pad_4: .*does not pad by one row",
        ),
        (_set("conv_dw_3", "strides", None), r"the model description is damaged"),
        (lambda model: model.pop("config"), r"the model description is damaged"),
    ],
)
def test_another_network_is_refused_by_layer(
    path: Path, changed: Callable[[dict[str, Any]], None], message: str
) -> None:
    keras_file(path, TINY, layout="model", changed=changed)
    with pytest.raises(InputError, match=rf"model.*{message}"):
        read_keras(path)


def test_missing_and_misshapen_arrays_are_named(path: Path) -> None:
    keras_file(path, TINY)
    with h5py.File(path, "a") as file:
        del file["conv_dw_7_bn/conv_dw_7_bn/gamma:0"]
    with pytest.raises(InputError, match=r"layer conv_dw_7_bn: .*has no one-dimensional gamma"):
        read_keras(path)

    keras_file(path, TINY)
    with h5py.File(path, "a") as file:
        del file["conv_pw_7"]
    with pytest.raises(InputError, match=r"without layer conv_pw_7 "):
        read_keras(path)

    keras_file(path, TINY)
    with h5py.File(path, "a") as file:
        del file["conv_pw_7/conv_pw_7/kernel:0"]
        file["conv_pw_7/conv_pw_7/kernel:0"] = np.ones((3, 3, 8, 15), np.float32)
    with pytest.raises(InputError, match=r"layer conv_pw_7: not MobileNet v1.*3x3 convolution"):
        read_keras(path)


def test_a_file_without_or_with_two_classifiers_is_refused(path: Path) -> None:
    keras_file(path, TINY, classifier=None)
    with pytest.raises(InputError, match=r"ends before its classifier; .*no_top"):
        read_keras(path)
    keras_file(path, TINY)
    with h5py.File(path, "a") as file:
        file["dense/dense/kernel:0"] = np.ones((30, 5), np.float32)
        file["dense/dense/bias:0"] = np.ones(5, np.float32)
    with pytest.raises(InputError, match=r"more than one layer after .*\(got layers conv_preds"):
        read_keras(path)


def test_sixteen_bit_brain_floats_are_numbers(path: Path) -> None:
    expected = keras_file(path, TINY, layout="model")
    with h5py.File(path, "r+") as file:
        names: list[str] = []
        file["model_weights"].visititems(
            lambda name, item: names.append(name) if isinstance(item, h5py.Dataset) else None
        )
        for name in names:
            values = np.asarray(file["model_weights"][name][()], np.float32)
            del file["model_weights"][name]
            upper = (values.view(np.uint32) >> 16).astype("<u2")
            file["model_weights"][name] = upper.view(np.dtype("V2"))
    imported = read_keras(path)
    for name, values in expected.items():
        limit = 0.05 * np.abs(values).max()
        np.testing.assert_allclose(imported.weights[name], values, atol=limit)


def test_other_hdf5_files_are_refused(path: Path) -> None:
    with h5py.File(path, "w") as file:
        file["block_1_expand/kernel:0"] = np.ones((1, 1, 3, 3), np.float32)
    with pytest.raises(InputError, match=r"without layer conv1 .*\(got block_1_expand\)"):
        read_keras(path)
    with h5py.File(path, "w"):
        pass
    with pytest.raises(InputError, match=r"without layer conv1 .*\(got no layers\)"):
        read_keras(path)
    with h5py.File(path, "w") as file:
        file.create_dataset("conv1/conv1/kernel:0", (1 << 40,), "f4", chunks=(1 << 20,))
    with pytest.raises(InputError, match="more memory than any MobileNet"):
        read_keras(path)


def test_numbers_in_other_files_are_not_read(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.h5"
    with h5py.File(other, "w") as file:
        file["conv1/conv1/kernel:0"] = np.ones((3, 3, 3, 8), np.float32)
    keras_file(path, TINY)
    with h5py.File(path, "a") as file:
        del file["conv1/conv1/kernel:0"]
        file["conv1/conv1"].create_dataset(
            "kernel:0", (3, 3, 3, 8), "f4", external=[(str(other), 0, h5py.h5f.UNLIMITED)]
        )
    with pytest.raises(InputError, match=r"conv1/kernel:0: stores its values in other files"):
        read_keras(path)
    with h5py.File(path, "a") as file:
        del file["conv1/conv1/kernel:0"]
        layout = h5py.VirtualLayout((3, 3, 3, 8), "f4")
        layout[:] = h5py.VirtualSource(str(other), "conv1/conv1/kernel:0", (3, 3, 3, 8))
        file["conv1/conv1"].create_virtual_dataset("kernel:0", layout)
    with pytest.raises(InputError, match=r"conv1/kernel:0: stores its values in other files"):
        read_keras(path)
    with h5py.File(path, "a") as file:
        del file["conv1/conv1/kernel:0"]
        file["conv1/conv1/kernel:0"] = h5py.ExternalLink(str(other), "conv1/conv1/kernel:0")
    with pytest.raises(InputError, match=r"layer conv1"):
        read_keras(path)
    with h5py.File(path, "w") as file:
        file["model_weights"] = h5py.ExternalLink(str(other), "/")
    with pytest.raises(InputError, match=r"without layer conv1 .*got no layers"):
        read_keras(path)


def test_the_bound_is_on_all_numbers_together(path: Path) -> None:
    """A file of some kilobytes asks for 57 GB in datasets that were never written."""
    keras_file(path, TINY)
    with h5py.File(path, "a") as file:
        for number in range(900):
            file.create_dataset(f"extra{number}/kernel:0", (15_000_000,), "f4", chunks=(1 << 20,))
    with pytest.raises(InputError, match=r"more memory than any MobileNet v1 needs"):
        read_keras(path)


def test_every_truncation_is_one_clear_error(path: Path) -> None:
    keras_file(path, TINY, layout="model")
    content = path.read_bytes()
    for end in np.linspace(1, len(content) - 1, 100, dtype=int):
        path.write_bytes(content[:end])
        with pytest.raises(InputError, match=r"model: is "):
            read_keras(path)


def test_a_damaged_file_never_ends_in_a_traceback(path: Path) -> None:
    keras_file(path, TINY, layout="model")
    content = path.read_bytes()
    generator = np.random.default_rng(0)
    refused = 0
    for _ in range(100):
        damaged = bytearray(content)
        start = int(generator.integers(len(content)))
        damaged[start : start + 2048] = bytes(len(damaged[start : start + 2048]))
        path.write_bytes(damaged)
        try:
            read_keras(path)
        except InputError as error:
            refused += 1
            assert str(error).startswith(str(path))
    assert refused > 20


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"tench\ngoldfish\n", r"is not a Keras file"),
        (b"PK\x03\x04" + bytes(100), r"is a truncated or damaged Keras file"),
        (b"\x89HDF\r\n\x1a\n" + bytes(100), "is a truncated or damaged Keras file"),
    ],
)
def test_foreign_content_is_named(path: Path, content: bytes, message: str) -> None:
    path.write_bytes(content)
    with pytest.raises(InputError, match=rf"model: {message}"):
        read_keras(path)


def test_absent_files_and_folders_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"absent\.h5: cannot be read: .*No such file"):
        read_keras(tmp_path / "absent.h5")
    with pytest.raises(InputError, match=r"cannot be read: .*directory"):
        read_keras(tmp_path)


def test_without_the_package_the_message_says_how_to_install_it(path: Path) -> None:
    keras_file(path, TINY)
    program = (
        "import sys; sys.modules['h5py'] = None\n"
        "from pathlib import Path\n"
        "from edged.errors import MissingPackageError\n"
        "from edged.variants.weights.keras import read_keras\n"
        "try: read_keras(Path(sys.argv[1]))\n"
        "except MissingPackageError as error: print(error)\n"
    )
    done = subprocess.run([sys.executable, "-c", program, path], capture_output=True, text=True)
    assert "pip install 'edged[models]'" in done.stdout, done.stderr


# What Keras 3.15 answers with these weights to pixel / 127.5 - 1: best class and its score.
KERAS = {1: (421, 0.1263265), 2: (605, 0.2271363), 3: (723, 0.5281571)}


@pytest.mark.data
@pytest.mark.parametrize(("slope", "expected"), KERAS.items())
def test_a_real_file_answers_as_in_keras(
    data: Path, slope: int, expected: tuple[int, float]
) -> None:
    imported = read_keras(data / "weights" / "mobilenet_v1_0.25_224.h5")
    assert imported.architecture == Architecture(0.25, 1000)
    assert imported.resolution == 224
    model = build_network(
        imported.architecture,
        imported.weights,
        scale=imported.scale,
        offset=imported.offset,
        activation=imported.activation,
        storage=Storage.FLOAT32,
    )
    rows, columns = np.mgrid[0:224, 0:224]
    planes = (rows * slope, columns * slope, (rows + columns) * slope)
    picture = (np.stack(planes, axis=-1) % 256).astype(np.uint8)[np.newaxis]
    session = onnxruntime.InferenceSession(model, providers=["CPUExecutionProvider"])
    (scores,) = session.run(None, {"image": picture})
    best = int(np.argmax(scores[0]))
    assert best == expected[0]
    assert scores[0, best] == pytest.approx(expected[1], abs=1e-4)
