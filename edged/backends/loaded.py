"""A family in memory: every network checked, loaded and warm; a picture goes in, scores come out.

Knows nothing of cameras, budgets or which variant is wanted.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from edged.backends import Backend, Runner
from edged.clock import Clock, monotonic_ns
from edged.preprocess import Preprocessor
from edged.variants.golden import check_golden
from edged.variants.variant import Variant

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from edged.variants.family import Family


class LoadedFamily:
    """One session per network file and thread count, shared by the file's resolutions.

    Raises InputError when a file is damaged, foreign, or answers its golden picture wrongly.
    """

    def __init__(
        self,
        family: Family,
        backend: Backend,
        threads: Sequence[int] = (1,),
        *,
        clock: Clock = monotonic_ns,
    ) -> None:
        self.family = family
        self.backend = backend
        self.threads = tuple(threads)
        self._clock = clock
        self._runners: dict[tuple[Variant, int], Runner] = {}
        picture = family.golden_picture()
        for network in family.networks:
            model = network.read()
            for count in self.threads:
                runner = backend.load(network, model, count)
                check_golden(runner, family, network, picture)
                for resolution in network.resolutions:
                    variant = Variant(network.alpha, resolution, network.precision)
                    self._runners[variant, count] = runner
        self._preprocessors = {
            resolution: Preprocessor(family.input, resolution)
            for resolution in sorted({variant.resolution for variant in family.variants()})
        }

    def infer(
        self, variant: Variant, threads: int, pixels: NDArray[np.uint8]
    ) -> tuple[NDArray[np.float32], int, int]:
        """Scores (classes,) of an RGB picture (height, width, 3), and two moments in ns:
        when the picture was ready for the network, and when the scores were there."""
        image = self._preprocessors[variant.resolution](pixels)
        preprocessed_ns = self._clock()
        scores = self._runners[variant, threads].run(image)
        return scores, preprocessed_ns, self._clock()
