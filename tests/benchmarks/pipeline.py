"""What does a result cost, from the camera's frame to the line of JSON, beside other ways to it?

    EDGED_DATA=DIR python tests/benchmarks/pipeline.py

DIR holds `weights/` and `video/` (the data that tests use). Sources are clips of 1080p MJPEG,
1080p H.264 and 720p YUYV, paced at 30 fps as cameras are. Each is run by edged, by the obvious
script (OpenCV, NumPy, ONNX Runtime as they come; and again with one thread), by MediaPipe Tasks'
ImageClassifier (in a virtual environment that is made at the first run), and by the floor: edged's
own decoder, preprocessing and network, called one after the other. All run MobileNet v1 0.25@128
with the same weights. The contenders take turns, and each figure is the median of the rounds;
ratios are taken within a round. Two rows are of edged alone: one drawn camera, and eight. At last
the memory of the whole shipped family is taken (memory.py). All of it takes eighteen minutes.

Written: pipeline.md and pipeline.png, beside this file.
"""

from __future__ import annotations

import argparse
import os
import platform
import subprocess
import sys
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
from memory import Memory, measure_cameras, serve
from pipeline_clips import H264, Clip, make_clips
from pipeline_plot import draw
from pipeline_report import CONTENDERS, Figures, Rows, report
from pipeline_run import Measured, learn_profile, run_edged, run_script

from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import load_family
from edged.variants.variant import Variant
from tests.rig.families import import_weights

HERE = Path(__file__).resolve().parent
SOURCE = "video/bottle-detection.mp4"
WEIGHTS = "weights/mobilenet_v1_0.25_128_quant.tflite"
LABELS = "weights/imagenet_labels.txt"
VARIANT = Variant(0.25, 128)
CAMERAS = (1, 8)
DRAWN = "synthetic:320x240@30?still"


@dataclass(frozen=True, slots=True)
class LoadedModel:
    """The same weights for everybody: a family, a file that takes floats, and the original."""

    family: Path
    floats: Path
    labels: Path
    original: Path


def main() -> None:
    options = _options()
    data = os.environ.get("EDGED_DATA")
    if data is None:
        raise SystemExit("EDGED_DATA must name the folder that holds weights/ and video/")
    mediapipe = mediapipe_python(options.mediapipe)
    with tempfile.TemporaryDirectory(prefix="edged-pipeline-") as name:
        folder = Path(name)
        networks = make_networks(Path(data), folder)
        clips = [
            clip for clip in make_clips(Path(data) / SOURCE, folder) if wants(clip.name, options)
        ]
        learn_profile(networks.family, VARIANT, clips[0].path, folder / "state")
        rows = measure(clips, networks, mediapipe, folder, options)
        memory = measure_memory(folder / H264) if wants("memory", options) else None
        kilobytes = {clip.name: clip.kilobytes_a_frame for clip in clips}
    figures = Figures(rows, kilobytes, options.seconds, memory)
    text = report(figures, versions(mediapipe))
    print(text)
    if not options.trial:
        (HERE / "pipeline.md").write_text(text)
        draw(figures, HERE / "pipeline.png")


def measure(
    clips: Sequence[Clip],
    networks: LoadedModel,
    mediapipe: Path,
    folder: Path,
    options: argparse.Namespace,
) -> Rows:
    """Rounds of everything; in each the contenders begin with another one."""
    rows: dict[str, dict[str, list[Measured]]] = {}
    for turn in range(options.rounds):
        for clip in clips:
            contenders = _contenders(clip, networks, mediapipe, folder, options.seconds)
            names = [name for name in contenders if name in options.contenders]
            first = turn % len(names)
            for name in names[first:] + names[:first]:
                found = contenders[name]()
                rows.setdefault(clip.name, {}).setdefault(name, []).append(found)
                _tell(turn, clip.name, name, found)
        for count in CAMERAS if wants("cameras", options) else ():
            sources = [DRAWN] * count
            found = run_edged(networks.family, VARIANT, sources, folder, options.seconds)
            name = "one camera" if count == 1 else f"{count} cameras"
            rows.setdefault("drawn 320x240", {}).setdefault(name, []).append(found)
            _tell(turn, "drawn 320x240", name, found)
    return rows


def measure_memory(h264: Path) -> Memory:
    """With the whole shipped family, float and INT8."""
    return measure_cameras(load_family("imagenette", Path.cwd()).directory, serve(), h264)


def wants(row: str, options: argparse.Namespace) -> bool:
    return not options.rows or any(word in row for word in options.rows)


def _contenders(
    clip: Clip, networks: LoadedModel, mediapipe: Path, folder: Path, seconds: float
) -> dict[str, Callable[[], Measured]]:
    def script(python: Path, name: str, *files: Path) -> Callable[[], Measured]:
        command = [python, HERE / "pipeline_contenders.py", name, clip.path, *files]
        return lambda: run_script([str(part) for part in command], folder, seconds)

    here = Path(sys.executable)
    return {
        "obvious": script(here, "obvious", networks.floats, networks.labels),
        "calm": script(here, "calm", networks.floats, networks.labels),
        "mediapipe": script(mediapipe, "mediapipe", networks.original),
        "floor": script(here, "floor", networks.family),
        "edged": lambda: run_edged(
            networks.family, VARIANT, [str(clip.path)], folder, seconds
        ),
    }  # fmt: skip


def _tell(turn: int, row: str, name: str, found: Measured) -> None:
    print(
        f"round {turn + 1}  {row:28} {name:10} CPU {found.cpu_ms:6.2f} ms a result  "
        f"latency {found.latency_ms(0.5):6.2f} {found.latency_ms(0.95):6.2f} ms  "
        f"PSS {found.pss_mb:5.1f} MB  first result {found.start_seconds:.2f} s",
        file=sys.stderr,
        flush=True,
    )


def make_networks(data: Path, folder: Path) -> LoadedModel:
    family = folder / "imagenet"
    import_weights(
        data / WEIGHTS,
        None,
        alpha=VARIANT.alpha,
        resolutions=[VARIANT.resolution],
        labels=data / LABELS,
        into=family,
        backend=OrtBackend(),
    )
    labels = folder / "labels.txt"
    loaded = load_family(str(family), Path.cwd())
    labels.write_text("\n".join(loaded.labels))
    floats = folder / "floats.onnx"
    floats.write_bytes(with_float_input(loaded.network(VARIANT).read()))
    return LoadedModel(family, floats, labels, data / WEIGHTS)


def with_float_input(model: bytes) -> bytes:
    """The network without its normalisation: it takes float32 (1, 128, 128, 3), -1 to 1."""
    network = onnx.load_from_string(model)
    graph, side = network.graph, VARIANT.resolution
    kept = [node for node in graph.node if node.output[0] not in ("pixels", "scaled", "normalised")]
    for node in kept:
        for place, name in enumerate(node.input):
            node.input[place] = "planes" if name == "normalised" else name
    del graph.node[:]
    graph.node.extend(kept)
    image = onnx.helper.make_tensor_value_info("image", onnx.TensorProto.FLOAT, [1, side, side, 3])
    graph.input[0].CopyFrom(image)
    return bytes(network.SerializeToString())


def mediapipe_python(folder: Path) -> Path:
    """Of an environment with MediaPipe, which brings another OpenCV; made if it is not there."""
    python = folder / "bin" / "python"
    if not (folder / "complete").exists():
        subprocess.run([sys.executable, "-m", "venv", folder], check=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", "mediapipe"], check=True)
        (folder / "complete").touch()
    return python


def versions(mediapipe: Path) -> str:
    """What was measured, on what."""
    command = "import sys; from importlib.metadata import version as v; "
    command += "print(', '.join(f'{name} {v(name)}' for name in sys.argv[1:]))"

    def of(python: Path, *packages: str) -> str:
        run = [python, "-c", command, *packages]
        return subprocess.run(run, check=True, stdout=subprocess.PIPE, text=True).stdout.strip()

    ours = of(Path(sys.executable), "onnxruntime", "opencv-python-headless", "av", "numpy")
    theirs = of(mediapipe, "mediapipe", "opencv-contrib-python")
    return (
        f"{platform.machine()}, {len(os.sched_getaffinity(0))} cores, Python "
        f"{platform.python_version()}, {ours}; {theirs}"
    )


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5, help="measured of each run")
    parser.add_argument("--rows", nargs="+", metavar="WORD", help="only rows with it")
    parser.add_argument("--contenders", nargs="+", choices=CONTENDERS, default=list(CONTENDERS))
    parser.add_argument("--mediapipe", type=Path, default=cache / "edged" / "mediapipe")
    parser.add_argument("--trial", action="store_true", help="print only")
    return parser.parse_args()


if __name__ == "__main__":
    main()
