"""The schema of the configuration, and what its check imports."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import jsonschema
import yaml

from edged.config.schema import json_schema
from tests.rig.configuration import EXAMPLE, keys_of


def test_the_schema_is_one_and_takes_the_example() -> None:
    jsonschema.Draft202012Validator.check_schema(json_schema())
    validator = jsonschema.Draft202012Validator(json_schema())
    validator.validate(yaml.safe_load(EXAMPLE))
    assert not validator.is_valid({"cameras": {"door": {"source": "synthetic", "rotate": 45}}})


def test_every_key_completes_in_an_editor() -> None:
    keys = list(keys_of(json_schema()))
    assert len(keys) > 20
    for name, key in keys:
        assert key["title"], name
        assert key["description"].endswith("."), name
        assert key["examples"], name
        values = [*key["examples"], *([key["default"]] if "default" in key else [])]
        for value in values:
            jsonschema.Draft202012Validator(key).validate(value)


def test_what_has_no_default_says_what_happens_without_it() -> None:
    without = {name for name, key in keys_of(json_schema()) if "default" not in key}
    required = {"cameras", "*", "source", "source_file", "certificate", "key", "class", "classes"}
    required |= {"broker", "url", "url_file", "path", "max_bytes"}
    described = dict(keys_of(json_schema()))
    silent = {
        n
        for n in without - required
        if not re.search("[Ww]ithout it|Default:", described[n]["description"])
    }
    assert silent <= {
        "latency_budget_ms",
        "on_time",
    }  # a camera's own: the top of the file has them
    assert all("default" in json_schema()["properties"][name] for name in silent)


def test_a_copy_of_the_schema_may_be_changed() -> None:
    json_schema()["properties"].clear()
    assert json_schema()["properties"]


def test_checking_imports_nothing_heavy(tmp_path: Path) -> None:
    (tmp_path / "edged.yaml").write_text(EXAMPLE)
    program = (
        "import sys; from pathlib import Path\n"
        "from edged.config.config import load_config\n"
        "from edged.config.warnings import warnings\n"
        "from edged.config.schema import json_schema\n"
        "warnings(load_config(Path(sys.argv[1]), {})); json_schema()\n"
        "print(*{name.partition('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", program, str(tmp_path / "edged.yaml")]
    done = subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ)
    loaded = set(done.stdout.split())
    assert "yaml" in loaded
    heavy = {
        "numpy",
        "cv2",
        "onnxruntime",
        "av",
        "onnx",
        "h5py",
        "prometheus_client",
        "multiprocessing",
    }
    assert loaded & heavy == set()
