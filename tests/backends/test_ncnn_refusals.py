"""What the ncnn backend refuses: INT8 networks, other people's, damaged and hostile files.

ncnn itself would die of some of them.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from numpy.typing import NDArray

from edged.errors import EdgedError, InputError
from edged.variants.family import Network, load_family
from edged.variants.runtime import Runner
from edged.variants.variant import Precision
from tests.rig.damage import MANY, with_wrong_bytes
from tests.rig.families import model
from tests.rig.paths import PROJECT

pytest.importorskip("ncnn", reason="needs ncnn: pip install 'edged[ncnn]'")

from edged.backends.ncnn.ncnn import NcnnBackend

FAMILY = load_family("imagenette", Path())
INT8 = [network for network in FAMILY.networks if network.precision is Precision.INT8]


PICTURE = np.random.default_rng(0).integers(0, 256, (1, 64, 64, 3), dtype=np.uint8)


def load(content: bytes) -> Runner:
    entry = Network.of(Path("some/file.onnx"), content, 0.03, (64,))
    return NcnnBackend().load(entry, content, 1)


@pytest.mark.parametrize("network", INT8, ids=lambda network: network.path.stem)
def test_int8_networks_are_left_to_onnx_runtime(network: Network) -> None:
    with pytest.raises(InputError, match=rf"{network.path.name}: ncnn runs only float networks"):
        NcnnBackend().load(network, network.read(), 1)


@pytest.mark.parametrize("content", [b"", b"no network at all", b"\x00" * 5000, b"\x08\x08"])
def test_a_foreign_file_is_named(content: bytes) -> None:
    with pytest.raises(InputError, match=r"some/file\.onnx: ncnn runs only float networks"):
        load(content)


Change = Callable[[Any, dict[str, Any]], None]


def attribute(node: int, name: str, value: Any) -> Change:
    """Changes one attribute of a node, which are numbered without the casts of weights."""

    def change(graph: Any, _: dict[str, Any]) -> None:
        nodes = [each for each in graph.node if not each.name.endswith(".wide")]
        kept = [each for each in nodes[node].attribute if each.name != name]
        del nodes[node].attribute[:]
        nodes[node].attribute.extend([*kept, onnx.helper.make_attribute(name, value)])

    return change


def constant(name: str, values: Any) -> Change:
    def change(_: Any, constants: dict[str, Any]) -> None:
        constants[name].CopyFrom(onnx.numpy_helper.from_array(np.asarray(values), name))

    return change


def dims(name: str, *shape: int) -> Change:
    """Says another shape than there are numbers for."""

    def change(_: Any, constants: dict[str, Any]) -> None:
        constants[name].dims[:] = shape

    return change


def without(node: int) -> Change:
    def change(graph: Any, _: dict[str, Any]) -> None:
        del graph.node[node]

    return change


HALF = np.float16
HOSTILE: dict[str, Change] = {
    "stride 0": attribute(4, "strides", [0, 0]),
    "stride of a billion": attribute(4, "strides", [2**30, 2**30]),
    "strides that differ": attribute(4, "strides", [2, 1]),
    "three strides": attribute(4, "strides", [2, 2, 2]),
    "kernel of another size": attribute(4, "kernel_shape", [7, 7]),
    "groups that divide nothing": attribute(6, "group", 3),
    "no groups": attribute(6, "group", 0),
    "text for a number": attribute(4, "group", "1"),
    "other padding": attribute(4, "auto_pad", "VALID"),
    "dilation": attribute(4, "dilations", [2, 2]),
    "an unknown attribute": attribute(4, "more", 1.5),
    "another order of planes": attribute(0, "perm", [0, 1, 2, 3]),
    "a cast to something else": attribute(1, "to", 7),
    "a turned matrix": attribute(-2, "transB", 0),
    "another axis": attribute(-1, "axis", 0),
    "a kernel too small": constant("conv.weight", np.ones((8, 3, 1, 1), HALF)),
    "a kernel of four axes less": constant("conv.weight", HALF(1)),
    "channels that do not fit": constant("block1.pointwise.weight", np.ones((8, 9, 1, 1), HALF)),
    "a short bias": constant("conv.bias", np.ones(7, np.float32)),
    "a long classifier": constant("classifier.weight", np.ones((6, 4000), HALF)),
    "a classifier without classes": constant("classifier.weight", np.ones((0, 30), HALF)),
    "wholes as weights": constant("classifier.weight", np.ones((6, 30), np.int8)),
    "doubles as bias": constant("conv.bias", np.ones(8, np.float64)),
    "a limit that is none": constant("six", np.float32(np.nan)),
    "many limits": constant("six", np.ones(4, np.float32)),
    "scale 0": constant("scale", np.float32(0)),
    "scale without end": constant("scale", np.float32(np.inf)),
    "an offset for each class": constant("offset", np.ones(6, np.float32)),
    "more numbers than there are": dims("conv.weight", 2**31, 3, 3, 3),
    "a negative number of channels": dims("conv.weight", -8, 3, 3, 3),
    "65 axes": dims("conv.weight", 216, *[1] * 64),
    "no end": without(-1),
    "no activation": without(8),
    "no pixels": without(0),
}  # fmt: skip


@pytest.mark.parametrize("change", HOSTILE.values(), ids=HOSTILE)
def test_a_hostile_file_is_refused_before_ncnn_sees_it(change: Change) -> None:
    read = onnx.load_model_from_string(model(0.03))
    change(read.graph, {each.name: each for each in read.graph.initializer})
    with pytest.raises(InputError, match=r"ncnn runs only float networks|not MobileNet v1"):
        load(read.SerializeToString())


@pytest.mark.parametrize("share", [0.1, 0.5, 0.9, 0.999])
def test_a_truncated_file_is_named(share: float) -> None:
    whole = model(0.03)
    with pytest.raises(InputError, match=r"some/file\.onnx"):
        load(whole[: int(len(whole) * share)])


def test_damaged_files_are_refused_or_run() -> None:
    """A damaged weight is nobody's to notice here; the golden picture is there for that."""
    scores = [scores_of(content) for content in with_wrong_bytes(model(0.03), MANY or 150)]
    assert None in scores
    assert all(each is None or each.ndim == 1 for each in scores)


def scores_of(content: bytes) -> NDArray[np.float32] | None:
    """None where it is refused."""
    try:
        return load(content).run(PICTURE)
    except EdgedError:
        return None


OUT_OF_MEMORY = f"""
import resource, sys
sys.path.insert(0, {str(PROJECT)!r})
from pathlib import Path
import numpy as np
from edged.backends.ncnn.ncnn import NcnnBackend
from edged.errors import EdgedError
from edged.variants.family import load_family
from edged.variants.variant import Precision, Variant
variant = Variant(0.75, 224, Precision(sys.argv[2]))
network = load_family("imagenette", Path()).network(variant)
model, backend = network.read(), NcnnBackend(int8=True)
pages = int(Path("/proc/self/statm").read_text().split()[0])
limit = pages * resource.getpagesize() + int(sys.argv[1]) * 2**20
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
try:
    backend.load(network, model, 1).run(np.zeros((1, 224, 224, 3), np.uint8))
except EdgedError as error:
    print(error.what)
"""


@pytest.mark.parametrize("megabytes", [0, 4, 8, 12, 16, 20, 24, 28, 32])
@pytest.mark.parametrize("precision", [Precision.FLOAT, Precision.INT8])
def test_where_memory_does_not_suffice_it_says_so(megabytes: int, precision: Precision) -> None:
    done = subprocess.run(
        [sys.executable, "-c", OUT_OF_MEMORY, str(megabytes), precision.value],
        env={**os.environ, "PYTHONPATH": os.pathsep.join([str(PROJECT), *sys.path])},
        capture_output=True,
        text=True,
        timeout=60,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout or megabytes > 20


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((1, 64, 64, 3), np.float32),
        np.zeros((2, 64, 64, 3), np.uint8),
        np.zeros((1, 64, 64, 1), np.uint8),
        np.zeros((1, 0, 64, 3), np.uint8),
        np.zeros((64, 64, 3), np.uint8),
    ],
    ids=lambda image: str(image.shape),
)
def test_a_picture_of_another_kind_is_refused(image: Any) -> None:
    with pytest.raises(EdgedError, match=r"some/file\.onnx: the network does not run on a picture"):
        load(model(0.03)).run(image)
