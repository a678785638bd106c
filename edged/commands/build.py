"""`edged models build`: build TensorRT engines ahead of time."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

from edged.commands.parts import Commands, add_command
from edged.errors import EdgedError

if TYPE_CHECKING:
    from edged.backends.tensorrt.tensorrt import TensorRtBackend
    from edged.variants.family import Family


def add(verbs: Commands[argparse.ArgumentParser]) -> None:
    build = add_command(
        verbs,
        "build",
        _build,
        "build a family's TensorRT engines now instead of during the first run",
        "sudo -u edged CACHE_DIRECTORY=/var/cache/edged edged models build imagenette",
    )
    build.add_argument("family", metavar="FAMILY", help="a shipped family or a folder")
    build.add_argument(
        "--fp32",
        action="store_true",
        help="build for backend: tensorrt-fp32 (default: float networks in FP16)",
    )


def _build(options: argparse.Namespace) -> int:
    from tqdm import tqdm

    from edged.backends.tensorrt.cache import EngineCache, engines_directory
    from edged.backends.tensorrt.onnx_forms import EnginePrecision
    from edged.backends.tensorrt.tensorrt import TensorRtBackend
    from edged.variants.family import load_family

    family = load_family(options.family, Path.cwd())
    precision = EnginePrecision.FP32 if options.fp32 else EnginePrecision.FP16
    with tqdm(total=100, unit="%", disable=None, leave=False) as bar:

        def progress(name: str, share: float) -> None:
            bar.update(round(100 * share) - bar.n)

        def begin(name: str) -> None:
            bar.reset()
            bar.set_description(name)

        cache = EngineCache(engines_directory(os.environ))
        backend = TensorRtBackend(precision, cache=cache, progress=progress)
        built = build_family(family, backend, begin, tqdm.write)
    return 0 if built and not cache.problem else EdgedError.exit_status


def build_family(
    family: Family,
    backend: TensorRtBackend,
    begin: Callable[[str], None],
    tell: Callable[[str], None],
) -> bool:
    """Whether all networks then have an engine. begin: called with each network's file name."""
    built = True
    for network in family.networks:
        name = network.path.name
        begin(name)
        try:
            backend.load(network, network.read(), 1)
        except EdgedError as error:
            built = False
            print(f"edged: {error}", file=sys.stderr)
            continue
        seconds = backend.engines.build_seconds.get(name)
        tell(f"{name}: " + ("already built" if seconds is None else f"built in {seconds:.0f} s"))
    return built
