"""The GStreamer Data Protocol, against GStreamer."""

from __future__ import annotations

import subprocess

import pytest

from edged.capture.sources.hardware import gdp
from tests.rig import stand_in_decoder as stand_in

SENT = [(0, b"first" * 4000), (40_000_000, b""), (3_600_000_000_000, bytes(range(256)))]


@stand_in.needs_stand_in
@pytest.mark.parametrize("piece", [7, 1 << 20])
def test_gstreamer_returns_what_it_was_sent(piece: int) -> None:
    words = "gst-launch-1.0 -q fdsrc fd=0 ! gdpdepay ! gdppay ! fdsink fd=1 sync=false"
    given = gdp.beginning("application/octet-stream")
    given += b"".join(gdp.buffer(data, at_ns) for at_ns, data in SENT)
    said = subprocess.run(words.split(), input=given, capture_output=True, check=True)
    assert said.stderr == b""
    unpacker = gdp.Unpacker()
    parts = (said.stdout[at : at + piece] for at in range(0, len(said.stdout), piece))
    assert [each for part in parts for each in unpacker.buffers(part)] == SENT


def test_anything_else_is_refused() -> None:
    with pytest.raises(ValueError, match="not the GStreamer Data Protocol"):
        list(gdp.Unpacker().buffers(bytes(62)))
    long = bytearray(gdp.buffer(b"", 0))
    long[6:10] = (gdp.MOST_BYTES + 1).to_bytes(4, "big")
    with pytest.raises(ValueError, match="not the GStreamer Data Protocol"):
        list(gdp.Unpacker().buffers(bytes(long)))
