"""Four networks of ImageNet, and the features that they pool over pictures; kept on disk."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import onnxruntime
from numpy.typing import NDArray

from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import Family, Fit, InputContract, Network, load_family
from edged.variants.features import with_features
from edged.variants.manifest import MANIFEST
from edged.variants.preprocess import Preprocessor
from edged.variants.weights.importing import import_weights
from tests.benchmarks.teach.sets import Picture

FILES = (
    ("mobilenet_v1_0.25_128_quant.tflite", None),
    ("mobilenet_v1_0.5_160_quant.tflite", None),
    ("mobilenet_v1_0.75_192_quant.tflite", None),
    (
        "mobilenet_v1_1.0_224_quant_embedding_extractor.tflite",
        "mobilenet_quant_v1_224_head_layers.tflite",
    ),
)
SIDES = (128, 160, 192, 224)


def backbone(data: Path, cache: Path) -> Family:
    """0.25, 0.5, 0.75 and 1.0 of ImageNet, each at four resolutions, de-quantised."""
    folder = cache / "imagenet"
    if not (folder / MANIFEST).exists():
        for files in FILES:
            import_files(data, folder, files)
    return load_family(str(folder), Path())


def import_files(data: Path, folder: Path, files: tuple[str, str | None]) -> None:
    """Add a network, at four resolutions, to the family in the folder."""
    weights, head = files
    import_weights(
        data / "weights" / weights,
        head and data / "weights" / head,
        labels=data / "weights/imagenet_labels.txt",
        into=folder,
        backend=OrtBackend(),
        resolutions=SIDES,
    )


class Eye:
    """One network that gives features, on one thread."""

    def __init__(self, network: Network) -> None:
        self.network = network
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = 1
        options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            with_features(network.read()), options, providers=["CPUExecutionProvider"]
        )
        contract = InputContract(Fit.SQUASH)
        self._preprocess = {side: Preprocessor(contract, side) for side in network.resolutions}

    def __call__(self, picture: Picture) -> NDArray[np.float16]:
        """(resolutions, C)."""
        rows = [self.run(picture, side) for side in self._preprocess]
        return np.stack(rows).astype(np.float16)

    def run(self, picture: Picture, side: int) -> NDArray[np.float32]:
        image = self._preprocess[side](picture)
        features: NDArray[np.float32] = self._session.run(["features"], {"image": image})[0][0]
        return features


class Features:
    """Features of named pictures by network, computed once and kept in a folder."""

    def __init__(self, family: Family, cache: Path) -> None:
        self.networks = family.networks
        self._cache = cache / "features"
        self._cache.mkdir(parents=True, exist_ok=True)
        self._eyes: list[Eye] = []

    def of(
        self,
        name: str,
        pictures: Callable[[], Iterator[tuple[str, Picture]]],
        change: Callable[[Picture], Picture] = lambda picture: picture,
    ) -> tuple[list[str], dict[str, NDArray[np.float16]]]:
        """Names, and by network's sha256 (pictures, resolutions, C). name: of pictures and
        change together."""
        paths = {each.sha256: self._cache / f"{name}-{each.alpha}.npy" for each in self.networks}
        names = self._cache / f"{name}.json"
        if not names.exists():
            self._eyes = self._eyes or [Eye(each) for each in self.networks]
            found: dict[str, list[NDArray[np.float16]]] = {key: [] for key in paths}
            order = []
            for picture_name, picture in pictures():
                order.append(picture_name)
                changed = change(picture)
                for eye in self._eyes:
                    found[eye.network.sha256].append(eye(changed))
            for key, path in paths.items():
                np.save(path, np.stack(found[key]))
            names.write_text(json.dumps(order))
        return json.loads(names.read_text()), {key: np.load(path) for key, path in paths.items()}
