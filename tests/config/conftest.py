"""A configuration that is loaded, or complained about."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from edged.config.config import Config, load_config
from edged.errors import InputErrors
from tests.rig.configuration import Load


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str, environ: Mapping[str, str] | None = None) -> Config:
        path = tmp_path / "edged.yaml"
        path.write_text(text)
        path.chmod(0o640)  # there may be a password in it
        return load_config(path, environ or {})

    return loaded


@pytest.fixture
def complaint(load: Load) -> Callable[..., str]:
    def complained(text: str, environ: Mapping[str, str] | None = None) -> str:
        with pytest.raises(InputErrors) as caught:
            load(text, environ)
        assert len(caught.value.errors) == 1, str(caught.value)
        return str(caught.value)

    return complained
