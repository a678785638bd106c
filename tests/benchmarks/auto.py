"""What `backend: auto` runs against ONNX Runtime alone, pair by pair in one process.

    python -m tests.benchmarks.auto [PAIRS]

Choices are those of a profile: of each variant the runtime with the lowest median of as many runs
as a start of the daemon measures. Then both run in turn, the other one first each time. Shown is
the median ratio of the pairs and its interval by 1,000 bootstrap samples. Exits with 1 where auto
is slower: where the whole interval lies above 1.02.
"""

from __future__ import annotations

import sys

import numpy as np
from tqdm import tqdm

from edged.backends.auto import load_backends
from edged.backends.bench import bench, picture
from edged.backends.loaded import LoadedNetworks
from edged.clock import monotonic_ns
from edged.control.profile import MEASURED_RUNS
from edged.control.profiler import ROUNDS
from edged.variants.family import load_family
from edged.variants.variant import Choice
from tests.rig.paths import PROJECT

PAIRS = 200
SLOWER = 1.02


def main(pairs: int) -> int:
    family = load_family("imagenette", PROJECT)
    loaded = LoadedNetworks([family], load_backends("auto")[0])
    measured = bench(family, loaded, MEASURED_RUNS * ROUNDS, lambda: None)
    pixels = picture()

    def run_ms(choice: Choice) -> float:
        begun_ns = monotonic_ns()
        _, _, inferred_ns = loaded.infer(choice, pixels, family.input.fit)
        return (inferred_ns - begun_ns) / 1e6

    out = sys.stdout.write
    out("| variant | auto runs | ms | ONNX Runtime, ms | auto / ONNX Runtime | 95 % interval |\n")
    out("| --- | --- | ---: | ---: | ---: | --- |\n")
    random = np.random.default_rng(0)
    slower = 0
    for variant in tqdm(sorted({each.variant for each in measured}), leave=False, disable=None):
        of_it = {each.runtime: each for each in measured if each.variant == variant}
        chosen = min(of_it.values(), key=lambda each: each.p50_ms)
        plain = of_it["onnxruntime"]
        if chosen is plain:
            out(f"| {variant.name} | {chosen.runtime} | {chosen.p50_ms:.2f} | | 1 | the same |\n")
            continue
        times_ms = []
        for number in range(pairs):
            order = [chosen.choice, plain.choice][:: 1 if number % 2 else -1]
            pair = {choice: run_ms(choice) for choice in order}
            times_ms.append((pair[chosen.choice], pair[plain.choice]))
        times = np.array(times_ms)
        ratios = times[:, 0] / times[:, 1]
        samples = np.median(random.choice(ratios, (1000, pairs)), axis=1)
        low, high = np.quantile(samples, (0.025, 0.975))
        slower += int(low > SLOWER)
        mine, its = np.median(times, axis=0)
        out(
            f"| {variant.name} | {chosen.runtime} | {mine:.2f} | {its:.2f} "
            f"| {np.median(ratios):.3f} | {low:.3f} … {high:.3f} |\n"
        )
    return int(slower > 0)


if __name__ == "__main__":
    sys.exit(main(*map(int, sys.argv[1:])) if sys.argv[1:] else main(PAIRS))
