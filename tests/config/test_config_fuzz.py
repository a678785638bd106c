"""Any text gives a configuration or an error in words."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from edged.config.config import load_config
from edged.config.schema import json_schema
from edged.config.warnings import warnings
from edged.errors import InputError
from tests.rig.configuration import EXAMPLE, keys_of

_PIECES = st.sampled_from(
    [*EXAMPLE.split(), "\n", "  ", ": ", "- ", "[", "]", "{", "}", "'", '"', "#", "!", "&a", "*a"]
    + [
        "null",
        "true",
        "-1",
        "1e999",
        ".nan",
        "${HOME}",
        "${",
        "$${",
        "\t",
        "\0",
        "rtsp://u:p@h",
        "é",
    ]
)


@pytest.fixture(scope="module")
def fuzzed(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], None]:
    path = tmp_path_factory.mktemp("fuzz") / "edged.yaml"

    def check(text: str) -> None:
        path.write_text(text, encoding="utf-8", errors="replace", newline="")
        try:
            config = load_config(path, {"HOME": "/root"})
        except InputError as error:
            assert str(error).startswith(str(path))
            return
        assert config.cameras
        assert len(config.views) >= len(config.cameras)
        assert all(0 < view.latency_budget_ms <= 60_000 for view in config.views)
        assert all(isinstance(warning, str) for warning in warnings(config))

    return check


@settings(max_examples=200, deadline=None)
@given(st.one_of(st.text(), st.lists(_PIECES, max_size=30).map("".join)))
@example("cameras: {a: {source: 'a\\u0000'}}")
def test_any_text_gives_a_configuration_or_an_input_error(
    fuzzed: Callable[[str], None], text: str
) -> None:
    fuzzed(text)


@settings(max_examples=200, deadline=None)
@given(st.data())
def test_any_change_of_a_valid_file_gives_a_configuration_or_an_input_error(
    fuzzed: Callable[[str], None], data: st.DataObject
) -> None:
    text = EXAMPLE
    for _ in range(data.draw(st.integers(1, 3))):
        start = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(start, min(start + 12, len(text))))
        text = text[:start] + data.draw(st.one_of(_PIECES, st.text(max_size=5))) + text[end:]
    fuzzed(text)


_VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text(max_size=20)),
    lambda inner: st.one_of(
        st.lists(inner, max_size=3), st.dictionaries(st.text(max_size=8), inner, max_size=3)
    ),
    max_leaves=8,
)


@settings(max_examples=200, deadline=None)
@given(
    st.sampled_from([name for name, _ in keys_of(json_schema()) if name != "*"]),
    st.sampled_from(["", "cameras", "door", "views", "gate", "http", "results"]),
    _VALUES,
)
def test_any_value_at_any_key_gives_a_configuration_or_an_input_error(
    fuzzed: Callable[[str], None], name: str, place: str, value: object
) -> None:
    content = yaml.safe_load(EXAMPLE)
    door = content["cameras"]["door"]
    views = {"gate": {}}
    if place in ("views", "gate"):
        door["views"] = views
    holders = {"door": door, "views": views, "gate": views["gate"], **content}
    holders.get(place, content)[name] = value
    fuzzed(yaml.safe_dump(content, allow_unicode=True))
