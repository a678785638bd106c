"""A family whose files are damaged, and what survives an interrupted write."""

from __future__ import annotations

import os
import re
import resource
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest

from edged.backends.onnxruntime import OrtBackend
from edged.errors import EdgedError, InputError
from edged.variants.evaluation.evaluate import verify
from edged.variants.family import Family, load_family, write_family
from edged.variants.golden import golden_picture
from edged.variants.manifest import checksum_problem
from tests.rig.families import (
    ALPHAS,
    content_of,
    edit,
    make_family,
    model,
    reload,
    with_other_network,
)
from tests.rig.pictures import claiming

# ----------------------------------------------------------------------------------------- damage


def test_a_truncated_network_is_named_with_both_sizes(family: Family) -> None:
    path = family.networks[1].path
    size = path.stat().st_size
    os.truncate(path, size // 2)
    with pytest.raises(InputError, match=rf"{path}.*truncated.*{size} bytes \(got {size // 2}"):
        reload(family.directory).networks[1].read()


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
    found = [str(problem) for problem in verify(reload(family.directory), OrtBackend())]
    assert [name for text in found for name in re.findall(r"/([\w.]+): the file is", text)] == [
        "golden.png", "mobilenet_v1_0.03.onnx", "mobilenet_v1_0.25.onnx",
    ]  # fmt: skip


def test_an_edited_manifest_loads_and_verify_says_so(family: Family) -> None:
    edit(family, "crop_fraction: 0.875", "crop_fraction: 0.9")
    assert reload(family.directory).input.crop_fraction == 0.9
    (problem,) = verify(reload(family.directory), OrtBackend())
    assert "changed after it was written" in str(problem)
    path = family.directory / "family.yaml"
    path.write_text("".join(path.read_text().splitlines(keepends=True)[1:-1]))
    assert verify(reload(family.directory), OrtBackend()) == []


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
    assert verify(reload(family.directory), OrtBackend()) == []


KILLED_WHILE_WRITING = """
import os, sys
from pathlib import Path
from tests.rig.families import with_other_network
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
        left = reload(family.directory)
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
    with pytest.raises(InputError, match="invalid golden picture: not a picture"):
        written.golden_picture()


def test_a_golden_picture_that_is_huge(family: Family) -> None:
    written = write_family(family, {}, claiming(".png", 30_000))
    what = r"golden-.*\.png: invalid golden picture: 30000x30000 is too large"
    with pytest.raises(InputError, match=what):
        written.golden_picture()
