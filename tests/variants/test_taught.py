"""Taught families on disk, and the backbone that they stand on."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError, InputError, InputErrors
from edged.variants.evaluation.evaluate import verify
from edged.variants.family import Accuracy, Family, Fit, load_family, write_family
from edged.variants.golden import check_golden, with_golden
from edged.variants.int8.quantize import float_networks
from edged.variants.taught import head_matrices, untaught, write_taught
from edged.variants.variant import Variant
from edged.variants.weights.importing import begin_family
from tests.rig.families import ALPHAS, RESOLUTIONS, content_of, edit, make_family, model, reload
from tests.rig.full_disk import no_room
from tests.rig.power_cut import cut_everywhere
from tests.rig.taught import GATE, heads, make_taught

SMALL = Variant(ALPHAS[0], RESOLUTIONS[0])


@pytest.fixture
def backbone(tmp_path: Path) -> Family:
    return make_family(tmp_path / "backbone")


@pytest.fixture
def taught(tmp_path: Path, backbone: Family) -> Family:
    return make_taught(tmp_path / "1", backbone, top1=0.9)


def test_what_is_written_is_read_back(taught: Family, backbone: Family) -> None:
    again = reload(taught.directory)
    assert again == taught and hash(again) == hash(taught)
    assert (taught.name, taught.labels, taught.none) == ("gate", GATE, True)
    assert taught.input.fit is Fit.SQUASH and taught.backbone == backbone
    assert taught.variants() == backbone.variants()
    assert taught.heads.keys() == {network.sha256 for network in backbone.networks}
    assert [network.path for network in taught.networks] == [
        network.path for network in backbone.networks
    ]
    assert taught.choice(SMALL) == backbone.choice(SMALL)
    made, matrices = heads(backbone, 3), head_matrices(taught)
    assert matrices is not None
    for network, matrix in made.items():
        assert (matrices[network].weight == matrix[:, :-1]).all()
    assert head_matrices(backbone) is None


def test_its_figures_are_its_heads(taught: Family, backbone: Family) -> None:
    found = taught.accuracy(SMALL)
    assert found == Accuracy(0.9, None, 40, "moments left out", 0.85, 0.95)
    assert taught.top1(SMALL) == 0.9 and taught.states_accuracy
    assert backbone.accuracy(SMALL) is None


def test_without_figures_variants_keep_their_published_order(
    tmp_path: Path, backbone: Family
) -> None:
    labels = tuple(f"class {number}" for number in range(1000))
    for family in (
        make_taught(tmp_path / "1", backbone),
        make_taught(tmp_path / "2", backbone, labels),
        untaught("gate", backbone, GATE),
    ):
        assert not family.states_accuracy
        assert [family.top1(each) for each in family.variants()] == [
            backbone.top1(each) for each in backbone.variants()
        ]


def test_the_backbones_own_figures_are_not_the_heads(tmp_path: Path, backbone: Family) -> None:
    judged = dict.fromkeys(RESOLUTIONS, Accuracy(0.7, None, 100, "animals"))
    networks = tuple(replace(network, accuracy=judged) for network in backbone.networks)
    measured = write_family(replace(backbone, networks=networks), {})
    assert measured.accuracy(SMALL) is not None
    assert make_taught(tmp_path / "1", measured).accuracy(SMALL) is None
    assert untaught("gate", measured, GATE).accuracy(SMALL) is None


def test_a_head_may_serve_some_networks_and_figures_some_resolutions(
    tmp_path: Path, backbone: Family
) -> None:
    first, second = backbone.networks
    judged = {first.sha256: {RESOLUTIONS[1]: Accuracy(0.8, None, 9, "moments")}}
    made = {first.sha256: heads(backbone, 2)[first.sha256]}
    family = write_taught(tmp_path / "1", "gate", backbone, GATE, made, judged, False)
    assert family.variants() == first.variants()
    assert not family.none and not family.states_accuracy
    with pytest.raises(InputError, match="no such variant"):
        family.network(second.variants()[0])


def test_the_fingerprint_changes_with_a_head_and_only_then(
    tmp_path: Path, taught: Family, backbone: Family
) -> None:
    again = make_taught(tmp_path / "2", backbone, top1=0.5)
    assert again.fingerprint == taught.fingerprint != backbone.fingerprint
    others = [
        make_taught(tmp_path / "3", backbone, seed=9),
        make_taught(tmp_path / "4", backbone, ("shut", "closed")),
        make_taught(tmp_path / "5", backbone, none=False),
        untaught("gate", backbone, GATE),
    ]
    assert len({each.fingerprint for each in (taught, *others)}) == 5


def test_a_shipped_backbone_is_named_and_others_by_their_folder(tmp_path: Path) -> None:
    shipped = load_family("imagenette", Path())
    family = make_taught(tmp_path / "1", shipped)
    assert "backbone: imagenette\n" in (family.directory / "family.yaml").read_text()
    assert not family.is_shipped and not untaught("gate", shipped, GATE).is_shipped
    assert shipped.is_shipped and family.backbone == shipped
    own = make_family(tmp_path / "own")
    text = (make_taught(tmp_path / "2", own).directory / "family.yaml").read_text()
    assert f"backbone: {own.directory}\n" in text


def test_a_relative_backbone_is_relative_to_the_folder(taught: Family, tmp_path: Path) -> None:
    edit(taught, str(tmp_path / "backbone"), "../backbone")
    moved = tmp_path / "moved"
    moved.mkdir()
    for name in ("1", "backbone"):
        shutil.move(tmp_path / name, moved / name)
    family = reload(moved / "1")
    assert {network.path.resolve().parent for network in family.networks} == {moved / "backbone"}


# ---------------------------------------------------------------------------------------- refusals


def test_a_network_that_the_backbone_lacks_is_named_with_both(
    taught: Family, backbone: Family
) -> None:
    lacking = backbone.networks[0]
    write_family(replace(backbone, networks=backbone.networks[1:]), {})
    with pytest.raises(
        InputError,
        match=rf"{taught.directory}/family\.yaml:\d+: heads\[0\]\.network: the backbone animals in "
        rf"{backbone.directory} has no such network \(got {lacking.sha256}\); teach it again",
    ):
        reload(taught.directory)


def test_a_backbone_that_is_gone_is_named(taught: Family, backbone: Family) -> None:
    shutil.rmtree(backbone.directory)
    with pytest.raises(
        InputError, match=rf"family\.yaml:5: backbone: .*{backbone.directory}: not a family"
    ):
        reload(taught.directory)


def test_errors_of_the_backbones_manifest_are_told_there(taught: Family, backbone: Family) -> None:
    edit(backbone, "alpha: 0.03", "alpha: wide")
    with pytest.raises(InputErrors, match=rf"{backbone.directory}/family\.yaml:\d+: networks\[0\]"):
        reload(taught.directory)


def test_a_taught_family_is_no_backbone(tmp_path: Path, taught: Family) -> None:
    edit(taught, str(taught.base.directory), str(tmp_path / "2"))
    make_taught(tmp_path / "2", make_family(tmp_path / "own"))
    with pytest.raises(InputError, match=rf"backbone: .*{tmp_path}/2: taught itself"):
        reload(taught.directory)
    edit(taught, str(tmp_path / "2"), ".")
    with pytest.raises(InputError, match=rf"backbone: .*{taught.directory}: taught itself"):
        reload(taught.directory)


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("format: 2", "format: 3", r"family\.yaml:2: format"),
        ("none: true", "none: maybe", "none: expected true or false"),
        ("none: true", "", "none: missing"),
        ("fit: squash", "fit: letterbox", r"input\.fit"),
        ("file: head_mobilenet_v1_0.03.npy", "file: ../head.npy", r"heads\[0\]\.file"),
        ("file: head_mobilenet_v1_0.03.npy", "file: gone.npy", r"heads\[0\]\.file: no such file"),
        ("    64:", "    sixty:", r"heads\[0\]\.resolutions\.sixty: invalid name"),
        ("    64:", "    65:", r"heads\[0\]\.resolutions\.65: .*does not serve this resolution"),
        ("top1: 0.9\n", "top1: 9\n", r"resolutions\.64\.top1"),
        ("top1: 0.9\n      ", "", r"resolutions\.64\.top1: missing"),
        ("name: gate", "name: ../gate", "name"),
        ("photos: 40", "golden: []", r"golden: unknown key"),
    ],
)
def test_a_wrong_manifest_is_refused_with_its_place(
    taught: Family, old: str, new: str, complaint: str
) -> None:
    edit(taught, old, new)
    with pytest.raises(InputError, match=complaint):
        reload(taught.directory)


def test_two_heads_of_a_network_are_refused(taught: Family) -> None:
    first, second = (network.sha256 for network in taught.networks)
    edit(taught, f"network: {second}", f"network: {first}")
    with pytest.raises(InputError, match=r"heads\[1\]\.network: head_.* is already the head"):
        reload(taught.directory)


@pytest.mark.parametrize("change", [("none: true", "none: false"), None])
def test_a_head_of_other_rows_is_refused(
    taught: Family, backbone: Family, change: tuple[str, str] | None
) -> None:
    if change is None:
        other = write_taught(
            taught.directory.parent / "2", "gate", backbone, ("a", "b", "c"),
            heads(backbone, 3), {}, False,
        )  # fmt: skip
        shutil.copy(other.directory / "labels.txt", taught.directory)
        family = replace(taught, labels=other.labels)
    else:
        edit(taught, *change)
        family = reload(taught.directory)
    count = len(family.labels)
    with pytest.raises(InputError, match=rf"head_.*\.npy: .*{count} labels.*got 3 rows"):
        head_matrices(family)


@pytest.mark.parametrize(
    "change",
    [
        lambda family, into: write_family(family, {}),
        lambda family, into: float_networks(family, None),
        lambda family, into: begin_family(into, None),
        lambda family, into: with_golden(family, {}, OrtBackend())[0] and write_family(family, {}),
    ],
)
def test_its_networks_are_not_its_own_to_change(
    taught: Family, change: Callable[[Family, Path], object]
) -> None:
    before = content_of(taught.directory)
    with pytest.raises(
        InputError, match=rf"gate is taught.*backbone instead: {taught.base.directory}"
    ):
        change(taught, taught.directory)
    assert content_of(taught.directory) == before


def test_heads_that_do_not_match_are_the_callers_mistake(tmp_path: Path, backbone: Family) -> None:
    made = heads(backbone, 2)
    with pytest.raises(ValueError, match="2 rows for 2 labels, none: True"):
        write_taught(tmp_path / "1", "gate", backbone, GATE, made, {}, True)
    with pytest.raises(ValueError, match="no networks of animals"):
        write_taught(
            tmp_path / "1", "gate", backbone, GATE, {"0" * 64: made.popitem()[1]}, {}, False
        )
    assert not (tmp_path / "1" / "family.yaml").exists()


# ------------------------------------------------------------------------------------------ proof


def test_the_golden_picture_proves_the_backbone_and_not_the_head(
    tmp_path: Path, backbone: Family
) -> None:
    """Two classes may tell nothing of red and blue, so that as a network they could not be proved:
    here both always have a half."""
    blind = {sha256: 0 * matrix for sha256, matrix in heads(backbone, 2).items()}
    family = write_taught(tmp_path / "1", "gate", backbone, GATE, blind, {}, False)
    assert verify(family, OrtBackend()) == []
    network = family.networks[0]
    runner = OrtBackend().load(network, network.read(), 1)
    check_golden(runner, family, network, family.golden_picture())
    other = OrtBackend().load(network, model(ALPHAS[0], seed=5), 1)
    with pytest.raises(InputError, match="gives wrong scores for the golden picture"):
        check_golden(other, family, network, family.golden_picture())


def test_verify_finds_what_is_damaged_in_both_folders(taught: Family, backbone: Family) -> None:
    assert verify(taught, OrtBackend()) == []
    network, head = taught.networks[0], taught.heads[taught.networks[0].sha256]
    whole = {path: path.read_bytes() for path in (head.path, network.path)}
    for path, content in whole.items():
        path.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        found = verify(taught, OrtBackend())
        assert [str(path) in str(each) for each in found] == [True]
        path.write_bytes(content)
    edit(taught, "top1: 0.9", "top1: 0.99")
    edit(backbone, "fit: crop", "fit: squash")
    found = verify(taught, OrtBackend())
    assert [each.where for each in found if "manifest was changed" in each.what] == [
        str(taught.directory / "family.yaml"), str(backbone.directory / "family.yaml"),
    ]  # fmt: skip


def test_verify_finds_a_head_of_another_network(tmp_path: Path, backbone: Family) -> None:
    first, second = (network.sha256 for network in backbone.networks)
    made = heads(backbone, 3)
    swapped = {first: made[second], second: made[first]}
    family = write_taught(tmp_path / "1", "gate", backbone, GATE, swapped, {}, True)
    found = [str(each) for each in verify(family, OrtBackend())]
    assert len(found) == 2
    assert "the head takes 256 features (got 30 of " in found[0]
    assert str(backbone.networks[0].path) in found[0] and "head_mobilenet_v1_0.03" in found[0]


# ---------------------------------------------------------------------------------------- writing


def test_a_new_version_over_the_old_leaves_no_other_files(tmp_path: Path, backbone: Family) -> None:
    old = make_taught(tmp_path / "1", backbone)
    new = make_taught(tmp_path / "1", backbone, ("a", "b", "c"), seed=3)
    assert reload(tmp_path / "1") == new != old
    named = {head.path.name for head in new.heads.values()}
    assert {path.name for path in (tmp_path / "1").iterdir()} >= {"family.yaml", *named}
    assert len(content_of(tmp_path / "1")) == 2 + len(named)


def test_a_power_cut_at_any_line_leaves_the_old_or_the_new(
    tmp_path: Path, backbone: Family
) -> None:
    folder = tmp_path / "1"
    old = make_taught(folder, backbone)
    kept = content_of(folder)
    new = make_taught(tmp_path / "2", backbone, seed=3).fingerprint
    left = []

    def check() -> None:
        family = reload(folder)
        assert head_matrices(family)
        left.append(family.fingerprint)
        for path in folder.iterdir():
            path.unlink()
        for name, content in kept.items():
            (folder / name).write_bytes(content)

    assert cut_everywhere(lambda: make_taught(folder, backbone, seed=3) and None, check) > 20
    assert set(left) == {old.fingerprint, new}


def test_a_full_disk_leaves_the_old(tmp_path: Path, backbone: Family) -> None:
    folder = tmp_path / "1"
    make_taught(folder, backbone)
    before = content_of(folder)
    with no_room(), pytest.raises(EdgedError, match="cannot write the taught family"):
        make_taught(folder, backbone, seed=3)
    assert content_of(folder) == before
