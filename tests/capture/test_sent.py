"""Pictures that people send, decoded in a confined process as a camera's are."""

from __future__ import annotations

import io
import os
import threading
import time
from pathlib import Path

import cv2
import numpy as np
import pytest

from edged.capture.confinement.confine import missing
from edged.capture.decode.pictures import BrokenPictureError
from edged.capture.sent.decoder import PictureDecoder, Wanted
from edged.capture.sent.process import DecodeProcess
from edged.capture.sent.worker import NICENESS
from edged.errors import EdgedError
from tests.rig.folder_frame import folder_frame
from tests.rig.hostile import SECRET
from tests.rig.photos import CMYK
from tests.rig.pictures import claiming, coded, encoded, huge_png, with_exif_orientation
from tests.rig.waiting import eventually

KEPT = pytest.mark.skipif(bool(missing()), reason=f"this kernel lacks {missing()}")
WANTED = Wanted(64, square=True)
RANDOM = np.random.default_rng(7)


def noise(height: int, width: int, channels: int = 3) -> np.ndarray:
    shape = (height, width) if channels == 1 else (height, width, channels)
    return cv2.GaussianBlur(RANDOM.integers(0, 256, shape, np.uint8), (5, 5), 0)


def file_of(picture: np.ndarray, suffix: str) -> bytes:
    done, data = cv2.imencode(suffix, picture)
    assert done
    return bytes(data)


PICTURES = {
    "jpeg": file_of(noise(480, 640), ".jpg"),
    "rotated": with_exif_orientation(file_of(noise(480, 640), ".jpg"), 6),
    "mirrored": with_exif_orientation(file_of(noise(480, 640), ".jpg"), 7),
    "large": file_of(noise(2160, 3840), ".jpg"),
    "oblong": file_of(noise(90, 1200), ".jpg"),
    "cmyk": CMYK,
    "png": file_of(noise(300, 200), ".png"),
    "alpha": file_of(noise(300, 200, 4), ".png"),
    "grey": file_of(noise(300, 200, 1), ".png"),
    "16 bit": file_of(noise(300, 200).astype(np.uint16) * 257, ".png"),
    "1x1": file_of(noise(1, 1), ".png"),
    "1x1 jpeg": file_of(noise(1, 1), ".jpg"),
    "1x900": file_of(noise(900, 1), ".png"),
}


@pytest.fixture(scope="module")
def decoder() -> PictureDecoder:
    return PictureDecoder()


def decoded(decoder: PictureDecoder, data: bytes, wanted: Wanted = WANTED) -> np.ndarray:
    with os.fdopen(os.memfd_create("picture"), "w+b") as file:
        file.write(data)
        file.flush()
        return decoder.frame(file, wanted, 60)


@pytest.mark.parametrize("name", PICTURES)
def test_a_picture_is_what_a_camera_would_deliver(
    decoder: PictureDecoder, tmp_path: Path, name: str
) -> None:
    """Pixel for pixel, at the sizes of two families, cut to a square and whole."""
    path = tmp_path / ("picture.jpg" if PICTURES[name].startswith(b"\xff") else "picture.png")
    path.write_bytes(PICTURES[name])
    for side in (96, 224):
        for square in (True, False):
            frame = folder_frame(path, side, square=square)
            pixels = decoded(decoder, PICTURES[name], Wanted(side, square))
            assert np.array_equal(pixels, frame.pixels), (side, square)


@pytest.mark.parametrize(
    ("data", "why"),
    [
        (b"", "incomplete picture"),
        (b"<html></html>", "not a picture of a supported format"),
        (bytes(20_000_000), "not a picture of a supported format"),
        (bytes(20_000_001), "larger than 20 MB"),
        (encoded(60, 60)[:300], "incomplete picture"),
        (coded(".png")[:200], "incomplete picture"),
        (huge_png(9000), "9000x9000 is too large; the limit is 33,177,600 pixels (7680x4320)"),
        (claiming(".png", 60000), "60000x60000 is too large"),
        (b"\xff\xd8" + bytes(1000), "incomplete picture"),
    ],
    ids=["empty", "html", "zeros", "long", "jpeg", "png", "bomb", "claim", "beginning"],
)
def test_what_cannot_be_decoded_is_said(decoder: PictureDecoder, data: bytes, why: str) -> None:
    with pytest.raises(BrokenPictureError) as refused:
        decoded(decoder, data)
    assert why in str(refused.value)
    assert decoded(decoder, encoded(64, 64)).shape == (64, 64, 3)


def program(code: str) -> tuple[str, str]:
    """A worker in which `frame_of` does this first, with `data`; it is not nice."""
    lines = "\n    ".join(code.splitlines())
    return (
        "-c",
        f"""
import os, sys, time
from edged.capture.sent import worker
from edged.capture.sent.serving import serve
from edged.capture.decode.pictures import BrokenPictureError
from tests.rig import hostile
true = worker.frame_of
def frame_of(data, **order):
    {lines}
    return true(data, **order)
worker.frame_of = frame_of
sys.exit(serve(worker.answer))
""",
    )


@KEPT
def test_hostile_code_in_it_reaches_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EDGED_PASSWORD", SECRET)
    attacked = PictureDecoder(
        program=program(
            """reached = []
for name, attack in hostile.attacks("nothing"):
    try:
        answer = attack()
    except Exception:
        continue
    if answer is not None and answer is not False:
        reached.append(name)
raise BrokenPictureError(", ".join(dict.fromkeys(reached)) or "nothing")"""
        )
    )
    with pytest.raises(BrokenPictureError) as told:
        decoded(attacked, encoded(9, 9))
    attacked.close()
    assert str(told.value) in ("nothing", "descriptors beyond its own")  # its socket, the picture


def test_it_leaves_the_processor_to_others(decoder: PictureDecoder) -> None:
    decoded(decoder, encoded(9, 9))
    assert decoder.pid is not None
    assert os.getpriority(os.PRIO_PROCESS, decoder.pid) == NICENESS


def test_one_that_crashes_is_replaced() -> None:
    bad = encoded(33, 33)
    for code, why in (
        (f"if data == {bad!r}: os.abort()", "the process that decodes it has crashed"),
        (f"if data == {bad!r}: return None", "the process that decodes it has crashed"),
        (f"if data == {bad!r}: bytearray(700_000_000)", "too large to decode"),
    ):
        decoder = PictureDecoder(program=program(code))
        for _ in range(2):
            with pytest.raises(BrokenPictureError, match=why):
                decoded(decoder, bad)
            assert decoded(decoder, encoded(64, 64)).shape == (64, 64, 3)
        decoder.close()


def test_nonsense_from_it_is_no_picture() -> None:
    for line in (
        '{"height": 1, "width": 1, "bytes": 99999999}',
        '{"height": 1, "width": 1, "bytes": -5}',
        '{"height": 2, "width": 2, "bytes": 3}',
        '{"height": -1, "width": -1, "bytes": 3}',
        '{"height": 0, "width": 0, "bytes": 0}',
        '{"bytes": 3}',
        '{"next": true}',
        "[]",
        "nonsense",
        "endless",
    ):
        code = f"""
import sys, time
sys.stdout.write({line!r}.replace("endless", "x" * 2_000_000) + chr(10))
sys.stdout.write(3 * "x" + '{{"next": true}}' + chr(10))
sys.stdout.flush()
time.sleep(60)
"""
        decoder = PictureDecoder(program=("-c", code))
        with pytest.raises(BrokenPictureError, match="cannot be decoded"):
            decoded(decoder, encoded(9, 9))
        decoder.close()


def test_a_sender_waits_no_longer_than_it_wants() -> None:
    decoder = PictureDecoder(program=program("time.sleep(1.5)"))
    results: list[object] = []

    def send(seconds: float) -> None:
        with os.fdopen(os.memfd_create("picture"), "w+b") as file:
            file.write(encoded(64, 64))
            file.flush()
            try:
                results.append(decoder.frame(file, WANTED, seconds).shape)
            except TimeoutError:
                results.append(seconds)

    senders = [threading.Thread(target=send, args=(seconds,)) for seconds in (60, 0.2, 0.3)]
    for sender in senders:
        sender.start()
        time.sleep(0.02)
    for sender in senders:
        sender.join()
    assert results == [0.2, 0.3, (64, 64, 3)]  # the others' files were closed meanwhile
    decoder.close()


def test_it_starts_with_the_first_picture_and_ends_when_idle() -> None:
    decoder = PictureDecoder(idle_seconds=0.3)
    before = len(list(Path("/proc/self/fd").iterdir()))
    assert decoder.pid is None
    for _ in range(2):
        decoded(decoder, encoded(9, 9))
        pid = decoder.pid
        assert pid is not None
        eventually(lambda: decoder.pid is None)
        assert not Path(f"/proc/{pid}").exists()
    eventually(lambda: len(list(Path("/proc/self/fd").iterdir())) <= before)  # others may end


def test_pictures_that_come_as_it_ends_are_decoded() -> None:
    decoder = PictureDecoder(idle_seconds=0.001)
    for pause in (0.0005, 0.001, 0.0015, 0.002):
        decoded(decoder, encoded(9, 9))
        time.sleep(pause)
    decoder.close()


def test_it_outlives_the_thread_that_asked() -> None:
    decoder = PictureDecoder()
    pids = set()

    def ask() -> None:
        decoded(decoder, encoded(9, 9))
        pids.add(decoder.pid)

    for _ in range(3):
        asking = threading.Thread(target=ask)
        asking.start()
        asking.join()
    assert len(pids) == 1
    decoder.close()


def test_what_a_process_that_has_ended_said_is_told() -> None:
    """It ended before it was asked."""
    said = """print('{"unconfined": "2 threads"}')"""
    process = DecodeProcess(("-c", said), most_bytes=9)
    os.waitid(os.P_PID, process.pid, os.WEXITED | os.WNOWAIT)
    reader, writer = os.pipe()
    with pytest.raises(EdgedError, match=r"could not be confined \(got 2 threads\)"):
        next(process.ask({}, reader, 60))
    process.close()
    os.close(reader)
    os.close(writer)


@KEPT
def test_where_it_cannot_be_confined_nothing_is_decoded() -> None:
    code = """
import threading, time
from edged.capture.sent import worker
threading.Thread(target=time.sleep, args=(60,), daemon=True).start()
worker.main()
"""
    decoder = PictureDecoder(program=("-c", code))
    with pytest.raises(EdgedError, match=r"could not be confined.*2 threads"):
        decoded(decoder, encoded(9, 9))
    decoder.close()


def test_what_is_no_regular_file_is_refused(decoder: PictureDecoder) -> None:
    read, write = os.pipe()
    with (
        io.FileIO(read) as pipe,
        io.FileIO(write, "w"),
        pytest.raises(BrokenPictureError, match="cannot be decoded"),
    ):
        decoder.frame(pipe, WANTED, 30)  # type: ignore[arg-type]
