"""A camera before a gate that opens and closes, and networks that are quick to teach on."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.variants.family import Family, load_family, write_family
from edged.variants.variant import Precision
from tests.rig.mjpeg_server import HttpCamera, part

OPEN, CLOSED, EMPTY = "open", "closed", "empty"
LABELS = OPEN, CLOSED


class GateCamera(HttpCamera):
    """An MJPEG stream of the scene, ten pictures a second; no two are the same."""

    def __init__(self) -> None:
        super().__init__(self._send)
        self.scene = OPEN
        self.light = 1.0
        self._random = np.random.default_rng(1)

    def _send(self, camera: HttpCamera, write: Callable[[bytes], object]) -> None:
        while not self.gone.is_set():
            write(part(self.jpeg()))
            time.sleep(0.1)

    def jpeg(self, scene: str | None = None) -> bytes:
        done, content = cv2.imencode(".jpg", self.picture(scene or self.scene))
        assert done
        return content.tobytes()

    def picture(self, scene: str) -> NDArray[np.uint8]:
        """(360, 480, 3) BGR: a yard, and the gate's two wings before it or at its sides."""
        random = self._random
        picture = np.full((360, 480, 3), (90, 130, 110), np.uint8)
        picture[:150] = (200, 170, 120)
        x, y = random.integers(-25, 26, 2).tolist()
        if scene != EMPTY:
            for left, right in (
                ((60, 110), (370, 420)) if scene == OPEN else ((110, 238), (242, 370))
            ):
                cv2.rectangle(picture, (left + x, 120 + y), (right + x, 290 + y), (40, 40, 160), -1)
                for bar in range(left + 8, right, 24):
                    cv2.line(picture, (bar + x, 120 + y), (bar + x, 290 + y), (20, 20, 60), 4)
        noise = random.integers(-18, 19, (45, 60, 3)).repeat(8, 0).repeat(8, 1)
        light = self.light * random.uniform(0.85, 1.1)
        lit: NDArray[np.uint8] = np.clip((picture + noise) * light, 0, 255).astype(np.uint8)
        return lit


def quick_backbone(directory: Path) -> Family:
    """The shipped family's smallest float network, at two resolutions."""
    shipped = load_family("imagenette", Path())
    network = next(
        each
        for each in shipped.networks
        if each.alpha == 0.25 and each.precision is Precision.FLOAT
    )
    sides = (128, 160)
    few = replace(
        network,
        resolutions=sides,
        **{
            field: {side: value for side, value in getattr(network, field).items() if side in sides}
            for field in ("accuracy", "golden", "tolerance")
        },
    )
    family = replace(shipped, name=directory.name, directory=directory, networks=(few,))
    return write_family(family, {}, shipped.golden_file())
