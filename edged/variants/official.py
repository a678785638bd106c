"""The official ImageNet weights of MobileNet v1: where they lie, how they are called and rated.

Facts only; pull.py fetches them. Sources: TF-Slim's mobilenet_v1.md in tensorflow/models (the
revision of 2018-08-02, and for Keras that of 2017-06-14) and mobilenet.py of Keras's applications,
which says that its weights were translated from TF-Slim's. TF-Slim's page names
http://download.tensorflow.org/…; the same bucket is read over https here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum

from edged.variants.network import Accuracy

ALPHAS = (0.25, 0.5, 0.75, 1.0)
RESOLUTIONS = (128, 160, 192, 224)

TAUGHT_FROM = 160
"""The resolution whose networks serve best at all of RESOLUTIONS, as a taught family runs them.

A network loses more below the resolution that it was trained at than above it. Against networks
trained for each resolution, ImageNet's top-1 falls at the worst of the four by 4.0 points (0.25
trained at 128), 3.3 (0.5 at 160), 5.3 (0.75 at 192), 8.0 (1.0 at 224) and 15 (Keras's 0.25 at 224).
Taught heads lose most with the last one, too: tests/benchmarks/teach/resolutions.md.
"""

_TENSORFLOW = "https://storage.googleapis.com/download.tensorflow.org"
LABELS_DIRECTORY = f"{_TENSORFLOW}/data"
LABELS_FILE = "ImageNetLabels.txt"
"""1001 lines, the first one the background class that TF-Slim's networks have and Keras's lack."""
LABELS = 1001

_SOURCE = "published: ImageNet validation, by TF-Slim"

_Row = Sequence[tuple[float, float]]
"""Top-1 and top-5 in percent at each of RESOLUTIONS."""


class Weights(str, Enum):
    """Who made the weights: TF-Slim in floating point or for quantised networks, or Keras."""

    FLOAT = "float"
    QUANT = "quant"
    KERAS = "keras"


@dataclass(frozen=True, slots=True)
class Release:
    """Sixteen files, one for each alpha and resolution; each was trained on its own.

    kind: what a reader of weights calls them. packages: needed to read them, besides edged's own
    requirements.
    """

    kind: str
    directory: str
    file_name: Callable[[float, int], str]
    percent: Mapping[float, _Row]
    packages: tuple[str, ...] = ()

    def accuracy(self, alpha: float, resolution: int) -> Accuracy:
        top1, top5 = self.percent[alpha][RESOLUTIONS.index(resolution)]
        return Accuracy(round(top1 / 100, 3), round(top5 / 100, 3), None, _SOURCE)


_KERAS_ALPHA = {0.25: "2_5", 0.5: "5_0", 0.75: "7_5", 1.0: "1_0"}

_IMAGENET = {
    Weights.FLOAT: Release(
        "float TensorFlow Lite",
        f"{_TENSORFLOW}/models/mobilenet_v1_2018_08_02",
        lambda alpha, resolution: f"mobilenet_v1_{alpha}_{resolution}.tgz",
        {
            0.25: ((41.5, 66.3), (45.5, 70.3), (47.7, 72.3), (49.8, 74.2)),
            0.5: ((56.3, 79.4), (59.1, 81.9), (61.7, 83.6), (63.3, 84.9)),
            0.75: ((62.1, 83.9), (65.3, 86.0), (67.2, 87.3), (68.4, 88.2)),
            1.0: ((65.2, 85.8), (68.0, 87.7), (70.0, 89.2), (70.9, 89.9)),
        },
    ),
    Weights.QUANT: Release(
        "de-quantised uint8 TensorFlow Lite",
        f"{_TENSORFLOW}/models/mobilenet_v1_2018_08_02",
        lambda alpha, resolution: f"mobilenet_v1_{alpha}_{resolution}_quant.tgz",
        {
            0.25: ((39.5, 64.4), (43.4, 68.5), (46.0, 71.2), (48.0, 72.8)),
            0.5: ((54.5, 77.7), (57.7, 80.4), (60.0, 82.2), (60.7, 83.2)),
            0.75: ((55.8, 78.8), (62.3, 83.8), (66.1, 86.4), (66.8, 87.0)),
            1.0: ((63.4, 84.2), (67.2, 86.7), (69.2, 88.3), (70.1, 88.9)),
        },
    ),
    Weights.KERAS: Release(
        "Keras",
        "https://storage.googleapis.com/tensorflow/keras-applications/mobilenet",
        lambda alpha, resolution: f"mobilenet_{_KERAS_ALPHA[alpha]}_{resolution}_tf.h5",
        {
            0.25: ((41.3, 66.2), (46.0, 70.7), (49.0, 73.6), (50.6, 75.0)),
            0.5: ((56.2, 79.6), (59.9, 82.5), (62.1, 84.0), (64.0, 85.4)),
            0.75: ((61.8, 83.6), (65.2, 86.1), (67.4, 87.3), (68.4, 88.2)),
            1.0: ((64.1, 85.3), (67.2, 87.5), (69.3, 88.9), (70.7, 89.5)),
        },
        packages=("h5py",),
    ),
}
OFFICIAL: Mapping[str, Mapping[Weights, Release]] = {"mobilenet-v1-imagenet": _IMAGENET}
