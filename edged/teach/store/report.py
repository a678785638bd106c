"""Reads report.json of a version, which says how it was taught and how good it is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from edged.atomic_file import read_file
from edged.document.json_line import LARGEST, parse_line
from edged.errors import InputError, cannot_read

FILE = "report.json"
LARGEST_BYTES = 4_000_000
_AGAIN = "train again"
_NUMBER = (int, float)
_ANY = "*"
"""Stands for every key."""
_SHAPE: dict[str, Any] = {
    "version": int,
    "trained_at": str,
    "classes": [str],
    "pictures": {_ANY: int},
    "moments": {_ANY: int},
    "moment_ids": [str],
    "left_out": [{"picture": str, "reason": str}],
    "warnings": [str],
    "estimate": {
        "judged": bool,
        "rough": bool,
        "moments": int,
        "variants": {_ANY: {"top1": _NUMBER, "low": _NUMBER, "high": _NUMBER}},
    },
    "confusion": {"labels": [str], "counts": [[_NUMBER]]},
    "worst": [{"picture": str, "label": str, "said": str, "score": _NUMBER}],
    "curve": [{"moments": int, "pictures": int, "top1": _NUMBER}],
    "thresholds": {_ANY: {"above": _NUMBER, "false_starts_per_day": _NUMBER}},
    "advice": [str],
}
"""Of what others read. A type, a list of one shape, or an object with these keys."""
_COMPARISON = {"version": int, "moments": int, "top1": _NUMBER, "running": _NUMBER}


def read_report(path: Path) -> dict[str, Any]:
    """Raises InputError for a damaged one."""
    try:
        content = read_file(path, LARGEST_BYTES, links=False)
    except OSError as error:
        raise cannot_read(path, error, _AGAIN) from None
    values = parse_line(content, str(path), 1).values
    compared = values.get("comparison")
    wrong = _misfit(values, _SHAPE)
    if compared is not None:
        wrong = wrong or _misfit(compared, _COMPARISON, "comparison")
    if wrong:
        raise InputError(f"not the report of a training: {wrong}", where=path, fix=_AGAIN)
    return values


def _misfit(value: Any, shape: Any, key: str = "") -> str:
    """Which key is not as it should be; empty if all are."""
    if isinstance(shape, list):
        if not isinstance(value, list):
            return f"`{key}` must be a list"
        inner = ((each, shape[0], key) for each in value)
    elif isinstance(shape, dict):
        if not isinstance(value, dict):
            return f"`{key}` must be an object"
        wanted = dict.fromkeys(value, shape[_ANY]) if _ANY in shape else shape
        if missing := wanted.keys() - value.keys():
            return f"`{min(missing)}` is missing"
        inner = ((value[each], wanted[each], each) for each in wanted)
    else:
        kinds = shape if isinstance(shape, tuple) else (shape,)
        fits = isinstance(value, kinds) and (bool in kinds or not isinstance(value, bool))
        return "" if fits and _is_bounded(value) else f"`{key}` is not as it should be"
    return next(filter(None, (_misfit(*each) for each in inner)), "")


def _is_bounded(value: object) -> bool:
    return not isinstance(value, int | float) or abs(value) <= LARGEST
