"""MobileNet v1 in PyTorch: the network that is trained, and its weights as edged writes them.

Its layers are those of `edged.variants.mobilenet`. What they are made of is TensorFlow's choice
(ReLU6, batch-norm epsilon 1e-3, SAME padding, which at stride 2 pads the bottom and the right
first), so that the trained weights fit the graph that `edged.variants.weights.onnx_builder` builds.
"""

from __future__ import annotations

import numpy as np
import torch
import torch.nn.functional as F  # noqa: N812 - the name every reader of PyTorch code knows
from numpy.typing import NDArray
from torch import Tensor, nn

from edged.variants.mobilenet import Architecture, Layer

BATCH_NORM_EPSILON = 1e-3
DEVIATION = 0.09
"""Of every kernel at the start."""


class ConvNorm(nn.Module):  # type: ignore[misc]
    """Convolution, batch norm, ReLU6: (n, inputs, h, w) -> (n, outputs, ceil(h/stride), …)."""

    def __init__(self, layer: Layer) -> None:
        super().__init__()
        self.conv = nn.Conv2d(
            layer.in_channels,
            layer.out_channels,
            layer.kernel,
            layer.stride,
            groups=layer.groups,
            bias=False,
        )
        self.norm = nn.BatchNorm2d(layer.out_channels, eps=BATCH_NORM_EPSILON)
        # TF-Slim's initialisation for MobileNet v1. Measured at alpha 0.25 over four epochs, it
        # learns faster than He's: wide kernels after a norm take smaller relative steps.
        nn.init.trunc_normal_(self.conv.weight, std=DEVIATION, a=-2 * DEVIATION, b=2 * DEVIATION)

    def forward(self, x: Tensor) -> Tensor:
        return F.relu6(self.norm(self.convolved(x)))

    def convolved(self, x: Tensor) -> Tensor:
        """What the norm gets."""
        (kernel, _), (stride, _) = self.conv.kernel_size, self.conv.stride
        top, bottom = same_padding(x.shape[2], kernel, stride)
        left, right = same_padding(x.shape[3], kernel, stride)
        if top == bottom == left == right:
            # The convolution pads for itself, without a padded copy of its input.
            return F.conv2d(x, self.conv.weight, None, stride, top, 1, self.conv.groups)
        return self.conv(F.pad(x, (left, right, top, bottom)))

    def adopt(self, weight: Tensor, bias: Tensor, x: Tensor) -> Tensor:
        """Become the convolution with this weight and bias; returns what it makes of `x`.

        The norm gets the statistics of `x`, and undoes them: so it changes nothing now, nor when it
        takes a batch's own in their place.
        """
        norm = self.norm
        self.conv.weight.copy_(weight)
        convolved = self.convolved(x)
        variance, mean = torch.var_mean(convolved, (0, 2, 3), unbiased=False)
        norm.running_mean.copy_(mean)
        norm.running_var.copy_(variance)
        norm.weight.copy_(torch.sqrt(variance + norm.eps))
        norm.bias.copy_(bias + mean)
        return F.relu6(convolved + bias[:, None, None])

    def folded(self) -> tuple[Tensor, Tensor]:
        """Weight and bias of the one convolution that equals this convolution and its norm."""
        norm = self.norm
        assert norm.running_mean is not None and norm.running_var is not None
        gain = norm.weight / torch.sqrt(norm.running_var + norm.eps)
        return self.conv.weight * gain[:, None, None, None], norm.bias - norm.running_mean * gain


def same_padding(size: int, kernel: int, stride: int) -> tuple[int, int]:
    """Rows before and after under TensorFlow's SAME rule; the odd one goes after."""
    outputs = -(-size // stride)
    total = max(0, (outputs - 1) * stride + kernel - size)
    return total // 2, total - total // 2


class MobileNet(nn.Module):  # type: ignore[misc]  # torch is optional: Any to the checker
    """(n, 3, h, w) in -1..1 -> logits (n, classes), at any height and width."""

    def __init__(self, architecture: Architecture) -> None:
        super().__init__()
        self.architecture = architecture
        self.body = nn.Sequential(*map(ConvNorm, architecture.layers()))
        self.classifier = nn.Linear(architecture.features, architecture.classes)
        nn.init.normal_(self.classifier.weight, std=0.01)
        nn.init.zeros_(self.classifier.bias)

    def forward(self, x: Tensor) -> Tensor:
        logits: Tensor = self.classifier(self.body(x).mean((2, 3)))
        return logits


def folded_weights(network: MobileNet) -> dict[str, NDArray[np.float32]]:
    """The weights without batch norm, named as onnx_builder's `Weights` names them."""
    tensors: dict[str, Tensor] = {}
    for layer, module in zip(network.architecture.layers(), network.body, strict=True):
        assert isinstance(module, ConvNorm)
        tensors[f"{layer.name}.weight"], tensors[f"{layer.name}.bias"] = module.folded()
    tensors["classifier.weight"] = network.classifier.weight
    tensors["classifier.bias"] = network.classifier.bias
    return {
        name: np.ascontiguousarray(tensor.detach().float().numpy())
        for name, tensor in tensors.items()
    }
