"""The reader of configurations, given anything."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.config.config import load_config
from edged.config.warnings import warnings
from edged.errors import InputError
from tests.rig.configuration import EXAMPLE
from tests.rig.damage import MANY, fuzz

pytestmark = pytest.mark.timeout(3600 if MANY else 120)

_PIECES = st.sampled_from(
    (
        *(b"cameras: {a: {source: synthetic}}\n", b"rotate: 90", b"latency_budget_ms: "),
        *(b"views: {gate: {}}", b"views: {gate: {roi: [0, 0, 1, 1]}, ", b"model: ", b"roi: "),
        *(b"&a ", b"*a", b"!!python/object:os.system ", b"!!set ", b"<<: ", b"? ", b"|\n", b">-\n"),
        *(b"%YAML 1.2\n", b"---\n", b"...\n", b"[" * 60, b"{" * 60, b"- " * 60, b"'", b'"', b"#"),
        *(b"1e999", b".nan", b"0x1F", b"1_000", b"-1", b"99999999999999999999", b": ", b"\n  "),
        *(b"${HOME}", b"${", b"$${", b"\x00", b"\xff\xfe", b"\xef\xbb\xbf", b"\xc3\x28", b"\t"),
        *(b"rtsp://u:p@h/", b"http://[::1", b"gst:", b"/dev/video0", b"\xf0\x9f\x93\xb7", b"\r"),
    )
)
_TEXT_EDITS = st.lists(
    st.tuples(st.integers(0, 1200), st.integers(0, 20), st.one_of(_PIECES, st.binary(max_size=6))),
    max_size=5,
)


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "edged.yaml"


@fuzz
@given(st.one_of(st.just(EXAMPLE.encode()), st.binary(max_size=80), _PIECES), _TEXT_EDITS)
def test_any_bytes_are_a_configuration_or_an_input_error(
    outcomes: Callable[[str, str], None],
    path: Path,
    content: bytes,
    edits: list[tuple[int, int, bytes]],
) -> None:
    for place, length, piece in edits:
        begin = place % (len(content) + 1)
        content = content[:begin] + piece + content[begin + length :]
    path.write_bytes(content)
    try:
        config = load_config(path, {"HOME": "/root"})
    except InputError as error:
        outcomes("configuration", "refused")
        assert str(error).startswith(str(path))
        return
    outcomes("configuration", "accepted")
    assert config.cameras
    assert all(0 < view.latency_budget_ms <= 60_000 for view in config.views)
    assert all(isinstance(warning, str) for warning in warnings(config))
