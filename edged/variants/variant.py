"""Variants of a family, width multiplier x resolution x precision, and the ways to run them."""

from __future__ import annotations

import re
from dataclasses import dataclass, field, replace
from enum import Enum
from typing import NamedTuple

from edged.errors import InputError

_NAME = re.compile(
    r"mobilenet_v1_(?P<alpha>[01](?:\.\d+)?)_(?P<resolution>\d+)(?:_(?P<precision>int8|fp16))?"
)


class Precision(str, Enum):
    FLOAT = "float"
    INT8 = "int8"
    FP16 = "fp16"
    """A float network that its runtime computes in float16."""


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """`mobilenet_v1_0.5_160`: alpha 0.5 at 160 x 160; `_int8` or `_fp16` may follow."""

    alpha: float
    resolution: int
    precision: Precision = Precision.FLOAT
    name: str = field(init=False, compare=False)
    """Made once: every result has it."""

    def __hash__(self) -> int:
        """Of what is there: what runs on a frame is looked up by it."""
        return hash(self.name)

    def __post_init__(self) -> None:
        suffix = "" if self.precision is Precision.FLOAT else f"_{self.precision.value}"
        name = f"mobilenet_v1_{self.alpha}_{self.resolution}{suffix}"
        object.__setattr__(self, "name", name)

    @classmethod
    def parse(cls, name: str) -> Variant:
        match = _NAME.fullmatch(name)
        if match is None:
            raise InputError(
                "not the name of a variant", got=repr(name), fix="write it as mobilenet_v1_0.5_160"
            )
        precision = Precision(match["precision"] or Precision.FLOAT)
        return cls(float(match["alpha"]), int(match["resolution"]), precision)

    @property
    def fp16(self) -> Variant:
        """What a float variant is when its runtime computes in float16."""
        return replace(self, precision=Precision.FP16)

    def __str__(self) -> str:
        return self.name


class Choice(NamedTuple):
    """One way to run a frame. runtime: a backend's name. network: sha256 of the network's file,
    which families may share."""

    variant: Variant
    threads: int
    runtime: str = "onnxruntime"
    network: str = ""

    def __str__(self) -> str:
        return f"{self.variant} x{self.threads} {self.runtime}"
