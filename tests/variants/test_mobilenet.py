from __future__ import annotations

from dataclasses import replace
from itertools import pairwise

import pytest

from edged.errors import InputError
from edged.variants.mobilenet import (
    PUBLISHED,
    Architecture,
    Body,
    Kind,
    Layer,
    Published,
    cost,
    recognise,
)

# arXiv 1704.04861, tables 4 to 7, written out here once more so that the constant is checked too.
PAPER = {
    (1.0, Body.SEPARABLE, 224): ("569", "4.2"),
    (0.75, Body.SEPARABLE, 224): ("325", "2.6"),
    (0.5, Body.SEPARABLE, 224): ("149", "1.3"),
    (0.25, Body.SEPARABLE, 224): ("41", "0.5"),
    (1.0, Body.SEPARABLE, 192): ("418", "4.2"),
    (1.0, Body.SEPARABLE, 160): ("290", "4.2"),
    (1.0, Body.SEPARABLE, 128): ("186", "4.2"),
    (1.0, Body.STANDARD, 224): ("4866", "29.3"),
    (1.0, Body.SHALLOW, 224): ("307", "2.9"),
}


def agrees(measured: float, published: str) -> bool:
    """Within 1 %, or within half a unit of the last digit that was published."""
    half_unit = 0.5 * 0.1 ** len(published.partition(".")[2])
    tolerance = max(0.01 * float(published), half_unit)
    return abs(measured - float(published)) <= tolerance


@pytest.mark.parametrize(("key", "published"), PAPER.items())
def test_cost_reproduces_the_paper(
    key: tuple[float, Body, int], published: tuple[str, str]
) -> None:
    alpha, body, resolution = key
    measured = cost(Architecture(alpha, 1000, body), resolution)
    assert agrees(measured.multiply_adds / 1e6, published[0])
    assert agrees(measured.parameters / 1e6, published[1])


def test_the_published_rows_are_those_of_the_paper() -> None:
    rows = [
        Published(Architecture(alpha, 1000, body), resolution, float(adds), float(parameters))
        for (alpha, body, resolution), (adds, parameters) in PAPER.items()
    ]
    assert list(PUBLISHED) == rows


def test_pointwise_shares_reproduce_the_paper_to_its_last_digit() -> None:
    measured = cost(Architecture(1.0, 1000), 224)
    assert round(measured.pointwise_multiply_adds_share, 4) == 0.9486
    assert round(measured.pointwise_parameters_share, 4) == 0.7459


def test_a_standard_body_has_no_pointwise_convolutions() -> None:
    measured = cost(Architecture(1.0, 1000, Body.STANDARD), 224)
    assert measured.pointwise_multiply_adds_share == measured.pointwise_parameters_share == 0


def test_classes_cost_one_matrix() -> None:
    few, many = (cost(Architecture(0.5, classes), 160) for classes in (10, 1010))
    assert many.parameters - few.parameters == 1000 * 512
    assert many.multiply_adds - few.multiply_adds == 1000 * 512


def test_layer_names_of_each_body() -> None:
    separable = [layer.name for layer in Architecture(1.0, 10).layers()]
    assert len(separable) == 27
    assert separable[:3] == ["conv", "block1.depthwise", "block1.pointwise"]
    assert separable[-1] == "block13.pointwise"
    standard = [layer.name for layer in Architecture(1.0, 10, Body.STANDARD).layers()]
    assert standard == ["conv"] + [f"block{number}.convolution" for number in range(1, 14)]
    shallow = [layer.name for layer in Architecture(1.0, 10, Body.SHALLOW).layers()]
    assert shallow == separable[:17]


def test_layers_follow_one_another_and_shrink_the_picture_32_times() -> None:
    for body in Body:
        layers = Architecture(0.75, 10, body).layers()
        for before, after in pairwise(layers):
            assert after.in_channels == before.out_channels
        strides = [layer.stride for layer in layers]
        assert strides.count(2) == 5
        assert layers[-1].out_channels == Architecture(0.75, 10, body).features == 768


def test_weight_shapes_and_groups() -> None:
    depthwise = Layer("d", Kind.DEPTHWISE, 24, 24, 3, 2)
    assert (depthwise.groups, depthwise.weight_shape) == (24, (24, 1, 3, 3))
    pointwise = Layer("p", Kind.POINTWISE, 24, 48, 1, 1)
    assert (pointwise.groups, pointwise.weight_shape) == (1, (48, 24, 1, 1))


@pytest.mark.parametrize(
    ("alpha", "first", "features"),
    [(1.0, 32, 1024), (0.75, 24, 768), (0.5, 16, 512), (0.25, 8, 256), (0.1, 8, 102)],
)
def test_width_rule(alpha: float, first: int, features: int) -> None:
    architecture = Architecture(alpha, 10)
    assert architecture.layers()[0].out_channels == first
    assert architecture.features == features


@pytest.mark.parametrize("alpha", [0.0, -0.5, 1.01, float("nan")])
def test_alpha_outside_its_range_is_refused(alpha: float) -> None:
    with pytest.raises(InputError, match="alpha must be above 0 and at most 1"):
        Architecture(alpha, 10)


def test_no_classes_and_no_pixels_are_refused() -> None:
    with pytest.raises(InputError, match="at least one class"):
        Architecture(1.0, 0)
    with pytest.raises(InputError, match="at least one pixel"):
        cost(Architecture(1.0, 10), 0)


@pytest.mark.parametrize("body", list(Body))
@pytest.mark.parametrize("alpha", [1.0, 0.75, 0.5, 0.35, 0.25, 0.17, 0.1])
def test_an_architecture_is_recognised_by_its_layers(body: Body, alpha: float) -> None:
    architecture = Architecture(alpha, 10, body)
    layers = [replace(layer, name=f"layer {i}") for i, layer in enumerate(architecture.layers())]
    assert recognise(layers, 10) == architecture


def test_what_is_not_mobilenet_is_refused_by_layer() -> None:
    layers = list(Architecture(0.5, 10).layers())
    layers[3] = replace(layers[3], stride=1)
    with pytest.raises(InputError, match=r"^block2\.depthwise: .*stride 2.*got .*stride 1"):
        recognise(layers, 10)
    with pytest.raises(InputError, match=r"27 convolutions.*\(got 20\)"):
        recognise(layers[:20], 10)
