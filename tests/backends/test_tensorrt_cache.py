"""Engines on disk: what is found again, what is not believed, what goes."""

from __future__ import annotations

import errno
import os
import resource
import signal
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from edged.backends.tensorrt.cache import FORMAT, EngineCache, EngineKey, engines_directory

KEY = EngineKey(
    files=("a" * 64,),
    tensorrt="10.3.0",
    gpu="Orin",
    capability="8.7",
    precision="fp16",
    sides=(128, 224),
    flags=("FP16",),
)
OTHERS = {
    "files": ("b" * 64,),
    "tensorrt": "10.4.0",
    "gpu": "Xavier",
    "capability": "7.2",
    "precision": "fp32",
    "sides": (128,),
    "flags": (),
    "format": FORMAT + 1,
}


def test_what_is_stored_is_found_by_its_key_alone(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path / "not" / "yet")
    assert cache.load(KEY) is None
    cache.store(KEY, b"plan\nwith\nlines", b"timing")
    assert EngineCache(tmp_path / "not" / "yet").load(KEY) == b"plan\nwith\nlines"
    for name, value in OTHERS.items():
        assert cache.load(replace(KEY, **{name: value})) is None


@pytest.mark.parametrize("name", OTHERS)
def test_a_file_under_another_key_is_not_believed(
    tmp_path: Path, name: str, caplog: pytest.LogCaptureFixture
) -> None:
    """As after a copy by hand, or a collision of names."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, b"plan", b"")
    other = replace(KEY, **{name: OTHERS[name]})
    (tmp_path / KEY.name).rename(tmp_path / other.name)
    assert cache.load(other) is None
    assert "for another device or version" in caplog.text


def test_all_builds_of_a_device_and_version_share_what_was_timed(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    assert cache.timing(KEY) == b""
    cache.store(KEY, b"plan", b"timing")
    for name, value in OTHERS.items():
        shared = name in ("files", "precision", "sides", "flags", "format")
        assert cache.timing(replace(KEY, **{name: value})) == (b"timing" if shared else b"")


def test_spoiled_timing_is_begun_anew(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.store(KEY, b"plan", b"timing")
    (path,) = tmp_path.glob("*.timing")
    path.write_bytes(path.read_bytes()[:-1])
    assert cache.timing(KEY) == b""


def test_those_used_longest_ago_go_first(tmp_path: Path) -> None:
    size = 100_000
    cache = EngineCache(tmp_path, largest_bytes=int(3.5 * size))
    keys = [replace(KEY, tensorrt=f"10.{minor}") for minor in range(5)]
    for age, key in zip((30, 20, 10), keys, strict=False):
        cache.store(key, bytes(size), b"")
        os.utime(tmp_path / key.name, (1e9 - age, 1e9 - age))
    assert cache.load(keys[0]) is not None  # makes it the one used last
    cache.store(keys[3], bytes(size), b"t")
    assert [cache.load(key) is not None for key in keys] == [True, False, True, True, False]
    assert len(list(tmp_path.glob("*.timing"))) == 1


def test_an_engine_larger_than_all_may_be_is_kept_alone(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path, largest_bytes=10)
    other = replace(KEY, tensorrt="10.4")
    cache.store(other, b"plan", b"")
    cache.store(KEY, b"plan", b"")
    assert (cache.load(KEY), cache.load(other)) == (b"plan", None)


@pytest.fixture
def readable() -> Iterator[Path]:
    """A folder that anybody may enter, and a test that is nobody in particular."""
    root = os.geteuid() == 0
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        EngineCache(folder).store(KEY, b"plan", b"")
        folder.chmod(0o555)
        if root:  # who may write everywhere
            os.seteuid(65534)
        try:
            yield folder
        finally:
            if root:
                os.seteuid(0)
            folder.chmod(0o755)


def test_a_folder_that_is_only_read_still_serves(
    readable: Path, caplog: pytest.LogCaptureFixture
) -> None:
    cache = EngineCache(readable)
    for _ in range(2):
        cache.store(replace(KEY, gpu="Other"), b"plan", b"timing")
    assert caplog.text.count("engines are not kept, each start builds them again") == 1
    assert os.strerror(errno.EACCES) in caplog.text
    assert cache.load(KEY) == b"plan"


def test_a_full_disk_leaves_what_was_there(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A file size limit fails a write as a full disk does, in the middle of the file."""
    cache = EngineCache(tmp_path)
    cache.store(KEY, b"plan", b"timing")
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, limits[1]))
    try:
        for _ in range(2):
            cache.store(KEY, bytes(1_000_000), b"timing")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
        signal.signal(signal.SIGXFSZ, handler)
    assert cache.load(KEY) == b"plan"
    assert not list(tmp_path.glob(".*"))
    assert caplog.text.count("engines are not kept") == 1
    assert os.strerror(errno.EFBIG) in caplog.text


def test_without_a_place_one_warning_says_so(caplog: pytest.LogCaptureFixture) -> None:
    cache = EngineCache(None)
    for _ in range(2):
        cache.store(KEY, b"plan", b"timing")
    cache.discard(KEY)
    assert (cache.load(KEY), cache.timing(KEY)) == (None, b"")
    assert caplog.text.count("set CACHE_DIRECTORY") == 1


def test_what_is_discarded_is_gone(tmp_path: Path) -> None:
    cache = EngineCache(tmp_path)
    cache.discard(KEY)
    cache.store(KEY, b"plan", b"")
    cache.discard(KEY)
    assert cache.load(KEY) is None


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"CACHE_DIRECTORY": "/var/cache/edged", "HOME": "/root"}, "/var/cache/edged/engines"),
        ({"XDG_CACHE_HOME": "/fast", "HOME": "/root"}, "/fast/edged/engines"),
        ({"XDG_CACHE_HOME": "relative", "HOME": "/root"}, "/root/.cache/edged/engines"),
        ({}, None),
    ],
)
def test_engines_lie_where_caches_do(environ: dict[str, str], expected: str | None) -> None:
    assert engines_directory(environ) == (None if expected is None else Path(expected))
