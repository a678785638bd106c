"""Engines built for real, with TensorRT-RTX: the same parser and builder, and no GPU needed.

Real: parsing, profiles, building, the plan. What a plan computes is not tried: that needs a device.
"""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import onnx
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.backends.tensorrt.build_process import build_in_child
from edged.backends.tensorrt.build_worker import BuildRequest, logger_class
from edged.backends.tensorrt.onnx_forms import EnginePrecision, fp16_form, fp32_form, int8_form
from edged.errors import EdgedError, InputError
from edged.variants.family import InputContract, Network, load_family
from edged.variants.golden import golden_picture
from edged.variants.int8.float_network import probe
from edged.variants.int8.qdq import runtime_form
from edged.variants.preprocess import Preprocessor
from edged.variants.variant import Precision
from tests.rig.families import import_weights, make_family
from tests.rig.gpu_stand_in import MARK
from tests.rig.paths import PROJECT
from tests.rig.tensorrt import rtx, starter
from tests.rig.tensorrt_backend import PICTURE, Bench, load, on_cpu
from tests.rig.waiting import eventually

pytestmark = [pytest.mark.tensorrt, pytest.mark.timeout(600)]
SHIPPED = load_family("imagenette", Path())


def request(
    model: bytes, sides: tuple[int, ...], precision: EnginePrecision, capability: str = "8.7"
) -> BuildRequest:
    return BuildRequest("a network", sides, precision, capability, 256 << 20, len(model), 0)


def plan_of(model: bytes, sides: tuple[int, ...], precision: EnginePrecision) -> bytes:
    """In a child of its own, as the daemon does it."""
    rtx()  # skips here, rather than fails there
    plan, timing = build_in_child(
        request(model, sides, precision), model, b"", start=starter("real")
    )
    assert timing
    return plan.partition(MARK)[0]


@pytest.mark.parametrize(
    "network",
    [
        pytest.param(each, id=each.path.stem, marks=[] if each.alpha == 0.25 else pytest.mark.long)
        for each in SHIPPED.networks
    ],
)
def test_every_shipped_network_becomes_a_plan(network: Network) -> None:
    if network.precision is Precision.INT8:
        (int8,) = (
            n for n in SHIPPED.networks if (n.alpha, n.precision) == (network.alpha, "float")
        )
        models = {EnginePrecision.INT8: int8_form(int8.read(), network.calibration, network.read())}
    else:
        model = network.read()
        models = {EnginePrecision.FP32: fp32_form(model), EnginePrecision.FP16: fp16_form(model)}
    for precision, model in models.items():
        assert len(plan_of(model, network.resolutions, precision)) > 100_000


@pytest.mark.parametrize("precision", EnginePrecision)
def test_the_parser_sees_scores_and_features_as_float32(precision: EnginePrecision) -> None:
    """As Engine expects them; features are (1, channels) before the first dense layer."""
    trt = rtx()
    network, int8 = SHIPPED.networks[:2]
    assert (network.precision, int8.precision) == (Precision.FLOAT, Precision.INT8)
    forms = {
        EnginePrecision.FP32: lambda: fp32_form(network.read()),
        EnginePrecision.FP16: lambda: fp16_form(network.read()),
        EnginePrecision.INT8: lambda: int8_form(network.read(), int8.calibration, int8.read()),
    }
    logger = logger_class(trt)()
    builder = trt.Builder(logger)
    definition = builder.create_network(0)
    assert trt.OnnxParser(definition, logger).parse(forms[precision]()), logger.said()
    outputs = [definition.get_output(index) for index in range(definition.num_outputs)]
    assert [tuple(each.shape) for each in outputs] == [(1, 10), (1, 256)]
    assert {each.dtype for each in outputs} == {trt.DataType.FLOAT}
    assert outputs[0].name == "scores" and outputs[1].name.startswith("features")


def quantised(model: bytes, network: Network) -> bytes:
    """Calibrated with drawn pictures: good enough for the parser."""
    probing = probe(model)
    sides = network.resolutions
    runner = OrtBackend().load(
        Network.of(network.path, probing.model, 1.0, sides), probing.model, 1
    )
    (side,) = sides
    make = Preprocessor(InputContract(), side)
    rows = np.stack([runner.run(make(golden_picture(seed))) for seed in range(3)])
    count = len(probing.names)
    calibration = probing.calibration(np.maximum(rows[:, :count].max(axis=0), 1e-3))
    int8 = runtime_form(model, calibration, probing.means(rows[:, count:].mean(axis=0)))
    return int8_form(model, calibration, int8)


@pytest.mark.data
@pytest.mark.parametrize("precision", EnginePrecision)
@pytest.mark.parametrize(
    ("files", "alpha", "side"),
    [
        (["mobilenet_v1_0.25_128_quant.tflite"], 0.25, 128),
        pytest.param(*(["mobilenet_v1_0.5_160_quant.tflite"], 0.5, 160), marks=pytest.mark.long),
        pytest.param(*(["mobilenet_v1_0.75_192_quant.tflite"], 0.75, 192), marks=pytest.mark.long),
        pytest.param(
            [
                "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
                "mobilenet_quant_v1_224_head_layers.tflite",
            ],
            *(1.0, 224),
            marks=pytest.mark.long,
        ),
    ],
    ids=lambda value: str(value) if isinstance(value, float) else None,
)
def test_imported_coral_networks_become_plans(
    data: Path,
    tmp_path: Path,
    files: list[str],
    alpha: float,
    side: int,
    precision: EnginePrecision,
) -> None:
    weights, *head = (data / "weights" / name for name in files)
    network = import_weights(
        weights,
        head[0] if head else None,
        alpha=alpha,
        resolutions=[side],
        labels=data / "weights/imagenet_labels.txt",
        into=tmp_path,
        fit=None,
    )
    model = network.read()
    forms = {
        EnginePrecision.FP32: fp32_form,
        EnginePrecision.FP16: fp16_form,
        EnginePrecision.INT8: lambda model: quantised(model, network),
    }
    assert len(plan_of(forms[precision](model), (side,), precision)) > 100_000


def test_a_network_as_onnx_runtime_takes_it_is_refused_with_its_reason() -> None:
    """Why there are forms at all."""
    model = SHIPPED.networks[0].read()
    with pytest.raises(InputError, match=r"TensorRT cannot read the network.*UInt8"):
        plan_of(model, (128,), EnginePrecision.FP16)


def test_an_engine_is_built_for_the_gpu_that_is_there() -> None:
    """TensorRT-RTX has kernels of its own for 7.5, and builds them only when it is told. It knows
    no 9.0, which gets the engine for several GPUs."""
    rtx()
    model, sides = fp16_form(SHIPPED.networks[0].read()), SHIPPED.networks[0].resolutions

    def size(capability: str) -> int:
        wanted = request(model, sides, EnginePrecision.FP16, capability)
        return len(build_in_child(wanted, model, b"", start=starter("real"))[0])

    assert size("7.5") > 2 * size("9.0")


def test_garbage_is_refused() -> None:
    with pytest.raises(
        InputError,
        match=r"a network: TensorRT cannot read the network \(got .*[Ff]ailed to parse.*"
        r"run it on the CPU with backend: onnxruntime",
    ):
        plan_of(b"garbage", (128,), EnginePrecision.FP16)


def test_an_operator_that_is_not_supported_is_named() -> None:
    model = onnx.load_model_from_string(fp32_form(SHIPPED.networks[0].read()))
    softmax = model.graph.node[-1]
    softmax.op_type, softmax.domain = "Abracadabra", "org.example"
    del softmax.attribute[:]
    model.opset_import.append(onnx.helper.make_opsetid("org.example", 1))
    with pytest.raises(InputError, match=r"cannot read the network.*Abracadabra"):
        plan_of(model.SerializeToString(), (128,), EnginePrecision.FP16)


def test_a_picture_that_the_network_cannot_have_is_refused() -> None:
    """A profile of a side that the file does not leave open."""
    model = onnx.load_model_from_string(fp32_form(SHIPPED.networks[0].read()))
    for dimension in model.graph.input[0].type.tensor_type.shape.dim[1:3]:
        dimension.dim_value = 128
    with pytest.raises(EdgedError, match="TensorRT could not build an engine for"):
        plan_of(model.SerializeToString(), (64,), EnginePrecision.FP16)


def test_progress_is_told_where_there_is_a_monitor() -> None:
    rtx()
    model = fp32_form(SHIPPED.networks[0].read())
    told: list[float] = []
    wanted = request(model, SHIPPED.networks[0].resolutions, EnginePrecision.FP32)
    build_in_child(wanted, model, b"", told.append, start=starter("real"))
    assert told == sorted(told)
    assert told and 0 < told[0] <= told[-1] <= 1


def test_a_timing_cache_of_something_else_is_left_aside() -> None:
    rtx()
    model = fp32_form(SHIPPED.networks[0].read())
    wanted = BuildRequest("n", (128,), EnginePrecision.FP32, "8.7", 256 << 20, len(model), 9)
    plan, timing = build_in_child(wanted, model, b"not a one", start=starter("real"))
    assert plan and timing


def test_the_whole_way_with_the_real_builder(tmp_path: Path) -> None:
    """Real up to the plan; from there the stand-in of tests/rig/gpu_stand_in.py."""
    rtx()
    family = make_family(tmp_path / "family")
    bench = Bench(tmp_path, start=starter("real"), background=True)
    runner = load(bench, family)
    np.testing.assert_array_equal(runner.run(PICTURE), on_cpu(family))
    eventually(lambda: bench.backend.engines.building == 0)
    assert bench.backend.engines.takeovers == 1
    np.testing.assert_allclose(runner.run(PICTURE), on_cpu(family), atol=1e-5)
    network = family.networks[0]
    expected = OrtBackend().load(network, network.read(), 1).features(PICTURE)
    np.testing.assert_allclose(runner.features(PICTURE), expected, atol=1e-4)
    again = Bench(tmp_path, start=starter("real"))
    load(again, family)
    assert again.starts == 0


def test_without_a_device_the_runtime_takes_no_plan() -> None:
    """What the backend's PlanError rests on: None, no exception. In a process of its own: it says
    so on standard error as well."""
    rtx()
    program = (
        "from tests.rig.tensorrt import rtx\n"
        "from edged.backends.tensorrt.build_worker import logger_class\n"
        "trt = rtx(); logger = logger_class(trt)()\n"
        "print(trt.Runtime(logger).deserialize_cuda_engine(b'nonsense'), '|', logger.said())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program],
        capture_output=True,
        text=True,
        cwd=PROJECT,
        env=os.environ,
    )
    assert done.stdout.startswith("None | "), done.stderr
    assert "no reason" not in done.stdout
