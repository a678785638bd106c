"""Checks an input range by the output of a network's first layer.

Scores do not show a wrong range: on synthetic pictures, a network is equally confident with it.
The standard deviation of the first layer's values (before the activation) does, if the range is far
off: it is 0.4 to 1.4 in nine files of TF-Slim, Keras and MLCommons, 50 to 180 with 0 … 255 instead
of -1 … 1, and 0.004 in the reverse case. -1 … 1 and 0 … 1 differ by a factor of two, which only
labelled photos show (`edged models evaluate`).
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
    """Replaces an assumed range that does not fit if exactly one other does, as in files where a
    converter folded a Rescaling(1/255) into the first layer."""
    if imported.assumed is None or _LEAST <= _spread(imported) <= _MOST:
        return imported
    fitting = _fitting(imported)
    if len(fitting) != 1:
        return imported
    note = f"the weights of its first layer do not fit {imported.assumed.words} as input"
    changed = imported.with_range(fitting[0])
    return replace(changed, assumed=fitting[0], notes=(*imported.notes, note))


def range_warning(imported: ImportedWeights) -> str | None:
    """A warning if the weights do not fit their input range, otherwise None."""
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
    """Median over the channels of the standard deviation of a channel's values in a picture."""
    picture = cv2.resize(golden_picture(0), (_SIDE, _SIDE), interpolation=cv2.INTER_AREA)
    seen = picture.astype(np.float64) * imported.scale + np.array(imported.offset)
    windows = np.lib.stride_tricks.sliding_window_view(seen, (3, 3), axis=(0, 1))[::2, ::2]
    values = np.einsum("ijcrs,ocrs->ijo", windows, imported.weights["conv.weight"])
    return float(np.median(values.std(axis=(0, 1))))
