from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from edged.capture.source import Quiet
from edged.config.config import Config, load_config
from edged.errors import InputErrors
from edged.hours import Period

Load = Callable[[str], Config]
CAMERAS = "cameras:\n  door: {source: synthetic}\n  yard: {source: synthetic}\n"


@pytest.fixture
def load(tmp_path: Path) -> Load:
    def loaded(text: str) -> Config:
        path = tmp_path / "edged.yaml"
        path.write_text(text)
        return load_config(path, {})

    return loaded


def complaints(load: Load, text: str) -> list[str]:
    with pytest.raises(InputErrors) as caught:
        load(text)
    return [str(error).rpartition("edged.yaml:")[2] for error in caught.value.errors]


def camera(line: str) -> str:
    return f"cameras:\n  door:\n    source: synthetic\n    {line}\n"


# events


def test_one_class_is_enough(load: Load) -> None:
    (event,) = load(CAMERAS + "events:\n  visitor: {class: person}\n").events
    assert (event.name, event.classes, event.views) == ("visitor", ("person",), ("door", "yard"))
    assert (event.above, event.below) == (0.6, pytest.approx(0.4))
    assert (event.for_seconds, event.gone_seconds, event.smooth_seconds) == (1, 3, 0.5)
    assert not event.snapshot
    assert event.where.endswith("edged.yaml:5: events.visitor.class")


def test_everything_can_be_said(load: Load) -> None:
    text = """\
events:
  pet:
    classes: [cat, dog]
    cameras: [yard]
    above: 0.9
    below: 0.2
    for_seconds: 0
    gone_seconds: 10
    smooth_seconds: 0
    snapshot: true
    device_class: motion
"""
    (event,) = load(CAMERAS + text).events
    assert (event.classes, event.views) == (("cat", "dog"), ("yard",))
    assert (event.above, event.below) == (0.9, 0.2)
    assert (event.for_seconds, event.gone_seconds, event.smooth_seconds) == (0, 10, 0)
    assert (event.snapshot, event.device_class) == (True, "motion")


def test_below_follows_above(load: Load) -> None:
    (event,) = load(CAMERAS + "events:\n  visitor: {class: person, above: 0.3}\n").events
    assert event.below == pytest.approx(0.2)


def test_no_events_is_the_usual_case(load: Load) -> None:
    assert load(CAMERAS).events == ()


def test_where_a_rule_stands_does_not_make_it_another(load: Load) -> None:
    text = CAMERAS + "events:\n  visitor: {class: person}\n"
    assert load(text).events == load("# moved\n" + text).events


def test_all_mistakes_come_at_once_with_line_and_key(load: Load) -> None:
    text = """\
  gate: {source: synthetic, roi: [0.9, 0, 0.2, 1]}
events:
  visitor:
    class: person
    cameras: [dor]
  guest:
    class: person
    above: 0.5
    below: 0.7
"""
    first, *others = complaints(load, CAMERAS + text)
    assert first.startswith("4: cameras.gate.roi: extends beyond the right edge of the picture")
    assert "(got [0.9, 0, 0.2, 1])" in first
    assert others == [
        "8: events.visitor.cameras[0]: no such camera (got dor); did you mean door?",
        "12: events.guest.below: expected at most 0.5, the value of `above` (got 0.7)",
    ]


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("{}", "events.visitor: expected exactly one of class, classes (got none of them)"),
        ("{class: a, classes: [b]}", "expected exactly one of class, classes"),
        ("{clas: a}", "did you mean class?"),
        ("{class: a, above: 60}", "events.visitor.above: expected a number above 0, at most 1"),
        ("{classes: []}", "events.visitor.classes: expected a list"),
        ("{class: a, device_class: person}", "events.visitor.device_class: expected one of"),
        ("{class: a, for_seconds: -1}", "events.visitor.for_seconds: expected a number from 0"),
    ],
)
def test_what_a_rule_may_hold(load: Load, rule: str, expected: str) -> None:
    assert expected in "\n".join(complaints(load, CAMERAS + f"events:\n  visitor: {rule}\n"))


def test_names_are_those_of_metrics(load: Load) -> None:
    (complaint,) = complaints(load, CAMERAS + "events:\n  Visitor: {class: a}\n")
    assert "a lower-case letter" in complaint


# the part that counts


def test_a_part_of_the_picture(load: Load) -> None:
    assert load(camera("roi: [0.5, 0, 0.5, 1]")).cameras[0].capture.roi == (0.5, 0.0, 0.5, 1.0)
    assert load(CAMERAS).cameras[0].capture.roi is None
    thirds = "roi: [0.6666667, 0, 0.3333334, 1]"
    assert load(camera(thirds)).cameras[0].capture.roi is not None  # rounded by hand


@pytest.mark.parametrize(
    ("roi", "expected"),
    [
        ("[0.5, 0, 0.6, 1]", "roi: extends beyond the right edge of the picture"),
        ("[0, 0.5, 1, 0.51]", "roi: extends beyond the lower edge of the picture"),
        ("[0, 0, 0.01, 1]", "roi: expected a width and a height of at least 0.05"),
        ("[0.5, 0.5, 0, 0.5]", "roi: expected a width and a height of at least 0.05"),
        ("[100, 0, 640, 480]", "roi[0]: expected a number from 0 to 1"),
        ("[-0.1, 0, 1, 1]", "roi[0]: expected a number from 0 to 1"),
        ("[0, 0, 1]", "roi: expected a list"),
    ],
)
def test_a_part_that_is_none(load: Load, roi: str, expected: str) -> None:
    first = complaints(load, camera(f"roi: {roi}"))[0]
    assert first.startswith("4: cameras.door.")
    assert expected in first


def test_a_pipeline_must_say_its_size(load: Load) -> None:
    text = "cameras:\n  door:\n    source: gst:videotestsrc\n    roi: [0, 0, 0.5, 1]\n"
    (complaint,) = complaints(load, text)
    assert complaint.startswith("4: cameras.door.roi: needs the size of the pipeline's pictures")
    assert load(text + "    size: 640x480\n").cameras[0].capture.roi is not None


# quiet


def test_quiet_is_off_until_it_is_asked_for(load: Load) -> None:
    assert load(CAMERAS).cameras[0].capture.quiet is None
    assert load(camera("quiet: {}")).cameras[0].capture.quiet == Quiet()
    said = load(camera("quiet: {at_least_every_seconds: 30, hold_seconds: 0, threshold: 6}"))
    assert said.cameras[0].capture.quiet == Quiet(30.0, 0.0, 6.0)


def test_quiet_wants_its_keys(load: Load) -> None:
    (complaint,) = complaints(load, camera("quiet: true"))
    assert "4: cameras.door.quiet: expected lines of `key: value`" in complaint


# hours


def test_hours_of_views_and_events(load: Load) -> None:
    text = """\
cameras:
  door: {source: synthetic, hours: 07:00-19:00}
  yard:
    source: synthetic
    hours: "Mo-Fr 22:00-06:00"
    views: {gate: {}, bin: {hours: ["Sa 09:00-13:00", "Su 10:00-12:00"]}}
  roof: {source: synthetic}
events:
  visitor: {class: person, hours: "Mo-Fr 07:00-19:00"}
  pet: {class: cat}
"""
    config = load(text)
    assert {view.id: [each.text for each in view.hours] for view in config.views} == {
        "door": ["07:00-19:00"],
        "yard/gate": ["Mo-Fr 22:00-06:00"],
        "yard/bin": ["Sa 09:00-13:00", "Su 10:00-12:00"],
        "roof": [],
    }
    visitor, pet = config.events
    assert (visitor.hours, pet.hours) == ((Period.of("Mo-Fr 07:00-19:00"),), ())


@pytest.mark.parametrize(
    ("hours", "complaint"),
    [
        ("7-19", "expected a period of the day (got '7-19'); write it as 22:00-06:30"),
        ("Mon 07:00-19:00", "expected days of the week (got 'Mon'); the days are Mo, Tu"),
        ("07:00-07:00", "begin and end are the same"),
        ("[]", "expected text or a list"),
        ("5", "expected text or a list"),
        ("{from: 7}", "expected text or a list"),
    ],
)
def test_mistakes_in_hours(load: Load, hours: str, complaint: str) -> None:
    (said,) = complaints(load, camera(f"hours: {hours}"))
    assert said.startswith(f"4: cameras.door.hours: {complaint}")
    (said,) = complaints(load, CAMERAS + f"events:\n  pet: {{class: cat, hours: {hours}}}\n")
    assert said.startswith(f"5: events.pet.hours: {complaint}")


def test_a_mistake_in_a_list_of_hours_is_told_with_its_place(load: Load) -> None:
    (said,) = complaints(load, camera("hours: [07:00-19:00, 25:00-26:00]"))
    assert said.startswith("4: cameras.door.hours[1]: expected a period of the day")
