"""Pooled features of pictures, and their cache on disk.

A file for each picture and network, so that one more picture costs one picture. It holds a float16
array as NumPy writes it, (copies, resolutions, channels), and a check sum: the files are not
synced, as they can be made again.
"""

from __future__ import annotations

import io
import zlib
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from edged.atomic_file import partial_of, read_file
from edged.teach.light import COPIES, lit
from edged.teach.store.folder import entries, made
from edged.variants.family import Fit, InputContract
from edged.variants.network import Network
from edged.variants.preprocess import Preprocessor
from edged.variants.runtime import Backend

CONTRACT = InputContract(Fit.SQUASH)
"""A head sees the whole region that was drawn, in teaching and live."""
SUFFIX = ".npy"
_RECIPE = 1
"""Counts changes of what features are made of: the lit copies, the preprocessing."""
_LARGEST_BYTES = 64_000_000
_SUM_BYTES = 4

Features = NDArray[np.float16]
"""(copies, resolutions, channels)."""


class Extraction:
    """Of one network, loaded; on one thread."""

    def __init__(self, backend: Backend, network: Network) -> None:
        self._runner = backend.load(network, network.read(), 1)
        self._preprocessors = [Preprocessor(CONTRACT, side) for side in network.resolutions]

    def features(
        self,
        pixels: NDArray[np.uint8],
        copies: int = 1 + COPIES,
        between: Callable[[], None] = lambda: None,
    ) -> Features:
        """Of an RGB picture and its lit copies. between: called before each run."""
        rows = []
        for copy in range(copies):
            picture = lit(pixels, copy)
            for preprocess in self._preprocessors:
                between()
                rows.append(self._runner.features(preprocess(picture)).astype(np.float16))
        return np.stack(rows).reshape(copies, len(self._preprocessors), -1)


class Cache:
    """Of one network, in a folder of its own below `folder`."""

    def __init__(self, folder: Path, network: Network, copies: int = 1 + COPIES) -> None:
        self.folder = folder / network.sha256[:16]
        self._sides = len(network.resolutions)
        recipe = f"{_RECIPE} {network.sha256} {network.resolutions} {copies}"
        self._seed = zlib.crc32(recipe.encode())

    def read(self, name: str) -> Features | None:
        """None if it is not there, damaged, or made in another way."""
        with suppress(OSError, ValueError):
            content = read_file(self.folder / f"{name}{SUFFIX}", _LARGEST_BYTES, links=False)
            body, total = content[:-_SUM_BYTES], content[-_SUM_BYTES:]
            if self._sum(body) == total:
                found: Features = np.lib.format.read_array(io.BytesIO(body), allow_pickle=False)
                if found.dtype == np.float16 and found.ndim == 3 and found.shape[1] == self._sides:
                    return found
        return None

    def write(self, name: str, features: Features, room: int = _LARGEST_BYTES) -> int:
        """Returns the number of bytes; 0 if there are more than `room`, which are not written.
        Raises OSError."""
        made(self.folder)
        body = io.BytesIO()
        np.lib.format.write_array(body, features, allow_pickle=False)
        if (size := len(body.getvalue()) + _SUM_BYTES) > room:
            return 0
        path = self.folder / f"{name}{SUFFIX}"
        partial = partial_of(path)
        try:
            partial.unlink(missing_ok=True)
            partial.write_bytes(body.getvalue() + self._sum(body.getvalue()))
            partial.replace(path)
        except OSError:
            with suppress(OSError):
                partial.unlink()
            raise
        return size

    def keep(self, names: Iterable[str]) -> None:
        """Delete the others."""
        kept = {f"{name}{SUFFIX}" for name in names}
        for each in entries(self.folder):
            if each.name not in kept:
                with suppress(OSError):
                    Path(each.path).unlink()

    def _sum(self, body: bytes) -> bytes:
        return zlib.crc32(body, self._seed).to_bytes(_SUM_BYTES, "big")
