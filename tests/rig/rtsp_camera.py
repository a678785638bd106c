"""A scripted RTSP camera: refusals, odd responses, time stamps and pauses."""

from __future__ import annotations

import re
import socket
import struct
import threading
from base64 import b64encode
from collections.abc import Callable
from contextlib import suppress
from fractions import Fraction

import av
import numpy as np

CLOCK_RATE = 90_000
Answer = Callable[[str], "str | bytes | None"]
"""Of a request, the whole answer after its first line and CSeq; None to close the connection."""


class Coded:
    """One H.264 picture of a level of grey: its parts without start codes, and if it is a key."""

    def __init__(self, parts: list[bytes], key: bool) -> None:
        self.parts = parts
        self.key = key


def grey_pictures(
    levels: list[int], gop: int = 250, size: tuple[int, int] = (64, 48)
) -> list[Coded]:
    """Each in the stream at once: no reordering, parameters in front of every key frame."""
    codec = av.CodecContext.create("libx264", "w")
    codec.width, codec.height = size
    codec.pix_fmt = "yuv420p"
    codec.time_base, codec.framerate = Fraction(1, 25), Fraction(25)
    codec.gop_size = gop
    codec.options = {"tune": "zerolatency", "preset": "ultrafast", "x264-params": "scenecut=0"}
    packets = []
    for number, level in enumerate(levels):
        pixels = np.full((size[1], size[0], 3), level, np.uint8)
        frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
        frame.pts, frame.time_base = number, Fraction(1, 25)
        packets += codec.encode(frame)
    packets += codec.encode(None)
    return [
        Coded([p for p in re.split(rb"\x00?\x00\x00\x01", bytes(packet)) if p], packet.is_keyframe)
        for packet in packets
    ]


class RtspCamera:
    """Serves as many clients as come. play: sends pictures by `send` until it returns.

    answers: by method, instead of the usual ones. format: of the SDP. parameters: of the pictures,
    in the SDP.
    """

    def __init__(
        self,
        play: Callable[[RtspCamera], None] = lambda camera: None,
        *,
        answers: dict[str, Answer] | None = None,
        format: str = "H264/90000",
        parameters: Coded | None = None,
        name: bytes = b"camera",
    ) -> None:
        self.requests: list[str] = []
        self.closing = threading.Event()
        self._play = play
        self._answers = answers or {}
        fmtp = "a=fmtp:96 packetization-mode=1"
        if parameters is not None:
            sets = ",".join(b64encode(part).decode() for part in parameters.parts[:2])
            fmtp += f";sprop-parameter-sets={sets}"
        self._sdp = (
            b"v=0\r\no=- 0 0 IN IP4 127.0.0.1\r\ns=" + name + b"\r\nc=IN IP4 0.0.0.0\r\nt=0 0\r\n"
            + f"m=video 0 RTP/AVP 96\r\na=rtpmap:96 {format}\r\n{fmtp}\r\n".encode()
            + b"a=framerate:25\r\na=control:track1\r\n"
        )  # fmt: skip
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self._client: socket.socket | None = None
        self._udp: tuple[socket.socket, int] | None = None
        self._sequence = 0
        self._threads = [threading.Thread(target=self._accept)]

    def __enter__(self) -> RtspCamera:
        self._threads[0].start()
        return self

    def __exit__(self, *_: object) -> None:
        self.closing.set()
        self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join()
        if self._udp is not None:
            self._udp[0].close()

    def url(self, login: str = "") -> str:
        return f"rtsp://{login}127.0.0.1:{self.port}/live"

    def send(self, picture: Coded, seconds: float) -> None:
        """seconds: its time stamp."""
        for part in picture.parts:
            last = part is picture.parts[-1]
            stamp = round(seconds * CLOCK_RATE) % (1 << 32)
            head = struct.pack(">BBHII", 0x80, 96 | last << 7, self._sequence % 65536, stamp, 7)
            self._sequence += 1
            if self._udp is not None:
                self._udp[0].sendto(head + part, ("127.0.0.1", self._udp[1]))
                continue
            assert self._client is not None
            self._client.sendall(struct.pack(">cBH", b"$", 0, len(head + part)) + head + part)

    def wait(self, seconds: float) -> None:
        if self.closing.wait(seconds):
            raise ConnectionAbortedError

    def _accept(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(client,))
                self._threads.append(thread)
                thread.start()

    def _serve(self, client: socket.socket) -> None:
        client.settimeout(0.1)
        data = b""
        with client, suppress(OSError):
            while not self.closing.is_set():
                with suppress(TimeoutError):
                    chunk = client.recv(65536)
                    if not chunk:
                        return
                    data += chunk
                while b"\r\n\r\n" in data:
                    request, data = data.split(b"\r\n\r\n", 1)
                    if not self._answer(client, request.decode()):
                        return

    def _answer(self, client: socket.socket, request: str) -> bool:
        self.requests.append(request)
        method = request.split()[0]
        usual = {"DESCRIBE": self._describe, "SETUP": self._setup}.get(method, self._started)
        answer = self._answers.get(method, usual)(request)
        if answer is None:
            return False
        status, _, rest = (answer if isinstance(answer, bytes) else answer.encode()).partition(
            b"\r\n"
        )
        number = re.search(r"CSeq: *(\d+)", request, re.IGNORECASE)
        assert number is not None
        client.sendall(
            b"RTSP/1.0 " + status + f"\r\nCSeq: {number[1]}\r\n".encode() + rest + b"\r\n"
        )
        if method == "PLAY" and status.startswith(b"200"):
            client.settimeout(None)
            self._client = client
            with suppress(OSError):
                self._play(self)
                while not self.closing.wait(0.05):
                    pass
            return False
        return True

    def _describe(self, request: str) -> bytes:
        head = (
            f"200 OK\r\nContent-Type: application/sdp\r\nContent-Length: {len(self._sdp)}\r\n\r\n"
        )
        return head.encode() + self._sdp[:-2]  # what answers ends its head with

    def _setup(self, request: str) -> str:
        ports = re.search(r"client_port=(\d+)", request)
        if ports is None:
            return "200 OK\r\nSession: 1\r\nTransport: RTP/AVP/TCP;unicast;interleaved=0-1\r\n"
        sender = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        sender.bind(("127.0.0.1", 0))
        self._udp = sender, int(ports[1])
        own, theirs = sender.getsockname()[1], int(ports[1])
        pairs = f"client_port={theirs}-{theirs + 1};server_port={own}-{own + 1}"
        return f"200 OK\r\nSession: 1\r\nTransport: RTP/AVP/UDP;unicast;{pairs}\r\n"

    def _started(self, request: str) -> str:
        return "200 OK\r\nSession: 1\r\n"


def level(pixels: np.ndarray) -> int:
    return round(float(pixels.mean()))
