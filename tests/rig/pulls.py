"""Archives made as the official ones are, and a pull of them from a server of this machine."""

from __future__ import annotations

import sys
from functools import cache
from pathlib import Path

from edged.backends.onnxruntime import OrtBackend
from edged.variants.evaluation.evaluate import verify
from edged.variants.family import Family, load_family
from edged.variants.mobilenet import Architecture
from edged.variants.official import LABELS_FILE, OFFICIAL, Weights
from edged.variants.variant import Variant
from edged.variants.weights.http_client import RetryPolicy
from edged.variants.weights.onnx_builder import Weights as Values
from edged.variants.weights.pull import Watch, pull
from tests.rig.tflite_files import FLOAT32, UINT8, Coding, tflite_file
from tests.rig.weight_server import WeightServer, tgz
from tests.rig.weights import lively_weights

IMAGENET = OFFICIAL["mobilenet-v1-imagenet"]
LABELS = "background\n" + "".join(f"class {number}\n" for number in range(1, 1001))
CELL = (0.25, 128)
FLOAT_FILE = "mobilenet_v1_0.25_128.tgz"
NOBODY = Watch()
HASTY = RetryPolicy(timeout_seconds=60, retries=2, pause_seconds=0)


@cache
def weights(alpha: float, seed: int) -> Values:
    return lively_weights(Architecture(alpha, 1001), seed)


@cache
def network(resolution: int, coding: Coding = FLOAT32, alpha: float = 0.25, seed: int = 0) -> bytes:
    architecture = Architecture(alpha, 1001)
    return tflite_file(architecture, weights(alpha, seed), coding, resolution=resolution)


@cache
def archive(resolution: int, coding: Coding = FLOAT32, alpha: float = 0.25, seed: int = 0) -> bytes:
    """Made as TF-Slim's are: the network among files that are of no use here."""
    name = f"mobilenet_v1_{alpha}_{resolution}"
    return tgz(
        {
            f"./{name}.ckpt.meta": b"not looked at" * 100,
            f"./{name}.tflite": network(resolution, coding, alpha, seed),
            f"./{name}_frozen.pb": b"not looked at" * 100,
        }
    )


def pulled(
    server: WeightServer,
    into: Path,
    *cells: tuple[float, int],
    kind: Weights = Weights.FLOAT,
    watch: Watch = NOBODY,
) -> tuple[Variant, ...]:
    _, new = pull(IMAGENET[kind], cells or [CELL], into, OrtBackend(), server.url, HASTY, watch)
    return new


def family_in(into: Path) -> Family:
    """Loaded as the daemon does it, with everything checked that the manifest says."""
    family = load_family(str(into), Path())
    assert verify(family, OrtBackend()) == []
    return family


def command(server: WeightServer, into: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, "-m", "edged", "models", "pull", "mobilenet-v1-imagenet"),
        *("--alpha", "0.25", "--resolution", "128"),
        *("--into", str(into), "--from", server.url, *more),
    ]


def official_files() -> dict[str, bytes]:
    return {
        LABELS_FILE: LABELS.encode(),
        FLOAT_FILE: archive(128),
        "mobilenet_v1_0.25_160.tgz": archive(160, seed=1),
        "mobilenet_v1_0.25_128_quant.tgz": archive(128, UINT8),
    }
