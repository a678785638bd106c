"""The name of one way to run a family: width multiplier x resolution x precision."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from edged.errors import InputError

_NAME = re.compile(r"mobilenet_v1_(?P<alpha>[01](?:\.\d+)?)_(?P<resolution>\d+)(?P<int8>_int8)?")


class Precision(str, Enum):
    FLOAT = "float"
    INT8 = "int8"


@dataclass(frozen=True, slots=True, order=True)
class Variant:
    """`mobilenet_v1_0.5_160`: alpha 0.5 at 160 x 160; `_int8` follows for INT8."""

    alpha: float
    resolution: int
    precision: Precision = Precision.FLOAT

    @property
    def name(self) -> str:
        suffix = "_int8" if self.precision is Precision.INT8 else ""
        return f"mobilenet_v1_{self.alpha}_{self.resolution}{suffix}"

    @classmethod
    def parse(cls, name: str) -> Variant:
        match = _NAME.fullmatch(name)
        if match is None:
            raise InputError(
                "not the name of a variant", got=repr(name), fix="write it as mobilenet_v1_0.5_160"
            )
        precision = Precision.INT8 if match["int8"] else Precision.FLOAT
        return cls(float(match["alpha"]), int(match["resolution"]), precision)

    def __str__(self) -> str:
        return self.name
