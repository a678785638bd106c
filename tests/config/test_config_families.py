"""What the families of views have against a configuration, and warnings about views."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from edged.cli import main
from edged.config.config import Config, load_config
from edged.config.family import Families, family_errors
from edged.config.warnings import accuracy_warnings, name_warnings, region_warnings, warnings
from edged.errors import InputErrors
from edged.variants.family import Family
from tests.rig.configuration import YARD, Load, camera, views
from tests.rig.families import edit, make_family, sibling


@pytest.fixture
def judged(load: Load, tmp_path: Path) -> Callable[..., list[str]]:
    """What the families have against it, with line and key."""

    def found(text: str) -> list[str]:
        config = load(text)
        return [str(error).removeprefix(f"{config.path}:") for error in family_errors(config)]

    return found


def valid(config: Config) -> dict[str, Family]:
    """The family of each view, of which none has an error."""
    families = Families(config)
    assert list(families.errors()) == []
    return families.by_view


# families


def test_each_view_has_the_family_that_it_names(load: Load, tmp_path: Path) -> None:
    make_family(tmp_path / "gate")
    make_family(tmp_path / "bin")
    config = load(YARD)
    found = valid(config)
    assert {view: family.directory.name for view, family in found.items()} == {
        "yard/gate": "gate",
        "yard/bin": "bin",
        "door": "imagenette",
    }
    assert Families(config).of(config.views[0]) == found["yard/gate"]


LACKING = (
    "7: events.open.class: the family of yard/bin has no such class (got ant); watch only views "
    "whose family has it: cameras: [yard/gate]"
)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (
            views("gate: {model: nowhere}", "bin: {}"),
            ["5: cameras.yard.views.gate.model: {base}/nowhere: not a family: no family.yaml"],
        ),
        (
            views("gate: {}", "bin: {model: animals}", above="    model: net.tflite\n"),
            ["4: cameras.yard.model: {base}/net.tflite: not a family: no family.yaml"],
        ),
        (
            "model: nowhere\n" + views("gate: {}", "bin: {model: animals}", "wall: {}"),
            ["1: model: {base}/nowhere: not a family: no family.yaml"],
        ),
        (
            views("gate: {model: nowhere}", "bin: {model: nowhere}"),
            [
                "5: cameras.yard.views.gate.model: {base}/nowhere: not a family",
                "6: cameras.yard.views.bin.model: {base}/nowhere: not a family",
            ],
        ),
        # variants, where they stand
        (
            views("gate: {model: animals, variants: [mobilenet_v1_0.5_160]}"),
            ["5: cameras.yard.views.gate.variants[0]: no such variant in the family animals ("],
        ),
        (
            "variants: [mobilenet_v1_0.5_160]\n" + views("gate: {model: animals}", "bin: {}"),
            ["1: variants[0]: no such variant in the family animals"],
        ),
        (
            views(
                "gate: {model: animals, variants: [mobilenet_v1_0.03_64]}",
                above="    variants: [mobilenet_v1_0.5_160]\n",
            ),
            [],
        ),
        (
            views("gate: {}", "bin: {}", above="    variants: [mobilenet_v1_0.3_64]\n"),
            ["4: cameras.yard.variants[0]: no such variant in the family imagenette"],
        ),
        # accuracy, which animals lack
        (
            views("gate: {min_top1: 0.5}", "bin: {model: animals, min_top1: 0.5}"),
            ["6: cameras.yard.views.bin.min_top1: needs measured accuracy, which the family anim"],
        ),
        (
            "min_top1: 0.5\n" + views("gate: {model: animals}", "bin: {model: animals}"),
            ["1: min_top1: needs measured accuracy, which the family animals lacks"],
        ),
        ("min_top1: 0.5\n" + views("gate: {model: animals, min_top1: 0}"), []),
        # classes
        (
            views("gate: {model: animals}", "bin: {}") + "events: {open: {class: ant}}",
            [LACKING],
        ),
        (
            views("gate: {model: animals}", "bin: {}")
            + "events: {open: {class: ant, cameras: [yard/gate]}}",
            [],
        ),
        (
            views("gate: {model: animals}", "bin: {}") + "events: {open: {class: atn}}",
            ["7: events.open.class: the family of yard/gate has no such class (got atn); did you"],
        ),
        (
            views("gate: {model: animals}", "bin: {}")
            + "events: {open: {class: golf ball, cameras: [yard/gate]}}",
            ["7: events.open.class: the family has no such class (got golf ball); use one of ant"],
        ),
        (
            views("gate: {}", "bin: {}") + "events: {open: {class: gofl ball}}",
            ["7: events.open.class: the family has no such class (got gofl ball); did you mean g"],
        ),
        (
            views("gate: {model: nowhere}", "bin: {}") + "events: {open: {class: golf ball}}",
            ["5: cameras.yard.views.gate.model: {base}/nowhere: not a family"],
        ),
    ],
)
def test_what_a_family_has_against_its_views(
    judged: Callable[..., list[str]], tmp_path: Path, text: str, expected: list[str]
) -> None:
    make_family(tmp_path / "animals")
    found = judged(text)
    assert len(found) == len(expected), found
    for answer, part in zip(found, expected, strict=True):
        assert answer.startswith(part.replace("{base}", str(tmp_path)))


def test_what_families_know_is_told_together_with_the_rest(tmp_path: Path) -> None:
    make_family(tmp_path / "animals")
    path = tmp_path / "edged.yaml"
    path.write_text(
        "cameras:\n"
        "  yard:\n"
        "    source: rstp://192.0.2.7/1\n"
        "    views:\n"
        "      gate: {model: animals, variants: [mobilenet_v1_0.5_160]}\n"
        "      bin: {roi: [0.9, 0, 0.2, 1]}\n"
        "events:\n"
        "  open: {class: bird, cameras: [yard/gate]}\n"
    )
    with pytest.raises(InputErrors) as caught:
        load_config(path, {}, family_errors)
    found = [str(error).removeprefix(f"{path}:") for error in caught.value.errors]
    parts = (
        "3: cameras.yard.source: expected a URL of",
        "5: cameras.yard.views.gate.variants[0]: no such variant",
        "6: cameras.yard.views.bin.roi: extends beyond",
        "8: events.open.class: the family has no such class",
    )
    assert len(found) == len(parts), found
    assert all(map(str.startswith, found, parts))


# warnings


@pytest.mark.parametrize(
    ("second", "warned"),
    [
        ("{roi: [0, 0, 0.5, 1]}", True),
        ("{roi: [0, 0, 0.5, 1], latency_budget_ms: 33}", True),  # as at the top
        ("{roi: [0, 0, 0.5, 0.9]}", False),
        ("{roi: [0, 0, 0.5, 1], model: animals}", False),
        ("{roi: [0, 0, 0.5, 1], max_fps: 1}", False),
        ("{roi: [0, 0, 0.5, 1], variants: [mobilenet_v1_0.5_160]}", False),
        ("{roi: [0, 0, 0.5, 1], quiet: {}}", False),
    ],
)
def test_warning_of_two_views_alike(load: Load, second: str, warned: bool) -> None:
    text = views("gate: {roi: [0, 0, 0.5, 1]}", "wall: {}", f"bin: {second}")
    what = (
        "7: cameras.yard.views.bin: region, model and limits are those of gate; remove one of the "
        "views"
    )
    found = warnings(load(text + "  door: {source: synthetic, roi: [0, 0, 0.5, 1]}\n"))
    assert [each.partition("edged.yaml:")[2] for each in found] == [what] * warned


def test_a_region_of_all_is_no_region(load: Load) -> None:
    (found,) = warnings(load(views("gate: {}", "bin: {roi: [0, 0, 1, 1]}")))
    assert "cameras.yard.views.bin: region, model and limits are those of gate" in found


def test_rates_are_judged_by_view(load: Load) -> None:
    text = views(
        "gate: {min_fps: 6, max_fps: 5}", "bin: {max_fps: 8}", "wall: {}", above="    min_fps: 31\n"
    )
    yard, gate = "cameras.yard.min_fps", "cameras.yard.views.gate.min_fps"
    assert [each.partition("edged.yaml:")[2].split(" ", 1) for each in warnings(load(text))] == [
        ["6:", f"{gate}: yard/gate cannot give 6 results a second with max_fps 5"],
        ["4:", f"{yard}: yard/bin cannot give 31 results a second with max_fps 8"],
        ["4:", f"{yard}: yard/wall cannot give 31 results a second, as it delivers 30 frames"],
    ]


@pytest.mark.parametrize(
    ("camera", "expected"),
    [
        ("source: synthetic:640x480, roi: [0, 0, 0.09, 0.5]", "58x240 pixels of 640x480"),
        ("source: synthetic, size: 1280x720, roi: [0, 0, 0.5, 0.08]", "640x58 pixels of 1280x720"),
        ("source: synthetic, roi: [0, 0, 0.2, 0.25]", None),  # 128x120, and animals see 64
        ("source: synthetic, model: imagenette, roi: [0, 0, 0.2, 0.25]", "128x120 pixels"),
        ("source: synthetic, rotate: 90, roi: [0, 0, 0.125, 1]", "60x640 pixels of 480x640"),
        ("source: synthetic, rotate: 180, roi: [0, 0, 0.125, 1]", None),
        ("source: /dev/video0, size: 320x240, roi: [0, 0, 0.1, 1]", "32x240 pixels of 320x240"),
        ("source: /dev/video0, roi: [0, 0, 0.1, 1]", None),
        ("source: 'rtsp://h/1', size: 320x240, roi: [0, 0, 0.1, 1]", None),  # does not follow size
        ("source: synthetic:32x32", None),
        (
            "source: synthetic, variants: [mobilenet_v1_0.25_96], roi: [0, 0, 0.125, 1]",
            "80x480 pixels of 640x480, but the smallest variant sees 96x96; enlarge the region, or",
        ),
        (
            "source: synthetic, views: {a: {}, b: {roi: [0, 0, 0.05, 1]}}",
            "32x480 pixels of 640x480, but the smallest variant sees 64x64",
        ),
    ],
)
def test_warning_of_a_region_that_is_too_small(
    load: Load, tmp_path: Path, camera: str, expected: str | None
) -> None:
    make_family(tmp_path / "animals")
    config = load(f"model: animals\ncameras:\n  door: {{{camera}}}\n")
    families = valid(config)
    found = list(region_warnings(config, families))
    if expected is None:
        assert found == []
    else:
        assert len(found) == 1
        place = "cameras.door.views.b.roi" if "views" in camera else "cameras.door.roi"
        assert f"edged.yaml:3: {place}: {expected}" in found[0]


def test_warning_of_two_families_with_one_name(load: Load, tmp_path: Path) -> None:
    gate = make_family(tmp_path / "gate")
    other = sibling(gate, tmp_path / "bin")
    own = "views: {a: {model: bin}, b: {}, c: {}}"
    text = f"model: gate\ncameras:\n  yard: {{source: synthetic, {own}}}\n"

    def warned() -> list[str]:
        config = load(text)
        return list(name_warnings(config, valid(config)))

    assert warned() == []
    edit(other, "name: bin", "name: animals")
    (warning,) = warned()
    assert "edged.yaml:1: model: the family in " in warning
    assert f"{tmp_path / 'bin'} has the same name" in warning
    assert warning.endswith("(got animals)")
    shutil.copytree(tmp_path / "gate", tmp_path / "bin", dirs_exist_ok=True)
    assert warned() == []  # a copy


@pytest.mark.parametrize(
    ("keys", "best"),
    [
        ("min_top1: 0.99", "mobilenet_v1_1.0_192_int8 (0."),
        ("min_top1: 0.99, variants: [mobilenet_v1_0.25_128]", "mobilenet_v1_0.25_128 (0."),
        ("min_top1: 0.6", None),
        ("min_top1: 0", None),
    ],
)
def test_warning_of_an_accuracy_that_no_variant_reaches(
    load: Load, keys: str, best: str | None
) -> None:
    config = load(camera("{source: synthetic, " + keys + "}"))
    families = valid(config)
    found = list(accuracy_warnings(config, families))
    assert len(found) == (best is not None)
    if best is not None:
        what = "3: cameras.door.min_top1: no variant reaches it; door uses the most accurate, "
        assert f"{what}{best}" in found[0]
        assert "(got 0.99); lower it" in found[0]


def test_check_names_views_and_families_and_warns(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    make_family(tmp_path / "gate")
    path = tmp_path / "edged.yaml"
    path.write_text(YARD.replace("model: bin, ", "").replace("0.3, 0.5]", "0.1, 0.5]"))
    path.chmod(0o640)
    assert main(["check", str(path)]) == 0
    said = capsys.readouterr()
    assert said.out == (
        f"{path}: valid; cameras yard (gate, bin), door; families animals, imagenette\n"
    )
    assert said.err == (
        f"edged: {path}:7: cameras.yard.views.bin.roi: 64x240 pixels of 640x480, but the smallest "
        "variant sees 128x128; enlarge the region, or request a larger size\n"
    )
