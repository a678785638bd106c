"""How long a family takes to load, part by part, beside sessions made without looking.

    python tests/benchmarks/load.py [FAMILY]

Without a family one is made: four widths at four resolutions, float, and as many files again that
stand for their INT8 twins (of random weights, in floating point, so four times as large as those).
Loading is what the daemon does at start-up: each file read and hashed, a session made, the golden
picture run at each resolution. Beside it, from the same files: a bare session for each file, with
the runtime's defaults, neither hashed nor asked anything; and a session for each variant, its
input of fixed size. All take turns, so that a disturbance meets all of them. The runtime is
imported before.
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import onnxruntime

from edged.backends.loaded import LoadedNetworks
from edged.backends.onnxruntime import OrtBackend
from edged.variants.family import Family, InputContract, Network, load_family, write_family
from edged.variants.golden import check_golden, golden_picture, golden_scores
from edged.variants.mobilenet import Architecture
from edged.variants.variant import Precision
from edged.variants.weights.onnx_builder import build_network
from tests.rig.random_weights import random_weights

ALPHAS, RESOLUTIONS = (0.25, 0.5, 0.75, 1.0), (128, 160, 192, 224)
LABELS = tuple(f"class {number}" for number in range(10))


def make_family(directory: Path) -> Family:
    backend, picture, contract = OrtBackend(), golden_picture(0), InputContract()
    models: dict[str, bytes] = {}
    networks = []
    for seed, precision in enumerate((Precision.FLOAT, Precision.INT8)):
        for alpha in ALPHAS:
            architecture = Architecture(alpha, len(LABELS))
            weights = random_weights(architecture, seed)
            model = build_network(architecture, weights, scale=1 / 127.5, offset=-1.0)
            path = directory / f"{alpha}_{precision.value}.onnx"
            network = Network.of(path, model, alpha, RESOLUTIONS, precision)
            runner = backend.load(network, model, 1)
            scores = golden_scores(runner, RESOLUTIONS, contract, picture)
            networks.append(replace(network, golden=scores))
            models[path.name] = model
    family = Family("eight", directory, LABELS, contract, tuple(networks))
    png = cv2.imencode(".png", picture[:, :, ::-1])[1].tobytes()
    return write_family(family, models, png)


def load_in_parts(directory: Path) -> dict[str, float]:
    """Seconds of each part; together what LoadedNetworks does."""
    spent = dict.fromkeys(("manifest", "read and hash", "sessions", "golden results"), 0.0)
    moment = time.perf_counter()

    def add(part: str) -> None:
        nonlocal moment
        now = time.perf_counter()
        spent[part] += now - moment
        moment = now

    family = load_family(str(directory), Path())
    backend = OrtBackend()
    picture = family.golden_picture()
    add("manifest")
    runners = []
    for network in family.networks:
        model = network.read()
        add("read and hash")
        runners.append(backend.load(network, model, 1))
        add("sessions")
        check_golden(runners[-1], family, network, picture)
        add("golden results")
    return spent


def seconds_of(work: Callable[[], object]) -> float:
    begun = time.perf_counter()
    kept = work()
    spent = time.perf_counter() - begun
    del kept
    return spent


def bare(family: Family) -> list[object]:
    return [onnxruntime.InferenceSession(str(network.path)) for network in family.networks]


def fixed(family: Family) -> list[object]:
    sessions: list[object] = []
    for variant in family.variants():
        options = onnxruntime.SessionOptions()
        for name in ("height", "width"):
            options.add_free_dimension_override_by_name(name, variant.resolution)
        path = str(family.network(variant).path)
        sessions.append(onnxruntime.InferenceSession(path, options))
    return sessions


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("family", nargs="?", help="a family's name or folder")
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if options.family is None:
            family = make_family(Path(folder))
        else:
            family = load_family(options.family, Path.cwd())
        measure(family, options.rounds)


def measure(family: Family, rounds: int) -> None:
    size = sum(network.path.stat().st_size for network in family.networks) / 1e6
    ways = {
        "edged": lambda: LoadedNetworks(
            [load_family(str(family.directory), Path())], [OrtBackend()]
        ),
        "a bare session per file": lambda: bare(family),
        "a session per variant": lambda: fixed(family),
    }
    times: dict[str, list[float]] = {name: [] for name in ways}
    parts: list[dict[str, float]] = []
    for round_number in range(rounds + 1):
        found = {name: seconds_of(way) for name, way in ways.items()}
        split = load_in_parts(family.directory)
        if round_number:  # the first touches everything for the first time
            parts.append(split)
            for name, seconds in found.items():
                times[name].append(seconds)
    print(
        f"{family.name}: {len(family.networks)} files, {size:.1f} MB, "
        f"{len(family.variants())} variants; {rounds} rounds; milliseconds, least (median)"
    )
    edged = times.pop("edged")
    print(f"edged: {told(edged)}")
    for part in parts[0]:
        print(f"  {part}: {told([each[part] for each in parts])}")
    for name, seconds in times.items():
        print(f"{name}: {told(seconds)}; ratio {ratio(edged, seconds)}")


def told(seconds: list[float]) -> str:
    return f"{1000 * min(seconds):.0f} ({1000 * statistics.median(seconds):.0f})"


def ratio(ours: list[float], theirs: list[float]) -> str:
    least, middle = min(ours) / min(theirs), statistics.median(ours) / statistics.median(theirs)
    return f"{least:.2f} ({middle:.2f})"


if __name__ == "__main__":
    main()
