"""A family of a network that another program wrote: the colours of a corner, no classifier."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import Family, InputContract, Network, write_family
from edged.variants.golden import with_golden

_FLATTENS: dict[str, list[Any]] = {
    "": [],
    "pixels": [helper.make_node("Flatten", ["image"], ["flat"])],
    "rows": [helper.make_node("Flatten", ["float"], ["flat"], axis=2)],
}


def foreign_network(flatten: str = "") -> bytes:
    """flatten: what a Flatten beside it is of: its uint8 `pixels`, or the `rows` of the picture."""
    nodes = [
        helper.make_node("Cast", ["image"], ["float"], to=TensorProto.FLOAT),
        helper.make_node("Slice", ["float", "from", "to", "axes"], ["corner"]),
        helper.make_node("ReduceMean", ["corner"], ["means"], axes=(1, 2), keepdims=0),
        helper.make_node("LpNormalization", ["means"], ["scores"], axis=1, p=1),
        *_FLATTENS[flatten],
    ]
    image = helper.make_tensor_value_info("image", TensorProto.UINT8, [1, "height", "width", 3])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [1, 3])
    numbers = {"from": [0, 0], "to": [24, 24], "axes": [1, 2]}
    constants = [
        numpy_helper.from_array(np.array(each, np.int64), name) for name, each in numbers.items()
    ]
    graph = helper.make_graph(nodes, "foreign", [image], [scores], constants)
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    model.ir_version = 8
    return bytes(model.SerializeToString())


def foreign_family(directory: Path, flatten: str = "") -> Family:
    model = foreign_network(flatten)
    network = Network.of(directory / "foreign.onnx", model, 0.25, (64,))
    labels = ("red", "green", "blue")
    bare = Family("foreign", directory, labels, InputContract(), (network,))
    models = {network.path.name: model}
    family, golden = with_golden(bare, models, OrtBackend())
    return write_family(family, models, golden)
