"""Begin a training with the weights of a family's network instead of random ones."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from network import ConvNorm
from train import Run, normalised

from edged.errors import InputError
from edged.variants.family import Family, Network, load_family
from edged.variants.int8.float_network import read_float_network
from edged.variants.variant import Precision

PICTURES = 256
"""Enough for the statistics of each layer."""


class Start:
    """A family's float networks of the wanted widths. Raises InputError where one is missing."""

    def __init__(self, reference: str, alphas: Sequence[float] | None) -> None:
        self.family: Family = load_family(reference, Path())
        self._networks: dict[float, Network] = {
            network.alpha: network
            for network in self.family.networks
            if network.precision is Precision.FLOAT
        }
        for alpha in alphas or ():
            if alpha not in self._networks:
                raise InputError(
                    "the family to start from has no float network of this alpha",
                    where=self.family.directory,
                    got=alpha,
                    fix=f"it has {', '.join(map(str, self.alphas))}",
                )

    @property
    def alphas(self) -> tuple[float, ...]:
        return tuple(self._networks)

    def identity(self, alpha: float) -> str:
        return f"{self.family.name} {self._networks[alpha].sha256}"

    def begin(self, run: Run, pixels: np.ndarray, labels: Sequence[str]) -> None:
        """Give the run's networks the weights; those of the classes only where they are the same.

        pixels: training pictures, uint8 (n, side, side, 3).
        """
        read = read_float_network(self._networks[run.settings.alpha].read())
        scale = read.scale * 127.5
        offset = torch.from_numpy(read.offset + scale).float()  # of all colours, or of each
        chosen = np.random.default_rng(run.settings.seed).permutation(len(pixels))[:PICTURES]
        with torch.no_grad():
            x = normalised(pixels[chosen])
            for number, (module, layer) in enumerate(
                zip(run.network.body, read.convolutions, strict=True)
            ):
                assert isinstance(module, ConvNorm)
                if layer.weight.shape != module.conv.weight.shape:
                    raise InputError(
                        "the network to start from is narrower than those that are trained: it is "
                        "one of Keras's below alpha 0.25",
                        where=self._networks[run.settings.alpha].path,
                        got=f"{len(layer.weight)} channels in {layer.name}",
                        fix="start from alpha 0.25 or more",
                    )
                weight = torch.from_numpy(layer.weight.astype(np.float32))
                bias = torch.from_numpy(layer.bias.astype(np.float32))
                if number == 0:  # the family's networks may see pixels in another range
                    bias = bias + (weight.sum((2, 3)) * offset).sum(1)
                    weight = weight * scale
                x = module.adopt(weight, bias, x)
            # With hidden layers, the classes' weights read something else than the recipe's.
            if self.family.labels == tuple(labels) and len(read.head) == 1:
                classifier = run.network.classifier
                classifier.weight.copy_(torch.from_numpy(read.classifier.weight.astype(np.float32)))
                classifier.bias.copy_(torch.from_numpy(read.classifier.bias.astype(np.float32)))
            run.averaged.load_state_dict(run.network.state_dict())
