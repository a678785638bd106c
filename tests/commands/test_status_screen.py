"""The screen of `edged status`, drawn of a status."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from edged.commands.status.screen import Style, draw, gone, span
from edged.commands.status.text import cells, cut, cut_within, padded, wrapped
from edged.web.status.status import status as status_of
from tests.rig.camera import FakeTime
from tests.rig.live import ShownCamera, live_of
from tests.rig.results import make_result
from tests.rig.status import AWAY, HOSTILE, LATE, SEVERAL, camera, status, view

SEQUENCE = re.compile(r"\x1b\[[0-9;]*m")


def drawn(about: dict[str, Any], **style: Any) -> str:
    return "\n".join(draw(about, Style(**style), now=0.0))


def test_a_newcomer_finds_what_matters() -> None:
    shown = drawn(status(SEVERAL, AWAY, LATE)).splitlines()
    assert shown[0] == "✗ garage is away since 12:03: connection refused"
    assert shown[1] == "✗ yard/gate misses its budget: 71 % on time, 95 % wanted"
    assert shown[3].split() == ["VIEW", "SEES", "ON", "TIME", "P50,", "P95", "OF", "BUDGET", "FPS"]
    rows = [line[2:11].strip() for line in shown if line.startswith(("●", "○"))]
    assert rows == ["garage", "yard/gate", "door", "yard/bin"]  # trouble first
    row = next(line for line in shown if " door " in line)
    assert re.split(r"  +", row[2:]) == [
        *("door", "golf ball 93 %", "99.1 of 95 %", "14, 21 of 33 ms", "████▒▒··", "29.8"),
    ]
    words = " ".join(line.strip() for line in shown[shown.index(row) + 1 :][:3])
    assert words.startswith(
        "streaming; ncnn runs 0.5@160: 63 % instead of 71 % accuracy; the device is 1.4x slower "
        "than its profile before: parachute 75 s ago"
    )
    absent = next(line for line in shown if line.startswith("○ garage"))
    assert shown[shown.index(absent) + 1].strip() == "backoff for 13 min: connection refused"
    assert "71.4 of 95 %" in "\n".join(shown)
    told = " ".join(shown[-2:])
    for fact in (
        "edged 0.2.0",
        "61 °C of at most 80 °C",
        "6.3 W",
        "1.4x slower",
        "1.2 of 4.0 GB memory",
    ):
        assert fact in told


def test_all_is_well_in_one_line() -> None:
    assert drawn(status({"door": SEVERAL["door"]})).startswith("● all views keep their budget\n")


@pytest.mark.parametrize("width", [20, 40, 60, 79, 80, 100, 160, 200])
@pytest.mark.parametrize("coloured", [False, True])
def test_no_line_is_wider_than_the_terminal(width: int, coloured: bool) -> None:
    labels = ("犬" * 40, "golf ball", "e\u0301" * 40, "x" * 200)
    cameras = {
        f"camera{number}": camera()
        | view(
            seen=[{"label": each, "age_seconds": 30.0} for each in labels],
            last=view()["last"] | {"top": [{"label": label, "score": 0.5}]},
        )
        for number, label in enumerate(labels)
    }
    cameras["garage"] = camera("backoff", "x" * 250) | view()
    lines = draw(status(cameras, AWAY, LATE), Style(width=width, coloured=coloured))
    plain = [SEQUENCE.sub("", line) for line in lines]
    assert max(map(cells, plain)) <= width
    assert all("\x1b" not in line for line in plain)
    assert any("\x1b" in line for line in lines) is coloured


@pytest.mark.parametrize("width", [40, 80, 160])
@pytest.mark.parametrize("view_name", ["gate{}", "a-view-with-a-name-as-long-as-{}"])
def test_long_names_are_told_apart(width: int, view_name: str) -> None:
    names = [view_name.format(f"{number:02}") for number in range(16)]
    about = status({"a" * 32: camera(views={name: view() for name in names})})
    shown = [
        line.split()[1] for line in draw(about, Style(width=width))[2:] if line.startswith("●")
    ]
    assert len(shown) == len({*shown}) == 16
    assert all(cells(each) <= max(8, width // 5) for each in shown)
    whole = draw(about, Style(width=100, whole_names=True))
    rows = [line for line in whole[2:] if line.startswith("●")]
    assert [line.split()[1] for line in rows] == [f"{'a' * 32}/{name}" for name in names]
    assert all("99.1 of 95 %" in line and line.endswith("29.8") for line in rows)


@pytest.mark.parametrize("width", [60, 80, 160])
def test_columns_align_whatever_the_script(width: int) -> None:
    labels = ("golf ball", "金魚", "e\u0301lan", "ｶﾀｶﾅ")
    cameras = {
        f"camera{number}": camera()
        | view(last=view()["last"] | {"top": [{"label": label, "score": 0.5}]})
        for number, label in enumerate(labels)
    }
    lines = draw(status(cameras), Style(width=width))
    rows = [line for line in lines[1:] if line.startswith("●")]
    assert len({cells(row[: row.index("99.1")]) for row in rows}) == 1
    assert all(label in row for label, row in zip(labels, rows, strict=True))


def test_nothing_from_outside_reaches_the_terminal_as_it_is() -> None:
    hostile = view(
        family=HOSTILE,
        choice=HOSTILE,
        seen=[{"label": HOSTILE, "age_seconds": 30.0}],
        last=view()["last"] | {"runtime": HOSTILE, "top": [{"label": HOSTILE, "score": 0.5}]},
    )
    cameras = {
        HOSTILE: camera() | hostile,
        "b": camera(HOSTILE, HOSTILE) | hostile,
        "c": camera(views={HOSTILE: view(to_teach=HOSTILE, last=None)}),
    }
    trouble = {"kind": HOSTILE, "camera": HOSTILE, "text": HOSTILE}
    about = status(cameras, trouble, version=HOSTILE, runtimes=[HOSTILE])
    for width in (60, 200):
        lines = [*draw(about, Style(width=width)), *gone(HOSTILE, Style(width=width))]
        assert all(line.isprintable() for line in lines)
        assert "cat\\x1b[2J" in "".join(lines)


def test_without_unicode_there_is_only_ascii() -> None:
    about = status(SEVERAL, AWAY, LATE, temperature_c=None)
    shown = drawn(about, unicode=False)
    assert shown.isascii()
    assert shown.startswith("! garage is away")
    assert "####==.." in shown


def test_more_views_than_lines_are_counted() -> None:
    cameras = {f"camera{number:02}": camera() | view() for number in range(30)}
    for height in (8, 12, 23):
        lines = draw(status(cameras), Style(height=height))
        assert len(lines) <= height
        rows = sum(line.startswith("●") for line in lines[1:])
        assert f"… and {30 - rows} more views" in lines
        assert lines[-1].startswith("edged 0.2.0") or "memory" in lines[-1]


def test_what_has_no_result_yet_or_none_lately() -> None:
    old = view(last=view()["last"] | {"age_seconds": 40.0})
    seldom = view(max_fps=0.01, last=view()["last"] | {"age_seconds": 40.0})
    about = status(
        {
            "new": camera() | view(last=None, choice=None, seen=[]),
            "old": camera() | old,
            "seldom": camera() | seldom,
            "lesson": camera() | view(to_teach="gate is not taught yet", last=None),
            "none": camera() | view(last=view()["last"] | {"top": []}),
        }
    )
    shown = drawn(about, width=120)
    assert "streaming; no result yet" in shown
    assert re.search(r"● old +no recent result", shown)
    assert re.search(r"● seldom +golf ball 93 %", shown)
    assert "streaming; gate is not taught yet" in shown
    assert re.search(r"● none +nothing sure", shown)


def test_it_draws_what_the_daemon_says() -> None:
    """The fields of the real status, before and after a result."""
    clock = FakeTime()
    views = {"yard/gate": {}, "yard/bin": {}}
    live = live_of(ShownCamera("door"), ShownCamera("yard"), views=views, clock=clock)
    assert "door has given no result yet" in drawn(status_of(live))
    live.observe(make_result())
    clock.now_ns += 1_000_000_000
    shown = drawn(status_of(live))
    assert "line\\nbreak 50 %" in shown
    assert re.search(r"door +line\\nbreak 50 % +100.0 of 95 % +10, 10 of 20 ms", shown)


@pytest.mark.parametrize(
    ("seconds", "told"),
    [(0.4, "0 s"), (119, "119 s"), (120, "2 min"), (7200, "2 h"), (200_000, "2 d")],
)
def test_spans(seconds: float, told: str) -> None:
    assert span(seconds) == told


@given(st.text(), st.integers(2, 40))
def test_any_text_is_cut_padded_and_wrapped_to_its_cells(text: str, width: int) -> None:
    text = "".join(character for character in text if character.isprintable())
    assert cells(cut(text, width)) <= width
    assert cells(cut_within(text, width)) <= width
    assert cells(padded(text, width)) == width
    lines = list(wrapped(text, width))
    assert all(cells(line) <= width for line in lines)
    assert "".join(lines).replace(" ", "") == text.replace(" ", "")


def test_a_view_that_is_off_says_who_switched_it() -> None:
    off = {"state": "off", "until": None, "changed_at": "2026-01-31T12:00:00Z", "origin": "mqtt"}
    hours = {"state": "hours", "until": None, "changed_at": None, "origin": None}
    shown = drawn(status({"door": camera() | view(switch=off), "yard": camera() | view()}))
    lines = shown.splitlines()
    (row,) = (line for line in lines if " door " in line)
    assert row.startswith("○")
    assert lines[lines.index(row) + 1].strip() == "switched off (mqtt)"
    away = drawn(status({"door": camera("backoff", "connection refused") | view(switch=off)}))
    assert "switched off (mqtt); backoff for 13 min: connection refused" in " ".join(away.split())
    assert next(line for line in lines if " yard " in line).startswith("●")
    assert "outside its hours\n" in drawn(status({"door": camera() | view(switch=hours)}))
    hostile = drawn(status({"door": camera() | view(switch=off | {"origin": HOSTILE})}))
    assert "\x1b" not in hostile
