"""Training in its own process: a version, its report, what it costs to go on."""

from __future__ import annotations

import os
import signal
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from edged.errors import EdgedError, InputError
from edged.teach.store import Classifier, TeachStore
from edged.teach.teach import Example
from edged.teach.training import Training, TrainingProcess
from edged.teach.training.material import spread
from edged.variants.family import Family
from edged.variants.taught import head_matrices
from tests.rig.classifiers import CLASSES, filled, jpeg, made, moment, with_none_photos


def trained(classifier: Classifier, backbone: Family, told: list[Training] | None = None) -> int:
    said = [] if told is None else told
    with TrainingProcess(classifier.folder, str(backbone.directory), told=said.append) as process:
        return process.wait()


@pytest.fixture(scope="module")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Family:
    from tests.rig.families import make_family

    return make_family(tmp_path_factory.mktemp("backbone") / "animals")


def written(folder: Path) -> dict[str, int]:
    """When each cached file was written."""
    return {
        str(each.relative_to(folder)): each.stat().st_mtime_ns
        for each in (*folder.rglob("features/*/*.npy"), *folder.glob(".none/*/*.npy"))
    }


@pytest.fixture(scope="module")
def taught(backbone: Family, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Classifier]:
    """Four moments of each class, and its first version."""
    classifier = filled(made(with_none_photos(tmp_path_factory.mktemp("store") / "teach")))
    assert trained(classifier, backbone) == 1
    yield classifier


def test_a_version_knows_its_classes_and_how_well(taught: Classifier, backbone: Family) -> None:
    report, family = taught.report(1), taught.family(1)
    assert family.labels == CLASSES
    assert family.none
    assert family.backbone == backbone
    assert set(family.heads) == {network.sha256 for network in backbone.networks}
    assert report["pictures"] == {"open": 12, "closed": 12}
    assert report["moments"] == {"open": 4, "closed": 4}
    assert report["left_out"] == []
    estimate = report["estimate"]
    assert (estimate["judged"], estimate["rough"], estimate["moments"]) == (True, False, 8)
    assert set(estimate["variants"]) == {variant.name for variant in backbone.variants()}
    for variant in family.variants():
        figures = family.accuracy(variant)
        assert figures is not None and figures.low is not None and figures.high is not None
        assert figures.low <= figures.top1 <= figures.high
        assert figures.top1 == estimate["variants"][variant.name]["top1"]
    assert family.states_accuracy
    assert report["confusion"]["labels"][:2] == list(CLASSES)
    assert sum(report["confusion"]["counts"][0]) == pytest.approx(12, abs=0.1)


def test_the_heads_tell_the_classes_apart(taught: Classifier, backbone: Family) -> None:
    from edged.backends.onnxruntime import OrtBackend
    from edged.capture.decode.jpeg import decoded
    from edged.teach.training.features import Extraction

    matrices = head_matrices(taught.family(1))
    assert matrices is not None
    for network in backbone.networks[1:]:  # the smallest random one sees next to nothing
        extraction = Extraction(OrtBackend(), network)
        for label in range(2):
            right = 0
            for number in range(500, 510):  # never taught
                shots = extraction.features(decoded(jpeg(label, number), 0), copies=1)[0]
                for shot in shots.astype(np.float32):
                    scores = matrices[network.sha256].scores(shot)
                    right += scores[label] == scores[:2].max()
            assert right > 0.7 * 10 * len(network.resolutions)


def test_one_more_picture_costs_one_picture(taught: Classifier, backbone: Family) -> None:
    before = written(taught.folder.parent)
    taught.add("open", moment(77), jpeg(0, 770))
    told: list[Training] = []
    version = trained(taught, backbone, told)
    after = written(taught.folder.parent)
    new = after.keys() - before.keys()
    assert len(new) == len(backbone.networks)
    assert {each: after[each] for each in before} == before
    assert taught.report(version)["pictures"]["open"] == 13
    assert {each.stage for each in told} == {"features", "heads"}
    assert told[-1].version == version
    taught.discard(moment(77))
    trained(taught, backbone)
    assert len(written(taught.folder.parent)) == len(before)


def test_bad_pictures_and_damaged_features_do_not_end_it(tmp_path: Path, backbone: Family) -> None:
    classifier = filled(made(tmp_path / "teach", none=False), moments=2, pictures=1)
    bad = jpeg(0, 99)[:200]
    classifier.add("open", moment(60), bad)
    trained(classifier, backbone)
    report = classifier.report(1)
    assert [each["picture"] for each in report["left_out"]] == [
        each.pictures[0] for each in classifier.moments() if each.id == moment(60)
    ]
    assert "incomplete" in report["left_out"][0]["reason"]
    assert report["estimate"]["rough"]
    assert not classifier.family(1).none
    features = sorted(classifier.folder.glob("features/*/*.npy"))
    heads = classifier.family(1).heads
    features[0].write_bytes(bytes(features[0].stat().st_size))
    features[1].write_bytes(b"")
    features[2].write_bytes(features[3].read_bytes()[:-1])
    trained(classifier, backbone)
    assert classifier.family(2).heads == heads  # the same content


def test_a_damaged_photo_of_none_does_not_end_it(tmp_path: Path, backbone: Family) -> None:
    root = with_none_photos(tmp_path / "teach")
    classifier = filled(made(root), moments=2, pictures=1)
    photos = sorted((root / ".none/photos").iterdir())
    photos[0].write_bytes(photos[0].read_bytes()[:200])
    trained(classifier, backbone)
    (left_out,) = classifier.report(1)["left_out"]
    assert left_out["picture"] == photos[0].stem
    assert left_out["reason"].startswith("a photo for `none`: incomplete")
    before = written(root)
    trained(classifier, backbone)
    assert written(root) == before
    for each in photos:
        each.write_bytes(b"")
    with pytest.raises(EdgedError, match=r"no photo for `none` can be read.* train --none-photos"):
        trained(classifier, backbone)


def test_it_goes_on_after_being_killed(tmp_path: Path, backbone: Family) -> None:
    classifier = filled(made(with_none_photos(tmp_path / "teach")), moments=2, pictures=2)
    process = TrainingProcess(classifier.folder, str(backbone.directory))
    folder = tmp_path / "teach"
    until = time.monotonic() + 60
    while len(written(folder)) < 3 and time.monotonic() < until:
        time.sleep(0.01)
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(EdgedError, match=r"SIGKILL.*train again: it goes on"):
        process.wait()
    process.stop()
    kept = written(folder)
    assert len(kept) >= 3
    assert classifier.versions() == []
    assert trained(classifier, backbone) == 1
    assert {each: written(folder)[each] for each in kept} == kept


def test_one_moment_a_class_cannot_be_judged(tmp_path: Path, backbone: Family) -> None:
    classifier = filled(made(tmp_path / "teach", none=False), moments=1, pictures=3)
    trained(classifier, backbone)
    assert classifier.report(1)["estimate"] == {
        "judged": False,
        "rough": True,
        "moments": 2,
        "variants": {},
    }
    family = classifier.family(1)
    assert [family.accuracy(variant) for variant in family.variants()] == 4 * [None]


def test_too_little_is_said_before_anything_is_computed(tmp_path: Path, backbone: Family) -> None:
    classifier = made(tmp_path / "teach")
    classifier.add("open", moment(0), jpeg(0, 0))
    with pytest.raises(InputError, match=r"no pictures of closed yet.*add closed"):
        trained(classifier, backbone)
    assert written(classifier.folder) == {}


def test_two_trainings_of_one_classifier_are_one_too_many(tmp_path: Path, backbone: Family) -> None:
    classifier = filled(made(with_none_photos(tmp_path / "teach")), moments=2, pictures=2)
    with TrainingProcess(classifier.folder, str(backbone.directory)) as process:
        until = time.monotonic() + 60
        while not process.state.stage and time.monotonic() < until:
            time.sleep(0.01)
        assert os.getpriority(os.PRIO_PROCESS, process.pid) == 10
        assert Path(f"/proc/{process.pid}/oom_score_adj").read_text() == "1000\n"
        os.kill(process.pid, signal.SIGSTOP)  # it could end before the other begins
        try:
            with pytest.raises(InputError, match="being taught already"):
                trained(classifier, backbone)
        finally:
            os.kill(process.pid, signal.SIGCONT)
        assert process.wait() == 1


def test_it_ends_with_its_parent(tmp_path: Path, backbone: Family) -> None:
    classifier = filled(made(with_none_photos(tmp_path / "teach")), moments=2, pictures=2)
    process = TrainingProcess(classifier.folder, str(backbone.directory))
    process.stop()
    assert not Path(f"/proc/{process.pid}").exists()
    with pytest.raises(EdgedError):
        process.wait()


def test_what_runs_is_compared_on_moments_that_are_new_to_it(
    tmp_path: Path, backbone: Family
) -> None:
    classifier = filled(made(tmp_path / "teach", none=False), moments=2, pictures=2)
    trained(classifier, backbone)
    classifier.deploy()
    trained(classifier, backbone)
    assert classifier.report(2)["comparison"] is None
    for label, named in enumerate(CLASSES):
        classifier.add(named, moment(40 + label), jpeg(label, 400))
    trained(classifier, backbone)
    compared = classifier.report(3)["comparison"]
    assert (compared["version"], compared["moments"]) == (1, 2)
    assert 0 <= compared["top1"] <= 1
    assert 0 <= compared["running"] <= 1


def test_features_stay_within_the_quota(tmp_path: Path, backbone: Family) -> None:
    quota = 1_000_000
    classifier = made(tmp_path / "teach", none=False, quota_bytes=quota)
    for label, name in enumerate(CLASSES):
        for number in range(2):
            picture = jpeg(label, number).ljust(quota // 4 - 1500, b"\0")
            classifier.add(name, moment(10 * label + number), picture)
    version = trained(classifier, backbone)
    cached = written(classifier.folder)
    assert 0 < len(cached) < 4 * len(backbone.networks)
    used_bytes = TeachStore(tmp_path / "teach").open("gate").used_bytes
    assert quota - 3000 < used_bytes <= quota
    warning = classifier.report(version)["warnings"][-1]
    assert "do not fit into the quota of 1 MB" in warning and "gate --quota 2" in warning
    assert set(classifier.family(version).heads) == {each.sha256 for each in backbone.networks}


def test_a_full_disk_gives_one_message(tmp_path: Path, backbone: Family) -> None:
    from tests.rig.full_disk import no_room

    classifier = filled(made(tmp_path / "teach", none=False), moments=2, pictures=1)
    with no_room(), pytest.raises(EdgedError, match=r"cannot be written.*File too large"):
        trained(classifier, backbone)
    assert classifier.versions() == []
    assert not list(classifier.folder.rglob("*.partial"))
    assert trained(classifier, backbone) == 1


def test_of_very_many_pictures_some_of_each_moment_are_taught() -> None:
    many = [
        Example(f"{label}-{moment}-{number}", label, f"{label}-{moment}")
        for label, moments in ((0, 40), (1, 2))
        for moment in range(moments)
        for number in range(10)
    ]
    few = spread(many, 60)
    assert len(few) == 60
    assert few == [each for each in many if each in few]
    counts = Counter(each.moment for each in few)
    assert set(counts) == {each.moment for each in many}
    assert sum(counts[each] for each in ("1-0", "1-1")) == 20
    assert spread(many, 1000) == many
