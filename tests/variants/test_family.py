"""The family on disk: what is read, what is refused, and what survives an interrupted write."""

from __future__ import annotations

import hashlib
import os
import re
import resource
import shutil
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError, InputError, InputErrors
from edged.variants.evaluation.evaluate import verify
from edged.variants.family import (
    Accuracy,
    Family,
    Fit,
    InputContract,
    Network,
    load_family,
    shipped_families,
    write_family,
)
from edged.variants.golden import golden_picture, with_golden
from edged.variants.manifest import checksum_problem
from edged.variants.published import published_top1
from edged.variants.variant import Precision, Variant
from tests.rig.families import ALPHAS, LABELS, RESOLUTIONS, content_of, make_family, model
from tests.rig.pictures import claiming


@pytest.fixture
def family(tmp_path: Path) -> Family:
    return make_family(tmp_path / "animals")


def edit(family: Family, old: str, new: str, count: int = 1) -> None:
    """Change the manifest as a person would."""
    path = family.directory / "family.yaml"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new, count))


def reload(family: Family) -> Family:
    return load_family(str(family.directory), Path())


# ---------------------------------------------------------------------------------------- reading


def test_what_is_written_is_read_back(family: Family) -> None:
    measured = {RESOLUTIONS[0]: Accuracy(0.75, 0.9, 100, "a test: of photos"),
                RESOLUTIONS[1]: Accuracy(0.8, None, None, "published: somewhere")}  # fmt: skip
    networks = (replace(family.networks[0], accuracy=measured, tolerance={64: 0.02}),)
    contract = InputContract(Fit.SQUASH, 1.0)
    written = write_family(replace(family, name="two", input=contract, networks=networks), {})
    assert written == reload(family)
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
    with pytest.raises(InputError, match=r"no family\.yaml.*\(there are: animals\)"):
        load_family(reference, tmp_path / "empty", (tmp_path,))


@pytest.mark.parametrize(
    ("old", "new", "complaint"),
    [
        ("format: 1", "format: 2", r"family\.yaml:2: format"),
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
        ("    64:", "    sixty:", r"networks\[0\]\.resolutions\.sixty: a resolution is a number"),
        ("    64:", "    16:", r"a resolution is a number of pixels from 32"),
        ("fit: crop", "fit: letterbox", r"input\.fit"),
        ("crop_fraction: 0.875", "crop_fraction: 1.5", r"input\.crop_fraction"),
        ("n01: ant", "n01: ants", r"photo_folders\.n01: no such label.*ants"),
        ("golden: [[", "golden: [[17, 0.1], [", r"golden: no such class: there are 6 labels.*17"),
        ("file: mobilenet_v1_0.03.onnx", "file: gone.onnx", r"no such file.*gone\.onnx"),
        ("file: golden.png", "file: gone.png", r"golden\.file: no such file.*gone\.png"),
        ("alpha: 0.25", "alpha: 0.03", r"mobilenet_v1_0.03.onnx already offers this variant"),
        ("sha256: ", "sha256: x", r"labels\.sha256"),
    ],
)  # fmt: skip
def test_a_wrong_manifest_is_refused_with_line_and_key(
    family: Family, old: str, new: str, complaint: str
) -> None:
    edit(family, old, new)
    with pytest.raises(InputError, match=complaint) as raised:
        reload(family)
    assert re.search(r"family\.yaml:\d+: ", str(raised.value))


def test_everything_wrong_is_told_at_once(family: Family) -> None:
    edit(family, "file: mobilenet_v1_0.03.onnx", "file: gone.onnx")
    edit(family, "file: golden.png", "file: gone.png")
    edit(family, "n01: ant", "n01: ants")
    with pytest.raises(InputErrors) as raised:
        reload(family)
    assert len(raised.value.errors) == 3


def test_numbers_may_be_written_as_people_write_them(family: Family) -> None:
    edit(family, "alpha: 0.25", "alpha: 1")
    edit(family, "golden: [[4, ", "golden: [[4.0, ")
    edit(family, "  precision: float\n", "")
    loaded = reload(family)
    assert Variant(1.0, 64) in loaded.variants()
    number = loaded.networks[0].golden[64][0][0]
    assert (number, type(number)) == (4, int)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [(b"ant\n\nbee\n", r"labels\.txt:2: an empty label"), (b"", "there are no labels"),
     (b"\xff\xfe", "not UTF-8")],
)  # fmt: skip
def test_labels_that_are_none(family: Family, content: bytes, complaint: str) -> None:
    path = family.directory / "labels.txt"
    before = hashlib.sha256(path.read_bytes()).hexdigest()
    path.write_bytes(content)
    edit(family, before, hashlib.sha256(content).hexdigest())
    with pytest.raises(InputError, match=complaint):
        reload(family)


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
    imagenet = replace(family, labels=tuple(map(str, range(1000))))
    for variant in imagenet.variants():
        accuracy = imagenet.accuracy(variant)
        assert accuracy is not None
        assert accuracy.source.startswith("published: ")
        assert accuracy.top1 == published_top1(variant)


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
    assert reload(family).fingerprint == family.fingerprint
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


# ----------------------------------------------------------------------------------------- damage


def test_a_truncated_network_is_named_with_both_sizes(family: Family) -> None:
    path = family.networks[1].path
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(InputError, match=rf"{path}.*truncated.*{size} bytes \(got {size // 2}"):
        reload(family).networks[1].read()


def test_zeros_of_the_right_length_are_told_by_the_hash(family: Family) -> None:
    network = family.networks[0]
    network.path.write_bytes(bytes(network.path.stat().st_size))
    with pytest.raises(InputError, match=rf"{network.path}.*{network.sha256}.*copy the family"):
        network.read()


def problems(directory: Path) -> list[InputError]:
    """What loading and verifying find."""
    problem = checksum_problem(directory)  # first, for it is quick
    if problem is not None:
        return [problem]
    try:
        return verify(load_family(str(directory), Path()), OrtBackend())
    except InputError as error:
        return [error]


def test_a_flipped_bit_anywhere_is_found(family: Family) -> None:
    assert problems(family.directory) == []
    for path in sorted(family.directory.iterdir()):
        whole = path.read_bytes()
        for place in range(0, len(whole), max(1, len(whole) // 500)):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << (place % 8)
            path.write_bytes(damaged)
            found = checksum_problem(family.directory)
            if found is None and path.suffix == ".onnx":
                with pytest.raises(InputError, match="damaged"):
                    next(n for n in family.networks if n.path == path).read()
            elif found is None and path.suffix == ".png":
                with pytest.raises(InputError, match="damaged"):
                    family.golden_picture()
            else:
                assert found or problems(family.directory), (path, place)
        path.write_bytes(whole)
    assert problems(family.directory) == []


def test_every_bit_of_the_manifest_counts(family: Family) -> None:
    """Each byte of the last lines, where damage could hide the checksum itself."""
    path = family.directory / "family.yaml"
    whole = path.read_bytes()
    for place in range(len(whole) - 80, len(whole)):
        for bit in range(8):
            damaged = bytearray(whole)
            damaged[place] ^= 1 << bit
            path.write_bytes(damaged)
            assert checksum_problem(family.directory) is not None or problems(family.directory)


def test_verify_names_each_damaged_file(family: Family) -> None:
    for network in family.networks:
        with network.path.open("r+b") as file:
            file.seek(1000)
            file.write(b"\0\1\2\3\4\5\6\7")
    (family.directory / "golden.png").write_bytes(b"no picture")
    found = [str(problem) for problem in verify(reload(family), OrtBackend())]
    assert [name for text in found for name in re.findall(r"/([\w.]+): the file is", text)] == [
        "golden.png", "mobilenet_v1_0.03.onnx", "mobilenet_v1_0.25.onnx",
    ]  # fmt: skip


def test_an_edited_manifest_loads_and_verify_says_so(family: Family) -> None:
    edit(family, "crop_fraction: 0.875", "crop_fraction: 0.9")
    assert reload(family).input.crop_fraction == 0.9
    (problem,) = verify(reload(family), OrtBackend())
    assert "not as it was written" in str(problem)
    path = family.directory / "family.yaml"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:-1]))
    assert verify(reload(family), OrtBackend()) == []


# ---------------------------------------------------------------------------------------- writing


def with_other_network(family: Family, seed: int = 7) -> tuple[Family, dict[str, bytes], bytes]:
    """The same family, trained anew: other weights under the same file name, another label."""
    path = family.networks[0].path
    models = {path.name: model(ALPHAS[0], seed=seed)}
    network = Network.of(path, models[path.name], ALPHAS[0], RESOLUTIONS)
    changed = replace(
        family, networks=(network, *family.networks[1:]), labels=(*LABELS[:-1], "gnu")
    )
    changed, golden = with_golden(changed, models, OrtBackend())
    return changed, models, golden


def test_a_rewritten_family_leaves_nothing_behind(family: Family) -> None:
    notes = family.directory / "NOTES.onnx"
    notes.write_text("the user's own")
    written = write_family(*with_other_network(family))
    assert verify(written, OrtBackend()) == []
    assert written.networks[0].read() == model(ALPHAS[0], seed=7)
    assert written.networks[1] == replace(
        family.networks[1],
        golden=written.networks[1].golden,
        tolerance=written.networks[1].tolerance,
    )
    expected = {written.golden, *(n.path for n in written.networks), notes}
    assert written.golden is not None
    kept = {path for path in family.directory.iterdir() if not path.name.startswith("labels")}
    assert kept == {*expected, family.directory / "family.yaml"}
    assert len(list(family.directory.glob("labels*"))) == 1


def test_the_same_family_twice_changes_nothing(family: Family) -> None:
    before = content_of(family.directory)
    assert write_family(family, {}) == family
    assert content_of(family.directory) == before


def test_a_family_can_be_written_elsewhere(family: Family, tmp_path: Path) -> None:
    copy = write_family(replace(family, directory=tmp_path / "a" / "copy"), {})
    assert content_of(copy.directory) == content_of(family.directory)
    assert copy.networks[0].path.parent == copy.directory


def test_others_may_read_what_was_written(family: Family) -> None:
    """The daemon runs as another user than whoever imported the network."""
    mask = os.umask(0o022)
    try:
        write_family(*with_other_network(family))
    finally:
        os.umask(mask)
    assert {path.stat().st_mode & 0o777 for path in family.directory.iterdir()} == {0o644}


@pytest.mark.parametrize("limit", [100, 10_000, 50_000])
def test_a_full_disk_leaves_the_old_family_whole(family: Family, limit: int) -> None:
    changed = with_other_network(family)
    before = content_of(family.directory)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
    try:
        with pytest.raises(EdgedError, match=r"cannot write the family.*is unchanged"):
            write_family(*changed)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert content_of(family.directory) == before
    assert verify(reload(family), OrtBackend()) == []


KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from tests.variants.test_family import with_other_network
from edged.variants.family import load_family, write_family

family = load_family(sys.argv[1], Path())
changed = with_other_network(family)
left = int(sys.argv[2])

def kill(event, arguments):
    global left
    if event in ("os.rename", "os.remove"):
        left -= 1
        if left < 0:
            os._exit(9)

sys.addaudithook(kill)
write_family(*changed)
"""


def test_a_kill_at_any_rename_leaves_one_whole_family(family: Family) -> None:
    old = family.fingerprint
    seen = set()
    for steps in range(20):
        make_family(family.directory)
        command = [sys.executable, "-c", KILLED_WHILE_WRITING, str(family.directory), str(steps)]
        status = subprocess.run(command, check=False).returncode
        assert status in (0, 9)
        left = reload(family)
        assert verify(left, OrtBackend()) == []
        seen.add(left.fingerprint == old)
        if status == 0:
            break
    assert status == 0
    assert seen == {True, False}
    assert not list(family.directory.glob(".*"))


def test_what_does_not_match_its_hash_is_not_written(family: Family) -> None:
    before = content_of(family.directory)
    with pytest.raises(ValueError, match="is not what its sha256"):
        write_family(family, {family.networks[0].path.name: b"something else"})
    assert content_of(family.directory) == before


def test_a_folder_that_cannot_be_made(family: Family, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(EdgedError, match="cannot write the family"):
        write_family(replace(family, directory=tmp_path / "file" / "x"), {})


def test_the_golden_picture_is_read_in_rgb(family: Family) -> None:
    drawn = golden_picture(5)
    png = cv2.imencode(".png", drawn[:, :, ::-1])[1].tobytes()
    assert (write_family(family, {}, png).golden_picture() == drawn).all()


def test_a_missing_golden_picture_is_named(family: Family) -> None:
    assert family.golden is not None
    family.golden.unlink()
    with pytest.raises(InputError, match=r"golden\.png: cannot be read: No such file"):
        family.golden_picture()
    with pytest.raises(InputError, match="has no golden picture"):
        replace(family, golden=None).golden_picture()


def test_a_golden_picture_that_is_none(family: Family) -> None:
    written = write_family(family, {}, b"no picture, though the hash is right")
    with pytest.raises(InputError, match="the golden picture cannot be used: not a picture"):
        written.golden_picture()


def test_a_golden_picture_that_is_huge(family: Family) -> None:
    written = write_family(family, {}, claiming(".png", 30_000))
    what = r"golden-.*\.png: the golden picture cannot be used: 30000x30000 is too large"
    with pytest.raises(InputError, match=what):
        written.golden_picture()
