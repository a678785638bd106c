"""Checks an input range by the output of a network's first layer.

Scores do not show it: for synthetic pictures, a network is as sure of itself with the wrong range
as with the right one. The first layer does, if the range is far off: training leaves its values
(before the activation) spread over 0.4 to 1.4 in nine files of TF-Slim, Keras and MLCommons,
whatever their range; 0 … 255 instead of -1 … 1 makes that 50 to 180, the reverse 0.004. -1 … 1 and
0 … 1 differ by a factor of two, which only photos of known classes show (`edged models evaluate`).
"""

from __future__ import annotations

from dataclasses import replace

import cv2
import numpy as np

from edged.variants.golden import golden_picture
from edged.variants.weights.onnx_builder import ImportedWeights, InputRange

_LEAST, _MOST = 0.05, 20.0
_SIDE = 96


def with_fitting_range(imported: ImportedWeights) -> ImportedWeights:
    """Another range assumed, where the one that was cannot be right and only one other can: so it
    is with files into whose first layer a converter folded a Rescaling(1/255)."""
    if imported.assumed is None or _LEAST <= _spread(imported) <= _MOST:
        return imported
    fitting = _fitting(imported)
    if len(fitting) != 1:
        return imported
    note = f"the weights of its first layer do not fit {imported.assumed.words} as input"
    changed = imported.with_range(fitting[0])
    return replace(changed, assumed=fitting[0], notes=(*imported.notes, note))


def range_warning(imported: ImportedWeights) -> str | None:
    """A sentence where these weights cannot have been trained on their input range."""
    spread = _spread(imported)
    if _LEAST <= spread <= _MOST:
        return None
    fitting = [each.value for each in _fitting(imported)]
    fix = f"; --input-range {' or '.join(fitting)} fits" if fitting else ""
    return (
        f"warning: wrong input range: the first layer's values have a spread of {spread:.2g}, but "
        f"about 1 in trained networks{fix}"
    )


def _fitting(imported: ImportedWeights) -> list[InputRange]:
    return [each for each in InputRange if _LEAST <= _spread(imported.with_range(each)) <= _MOST]


def _spread(imported: ImportedWeights) -> float:
    """The standard deviation of a channel's values over a picture, of the median channel."""
    picture = cv2.resize(golden_picture(0), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    seen = picture.astype(np.float64) * imported.scale + np.array(imported.offset)
    windows = np.lib.stride_tricks.sliding_window_view(seen, (3, 3), axis=(0, 1))[::2, ::2]
    values = np.einsum("ijcrs,ocrs->ijo", windows, imported.weights["conv.weight"])
    return float(np.median(values.std(axis=(0, 1))))
