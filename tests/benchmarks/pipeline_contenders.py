"""Those that edged is measured against, each a process of its own:

    python pipeline_contenders.py obvious|calm CLIP NETWORK LABELS
    python pipeline_contenders.py mediapipe|floor CLIP NETWORK

All take a clip as a camera's: a frame is there when it is due, and not before; what its decoding
takes shows as its age. Each prints a line of JSON a result. Nothing is imported here that one of
them does not have: MediaPipe lives in an environment without edged, with an OpenCV of its own.
"""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Iterator
from pathlib import Path

FPS = 30
TOP = 3
RESOLUTION = 128


def frames_due() -> Iterator[tuple[int, int]]:
    """(number of the frame, when it was due), each once it is; for ever."""
    number, begun_ns = 0, time.monotonic_ns()
    while True:
        due_ns = begun_ns + number * 1_000_000_000 // FPS
        seconds = (due_ns - time.monotonic_ns()) / 1e9
        if seconds > 0:
            time.sleep(seconds)
        yield number, due_ns
        number += 1


def report(number: int, due_ns: int, top: list[tuple[str, float]]) -> None:
    latency_ms = (time.monotonic_ns() - due_ns) / 1e6
    line = {
        "frame": number,
        "at_unix_ns": time.time_ns(),
        "latency_ms": latency_ms,
        "top": [{"label": label, "score": score} for label, score in top],
    }
    print(json.dumps(line), flush=True)


def calm(clip: str, network: str, labels_path: str) -> None:
    """The obvious script of somebody who knows that the runtime's threads spin."""
    obvious(clip, network, labels_path, threads=1)


def obvious(clip: str, network: str, labels_path: str, threads: int = 0) -> None:
    """What one writes first: OpenCV reads and resizes, NumPy makes floats, ONNX Runtime runs."""
    import cv2
    import numpy as np
    import onnxruntime

    labels = Path(labels_path).read_text().splitlines()
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads  # 0 is the default: all cores
    session = onnxruntime.InferenceSession(network, options)
    capture = cv2.VideoCapture(clip)
    for number, due_ns in frames_due():
        there, picture = capture.read()
        if not there:
            capture = cv2.VideoCapture(clip)
            _, picture = capture.read()
        picture = cv2.cvtColor(cv2.resize(picture, (RESOLUTION, RESOLUTION)), cv2.COLOR_BGR2RGB)
        image = picture.astype(np.float32) / 127.5 - 1
        (scores,) = session.run(None, {"image": image[None]})
        best = np.argsort(scores[0])[::-1][:TOP]
        report(number, due_ns, [(labels[index], float(scores[0][index])) for index in best])


def mediapipe(clip: str, network: str) -> None:
    """MediaPipe Tasks as its guide shows it."""
    import cv2
    import mediapipe
    from mediapipe.tasks import python as tasks
    from mediapipe.tasks.python import vision

    options = vision.ImageClassifierOptions(
        base_options=tasks.BaseOptions(model_asset_path=network),
        running_mode=vision.RunningMode.VIDEO,
        max_results=TOP,
    )
    capture = cv2.VideoCapture(clip)
    with vision.ImageClassifier.create_from_options(options) as classifier:
        for number, due_ns in frames_due():
            there, picture = capture.read()
            if not there:
                capture = cv2.VideoCapture(clip)
                _, picture = capture.read()
            picture = cv2.cvtColor(picture, cv2.COLOR_BGR2RGB)
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=picture)
            result = classifier.classify_for_video(image, number * 1000 // FPS)
            best = result.classifications[0].categories
            top = [(each.category_name or str(each.index), each.score) for each in best]
            report(number, due_ns, top)


def floor(clip: str, model: str) -> None:
    """The same decoder, preprocessing and network as edged's, called one after the other."""
    import av
    import numpy as np

    from edged.backends.auto import load_backends
    from edged.backends.loaded import LoadedNetworks
    from edged.capture.decode.video import VideoTrack
    from edged.memory import keep_memory_small
    from edged.variants.family import load_family
    from edged.variants.variant import Variant

    keep_memory_small()
    family = load_family(model, Path.cwd())
    loaded = LoadedNetworks([family], load_backends("onnxruntime")[0])
    variant = Variant(0.25, RESOLUTION)

    def frames() -> Iterator[tuple[int, int, VideoTrack, object]]:
        due = frames_due()
        while True:
            with av.open(clip) as container:
                track = VideoTrack(container, where=clip)
                for packet in track.packets():
                    if packet.size:
                        number, due_ns = next(due)
                        yield from ((number, due_ns, track, one) for one in track.decode(packet)[0])

    for number, due_ns, track, frame in frames():
        pixels = track.rgb(frame, RESOLUTION)
        scores, _, _ = loaded.infer(family.choice(variant, 1), pixels)
        best = np.argsort(scores)[: -TOP - 1 : -1]
        report(number, due_ns, [(family.labels[index], float(scores[index])) for index in best])


if __name__ == "__main__":
    name, *arguments = sys.argv[1:]
    contenders = {"obvious": obvious, "calm": calm, "mediapipe": mediapipe, "floor": floor}
    contenders[name](*arguments)
