"""The family on disk: what is read, what is refused, and what survives an interrupted write."""

from __future__ import annotations

import hashlib
import re
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from edged.errors import InputError, InputErrors
from edged.variants.family import (
    Accuracy,
    Family,
    Fit,
    InputContract,
    load_family,
    shipped_families,
    write_family,
)
from edged.variants.published import published_top1
from edged.variants.variant import Precision, Variant
from tests.rig.families import ALPHAS, LABELS, RESOLUTIONS, edit, model, reload

# ---------------------------------------------------------------------------------------- reading


def test_what_is_written_is_read_back(family: Family) -> None:
    measured = {RESOLUTIONS[0]: Accuracy(0.75, 0.9, 100, "a test: of photos"),
                RESOLUTIONS[1]: Accuracy(0.8, None, None, "published: somewhere")}  # fmt: skip
    networks = (replace(family.networks[0], accuracy=measured, tolerance={64: 0.02}),)
    contract = InputContract(Fit.SQUASH, 1.0)
    written = write_family(replace(family, name="two", input=contract, networks=networks), {})
    assert written == reload(family.directory)
    assert written.input == contract
    assert written.networks[0].accuracy == measured
    assert written.networks[0].tolerance == {64: 0.02}
    assert written.networks[0].golden == family.networks[0].golden
    assert written.photo_folders == {"n01": "ant"}
    assert written.labels == LABELS


def test_variants_and_the_networks_that_run_them(family: Family) -> None:
    assert family.variants() == tuple(Variant(a, r) for a in ALPHAS for r in RESOLUTIONS)
    for variant in family.variants():
        assert family.network(variant).alpha == variant.alpha
    with pytest.raises(InputError, match=r"no such variant.*mobilenet_v1_1.0_224.*it has mobile"):
        family.network(Variant(1.0, 224))


def test_networks_are_read_whole(family: Family) -> None:
    assert [network.read() for network in family.networks] == [model(alpha) for alpha in ALPHAS]


def test_a_family_is_found_by_name_and_by_path(
    family: Family, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shipped = (tmp_path / "none", tmp_path)
    (tmp_path / "recipe").mkdir()  # a folder without a manifest is no family
    assert shipped_families(shipped) == ("animals",)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    assert load_family("animals", elsewhere, shipped) == family
    assert load_family("animals", tmp_path, ()) == family
    assert load_family(str(family.directory), elsewhere, ()) == family
    by_way = load_family("../animals", elsewhere, ())
    assert by_way.directory.samefile(family.directory)
    assert load_family("animals/family.yaml", tmp_path, ()).directory == family.directory
    monkeypatch.setenv("HOME", str(tmp_path))
    assert load_family("~/animals", elsewhere, ()) == family


def test_a_shipped_name_wins_unless_written_as_a_path(family: Family, tmp_path: Path) -> None:
    own = tmp_path / "own" / "animals"
    shutil.copytree(family.directory, own)
    assert load_family("animals", own.parent, (tmp_path,)).directory == family.directory
    assert load_family("./animals", own.parent, (tmp_path,)).directory.samefile(own)


@pytest.mark.parametrize("reference", ["plants", "~nobody-at-all/x", "/proc", "", "."])
def test_an_absent_family_names_the_shipped_ones(
    family: Family, tmp_path: Path, reference: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(InputError, match=r"no family\.yaml.*\(animals\)"):
        load_family(reference, tmp_path / "empty", (tmp_path,))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("format: 1", "format: 3", r"family\.yaml:2: format"),
        ("architecture: mobilenet_v1", "architecture: resnet", r":4: architecture"),
        ("file: mobilenet_v1_0.03.onnx", "file: ../secret.onnx", r"networks\[0\]\.file"),
        ("file: mobilenet_v1_0.03.onnx", "file: /etc/passwd", r"networks\[0\]\.file"),
        ("file: labels.txt", "file: ..", r"labels\.file"),
        ("file: golden.png", "file: sub/golden.png", r"golden\.file"),
        ("alpha: 0.03", "alpha: 0", r"networks\[0\]\.alpha"),
        ("alpha: 0.03", "alpha: wide", r"networks\[0\]\.alpha"),
        ("precision: float", "precision: int4", r"networks\[0\]\.precision"),
        ("precision: float", "calibration: {conv: 0}", r"networks\[0\]\.calibration\.conv"),
        ("precision: float", "calibration: [6.0]", r"networks\[0\]\.calibration: "),
        ("    64:", "    sixty:", r"networks\[0\]\.resolutions\.sixty: a resolution must be"),
        ("    64:", "    16:", r"a resolution must be a number of pixels, at least 32"),
        ("fit: crop", "fit: letterbox", r"input\.fit"),
        ("crop_fraction: 0.875", "crop_fraction: 1.5", r"input\.crop_fraction"),
        ("n01: ant", "n01: ants", r"photo_folders\.n01: no such label.*ants"),
        ("golden: [[", "golden: [[17, 0.1], [", r"golden: no such class: there are 6 labels.*17"),
        ("file: mobilenet_v1_0.03.onnx", "file: gone.onnx", r"no such file.*gone\.onnx"),
        ("file: golden.png", "file: gone.png", r"golden\.file: no such file.*gone\.png"),
        ("alpha: 0.25", "alpha: 0.03", r"mobilenet_v1_0.03.onnx already has this variant"),
        ("sha256: ", "sha256: x", r"labels\.sha256"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused_with_line_and_key(
    family: Family, old: str, new: str, complaint: str
) -> None:
    edit(family, old, new)
    with pytest.raises(InputError, match=complaint) as raised:
        reload(family.directory)
    assert re.search(r"family\.yaml:\d+: ", str(raised.value))


def test_everything_wrong_is_told_at_once(family: Family) -> None:
    edit(family, "file: mobilenet_v1_0.03.onnx", "file: gone.onnx")
    edit(family, "file: golden.png", "file: gone.png")
    edit(family, "n01: ant", "n01: ants")
    with pytest.raises(InputErrors) as raised:
        reload(family.directory)
    assert len(raised.value.errors) == 3


def test_numbers_may_be_written_as_people_write_them(family: Family) -> None:
    edit(family, "alpha: 0.25", "alpha: 1")
    edit(family, "golden: [[4, ", "golden: [[4.0, ")
    edit(family, "  precision: float\n", "")
    loaded = reload(family.directory)
    assert Variant(1.0, 64) in loaded.variants()
    number = loaded.networks[0].golden[64][0][0]
    assert (number, type(number)) == (4, int)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"ant\n\nbee\n", r"labels\.txt:2: an empty label"), (b"", "no labels"),
     (b"\xff\xfe", "not UTF-8")],
)  # fmt: skip
def test_labels_that_are_none(family: Family, content: bytes, complaint: str) -> None:
    path = family.directory / "labels.txt"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(content)
    edit(family, before, hashlib.sha256(content).hexdigest())
    with pytest.raises(InputError, match=complaint):
        reload(family.directory)


# --------------------------------------------------------------------------------------- accuracy


def measured(family: Family, source: str) -> Family:
    """Each variant a hundredth better than the one before."""
    networks = []
    for number, network in enumerate(family.networks):
        accuracy = {
            side: Accuracy(0.5 + number / 10 + place / 100, None, 10, source)
            for place, side in enumerate(network.resolutions)
        }
        networks.append(replace(network, accuracy=accuracy))
    return replace(family, networks=tuple(networks))


def test_a_measured_family_is_judged_by_its_own_figures(family: Family) -> None:
    known = measured(family, "a test")
    assert [known.top1(variant) for variant in known.variants()] == [0.5, 0.51, 0.6, 0.61]


def test_figures_that_cannot_be_compared_are_not(family: Family) -> None:
    known = measured(family, "a test")
    first, second = known.networks
    gap = replace(known, networks=(first, replace(second, accuracy={})))
    mixed = replace(known, networks=(first, measured(family, "other photos").networks[1]))
    for unequal in (family, gap, mixed):
        for variant in unequal.variants():
            assert unequal.accuracy(variant) is None
            assert unequal.top1(variant) == published_top1(variant)  # an order, and no more
        assert not unequal.states_accuracy
    assert known.states_accuracy


def test_published_figures_are_imagenets_alone(family: Family) -> None:
    """And of networks that were trained for the one resolution that they run at."""
    shared = replace(family, labels=tuple(map(str, range(1000))))
    one_each = tuple(replace(network, resolutions=(96,)) for network in shared.networks)
    imagenet = replace(shared, networks=one_each)
    for variant in imagenet.variants():
        accuracy = imagenet.accuracy(variant)
        assert accuracy is not None
        assert accuracy.source.startswith("published: ")
        assert accuracy.top1 == published_top1(variant)
        assert shared.accuracy(variant) is None
        assert shared.top1(variant) == published_top1(variant)  # an order, and no more


def test_published_figures_are_the_table_and_lines_between() -> None:
    assert published_top1(Variant(1.0, 224)) == pytest.approx(0.709)
    assert published_top1(Variant(0.25, 128)) == pytest.approx(0.415)
    assert published_top1(Variant(0.5, 176)) == pytest.approx((0.591 + 0.617) / 2)
    assert published_top1(Variant(0.625, 160)) == pytest.approx((0.591 + 0.653) / 2)
    twin = Variant(0.5, 160, Precision.INT8)
    assert published_top1(Variant(0.25, 160)) < published_top1(twin) < 0.591


def test_published_figures_rise_with_width_and_resolution() -> None:
    sides = (32, 96, 128, 144, 160, 192, 224, 256, 320)
    alphas = (0.125, 0.25, 0.3, 0.5, 0.75, 1.0)
    for alpha in alphas:
        row = [published_top1(Variant(alpha, side)) for side in sides]
        assert row == sorted(set(row))
    for side in sides:
        column = [published_top1(Variant(alpha, side)) for alpha in alphas]
        assert column == sorted(set(column))
        assert column[0] > 0
        assert column[-1] < 1


# ------------------------------------------------------------------------------------ fingerprint


def test_the_fingerprint_changes_with_what_runs_and_only_then(family: Family) -> None:
    first, second = family.networks
    assert reload(family.directory).fingerprint == family.fingerprint
    assert measured(family, "a test").fingerprint == family.fingerprint
    assert replace(family, networks=(second, first)).fingerprint == family.fingerprint
    others = [
        replace(family, networks=(first,)),
        replace(family, labels=(*LABELS[:-1], "gnu")),
        replace(family, input=InputContract(Fit.SQUASH)),
        replace(family, networks=(first, replace(second, sha256="0" * 64))),
        replace(family, networks=(first, replace(second, resolutions=(64,)))),
        replace(family, networks=(first, replace(second, precision=Precision.INT8))),
    ]
    assert len({family.fingerprint, *(other.fingerprint for other in others)}) == 7
