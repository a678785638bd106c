"""Networks that name other files, which a runtime would open."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from edged.errors import InputError
from edged.variants.external_data import has_external_data
from edged.variants.network import Network
from tests.rig.families import model

VALUES = numpy_helper.from_array(np.ones(4, np.float32), "values")


def external() -> TensorProto:
    tensor = TensorProto()
    tensor.CopyFrom(VALUES)
    onnx.external_data_helper.set_external_data(tensor, "secret.bin")
    tensor.ClearField("raw_data")
    return tensor


def network(
    *, initializer: TensorProto = VALUES, constant: TensorProto = VALUES, inner: bool = False
) -> bytes:
    """A tensor as initializer, as a node's attribute, and in the branch of an If."""
    node = helper.make_node("Constant", [], ["c"], value=constant)
    output = helper.make_tensor_value_info("c", TensorProto.FLOAT, [4])
    nodes = [node]
    if inner:
        branch = helper.make_graph([node], "branch", [], [output])
        condition = helper.make_node(
            "Constant", [], ["yes"], value=helper.make_tensor("yes", TensorProto.BOOL, [], [True])
        )
        choice = helper.make_node("If", ["yes"], ["c"], then_branch=branch, else_branch=branch)
        nodes = [condition, choice]
    graph = helper.make_graph(nodes, "g", [], [output], [initializer])
    made = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)])
    return bytes(made.SerializeToString())


def in_function() -> bytes:
    node = helper.make_node("Constant", [], ["c"], value=external())
    opset = [helper.make_opsetid("", 17)]
    made = onnx.load_model_from_string(network())
    made.functions.append(helper.make_function("own", "f", [], ["c"], [node], opset))
    return bytes(made.SerializeToString())


@pytest.mark.parametrize("content", [network(), network(inner=True), model(0.03), b"", b"\x0a\xff"])
def test_what_is_whole_in_itself_is_let_through(content: bytes) -> None:
    assert not has_external_data(content)


@pytest.mark.parametrize(
    "content",
    [
        network(initializer=external()),
        network(constant=external()),
        network(constant=external(), inner=True),
        in_function(),
        # A group, which no writer makes any more and every parser passes over, hides nothing.
        b"\x0b\x0c" + network(initializer=external()),
    ],
    ids=["initializer", "attribute", "branch", "function", "group"],
)
def test_another_file_is_found_wherever_it_is_named(content: bytes) -> None:
    assert has_external_data(content)


def test_such_a_network_is_refused_in_any_working_directory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "secret.bin").write_bytes(np.ones(4, np.float32).tobytes())
    content = network(initializer=external())
    path = tmp_path / "net.onnx"
    path.write_bytes(content)
    entry = Network.of(path, content, 0.25, (96,))
    for folder in (tmp_path, Path(os.sep)):
        monkeypatch.chdir(folder)
        with pytest.raises(InputError, match=r"net\.onnx: the network keeps its weights in anoth"):
            entry.read()
