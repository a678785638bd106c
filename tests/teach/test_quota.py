"""The quota: what goes first, and what never goes by itself."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.errors import EdgedError, InputError
from edged.teach.store import Classifier, TeachStore
from edged.teach.store import quota as quotas
from tests.rig.classifiers import jpeg, made, moment

QUOTA = 1_000_000
SIZE = 150_000


def content(number: int, size: int = SIZE) -> bytes:
    return jpeg(0, number).ljust(size, b"\0")


@pytest.fixture
def classifier(tmp_path: Path) -> Classifier:
    """Two labelled moments and three that were seen; the quota has room for one more picture."""
    classifier = made(tmp_path, quota_bytes=QUOTA)
    for number in range(2):
        classifier.add("open", moment(number), content(number))
    for number in range(2, 5):
        classifier.add(None, moment(number), content(number))
    return classifier


def left(classifier: Classifier) -> list[str]:
    """The moments, as another process finds them."""
    other = TeachStore(classifier.folder.parent).open(classifier.name)
    assert other.moments() == classifier.moments()
    assert other.used_bytes == classifier.used_bytes
    return [each.id for each in classifier.moments()]


def test_the_oldest_without_a_label_go_first(classifier: Classifier) -> None:
    for number in range(5, 9):
        assert classifier.add("closed", moment(number), content(number))
        assert classifier.used_bytes <= QUOTA
    assert left(classifier) == [moment(number) for number in (0, 1, 5, 6, 7, 8)]


def test_labelled_pictures_never_go_by_themselves(classifier: Classifier) -> None:
    for number in range(5, 9):
        classifier.add("closed", moment(number), content(number))
    for label in ("open", None):
        with pytest.raises(InputError, match=r"quota of 1 MB.*discard MOMENT.*--quota 2"):
            classifier.add(label, moment(10), content(10))
    assert left(classifier) == [moment(number) for number in (0, 1, 5, 6, 7, 8)]


def test_cached_features_go_before_any_picture(classifier: Classifier) -> None:
    before = left(classifier)
    features = classifier.folder / "features/0123456789abcdef"
    features.mkdir(parents=True)
    for number in range(4):
        (features / f"{number}.npy").write_bytes(bytes(60_000))
    assert classifier.used_bytes == 5 * SIZE + 240_000
    classifier.add(None, moment(9), content(9))
    assert left(classifier) == [*before, moment(9)]
    assert len(list(features.iterdir())) < 4


def test_a_recording_does_not_push_itself_out(classifier: Classifier) -> None:
    for number in range(10, 13):
        classifier.add(None, moment(3), content(number))
    assert moment(3) in left(classifier)
    assert classifier.used_bytes <= QUOTA


def test_room_is_made_ahead(classifier: Classifier) -> None:
    classifier.make_room(QUOTA - 3 * SIZE)
    assert left(classifier) == [moment(number) for number in (0, 1, 4)]
    with pytest.raises(InputError):
        classifier.make_room(QUOTA)


def test_nothing_is_collected_on_a_disk_that_is_nearly_full(
    classifier: Classifier, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quotas, "LEAST_FREE_BYTES", 1 << 60)
    with pytest.raises(EdgedError, match="nearly full; nothing is collected"):
        classifier.add(None, moment(9), content(9))
    assert classifier.add("open", moment(9), content(9))  # a person may
