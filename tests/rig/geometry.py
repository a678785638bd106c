"""Pictures and streams that say how they are to be shown, for test_geometry.py."""

from __future__ import annotations

import re
import struct
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from fractions import Fraction
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread
from typing import TypeAlias

import av
import cv2
import numpy as np
from numpy.typing import NDArray

Pixels: TypeAlias = "NDArray[np.uint8]"
WIDTH, HEIGHT = 160, 96
ORIENTATIONS = range(1, 9)

UPRIGHT: dict[int, Callable[[Pixels], Pixels]] = {
    1: lambda p: p,
    2: lambda p: p[:, ::-1],
    3: lambda p: p[::-1, ::-1],
    4: lambda p: p[::-1],
    5: lambda p: p.transpose(1, 0, 2),
    6: lambda p: np.rot90(p, -1),
    7: lambda p: p[::-1, ::-1].transpose(1, 0, 2),
    8: lambda p: np.rot90(p),
}
"""What makes stored pixels upright, by EXIF's number (Exif 2.3, tag 0x0112)."""

MATRICES = {
    1: (1, 0, 0, 1),
    2: (-1, 0, 0, 1),
    3: (-1, 0, 0, -1),
    4: (1, 0, 0, -1),
    5: (0, 1, 1, 0),
    6: (0, 1, -1, 0),
    7: (0, -1, -1, 0),
    8: (0, -1, 1, 0),
}
"""a, b, c, d of a track header's matrix: x' = a x + c y, y' = b x + d y (ISO/IEC 14496-12)."""

SEI = {
    1: (0, 0, 0),
    2: (1, 0, 0),
    3: (0, 0, 180),
    4: (0, 1, 0),
    5: (1, 0, 90),
    6: (0, 0, 270),
    7: (1, 0, 270),
    8: (0, 0, 90),
}
"""hor_flip, ver_flip, and then the turn anticlockwise in degrees (ITU-T H.264, D.2.27)."""


def marked(width: int = WIDTH, height: int = HEIGHT) -> Pixels:
    """Four colours, of which no turning or mirroring looks like another."""
    picture = np.zeros((height, width, 3), np.uint8)
    picture[: height // 2, : width // 2] = 220, 20, 20
    picture[: height // 2, width // 2 :] = 20, 220, 20
    picture[height // 2 :, : width // 2] = 20, 20, 220
    picture[height // 2 :, width // 2 :] = 230, 230, 230
    return picture


def looks_like(seen: Pixels, expected: Pixels) -> bool:
    """Of the same size and, but for what compression does, of the same pixels."""
    return seen.shape == expected.shape and float(np.abs(seen.astype(int) - expected).mean()) < 8


def photographed(orientation: int | None, suffix: str = ".jpg") -> bytes:
    """The marked picture as a camera in some orientation writes it."""
    options = [cv2.IMWRITE_JPEG_QUALITY, 100] if suffix == ".jpg" else []
    content = cv2.imencode(suffix, marked()[:, :, ::-1], options)[1].tobytes()
    if orientation is None:
        return content
    if suffix == ".jpg":
        return with_exif_orientation(content, orientation)
    tiff = _tag(orientation)
    if suffix == ".png":
        chunk = b"eXIf" + tiff
        crc = struct.pack(">I", zlib.crc32(chunk))
        return content[:33] + struct.pack(">I", len(tiff)) + chunk + crc + content[33:]
    if suffix == ".webp":
        vp8x = struct.pack("<4sII", b"VP8X", 10, 0x08) + _u24(WIDTH - 1) + _u24(HEIGHT - 1)
        body = vp8x + content[12:] + struct.pack("<4sI", b"EXIF", len(tiff)) + tiff
        return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body
    return _tiff(orientation)


def with_exif_orientation(jpeg: bytes, orientation: int) -> bytes:
    segment = b"Exif\0\0" + _tag(orientation)
    return jpeg[:2] + struct.pack(">HH", 0xFFE1, len(segment) + 2) + segment + jpeg[2:]


def _tag(orientation: int) -> bytes:
    return struct.pack("<2sHIHHHIHHI", b"II", 42, 8, 1, 0x0112, 3, 1, orientation, 0, 0)


def _u24(value: int) -> bytes:
    return value.to_bytes(3, "little")


def _tiff(orientation: int) -> bytes:
    """Uncompressed RGB in one strip."""
    pixels = marked().tobytes()
    tags = [
        (256, 4, WIDTH),
        (257, 4, HEIGHT),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 2),
        (273, 4, 8),
        (274, 3, orientation),
        (277, 3, 3),
        (278, 4, HEIGHT),
        (279, 4, len(pixels)),
    ]
    entries = b"".join(
        struct.pack("<HHI", tag, kind, 1) + struct.pack("<I" if kind == 4 else "<Hxx", value)
        for tag, kind, value in tags
    )
    directory = struct.pack("<H", len(tags)) + entries + bytes(4)
    return struct.pack("<2sHI", b"II", 42, 8 + len(pixels)) + pixels + directory


def write_video(
    path: Path, picture: Pixels, *, codec: str = "libx264", shape: Fraction = Fraction(1)
) -> Path:
    """Three frames. shape: width of a pixel through its height."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream(codec, rate=25)
        stream.height, stream.width = picture.shape[:2]
        stream.pix_fmt = "yuvj444p" if codec == "mjpeg" else "yuv420p"
        stream.codec_context.thread_count = 1
        stream.codec_context.sample_aspect_ratio = shape
        if codec != "mjpeg":
            stream.options = {"preset": "ultrafast", "tune": "zerolatency"}
        for number in range(3):
            frame = av.VideoFrame.from_ndarray(np.ascontiguousarray(picture), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)
    return path


def set_matrix(path: Path, orientation: int) -> None:
    """In the track header of an MP4 or MOV."""
    data = bytearray(path.read_bytes())
    a, b, c, d = (value << 16 for value in MATRICES[orientation])
    at = data.index(b"tkhd") + 44
    assert data[at : at + 4] == struct.pack(">i", 1 << 16)
    data[at : at + 36] = struct.pack(">9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)
    path.write_bytes(data)


def with_sei(stream: bytes, orientation: int, *, h265: bool = False) -> bytes:
    """An Annex B stream whose display orientation stands behind each set of parameters."""
    horizontal, vertical, degrees = SEI[orientation]
    bits = f"0{horizontal}{vertical}{degrees * 65536 // 360:016b}" + ("1" if h265 else "0100")
    bits = (bits + "1").ljust(24, "0")
    payload = bytes((47, 3)) + int(bits, 2).to_bytes(3, "big") + b"\x80"
    unit = b"\0\0\0\1" + (b"\x4e\1" if h265 else b"\x06") + payload
    parameters = b"\x44" if h265 else b"[\x08\x28\x48\x68]"
    begin = re.escape(b"\0\0\1")
    pattern = b"(?s)" + begin + parameters + b".*?(?=\0?" + begin + b")"
    return re.sub(pattern, lambda found: found[0] + unit, stream)


class _Server(ThreadingHTTPServer):
    def __init__(self, pictures: Sequence[bytes]) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.pictures = pictures
        self.asked = 0


class _Handler(BaseHTTPRequestHandler):
    server: _Server
    protocol_version = "HTTP/1.1"

    def log_message(self, format: str, *args: object) -> None:
        pass

    def do_GET(self) -> None:
        self.send_response(200)
        pictures = self.server.pictures
        if self.path == "/snapshot":
            picture = pictures[min(self.server.asked, len(pictures) - 1)]
            self.server.asked += 1
            self.send_header("Content-Type", "image/jpeg")
            self.send_header("Content-Length", str(len(picture)))
            self.end_headers()
            self.wfile.write(picture)
            return
        self.send_header("Content-Type", "multipart/x-mixed-replace; boundary=b")
        self.end_headers()
        self.close_connection = True
        for picture in pictures:
            head = f"--b\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
            self.wfile.write(head.encode() + picture + b"\r\n")
            time.sleep(0.1)  # or the newer would take the place of the older


@contextmanager
def http_camera(*pictures: bytes) -> Iterator[str]:
    """Its address. /snapshot: one picture after the other, and the last again; /mjpeg: a stream."""
    server = _Server(pictures)
    thread = Thread(target=server.serve_forever, args=(0.01,))
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
