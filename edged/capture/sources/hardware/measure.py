"""Measures what a hardware decoder saves: `python -m edged.capture.sources.hardware.measure`.

Prints one line of JSON: `why`, or else `software_ms` and `hardware_ms`, the processor time of one
frame of H.264 (1920x1080) until it is a small RGB picture, that of the child process included.
"""

from __future__ import annotations

import json
import resource
import sys
import tempfile
from pathlib import Path

import av

from edged.capture.admission import Admission
from edged.capture.source import CaptureRequest
from edged.capture.sources.hardware.choice import track_of
from edged.capture.sources.synthetic.scene import Scene

_SIZE = (1920, 1080)
_FEW, _MANY = 10, 60
"""Frames of two runs: their difference is without the start of the process."""
_FPS = 25
_SIDE = 224


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        clip = _written(Path(folder, "clip.mp4"))
        software_ms, _ = _frame_ms(clip, "software")
        hardware_ms, why = _frame_ms(clip, "hardware")
    found = {"why": why} if why else {"software_ms": software_ms, "hardware_ms": hardware_ms}
    sys.stdout.write(json.dumps(found) + "\n")


def _written(path: Path) -> Path:
    scene = Scene(*_SIZE)
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=_FPS)
        stream.width, stream.height = _SIZE
        stream.pix_fmt = "yuv420p"
        stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for number in range(_MANY):
            picture = av.VideoFrame.from_ndarray(scene.draw(number / _FPS), format="rgb24")
            container.mux(stream.encode(picture))
        container.mux(stream.encode())
    return path


def _frame_ms(clip: Path, decode: str) -> tuple[float, str]:
    """(processor time of a frame, why hardware does not decode all of them or "")."""
    few_seconds, _ = _decoded(clip, decode, _FEW)
    many_seconds, why = _decoded(clip, decode, _MANY)
    return round(1e3 * (many_seconds - few_seconds) / (_MANY - _FEW), 2), why


class _Uncounted:
    def count(self, **_: int) -> None: ...


def _decoded(clip: Path, decode: str, frames: int) -> tuple[float, str]:
    """(processor time of the clip's first frames in seconds, why as above)."""
    reasons: list[str] = []
    admission = Admission(_Uncounted(), None, decodes_with=lambda decoder, why: reasons.append(why))
    request = CaptureRequest.of({"source": str(clip), "decode": decode})
    before, seen = _cpu_seconds(), 0
    with av.open(str(clip)) as container:
        track = track_of(container, request, admission, where=str(clip))
        *packets, end = track.packets()
        for packet in (*packets[:frames], end):
            for frame in track.decode(packet)[0]:
                seen += 1
                track.rgb(frame, _SIDE)
        track.close()
    why = next(filter(None, reasons), "" if seen == frames else f"{seen} of {frames} pictures")
    return _cpu_seconds() - before, why


def _cpu_seconds() -> float:
    """Of this process and of its children that have ended."""
    used = map(resource.getrusage, (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
    return sum(each.ru_utime + each.ru_stime for each in used)


if __name__ == "__main__":
    main()
