"""What `edged teach` tells of a report, and which command it names next."""

from __future__ import annotations

from typing import Any

import pytest

from edged.commands.teach.status import next_command
from edged.commands.teach.words import learned
from tests.rig.classifiers import CLASSES, moment, report


def test_what_it_learned_in_plain_words() -> None:
    lines = list(learned(report(1, 0.9)))
    assert lines[0] == (
        "It is right in about 90 % of new cases; the truth is most likely between 80 % and 95 % "
        "(8 moments)."
    )
    assert "Of 12 pictures of closed, 2 were not recognized." in lines
    assert "Of 12 pictures of open, 1 was taken for closed." in lines
    rough = report(1, 0.9)
    rough["estimate"]["rough"] = True
    assert "rough figure" in "\n".join(learned(rough))
    unknown = report(1, None)
    assert next(iter(learned(unknown))).startswith("It cannot be judged yet")
    bad = report(1, left_out=[{"picture": "ab", "reason": "incomplete\x1b picture"}])
    assert "Left out: picture ab: incomplete\\x1b picture." in list(learned(bad))


def about(**others: Any) -> dict[str, Any]:
    moments = [
        {"id": moment(label * 10 + number), "label": named, "pictures": ["x"]}
        for label, named in enumerate(CLASSES)
        for number in range(3)
    ]
    values = {"name": "gate", "classes": list(CLASSES), "moments": moments, "deployed": None}
    return {**values, "report": None, **others}


def test_the_next_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("SUDO_USER", raising=False)
    moments = about()["moments"]
    ids = sorted(each["id"] for each in moments)
    known = report(2, moment_ids=ids)
    assert "add closed" in next_command(about(moments=moments[:3]))
    assert next_command(about()) == "edged teach gate train"
    assert next_command(about(report=report(2, moment_ids=ids[1:]))) == "edged teach gate train"
    assert next_command(about(report=known)) == "edged teach gate deploy"
    deployed = about(report=known, deployed={"version": 2})
    assert next_command(deployed) == "edged teach gate --moments"
    few = about(moments=moments[:4], report=report(2, moment_ids=ids[:4]), deployed={"version": 2})
    assert "add closed --from-camera" in next_command(few)
    monkeypatch.setenv("SUDO_USER", "anna")
    assert next_command(about()) == "sudo edged teach gate train"
