"""CSI (ribbon cable) cameras: syntax, and needs of their children."""

from __future__ import annotations

import re

from edged.capture.confinement.needs import Needs
from edged.errors import InputError

NODES = (
    *("/dev/video*", "/dev/media*", "/dev/v4l-subdev*", "/dev/dma_heap/*"),
    *("/dev/dri/*", "/dev/udmabuf", "/dev/host1x*"),
    *("/dev/nvidia*", "/dev/nvhost*", "/dev/nvmap", "/dev/nvgpu", "/dev/nvsci*", "/dev/v4l2-nv*"),
)
"""Of cameras and GPUs. Not /dev/nv*, which includes disks."""


def check(text: str) -> None:
    if not re.fullmatch(r"(csi|picamera2)(:\d)?|libcamera(:\S+)?", text):
        fix = "write csi:1 or picamera2:1 for the second camera, libcamera:NAME for a named one"
        raise InputError("expected a CSI camera", fix=fix)


def picamera2_needs(_: str) -> Needs:
    return Needs(
        reads=("/run/udev",),
        lists=("/dev",),
        devices=NODES,
        udev=True,
        programs=True,  # unsigned image processing modules run in a separate process
        certain=False,
    )
