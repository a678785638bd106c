"""Names of classifiers, classes and moments."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.errors import InputError
from edged.teach.store import (
    TeachStore,
    check_classes,
    check_label,
    check_name,
    new_moment,
)
from edged.teach.store.names import VERBS, moment_unix
from tests.rig.classifiers import VIEW, jpeg, moment


@pytest.mark.parametrize(
    "label", ["open", "Tür offen", "ворота", "門", "a.b-c_d", "नमस्ते", "2 Euro", "x" * 40]
)
def test_a_class_may_have_a_name_of_any_script(label: str, tmp_path: Path) -> None:
    classifier = TeachStore(tmp_path).create("gate", VIEW, (label, "other"))
    classifier.add(label, moment(0), jpeg(0, 0))
    (found,) = TeachStore(tmp_path).open("gate").moments()
    assert found.label == label
    assert (tmp_path / "gate/pictures" / label / found.id).is_dir()


@pytest.mark.parametrize(
    "label",
    ["", ".", "..", ".hidden", "a/b", "a\0b", "a\nb", " a", "a ", "-a", "none", "None", "x" * 41]
    + ["a\u202eb", "a:b", "😀"],
)
def test_a_class_is_never_a_path_or_an_option(label: str) -> None:
    with pytest.raises(InputError):
        check_label(label)


def test_the_two_forms_of_an_accent_are_one_class() -> None:
    assert check_label("Tu\u0308r") == "T\u00fcr"
    with pytest.raises(InputError, match="same name"):
        check_classes(["T\u00fcr", "tu\u0308r"])


def test_there_are_two_to_fifty_classes() -> None:
    with pytest.raises(InputError, match="2 to 50"):
        check_classes(["open"])
    assert len(check_classes(map(str, range(50)))) == 50
    with pytest.raises(InputError, match=r"2 to 50.*got 51"):
        check_classes(map(str, range(51)))


@pytest.mark.parametrize("name", ["Gate", "1gate", "../x", "a b", "", "x" * 33, "imagenette"])
def test_a_classifier_has_a_name_that_no_family_has(name: str) -> None:
    with pytest.raises(InputError):
        check_name(name)


@pytest.mark.parametrize("name", sorted(VERBS))
def test_a_verb_is_no_name(name: str) -> None:
    with pytest.raises(InputError, match=r"not a name for one.*choose another name"):
        check_name(name)


def test_a_moment_is_named_after_its_time() -> None:
    name = new_moment(1796033700.5)
    assert moment_unix(name) == 1796033700
    assert moment_unix("20260231T000000Z-0000") is None
    assert moment_unix("../../etc") is None
