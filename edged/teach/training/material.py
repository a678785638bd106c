"""What a training is made of: the features of the labelled pictures, and those of `none`."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Callable, Sequence
from itertools import zip_longest
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import read_file
from edged.capture.decode.jpeg import decoded
from edged.capture.decode.pictures import BrokenPictureError
from edged.errors import EdgedError
from edged.memory import return_free_heap
from edged.teach import none
from edged.teach.light import COPIES
from edged.teach.own_none import FOLDER as NONE
from edged.teach.own_none import none_photos
from edged.teach.store.classifier import LARGEST_PICTURE_BYTES, Classifier
from edged.teach.store.folder import entries, is_file
from edged.teach.store.shelf import FEATURES, features_bytes
from edged.teach.store.shelf import SUFFIX as JPEG
from edged.teach.teach import Example
from edged.teach.training.features import Cache, Extraction, Features
from edged.variants.network import Network
from edged.variants.runtime import Backend

MOST_TAUGHT = 800
"""Pictures; the fit of more would take more memory than a small device has."""
Told = Callable[[str, int, int], None]
"""(stage, done, of)"""


class LeftOut(NamedTuple):
    picture: str
    reason: str


def spread(examples: Sequence[Example], most: int = MOST_TAUGHT) -> list[Example]:
    """At most so many, taken in turn from the classes and in a class from its moments; in their
    order."""
    if len(examples) <= most:
        return list(examples)
    before: Counter[str] = Counter()
    turns: dict[int, list[tuple[int, int]]] = {}
    for index, each in enumerate(examples):
        turns.setdefault(each.label, []).append((before[each.moment], index))
        before[each.moment] += 1
    rounds = zip_longest(*map(sorted, turns.values()))
    chosen = [each[1] for in_turn in rounds for each in in_turn if each is not None][:most]
    return [examples[index] for index in sorted(chosen)]


class Material:
    """Of one classifier and the networks of its backbone.

    between: called before each run of a network. `examples` and `left_out` are complete after
    `prepare`.
    """

    def __init__(
        self,
        classifier: Classifier,
        networks: Sequence[Network],
        backend: Backend,
        told: Told,
        between: Callable[[], None],
    ) -> None:
        self._classifier = classifier
        self._networks = {network.sha256: network for network in networks}
        self._backend = backend
        self._told = told
        self._between = between
        self._folder = classifier.folder / FEATURES
        # Once for each network of a backbone, for all classifiers.
        self._none_folder = classifier.folder.parent / NONE
        self._none_photos = none_photos(classifier.folder.parent)
        self._broken_none: dict[str, str] = {}
        self._loaded: tuple[str, Extraction] | None = None
        self._done = self._of = 0
        labels = {label: index for index, label in enumerate(classifier.settings.classes)}
        every = [
            Example(picture, labels[moment.label], moment.id)
            for moment in classifier.moments()
            if moment.label in labels
            for picture in moment.pictures
        ]
        self.moments = {each.moment for each in every}
        self.examples = spread(every)
        self.passed_over = len(every) - len(self.examples)
        """Pictures beyond MOST_TAUGHT."""
        self.left_out: list[LeftOut] = []
        self.made_twice: set[str] = set()
        """Pictures whose features did not fit into the quota."""

    def prepare(self, with_none: bool) -> None:
        """Make the features that are not in the cache; pictures that cannot be read are left out.
        with_none: also those of `none`. Raises EdgedError, OSError."""
        names = [each.picture for each in self.examples]
        work: list[tuple[Network, Cache, list[str], _NonePictures | None]] = []
        for network in self._networks.values():
            cache = Cache(self._folder, network)
            cache.keep(names)
            missing = [name for name in names if cache.read(name) is None]
            photos = _NonePictures(self._none_photos)
            lacks = with_none and self._none_cache(network, photos).read(photos.name) is None
            work.append((network, cache, missing, photos if lacks else None))
        self._of = sum(
            _cost(network) * ((1 + COPIES) * len(missing) + len(photos_of_none or ()))
            for network, _, missing, photos_of_none in work
        )
        broken: dict[str, str] = {}
        cached = features_bytes(self._classifier.folder)
        for network, cache, missing, photos_of_none in work:
            if photos_of_none is not None:
                self._make_none(network, photos_of_none)
            for picture in missing:
                self._step("features", network, 1 + COPIES)
                if picture in broken:
                    continue
                try:
                    pixels = self._pixels(picture)
                except (BrokenPictureError, EdgedError) as error:
                    broken[picture] = str(error)
                    continue
                used = self._classifier.pictures_bytes + cached  # pictures may come meanwhile
                room = self._classifier.settings.quota_bytes - used
                cached += (size := cache.write(picture, self._extracted(network, pixels), room))
                if size == 0:
                    self.made_twice.add(picture)
            self._loaded = None
        return_free_heap()
        every = {**self._broken_none, **broken}
        self.left_out = [LeftOut(picture, every[picture]) for picture in sorted(every)]
        self.examples = [each for each in self.examples if each.picture not in broken]

    def _step(self, stage: str, network: Network, passes: int) -> None:
        self._told(stage, self._done, self._of)
        self._done += passes * _cost(network)

    def features(self, network: str) -> NDArray[np.float16]:
        """(examples, copies, resolutions, channels), of the network with this sha256."""
        cache = Cache(self._folder, self._networks[network])
        found: NDArray[np.float16] | None = None
        for index, example in enumerate(self.examples):
            features = cache.read(example.picture)
            if features is None:  # it did not fit, or the cache was trimmed meanwhile
                features = self._extracted(self._networks[network], self._pixels(example.picture))
            if found is None:
                found = np.empty((len(self.examples), *features.shape), np.float16)
            found[index] = features
        self._loaded = None
        if found is None:
            raise EdgedError("no picture can be read", where=self._classifier.name)
        return found

    def none_features(self, network: str) -> NDArray[np.float16]:
        """(pictures, resolutions, channels), of pictures of nothing that was taught."""
        pictures = _NonePictures(self._none_photos)
        found = self._none_cache(self._networks[network], pictures).read(pictures.name)
        return self._make_none(self._networks[network], pictures) if found is None else found

    def _make_none(self, network: Network, pictures: _NonePictures) -> Features:
        """Photos that cannot be read are left out. Raises EdgedError if none can."""
        rows = []
        for number in range(len(pictures)):
            self._step("none", network, 1)
            try:
                pixels = pictures.pixels(number)
            except (BrokenPictureError, OSError) as error:
                self._broken_none[pictures.named(number)] = f"a photo for `none`: {error}"
                continue
            rows.append(self._extracted(network, pixels, copies=1)[0])
        self._loaded = None
        if not rows:
            raise EdgedError(
                "no photo for `none` can be read",
                where=self._none_photos,
                fix=f"give others: edged teach {self._classifier.name} train --none-photos DIR",
            )
        found: Features = np.stack(rows)
        self._none_cache(network, pictures).write(pictures.name, found)
        return found

    def _none_cache(self, network: Network, pictures: _NonePictures) -> Cache:
        return Cache(self._none_folder, network, copies=len(pictures))

    def _extracted(
        self, network: Network, pixels: NDArray[np.uint8], copies: int = 1 + COPIES
    ) -> Features:
        if self._loaded is None or self._loaded[0] != network.sha256:
            self._loaded = None  # one at a time in memory
            self._loaded = network.sha256, Extraction(self._backend, network)
        return self._loaded[1].features(pixels, copies, self._between)

    def _pixels(self, picture: str) -> NDArray[np.uint8]:
        return decoded(self._classifier.picture(picture), 0)


class _NonePictures:
    """The photos in the folder, or those that come with edged. name: changes with them."""

    def __init__(self, photos: Path) -> None:
        self._photos = [
            Path(each.path)
            for each in entries(photos)
            if is_file(each) and each.name.endswith(JPEG)
        ]
        named = "\n".join(
            f"{path.name} {path.stat().st_size}" for path in self._photos or none.PHOTOS
        )
        self.name = f"none-{hashlib.sha256(named.encode()).hexdigest()[:16]}"

    def __len__(self) -> int:
        return len(self._photos) or none.PICTURES

    def named(self, number: int) -> str:
        return self._photos[number].stem if self._photos else str(number)

    def pixels(self, number: int) -> NDArray[np.uint8]:
        """Raises BrokenPictureError, OSError."""
        if not self._photos:
            return none.none_picture(number)
        return decoded(read_file(self._photos[number], LARGEST_PICTURE_BYTES, links=False), 0)


def _cost(network: Network) -> int:
    """Of all resolutions, relative to other networks."""
    return max(1, round(network.alpha**2 * sum(side**2 for side in network.resolutions) / 1000))
