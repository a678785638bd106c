"""The profile on disk, and the daemon that starts with it."""

from __future__ import annotations

import fcntl
import json
import logging
import os
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edged.control.profile import Spread, Timing
from edged.control.profile_store import BAD, FILES_KEPT, ROWS_KEPT, ProfileStore
from edged.variants.variant import Choice, Precision, Variant
from tests.rig.profiles import only_file, profile_files

SMALL, LARGE = Variant(0.25, 128), Variant(1.0, 224, Precision.INT8)
KEY = {"model": "Board 4", "backend": "onnxruntime", "version": "1.2.3"}
NETWORK = "5" * 64


def choice(variant: Variant, threads: int = 1, network: str = NETWORK) -> Choice:
    return Choice(variant, threads, "onnxruntime", network)


PROFILE = {
    choice(SMALL): Timing(Spread(1.25, 2), Spread(0.25, 0.5), Spread(1, 1.5), 30),
    choice(LARGE, 4, "8" * 64): Timing(Spread(20, 31.5), Spread(0, 0), Spread(20, 31.5), 15),
}
DECODING = {
    "door": {224: Spread(6, 7.5), 96: Spread(2, 3)},
    "yard/gate": {128: Spread(4, 5)},
}


def store(directory: Path | None, **key: str) -> ProfileStore:
    return ProfileStore(directory, [KEY | key], unix_ns=lambda: 0)


def warnings(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [each.getMessage() for each in caplog.records if each.levelno >= logging.WARNING]


# what


def test_what_was_saved_is_loaded(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    directory = tmp_path / "new" / "state"
    store(directory).save(PROFILE, DECODING)
    assert store(directory).load() == PROFILE
    assert warnings(caplog) == []
    assert {path.name for path in directory.iterdir()} == {
        "profile.lock", only_file(directory).name,
    }  # fmt: skip


def test_the_file_can_be_read_by_people(tmp_path: Path) -> None:
    store(tmp_path).save(PROFILE, DECODING)
    text = only_file(tmp_path).read_text()
    values = json.loads(text)
    assert values["key"] == {"format": "2", **KEY}
    assert values["measured_at"] == "1970-01-01T00:00:00.000000Z"
    assert values["decode_ms"] == {
        "door": {"96": {"p50": 2, "p95": 3}, "224": {"p50": 6, "p95": 7.5}},
        "yard/gate": {"128": {"p50": 4, "p95": 5}},
    }  # fmt: skip
    (row,) = [line for line in text.splitlines() if "mobilenet_v1_0.25_128" in line]
    assert json.loads(row.strip().rstrip(",")) == values["variants"][0] == {
        "network": NETWORK,
        "variant": "mobilenet_v1_0.25_128",
        "threads": 1,
        "runs": 30,
        "service_ms": {"p50": 1.25, "p95": 2},
        "preprocess_ms": {"p50": 0.25, "p95": 0.5},
        "inference_ms": {"p50": 1, "p95": 1.5},
    }  # fmt: skip


@pytest.mark.parametrize("name", [*KEY, "cores"])
def test_another_key_has_another_profile(tmp_path: Path, name: str) -> None:
    store(tmp_path).save(PROFILE, {})
    assert store(tmp_path, **{name: "other"}).load() == {}
    assert store(tmp_path).load() == PROFILE


def test_what_others_measured_stays_and_ones_own_is_newer(tmp_path: Path) -> None:
    store(tmp_path).save(PROFILE, {})
    newer = {choice(SMALL): Timing(Spread(1, 1), Spread(0, 0), Spread(1, 1), 45)}
    store(tmp_path).save(newer, {})
    assert store(tmp_path).load() == PROFILE | newer


def test_networks_of_one_name_have_rows_of_their_own(tmp_path: Path) -> None:
    """The network of a family taught again, or of another family, takes its own time."""
    other = {choice(SMALL, network="6" * 64): Timing(Spread(3, 4), Spread(1, 1), Spread(2, 3), 45)}
    store(tmp_path).save(PROFILE, {})
    store(tmp_path).save(other, {})
    assert store(tmp_path).load() == PROFILE | other
    assert only_file(tmp_path)


def test_former_networks_leave_a_bounded_number_of_rows(tmp_path: Path) -> None:
    timing = PROFILE[choice(SMALL)]
    former = {
        choice(Variant(0.25, side), threads, f"{number:064}"): timing
        for number in range(ROWS_KEPT // 8)
        for side in (128, 160, 192, 224)
        for threads in (1, 4)
    }
    store(tmp_path).save(former, DECODING)
    assert store(tmp_path).load() == former
    store(tmp_path).save(PROFILE, DECODING)
    left = store(tmp_path).load()
    assert len(left) == ROWS_KEPT
    assert left.keys() > PROFILE.keys()  # what is in use comes first
    assert left.items() <= (former | PROFILE).items()


def test_daemons_that_write_at_once_leave_a_whole_profile_of_all_of_them(tmp_path: Path) -> None:
    timing = PROFILE[choice(SMALL)]
    writers = [
        threading.Thread(target=store(tmp_path).save, args=({choice(SMALL, count): timing}, {}))
        for count in range(1, 9)
    ]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert set(store(tmp_path).load()) == {choice(SMALL, count) for count in range(1, 9)}


def test_it_waits_while_another_one_writes(tmp_path: Path) -> None:
    with (tmp_path / "profile.lock").open("a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        writer = threading.Thread(target=store(tmp_path).save, args=(PROFILE, {}))
        writer.start()
        writer.join(0.2)
        assert writer.is_alive()
        assert list(tmp_path.glob("profile-*")) == []
    writer.join(30)
    assert store(tmp_path).load() == PROFILE


def test_former_keys_leave_a_bounded_number_of_files(tmp_path: Path) -> None:
    for number in range(FILES_KEPT + 3):
        store(tmp_path, version=str(number)).save(PROFILE, {})
        os.utime(next(iter(_named(tmp_path, "version", str(number)))), (number, number))
    store(tmp_path, version="0").save(PROFILE, {})  # an old one is in use again
    versions = {json.loads(path.read_text())["key"]["version"] for path in profile_files(tmp_path)}
    expected = {str(number) for number in range(4, FILES_KEPT + 3)} | {"0"}
    assert versions == expected
    assert len(versions) == FILES_KEPT


def _named(directory: Path, name: str, value: str) -> list[Path]:
    return [
        path
        for path in profile_files(directory)
        if json.loads(path.read_text())["key"][name] == value
    ]


# what is wrong with it


def _set(*path: object) -> Callable[[dict[str, Any]], None]:
    """The last of `path` becomes the value where the others lead."""

    def change(values: dict[str, Any]) -> None:
        place: Any = values
        *way, last, value = path
        for step in way:
            place = place[step]
        place[last] = value

    return change


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_set("edged_profile", 3), "format is not 2 (got 3)"),
        (_set("key", "model", "Board 5"), "`model` is not Board 4 (got 'Board 5')"),
        (_set("key", "cooler", "big"), "`cooler` is not nothing (got 'big')"),
        (_set("variants", 0, "service_ms", "p50", -1.0), "must be above 0 (got -1.0)"),
        (_set("variants", 0, "service_ms", "p50", 0), "must be above 0 (got 0)"),
        (_set("variants", 0, "service_ms", "p95", 0.5), "`p95` must be at least 1.25 (got 0.5)"),
        (_set("variants", 1, "inference_ms", "p50", float("nan")), "NaN is not a number"),
        (_set("variants", 1, "inference_ms", "p95", float("inf")), "Infinity is not a number"),
        (_set("variants", 1, "inference_ms", "p95", 10**400), "must be at most 1e+20"),
        (_set("variants", 1, "inference_ms", "p95", "fast"), "must be a number (got 'fast')"),
        (_set("variants", 1, "preprocess_ms", None), "must be an object"),
        (
            _set("variants", 0, "variant", "resnet_50"),
            "not the name of a variant (got 'resnet_50')",
        ),
        (_set("variants", 0, "variant", 5), "`variant` must be a name (got 5)"),
        (_set("variants", 0, "network", None), "`network` must be a name (got None)"),
        (_set("variants", 0, {"variant": SMALL.name}), "is missing"),
        (_set("variants", 0, "threads", 0), "`threads` must be at least 1"),
        (_set("variants", 0, "threads", 1.5), "`threads` must be a whole number"),
        (_set("variants", 0, "runs", True), "`runs` must be a number"),
        (_set("variants", 0, 7), "variants[0]` must be an object"),
        (_set("variants", []), "`variants` must be a list that is not empty"),
        (_set("key", None), "`key` must be an object"),
    ],
)
def test_a_profile_that_is_not_right_is_put_aside_and_said_to_be(
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    change: Callable[[dict[str, Any]], None],
    said: str,
) -> None:
    store(tmp_path).save(PROFILE, {})
    path = only_file(tmp_path)
    values = json.loads(path.read_text())
    change(values)
    bad = json.dumps(values)
    path.write_text(bad)
    assert store(tmp_path).load() == {}
    (warning,) = warnings(caplog)
    assert said in warning
    assert str(path) in warning
    assert warning.endswith("; measuring everything again")
    assert (tmp_path / BAD).read_text() == bad
    assert not path.exists()
    store(tmp_path).save(PROFILE, {})
    assert store(tmp_path).load() == PROFILE


@pytest.mark.parametrize(
    "content", [b"", b"{", b"[]", b"\xff\xfe", b"\0" * 4096, b"[" * 100_000, b"9" * 5000]
)
def test_a_file_that_is_no_profile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, content: bytes
) -> None:
    store(tmp_path).save(PROFILE, {})
    only_file(tmp_path).write_bytes(content)
    assert store(tmp_path).load() == {}
    assert len(warnings(caplog)) == 1
    assert (tmp_path / BAD).read_bytes() == content


def test_a_file_that_was_cut_off_anywhere(tmp_path: Path) -> None:
    store(tmp_path).save(PROFILE, DECODING)
    path = only_file(tmp_path)
    whole = path.read_bytes().rstrip()
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        assert store(tmp_path).load() == {}


def test_a_bad_file_is_written_over_even_if_it_went_bad_since_the_start(tmp_path: Path) -> None:
    mine = store(tmp_path)
    mine.save(PROFILE, {})
    only_file(tmp_path).write_text("{")
    mine.save(PROFILE, {})
    assert store(tmp_path).load() == PROFILE


def test_where_nothing_can_be_written_one_warning_says_so(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    in_the_way = tmp_path / "state"
    in_the_way.write_text("a file")
    for directory, said in (
        (in_the_way, "File exists"),
        (in_the_way / "below", "Not a directory"),
        (Path("/proc/edged"), "/proc/edged"),
        (None, "set STATE_DIRECTORY"),
    ):
        caplog.clear()
        nowhere = store(directory)
        assert nowhere.load() == {}
        nowhere.save(PROFILE, {})
        nowhere.save(PROFILE, {})
        (warning,) = warnings(caplog)
        assert "not kept for the next start" in warning
        assert said in warning


def test_a_folder_in_the_place_of_the_profile(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    store(tmp_path).save(PROFILE, {})
    path = only_file(tmp_path)
    path.unlink()
    (path / "inside").mkdir(parents=True)
    mine = store(tmp_path)
    assert mine.load() == {}
    mine.save(PROFILE, {})
    assert len(warnings(caplog)) == 2
    assert path.is_dir()
