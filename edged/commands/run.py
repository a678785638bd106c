"""`edged run`, `demo`, `check` and `schema`."""

from __future__ import annotations

import argparse
import json
import logging
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING

from edged.commands import (
    Commands,
    add_command,
    add_config,
    port,
    positive_float,
    positive_int,
    required_config_of,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from edged.config import Config
    from edged.errors import InputError
    from edged.orders import Orders
    from edged.running import MakeSink


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    run = add_command(commands, "run", _run, "run the daemon", "edged run -c edged.yaml")
    add_config(run, "the configuration")
    run.add_argument(
        "--trace",
        type=Path,
        metavar="FILE",
        help="record what was seen and chosen, for `edged replay`; bounded, two files",
    )
    _add_limits(run)

    demo = add_command(
        commands,
        "demo",
        _demo,
        "run on a drawn scene, a clip or a camera, without a configuration",
        "edged demo --source /dev/video0 --frames 200",
    )
    demo.add_argument(
        "--source",
        default="synthetic",
        help="clip.mp4, a folder of pictures, /dev/video0, rtsp://… (default: a drawn scene)",
    )
    demo.set_defaults(trace=None)
    demo.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    demo.add_argument("--budget", type=positive_float, default=33.0, metavar="MS")
    demo.add_argument("--port", type=port, default=9640, help="of /metrics; 0: any free one")
    _add_limits(demo)

    check = add_command(
        commands, "check", _check, "check a configuration", "edged check edged.yaml"
    )
    add_config(check, "the configuration")

    add_command(
        commands,
        "schema",
        _schema,
        "print the JSON Schema of the configuration, for completion in an editor",
        "edged schema > edged.schema.json",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--frames", type=positive_int, metavar="N", help="stop after N results")
    parser.add_argument("--duration", type=positive_float, metavar="S", help="stop after S seconds")


def _run(options: argparse.Namespace) -> int:
    from edged.orders import Orders, obeying_signals

    orders = Orders()
    with obeying_signals(orders):  # before anything that takes its time
        from edged.config import load_config
        from edged.config.family import family_errors
        from edged.sinks import SINKS

        path = required_config_of(options, "edged run -c edged.yaml")

        def read() -> Config:
            return load_config(path, os.environ, family_errors)

        return _run_daemon(read(), SINKS, orders, options, reread=read)


def _demo(options: argparse.Namespace) -> int:
    from edged.orders import Orders, obeying_signals

    orders = Orders()
    with obeying_signals(orders):
        from edged.config import CameraConfig, Config, camera_source
        from edged.config.http import HttpConfig
        from edged.config.results import JsonlConfig, ResultsConfig
        from edged.sinks import to_json_line, to_text
        from edged.sinks.jsonl import Lines, open_lines

        here = Path.cwd()
        camera = CameraConfig(
            name="demo",
            source=camera_source(options.source, here),
            latency_budget_ms=options.budget,
            on_time=0.95,
            loop=True,
        )
        config = Config(
            path=here / "edged.yaml",
            model=options.model,
            base=here,
            cameras=(camera,),
            backend="auto",
            threads=(1,),
            variants=None,
            http=HttpConfig("127.0.0.1", options.port),
            results=ResultsConfig(JsonlConfig(), top_k=3, min_score=0.1),
        )
        render = to_text if sys.stdout is not None and sys.stdout.isatty() else to_json_line
        sinks = {"jsonl": lambda options: Lines(open_lines(None), render)}
        return _run_daemon(config, sinks, orders, options)


def _run_daemon(
    config: Config,
    sinks: Mapping[str, MakeSink],
    orders: Orders,
    options: argparse.Namespace,
    reread: Callable[[], Config] | None = None,
) -> int:
    from edged.config import warnings

    # NumPy multiplies nothing large here: its threads would only cost memory and wake-ups.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edged.daemon import Daemon

    for warning in warnings(config):
        logging.getLogger("edged").warning("%s", warning)
    Daemon(
        config,
        sinks,
        orders=orders,
        reread=reread,
        frames=options.frames,
        duration_seconds=options.duration,
        trace=options.trace,
    ).run()
    return 0


def _check(options: argparse.Namespace) -> int:
    from edged.config import load_config, warnings
    from edged.config.family import family_errors
    from edged.doctor.named_files import tls_errors, unreadable_errors
    from edged.variants.family import load_family

    def also(config: Config) -> Iterator[InputError]:
        yield from family_errors(config)
        yield from tls_errors(config)
        yield from unreadable_errors(config)

    path = required_config_of(options, "edged check edged.yaml")
    config = load_config(path, os.environ, also)
    for warning in warnings(config):
        print(f"edged: {path}: {warning}", file=sys.stderr)
    cameras = ", ".join(camera.name for camera in config.cameras)
    family = load_family(config.model, config.base)
    print(f"{path}: valid; cameras {cameras}; family {family.name}")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from edged.config.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0
