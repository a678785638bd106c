"""INT8 networks on ncnn: partly in its own INT8 form, which float networks and files bound.

Processors other than some of ARM's run them too, only not faster.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError, InputError
from edged.variants.evaluation.photos import Photos
from edged.variants.family import Family, InputContract, Network, load_family, write_family
from edged.variants.golden import check_golden, golden_picture, with_golden
from edged.variants.int8.float_network import probe
from edged.variants.int8.qdq import runtime_form
from edged.variants.mobilenet import Architecture
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Runner
from edged.variants.variant import Precision, Variant
from edged.variants.weights.onnx_builder import build_network
from tests.rig.damage import MANY, with_wrong_bytes
from tests.rig.families import model
from tests.rig.ncnn_forms import FORMS
from tests.rig.random_weights import random_weights
from tests.rig.weights import lively_weights

pytest.importorskip("ncnn", reason="needs ncnn: pip install 'edged[ncnn]'")

from edged.backends.ncnn.layers import ncnn_layers
from edged.backends.ncnn.ncnn import NcnnBackend, computes_in_fp16

D, Q = "DequantizeLinear", "QuantizeLinear"
SIDE, PHOTOS = 96, 4
WITHIN = 0.1
"""Of INT8's scores from each other, as golden.py has it."""
FAMILY = load_family("imagenette", Path())
INT8 = [network for network in FAMILY.networks if network.precision is Precision.INT8]
PICTURE = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)


def ids(network: Network) -> str:
    return network.path.stem


def entry(content: bytes) -> Network:
    return Network.of(Path("some/file.onnx"), content, 0.25, (SIDE,), Precision.INT8)


def load(content: bytes) -> Runner:
    return NcnnBackend(int8=True).load(entry(content), content, 1)


def pictures(count: int, first: int = 500) -> list[NDArray[np.uint8]]:
    make = Preprocessor(InputContract(), SIDE)
    return [make(golden_picture(first + number)).copy() for number in range(count)]


@cache
def quantised(content: bytes) -> bytes:
    probing = probe(content)
    run = OrtBackend().load(entry(probing.model), probing.model, 1).run
    rows = np.stack([run(picture) for picture in pictures(8)])
    count = len(probing.names)
    calibration = probing.calibration(np.maximum(rows[:, :count].max(axis=0), 1e-3))
    return runtime_form(content, calibration, probing.means(rows[:, count:].mean(axis=0)))


# --------------------------------------------------------------------- the answers are the same


@pytest.mark.parametrize("network", INT8, ids=ids)
@pytest.mark.parametrize("threads", [1, 2])
def test_shipped_networks_answer_the_golden_picture(network: Network, threads: int) -> None:
    runner = NcnnBackend(int8=True).load(network, network.read(), threads)
    check_golden(runner, FAMILY, network, FAMILY.golden_picture())


def compare(network: Network, images: Callable[[], Iterator[Any]]) -> None:
    """With ONNX Runtime's INT8 and with float."""
    (plain,) = (
        each
        for each in FAMILY.networks
        if (each.alpha, each.precision) == (network.alpha, Precision.FLOAT)
    )
    ours = NcnnBackend(int8=True).load(network, network.read(), 1)
    theirs, exact = (OrtBackend().load(each, each.read(), 1) for each in (network, plain))
    for side in network.resolutions:
        preprocess = Preprocessor(FAMILY.input, side)
        for image in map(preprocess, images()):
            scores = ours.run(image)
            assert np.abs(scores - theirs.run(image)).max() < WITHIN
            assert np.abs(scores - exact.run(image)).max() < WITHIN


@pytest.mark.parametrize("network", INT8, ids=ids)
def test_scores_are_near_those_of_onnx_runtime_and_of_float(network: Network) -> None:
    compare(network, lambda: (golden_picture(seed) for seed in range(3)))


@pytest.mark.data
@pytest.mark.timeout(600)
@pytest.mark.parametrize("network", INT8, ids=ids)
def test_so_they_are_on_photos(network: Network, data: Path) -> None:
    photos = Photos(data / "photos" / "imagenette-val.tar", FAMILY)
    seen = [photo.picture for photo in islice(photos, PHOTOS)]
    compare(network, lambda: iter(seen))


def drawn(architecture: Architecture, **choices: Any) -> bytes:
    usual = {"scale": 1 / 127.5, "offset": -1.0}
    weights = random_weights if architecture.hidden else lively_weights
    return build_network(architecture, weights(architecture, 3), **{**usual, **choices})


def reference(content: bytes) -> bytes:
    """What ncnn is to compute, as ONNX Runtime reads it: limits in place of rounding, but before
    the layers that run in INT8 steps from -127 to 127."""
    read = onnx.load_model_from_string(content)
    constants = {each.name: onnx.numpy_helper.to_array(each) for each in read.graph.initializer}
    makers = {each.output[0]: each.op_type for each in read.graph.node}
    readers = {each.input[0]: each for each in read.graph.node}

    def add(operator: str, inputs: tuple[str, ...], output: str, **values: Any) -> None:
        for name, value in values.items():
            each = onnx.numpy_helper.from_array(np.asarray(value), f"{output}.{name}")
            read.graph.initializer.append(each)
        names = [*inputs, *(f"{output}.{name}" for name in values)]
        nodes.append(onnx.helper.make_node(operator, names, [output]))

    nodes: list[Any] = []
    for each in read.graph.node:
        value, output = each.input[0], each.output[0]
        if each.op_type == Q and makers[value] == "Conv":
            highest = 255 * constants[each.input[1]]
            add("Clip", (value,), output, low=np.float32(0), high=highest)
        elif each.op_type == Q:
            add("Identity", (value,), output)
        elif each.op_type == D and makers.get(value) == Q:
            reader, step = readers[output], constants[each.input[1]] * np.float32(255 / 127)
            shape = (
                constants[reader.input[1][: -len(".wide")]].shape if len(reader.input) > 1 else ()
            )
            if len(shape) == 4 and shape[1] >= 64 and shape[2] == 1:
                add(Q, (value,), f"{output}.steps", scale=step, zero=np.int8(0))
                add(D, (f"{output}.steps",), output, scale=step, zero=np.int8(0))
            else:
                add("Identity", (value,), output)
        else:
            nodes.append(each)
    del read.graph.node[:]
    read.graph.node.extend(nodes)
    return bytes(read.SerializeToString())


@pytest.mark.skipif(computes_in_fp16(), reason="float16 rounds the rest as well")
@pytest.mark.parametrize(
    ("architecture", "choices"),
    [*FORMS, (Architecture(0.25, 4), {"scale": 1 / 255, "offset": 0.0})],
    ids=str,
)
def test_every_form_that_edged_makes_computes_what_it_says(
    architecture: Architecture, choices: dict[str, Any]
) -> None:
    content = quantised(drawn(architecture, **choices))
    exact = reference(content)
    ours, theirs = load(content), OrtBackend().load(entry(exact), exact, 1)
    for picture in pictures(4, first=900):
        assert np.abs(ours.run(picture) - theirs.run(picture)).max() < 0.005


@pytest.mark.parametrize("network", INT8, ids=ids)
def test_wide_pointwise_convolutions_and_no_others_run_in_int8(network: Network) -> None:
    lines = ncnn_layers(network.read(), int8=True).param.splitlines()
    assert {line.split()[0] for line in lines if " 8=2" in line} == {"Convolution"}
    wide = [
        layer
        for layer in Architecture(network.alpha, len(FAMILY.labels)).layers()
        if layer.kernel == 1 and layer.in_channels >= 64
    ]
    assert sum(" 8=2" in line for line in lines) == len(wide) >= 9


@pytest.mark.skipif(not computes_in_fp16(), reason="the processor does not compute in float16")
def test_the_rest_runs_in_float16_where_the_processor_has_it() -> None:
    """A float network of the same backend does not."""
    backend = NcnnBackend(int8=True)
    halves = []
    for network in FAMILY.networks[0], INT8[0]:
        runner: Any = backend.load(network, network.read(), 1)
        halves.append(runner._net.opt.use_fp16_arithmetic)
    assert halves == [False, True]


def test_a_family_of_ones_own_runs_in_both_runtimes(tmp_path: Path) -> None:
    trained = FAMILY.network(Variant(0.25, 128)).read()
    models = {"float.onnx": trained, "int8.onnx": quantised(trained)}
    networks = tuple(
        Network.of(Path(name), content, 0.25, (SIDE, 128), precision)
        for (name, content), precision in zip(
            models.items(), (Precision.FLOAT, Precision.INT8), strict=True
        )
    )
    bare = Family("own", tmp_path / "own", FAMILY.labels, InputContract(), networks)
    family, golden = with_golden(bare, models, OrtBackend())
    family = write_family(replace(family, directory=bare.directory), models, golden)
    loaded = LoadedNetworks([family], [OrtBackend(), NcnnBackend(int8=True)])
    assert loaded.choices == {
        family.choice(variant, 1, runtime)
        for variant in family.variants()
        for runtime in ("onnxruntime", "ncnn")
    }


# ------------------------------------------------------------------------- damaged and hostile


@cache
def whole() -> bytes:
    """Three of its layers run in INT8."""
    return quantised(model(0.08))


Change = Callable[[Any, dict[str, Any]], None]


def constant(name: str, values: Any) -> Change:
    def change(_: Any, constants: dict[str, Any]) -> None:
        constants[name].CopyFrom(onnx.numpy_helper.from_array(np.asarray(values), name))

    return change


def scaled(name: str, factor: float) -> Change:
    def change(_: Any, constants: dict[str, Any]) -> None:
        values = onnx.numpy_helper.to_array(constants[name])
        changed = (values * np.float64(factor)).astype(values.dtype)
        constants[name].CopyFrom(onnx.numpy_helper.from_array(changed, name))

    return change


def without(operator: str, number: int = 0) -> Change:
    def change(graph: Any, _: dict[str, Any]) -> None:
        del graph.node[named(graph, operator)[number]]

    return change


def node(operator: str, number: int, edit: Callable[[Any], object]) -> Change:
    def change(graph: Any, _: dict[str, Any]) -> None:
        edit(graph.node[named(graph, operator)[number]])

    return change


def named(graph: Any, operator: str) -> list[int]:
    return [place for place, each in enumerate(graph.node) if each.op_type == operator]


def set_input(place: int, name: str) -> Callable[[Any], object]:
    return lambda node: node.input.__setitem__(place, name)


def set_axis(axis: int) -> Callable[[Any], object]:
    return lambda node: node.attribute.extend([onnx.helper.make_attribute("axis", axis)])


STEPS = "block13.pointwise.weight"
"""Of a layer that runs in INT8."""
VALUE = "block12.pointwise.rounded"
HOSTILE: dict[str, Change] = {
    "a scale of 0": constant(f"{VALUE}.scale", np.float32(0)),
    "a negative scale": constant(f"{VALUE}.scale", np.float32(-0.1)),
    "a scale that is none": constant(f"{VALUE}.scale", np.float32(np.nan)),
    "a scale without end": constant(f"{VALUE}.scale", np.float32(np.inf)),
    "a scale whose limit has no end": constant(f"{VALUE}.scale", np.float32(3e38)),
    "a scale without reciprocal": constant(f"{VALUE}.scale", np.float32(1e-44)),
    "scales for a value": constant(f"{VALUE}.scale", np.ones(4, np.float32)),
    "a double as scale": constant(f"{VALUE}.scale", np.float64(0.1)),
    "values around zero": constant(f"{VALUE}.zero", np.int8(0)),
    "values of another type": constant(f"{VALUE}.zero", np.uint8(128)),
    "pixels of another type": constant("planes.zero", np.int8(127)),
    "pixels of scale 0": constant("planes.scale", np.float32(0)),
    "weights of scale 0": scaled(f"{STEPS}.scale", 0),
    "weights of a negative scale": scaled(f"{STEPS}.scale", -1),
    "weights without end": scaled(f"{STEPS}.scale", np.inf),
    "weights without reciprocal": scaled(f"{STEPS}.scale", 1e-40),
    "a scale for all channels": constant(f"{STEPS}.scale", np.float32(0.1)),
    "one scale": constant(f"{STEPS}.scale", np.ones(1, np.float32)),
    "weights around something else": constant(f"{STEPS}.zero", np.ones(81, np.int8)),
    "too few zeros": constant(f"{STEPS}.zero", np.zeros(2, np.int8)),
    "a step of -128": constant(STEPS, np.full((81, 81, 1, 1), -128, np.int8)),
    "unsigned weights": constant(STEPS, np.ones((81, 81, 1, 1), np.uint8)),
    "weights of another shape": constant(STEPS, np.ones((81, 80, 1, 1), np.int8)),
    "weights of an axis": constant(STEPS, np.ones(81, np.int8)),
    "a number as weight": constant(STEPS, np.int8(1)),
    "no weights": constant(STEPS, np.ones((0, 81, 1, 1), np.int8)),
    "a short bias": constant("conv.bias", np.ones(2, np.int32)),
    "a bias of scale 0": scaled("conv.bias.scale", 0),
    "another axis": node(D, 1, lambda node: setattr(node.attribute[0], "i", 1)),
    "values by channel": node(D, 3, set_axis(0)),
    "pixels by channel": node(D, 0, set_axis(0)),
    "rounding by channel": node(Q, 0, set_axis(0)),
    "another scale than rounded with": node(D, 3, set_input(1, "planes.scale")),
    "an older value": node(D, 6, set_input(0, "conv.rounded")),
    "weights of another layer": node("Conv", 5, set_input(1, "conv.weight.wide")),
    "weights that are nowhere": node(D, 1, set_input(0, "nowhere")),
    "weights named as a constant": node(D, 1, lambda node: node.output.__setitem__(0, STEPS)),
    "no zero": node(Q, 0, lambda node: node.input.pop()),
    "no pixels": without("Transpose"),
    "no values": without(Q),
    "no bias": without(D, 2),
    "no classifier": without("Gemm"),
    "no end": without("Softmax"),
}  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_before_ncnn_sees_it(change: Change) -> None:
    read = onnx.load_model_from_string(whole())
    constants = {each.name: each for each in read.graph.initializer}
    change(read.graph, constants)
    with pytest.raises(InputError, match=r"ncnn runs only networks that|not MobileNet v1"):
        load(read.SerializeToString())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(share: float) -> None:
    with pytest.raises(InputError, match=r"some/file\.onnx"):
        load(whole()[: int(len(whole()) * share)])


def test_damaged_files_are_refused_or_run() -> None:
    """A damaged weight is nobody's to notice here; the golden picture is there for that."""
    scores = [scores_of(content) for content in with_wrong_bytes(whole(), MANY or 150)]
    assert None in scores
    assert all(each is None or each.ndim == 1 for each in scores)


def scores_of(content: bytes) -> NDArray[np.float32] | None:
    """None where it is refused."""
    try:
        return load(content).run(PICTURE)
    except EdgedError:
        return None
