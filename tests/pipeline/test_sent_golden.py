"""A picture that is sent, and the same picture as a camera's frame: the same scores."""

from __future__ import annotations

from pathlib import Path

import pytest

from edged.backends.loaded import LoadedNetworks, choices_of
from edged.backends.onnxruntime import OrtBackend
from edged.capture.mailbox import Mailbox
from edged.capture.sent.decoder import PictureDecoder, Wanted
from edged.clock import monotonic_ns
from edged.control.profile import Candidate
from edged.pipeline.output import Output
from edged.pipeline.pipeline import Pipeline
from edged.pipeline.queue import ViewQueue
from edged.pipeline.sent import SentPicture, SentPictures
from edged.variants.family import Family, Fit
from edged.variants.golden import golden_picture
from edged.variants.taught import head_matrices
from tests.rig.folder_frame import photograph
from tests.rig.photos import coded
from tests.rig.pipeline import Measured, Recorder, running
from tests.rig.taught import GATE, make_taught
from tests.rig.waiting import eventually


@pytest.mark.parametrize("taught", [False, True], ids=["family", "taught"])
def test_both_have_the_same_scores(family: Family, tmp_path: Path, *, taught: bool) -> None:
    shown = make_taught(tmp_path / "gate", family, GATE) if taught else family
    assert (shown.input.fit is Fit.SQUASH) is taught
    square = shown.input.fit is Fit.CROP
    backend = OrtBackend()
    loaded = LoadedNetworks([shown], [backend])
    best = max(shown.variants(), key=shown.top1)
    (choice,) = (
        choice
        for network in shown.networks
        for choices in choices_of(network, backend, (1,))
        for choice in choices
        if choice.variant == best
    )
    path = tmp_path / "picture.jpg"
    path.write_bytes(coded(golden_picture(5)[:220, :300], ".jpg"))
    mailbox = Mailbox.create(2 * best.resolution)
    mailbox.want(best.resolution, 0)
    output = Output(shown.labels, len(shown.labels), 0.0, head_matrices(shown))
    queue = ViewQueue("door", mailbox, output, 5000, on_time=0.95, fit=shown.input.fit)
    profiler, recorder, sent = Measured(), Recorder(), SentPictures()
    profiler.ladders = {"door": (Candidate(best, 1, 0.9, 1, 1, choice.runtime, choice.network),)}
    pipeline = Pipeline(
        queues=[queue],
        loaded=loaded,
        profiler=profiler,  # type: ignore[arg-type]
        sinks=[recorder],  # type: ignore[list-item]
        observer=recorder,
        sent=sent,
    )
    with running(pipeline):
        photograph(path, mailbox, square=square)
        eventually(lambda: recorder.results)
        decoder, now_ns = PictureDecoder(), monotonic_ns()
        with path.open("rb") as file:
            pixels = decoder.frame(file, Wanted(best.resolution, square), 60)
        decoder.close()
        picture = SentPicture("door", pixels, 5000, now_ns, now_ns)
        sent.put(picture)
        answer = picture.done.result(10)
    (frame,) = recorder.results
    assert answer.variant == frame.variant == best
    assert len(answer.top) == len(shown.labels)
    for one, other in zip(answer.top, frame.top, strict=True):
        assert one.label == other.label
        assert one.score == pytest.approx(other.score, abs=1e-6)
