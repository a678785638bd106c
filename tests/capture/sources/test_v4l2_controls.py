from __future__ import annotations

import errno

import pytest

from edged.capture.sources.v4l2.controls import apply, controls, name_of
from tests.rig.v4l2_driver import (
    BITMASK,
    BOOLEAN,
    BUTTON,
    CLASS,
    DISABLED,
    INACTIVE,
    INTEGER_MENU,
    MENU,
    READ_ONLY,
    STRING,
    PaperControl,
    PaperDriver,
)


def webcam() -> PaperDriver:
    exposure = PaperControl("Exposure Time, Absolute", 3, 2047, 250, flags=INACTIVE)
    return PaperDriver(
        controls=[
            PaperControl("User Controls", kind=CLASS, flags=READ_ONLY),
            PaperControl("Brightness", -64, 64),
            PaperControl("White Balance, Automatic", 0, 1, 1, kind=BOOLEAN),
            PaperControl("Gain", 0, 100, 10, step=5),
            PaperControl("Power Line Frequency", 0, 2, 2, MENU, menu={0: "Off", 2: "50 Hz"}),
            PaperControl("Link Frequency", 0, 1, 0, INTEGER_MENU, menu={0: 456_000_000, 1: 7}),
            PaperControl("Serial", kind=STRING),
            PaperControl("Old One", flags=DISABLED),
            PaperControl("Temperature", flags=READ_ONLY),
            PaperControl("Motion Mask", 0, 15, 0, BITMASK),
            exposure,
            PaperControl(
                "Auto Exposure", 0, 3, 3, MENU,
                menu={1: "Manual Mode", 3: "Aperture Priority Mode"}, frees=exposure.name,
            ),
            PaperControl("Reset", kind=BUTTON, most=0),
        ]
    )  # fmt: skip


def value_of(driver: PaperDriver, name: str) -> int:
    return next(each.value for each in driver.controls if name_of(each.name) == name)


def test_those_that_can_be_set_by_the_names_of_v4l2_ctl() -> None:
    found = {each.name: each.range for each in controls(webcam().ioctl)}
    assert found == {
        "brightness": "-64 to 64",
        "white_balance_automatic": "0 to 1",
        "gain": "0 to 100 by 5",
        "power_line_frequency": "0 (Off), 2 (50 Hz)",
        "link_frequency": "0 (456000000), 1 (7)",
        "motion_mask": "bits of 0xf",
        "exposure_time_absolute": "3 to 2047",
        "auto_exposure": "1 (Manual Mode), 3 (Aperture Priority Mode)",
        "reset": "0 (button)",
    }
    assert controls(PaperDriver().ioctl) == []


def test_values_are_set_and_switches_first() -> None:
    driver = webcam()
    wishes = {
        "exposure_time_absolute": 100,
        "brightness": -64,
        "power_line_frequency": "50 hz",
        "white_balance_automatic": False,
        "auto_exposure": "Manual Mode",
        "motion_mask": 0x80000001,
        "reset": 0,
    }
    assert list(apply(driver.ioctl, wishes)) == []
    assert {name: value_of(driver, name) for name in wishes} == {
        "exposure_time_absolute": 100,
        "brightness": -64,
        "power_line_frequency": 2,
        "white_balance_automatic": 0,
        "auto_exposure": 1,
        "motion_mask": 0x80000001 - 2**32,
        "reset": 0,
    }


@pytest.mark.parametrize(
    ("wish", "said"),
    [
        ({"exposure_absolute": 100}, "no control exposure_absolute; did you mean exposure_time_"),
        ({"zzz": 1}, "no control zzz; valid controls: brightness, white_balance_automatic"),
        ({"brightness": 65}, "control brightness cannot be set to 65; valid values: -64 to 64"),
        ({"brightness": 10**30}, "valid values: -64 to 64"),
        (
            {"brightness": "high"},
            "control brightness cannot be set to high; valid values: -64 to 64",
        ),
        ({"power_line_frequency": 1}, "valid values: 0 (Off), 2 (50 Hz)"),
        ({"power_line_frequency": "60 Hz"}, "valid values: 0 (Off), 2 (50 Hz)"),
        ({"motion_mask": 2**40}, "control motion_mask cannot be set to 1099511627776"),
        (
            {"exposure_time_absolute": 100},
            "set to 100: no effect; an automatic control overrides it",
        ),
    ],
)
def test_what_cannot_be_is_one_note(wish: dict[str, int | str], said: str) -> None:
    driver = webcam()
    before = [each.value for each in driver.controls if each.name != "Exposure Time, Absolute"]
    (note,) = apply(driver.ioctl, wish)
    assert said in note
    after = [each.value for each in driver.controls if each.name != "Exposure Time, Absolute"]
    assert after == before


def test_what_the_driver_makes_of_it_is_read_back() -> None:
    driver = PaperDriver(controls=[PaperControl("Gain", 0, 100, becomes=8)])
    assert list(apply(driver.ioctl, {"gain": 7})) == [
        "control gain was set to 7: the driver changed it to 8"
    ]
    assert list(apply(driver.ioctl, {"gain": 8})) == []


def test_a_control_that_an_automatic_one_moves_has_no_effect() -> None:
    driver = PaperDriver(controls=[PaperControl("Gain", flags=INACTIVE, becomes=64)])
    assert list(apply(driver.ioctl, {"gain": 9})) == [
        "control gain was set to 9: no effect; an automatic control overrides it"
    ]


@pytest.mark.parametrize(
    ("flags", "why"), [(0, ""), (INACTIVE, "; an automatic control overrides it")]
)
def test_a_refusal(flags: int, why: str) -> None:
    refusing = PaperControl("Focus, Absolute", 0, 100, errno=errno.EIO, flags=flags)
    (note,) = apply(PaperDriver(controls=[refusing]).ioctl, {"focus_absolute": 7})
    assert note == (
        f"control focus_absolute was set to 7: refused by the driver (Input/output error){why}"
    )


def test_a_device_without_controls() -> None:
    (note,) = apply(PaperDriver().ioctl, {"gain": 7})
    assert note == "no control gain; the camera has no controls"
    assert list(apply(PaperDriver().ioctl, {})) == []
