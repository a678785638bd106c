"""Files that are no document, and any text at all."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from edged.document.document import MAX_BYTES, parse_document, read_document
from edged.errors import InputError
from tests.rig.zoo import ANY, FILE, ZOO


@contextmanager
def as_an_ordinary_user() -> Iterator[None]:
    """Root may read everything: step down while the file is opened."""
    user = os.geteuid()
    if user == 0:
        os.seteuid(65534)
    try:
        yield
    finally:
        os.seteuid(user)


def _message(path: Path) -> str:
    with pytest.raises(InputError) as caught:
        read_document(path, ZOO)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_files_that_cannot_be_read(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    assert _message(path) == f"{path}: no such file"
    assert _message(tmp_path) == f"{tmp_path}: expected a YAML file (got a folder)"
    os.mkfifo(tmp_path / "pipe")  # which nobody writes into
    assert _message(tmp_path / "pipe") == f"{tmp_path}/pipe: cannot be read: not a regular file"
    assert _message(path / "x" / "y") == f"{path}/x/y: no such file"
    assert "not a file name" in _message(Path("a\0b"))
    assert "File name too long" in _message(Path("a" * 5000))
    path.write_bytes(b"")
    assert _message(path) == f"{path}: expected at least animals (got an empty file)"
    assert "Not a directory" in _message(path / "x")
    path.write_bytes(b"a: 1\nb: \xff\xfe")
    assert _message(path) == (
        f"{path}:2: expected UTF-8 text (got the byte 0xff); save the file as UTF-8"
    )
    path.write_bytes("animals: {cat: {legs: 4}}".encode("utf-16"))
    assert "expected UTF-8 text" in _message(path)
    path.write_bytes(b"#" * (MAX_BYTES + 1))
    assert _message(path) == f"{path}: expected at most 256 KiB of YAML (got a larger file)"
    assert _message(Path("/dev/zero")) == "/dev/zero: cannot be read: not a regular file"
    path.chmod(0)
    with as_an_ordinary_user():
        assert "no permission to read it; check its owner and mode: ls -l" in _message(path)


def test_a_byte_order_mark_and_windows_line_ends_are_no_obstacle(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_bytes(b"\xef\xbb\xbfanimals:\r\n  cat:\r\n    legs: 4\r\n")
    document = read_document(path, ZOO)
    assert document.data == {"animals": {"cat": {"legs": 4}}}
    assert document.line("animals", "cat", "legs") == 3


_YAMLISH = st.text(
    st.sampled_from("ab1 \n\t:-?[]{}&*!|>'\"%@`#,.~$\\0x\u00e9\ud800<="), max_size=60
)


@pytest.mark.parametrize("schema", [ANY, ZOO])
@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), _YAMLISH), st.sampled_from([None, {"a": "1"}]))
def test_any_text_gives_a_document_or_an_input_error(
    schema: Mapping[str, Any], text: str, environ: Mapping[str, str] | None
) -> None:
    try:
        document = parse_document(text, FILE, schema, environ=environ)
    except InputError as error:
        assert str(error).startswith("zoo.yaml")
    else:
        assert isinstance(document.data, dict)


@settings(max_examples=200, deadline=None)
@given(st.binary(max_size=80))
def test_any_bytes_give_a_document_or_an_input_error(
    tmp_path_factory: pytest.TempPathFactory, content: bytes
) -> None:
    path = tmp_path_factory.getbasetemp() / "any.yaml"
    path.write_bytes(content)
    try:
        read_document(path, ZOO)
    except InputError as error:
        assert str(path) in str(error)
