"""Documents of a schema with all that a schema may say."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

ANY: Mapping[str, Any] = {"type": "object"}
FILE = Path("zoo.yaml")
ZOO: Mapping[str, Any] = {
    "type": "object",
    "required": ["animals"],
    "additionalProperties": False,
    "properties": {
        "animals": {
            "type": "object",
            "minProperties": 1,
            "propertyNames": {"pattern": "^[a-z]+$"},
            "additionalProperties": {
                "type": "object",
                "additionalProperties": False,
                "oneOf": [{"required": ["legs"]}, {"required": ["legs_file"]}],
                "properties": {
                    "legs": {"type": "integer", "enum": [0, 2, 4]},
                    "legs_file": {"type": "string"},
                    "colour": {"enum": ["black", "white"]},
                    "weight": {"type": "number", "exclusiveMinimum": 0, "maximum": 9},
                    "tame": {"type": "boolean"},
                    "food": {"type": "array", "items": {"type": "string"}, "minItems": 1},
                    "name": {"type": "string", "minLength": 1, "examples": ["Tom"]},
                    "tag": {"type": "string", "format": "even"},
                },
            },
        },
        "sizes": {"patternProperties": {"^[0-9]+$": {}}, "additionalProperties": False},
        "born": {"dependentRequired": {"year": ["month"]}},
    },
}
