"""Picture files, and what is wrong with some."""

from __future__ import annotations

import struct
import zlib

import cv2
import numpy as np
from numpy.typing import NDArray

from edged.capture.decode.crop import cut, region_of, shrinks_by
from edged.capture.decode.orientation import of_user
from edged.capture.frame import Place
from edged.capture.source import CaptureRequest

MUCH = 1 << 30


def prepared(
    pixels: NDArray[np.uint8],
    request: CaptureRequest,
    wanted: int = 0,
    slot_bytes: int = MUCH,
    *,
    cropped: bool = False,
) -> NDArray[np.uint8]:
    """As a picture for the camera's only view gets into the mailbox."""
    orientation = of_user(request.rotate, request.flip)
    size = pixels.shape[1], pixels.shape[0]
    (view,) = request.numbered.values()
    region = (0, 0, *size) if cropped else region_of(view, orientation, size)
    factor = shrinks_by(min(region[2:]), wanted)
    cut_out, places = cut(pixels, {0: Place(*region, wanted)}, factor, orientation, slot_bytes)
    assert places[0] == (0, 0, cut_out.shape[1], cut_out.shape[0], wanted)
    return cut_out


def encoded(
    height: int, width: int, colour: tuple[int, int, int] = (255, 0, 0), quality: int = 90
) -> bytes:
    """A JPEG of one RGB colour."""
    picture = np.full((height, width, 3), colour[::-1], np.uint8)
    done, data = cv2.imencode(".jpg", picture, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return bytes(data)


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    tiff = b"MM\0*\0\0\0\x08\0\x01\x01\x12\0\x03\0\0\0\x01" + orientation.to_bytes(2, "big")
    body = b"Exif\0\0" + tiff + b"\0\0\0\0\0\0"
    return jpeg[:2] + b"\xff\xe1" + (len(body) + 2).to_bytes(2, "big") + body + jpeg[2:]


PICTURE = np.random.default_rng(0).integers(0, 256, (40, 60, 3), dtype=np.uint8)


def coded(suffix: str, *options: int) -> bytes:
    return cv2.imencode(suffix, PICTURE[:, :, ::-1], options)[1].tobytes()


def huge_png(side: int) -> bytes:
    """A black one that is whole, in a thousandth of its pixels."""
    packer = zlib.compressobj(9)
    row = bytes(1 + side // 8)  # one bit a pixel
    packed = b"".join(packer.compress(row) for _ in range(side)) + packer.flush()
    header = struct.pack(">IIBBBBB", side, side, 1, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        for kind, body in ((b"IHDR", header), (b"IDAT", packed), (b"IEND", b""))
    )


def claiming(suffix: str, side: int) -> bytes:
    """The picture with a different size in its header."""
    content = bytearray(coded(suffix))
    if suffix == ".bmp":
        content[18:26] = struct.pack("<ii", side, -side)
    elif suffix == ".gif":
        content[6:10] = struct.pack("<HH", side, side)
    elif suffix == ".png":
        content[16:24] = struct.pack(">II", side, side)
        content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    elif suffix == ".ppm":
        return content.replace(b"60 40", b"%d %d" % (side, side), 1)
    elif suffix == ".tiff":
        for tag in (256, 257):
            at = content.index(struct.pack("<H", tag) + b"\3\0\1\0\0\0")
            content[at : at + 12] = struct.pack("<HHII", tag, 4, 1, side)
    elif suffix == ".webp":
        kind = content[12:16]
        at = 26 if kind == b"VP8 " else 21
        bits = side - 1 | (side - 1) << 14
        content[at : at + 4] = (
            struct.pack("<HH", side, side) if at == 26 else struct.pack("<I", bits)
        )
    return bytes(content)
