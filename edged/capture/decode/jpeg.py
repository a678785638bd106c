"""Decodes JPEG at the smallest sufficient scale, upright according to EXIF.

libjpeg-turbo can omit the higher frequencies, which gives 1/2, 1/4 or 1/8 of the size in a fraction
of the time. Its warnings count as damage, except for faults that some cameras have in every
picture.
"""

from __future__ import annotations

import re
import struct
from typing import NamedTuple

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from edged.capture.decode.orientation import UPRIGHT, Orientation, of_exif
from edged.capture.decode.pictures import MOST_PIXELS, BrokenPictureError, too_large
from edged.capture.decode.tiff import ORIENTATION, first_directory

BEGIN, _END = b"\xff\xd8", b"\xff\xd9"
_SIZE_MARKERS = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_BARE_MARKERS = frozenset((0x01, *range(0xD0, 0xD8)))
_SCAN_MARKER = 0xDA
_SKIPPED_MARKERS = frozenset((0xC4, 0xDB, *range(0xE2, 0xF0), 0xFE))
"""Tables, application data and comments."""
_BEGIN_MARKER = 0xD8
_JFIF_MARKER, _EXIF_MARKER = 0xE0, 0xE1
_RESTART_MARKER = 0xDD
_JFIF, _JFIF_VERSIONS = b"JFIF\0", (1, 2)
_EXIF = b"Exif\0\0"
_SEGMENT = struct.Struct(">BBH")
"""0xFF, marker, length including itself."""
_FRAME = struct.Struct(">5xHHB")
"""Height, width, number of colours in a size marker's segment."""
_SHORTEST_SEGMENT = 10
"""Bytes of the segments that are parsed."""
_MOST_SEGMENTS = 4096
"""Large colour profiles take hundreds."""
_AT_ONCE = (0xC0, 0xC1)
"""Markers of pictures with one scan, if it contains all colours."""
_NOT_WHOLE = "incomplete picture"
_STRIP = 256
"""Rows."""
_STRAY = re.compile(r"(\d+) extraneous bytes before marker 0x([0-9a-f]{2})")
_RESTARTS = tuple(bytes((0xFF, marker)) for marker in range(0xD0, 0xD8))
_FEW_STRAY = 16
"""Logitech webcams leave up to 10 bytes before restart markers. After damage the rest of a scan may
be stray: so ended 352 of 3,000 photos with one wrong bit, 21 of them with this few bytes."""
_PADDING = 2
"""Different byte values in the padding at the end of a picture."""
_WHOLE_SPECTRUM = b"\0\x3f\0"
"""Spectral selection of a sequential scan; some cameras leave it zero."""


class _Header(NamedTuple):
    """width, height: as stored. scan: offset of the first one. at_once: sequential with one scan.
    restarts: number of restart markers of the scan. stray: (begin, end) of bytes between the
    segments, or of segments that the decoder does not accept.
    """

    width: int
    height: int
    colours: int
    at_once: bool
    scan: int | None
    orientation: Orientation
    restarts: int
    stray: tuple[tuple[int, int], ...]


def decode_jpeg(data: bytes, wanted: int) -> NDArray[np.uint8] | None:
    """As `decoded`, but None for a broken picture."""
    try:
        return decoded(data, wanted)
    except BrokenPictureError:
        return None


def decoded(data: bytes, wanted: int) -> NDArray[np.uint8]:
    """uint8 (height, width, 3), RGB, upright; the short side covers `wanted` (0: full size) if the
    picture does.

    Raises BrokenPictureError for a damaged or truncated picture, and for one above MOST_PIXELS, at
    the smallest scale or, if it is progressive, at full size.
    """
    header = _header(data)
    # The decoder fills missing parts with grey, so a picture needs its end mark; that of a
    # thumbnail in the header does not count.
    if header is None or header.scan is None or data.rfind(_END, header.scan) < 0:
        raise BrokenPictureError(_NOT_WHOLE)
    divisor = reduction(min(header.width, header.height), wanted)
    if header.width * header.height > MOST_PIXELS:
        divisor = _bounded(header, divisor)
    width, height = -(-header.width // divisor), -(-header.height // divisor)
    if header.at_once:
        spectrum = header.scan + 5 + 2 * data[header.scan + 4]
        if data[spectrum : spectrum + 3] != _WHOLE_SPECTRUM:
            data = data[:spectrum] + _WHOLE_SPECTRUM + data[spectrum + 3 :]
    if header.stray:
        data = _without(data, header.stray)
    pixels = _decompressed(data, width, height, header)
    return pixels if header.orientation is UPRIGHT else header.orientation.upright(pixels)


def _bounded(header: _Header, divisor: int) -> int:
    """The smallest divisor from `divisor` on that decodes to at most MOST_PIXELS."""
    while header.at_once and divisor <= 8:
        if -(-header.width // divisor) * -(-header.height // divisor) <= MOST_PIXELS:
            return divisor
        divisor *= 2
    raise too_large(header.width, header.height)


def _decompressed(data: bytes, width: int, height: int, header: _Header) -> NDArray[np.uint8]:
    """At the scale of this size; four colours are inverted CMYK, as Adobe stores them."""
    four = header.colours == 4
    space, channels = ("CMYK", 4) if four else ("RGB", 3)
    try:
        pixels: NDArray[np.uint8] = np.empty((height, width, channels), np.uint8)
        try:
            simplejpeg.decode_jpeg(
                data, space, min_width=width, min_height=height, buffer=pixels, strict=True
            )
        except ValueError as error:
            # Raised at the end: after a mere warning the buffer is complete.
            if not _harmless(str(error), data, header.restarts):
                raise BrokenPictureError(f"damaged ({error})") from None
    except MemoryError:
        raise BrokenPictureError("out of memory") from None
    return _of_four(pixels) if four else pixels


def _of_four(pixels: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """RGB of inverted CMYK; in strips, to save memory."""
    rgb = np.empty((*pixels.shape[:2], 3), np.uint8)
    for top in range(0, len(pixels), _STRIP):
        strip = pixels[top : top + _STRIP]
        rgb[top : top + _STRIP] = strip[:, :, :3] * strip[:, :, 3:].astype(np.uint16) // 255
    return rgb


def _harmless(message: str, data: bytes, restarts: int) -> bool:
    """Whether a picture is complete despite `message`, the decoder's first warning."""
    stray = _STRAY.search(message)
    if stray is None:
        return False
    count, marker = int(stray[1]), int(stray[2], 16)
    if marker == 0xD9:
        end = data.rfind(_END)
        padding = data[max(0, end - count) : end]
        return count <= _FEW_STRAY or len(set(padding)) <= _PADDING
    # The rest may be missing, so count the markers.
    scan = data.rfind(b"\xff\xda")
    found = sum(data.count(each, scan) for each in _RESTARTS)
    return count <= _FEW_STRAY and found == restarts > 0


def _restarts(data: bytes, frame: int, interval: int) -> int:
    """Number of restart markers in a scan of all colours."""
    height, width, colours = _FRAME.unpack_from(data, frame)
    factors = data[frame + 11 : frame + 10 + 3 * colours : 3] if colours > 1 else b"\x11"
    across = max((factor >> 4 for factor in factors), default=1) or 1
    down = max((factor & 15 for factor in factors), default=1) or 1
    units = -(-width // (8 * across)) * -(-height // (8 * down))
    return int(max(0, units - 1) // interval)


def _without(data: bytes, parts: tuple[tuple[int, int], ...]) -> bytes:
    kept, at = [], 0
    for begin, end in parts:
        kept.append(data[at:begin])
        at = end
    return b"".join((*kept, data[at:]))


def encode_jpeg(pixels: NDArray[np.uint8], quality: int) -> bytes:
    """pixels: uint8 RGB (height, width, 3), contiguous. Subsamples colour (4:2:0)."""
    data: bytes = simplejpeg.encode_jpeg(pixels, quality, "RGB", "420")
    return data


def reduction(short_side: int, wanted: int) -> int:
    """The largest of 8, 4, 2, 1 with which the short side (rounded up) covers `wanted`."""
    if wanted == 0:
        return 1
    return next((n for n in (8, 4, 2) if -(-short_side // n) >= wanted), 1)


def jpeg_size(data: bytes) -> tuple[int, int] | None:
    """(width, height) of the upright picture, from its header; None without one."""
    header = _header(data)
    return None if header is None else header.orientation.size(header.width, header.height)


def stored_geometry(data: bytes) -> tuple[int, int, Orientation] | None:
    """(width, height, orientation): as stored, and according to EXIF."""
    header = _header(data)
    return None if header is None else (header.width, header.height, header.orientation)


def _header(data: bytes) -> _Header | None:
    """None without a size."""
    frame, scan, at_once = None, None, False
    orientation = UPRIGHT
    interval = 0
    stray: list[tuple[int, int]] = []
    position, last = 2 if data[:2] == BEGIN else len(data), len(data) - _SHORTEST_SEGMENT
    for _ in range(_MOST_SEGMENTS):
        if position > last:
            break
        begin, marker, length = _SEGMENT.unpack_from(data, position)
        if marker in _SKIPPED_MARKERS and begin == 0xFF:
            position += 2 + length
        elif begin != 0xFF or marker in (0, _BEGIN_MARKER):
            # Drivers leave stray bytes between segments and repeat the start marker.
            following = data.find(b"\xff", position + (2 if begin == 0xFF else 1))
            if following < 0:
                break
            stray.append((position, following))
            position = following
        elif marker == _SCAN_MARKER:
            scan = position
            break
        elif marker == 0xFF:  # padding
            position += 1
        elif marker in _BARE_MARKERS:
            position += 2
        else:
            if marker in _SIZE_MARKERS:
                frame, at_once = position, marker in _AT_ONCE
            elif marker == _EXIF_MARKER and data.startswith(_EXIF, position + 4):
                tiff = data[position + 4 + len(_EXIF) : position + 2 + length]
                orientation = of_exif(first_directory(tiff).get(ORIENTATION))
            elif marker == _JFIF_MARKER and data.startswith(_JFIF, position + 4):
                if data[position + 4 + len(_JFIF)] not in _JFIF_VERSIONS:
                    stray.append((position, position + 2 + length))
            elif marker == _RESTART_MARKER:
                interval = int.from_bytes(data[position + 4 : position + 6], "big")
            position += 2 + length
    if frame is None:
        return None
    height, width, colours = _FRAME.unpack_from(data, frame)
    if scan is not None:
        at_once = at_once and data[scan + 4] >= colours
    if not width or not height:
        return None
    restarts = _restarts(data, frame, interval) if interval else 0
    return _Header(width, height, colours, at_once, scan, orientation, restarts, tuple(stray))
