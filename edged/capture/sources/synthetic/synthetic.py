"""A moving scene without hardware: `synthetic` or `synthetic:1280x720@30`.

Frames have a fixed schedule; late ones are skipped, as by a camera. With `?still` at the end the
scene does not move, and drawing costs nothing.
"""

from __future__ import annotations

import time
from collections.abc import Callable

from edged.capture.admission import Admission
from edged.capture.source import CaptureRequest, Failure, Granted, Picture, SourceError
from edged.capture.sources.synthetic.options import dimensions
from edged.capture.sources.synthetic.scene import Scene
from edged.clock import Clock, monotonic_ns
from edged.errors import InputError


class SyntheticSource:
    def __init__(
        self,
        request: CaptureRequest,
        admission: Admission,
        *,
        clock: Clock = monotonic_ns,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._request = request
        self._admission = admission
        self._clock = clock
        self._sleep = sleep
        self._frame = 0

    def open(self) -> Granted:
        try:
            (width, height), fps = dimensions(self._request)
        except InputError as error:
            where, got = self._request.source, error.got
            raise SourceError(
                Failure.OPEN_FAILED, error.what, where=where, got=got, fix=error.fix
            ) from None
        self._scene = Scene(width, height)
        self._still = self._scene.draw(0) if self._request.source.endswith("?still") else None
        self._fps = fps
        self._begin_ns = self._clock()
        return Granted(width, height, fps, "synthetic")

    def read(self, wanted: int) -> Picture | None:
        while True:
            overdue = int((self._clock() - self._begin_ns) * self._fps / 1e9)
            self._frame = max(self._frame + 1, overdue)
            due_ns = self._begin_ns + round(self._frame * 1e9 / self._fps)
            seconds = (due_ns - self._clock()) / 1e9
            if seconds > 0:
                self._sleep(seconds)
            self._admission.captured()
            if self._admission.admits(due_ns):
                pixels = self._still
                if pixels is None:
                    pixels = self._scene.draw(self._frame / self._fps)
                return Picture(pixels, due_ns, due_ns)

    def close(self) -> None:
        pass
