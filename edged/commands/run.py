"""`edged run`, `demo`, `check` and `schema`."""

from __future__ import annotations

import argparse
import difflib
import json
import logging
import os
import socket
import sys
from contextlib import nullcontext, suppress
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import TYPE_CHECKING

from edged.commands.parts import (
    Commands,
    add_command,
    add_config,
    file_or_folder,
    port,
    positive_float,
    positive_int,
    required_config_of,
)
from edged.errors import EdgedError, InputError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from edged.commands.status.terminal import Terminal
    from edged.config.config import Config
    from edged.daemon.signals import Signals


DEMO_PORT = 9640


def add(commands: Commands[argparse.ArgumentParser]) -> None:
    run = add_command(commands, "run", _run, "run the daemon", "edged run -c edged.yaml")
    add_config(run, "the configuration")
    run.add_argument(
        "--trace",
        type=file_or_folder,
        metavar="FILE",
        help="record timings and choices for `edged replay`, in at most two files",
    )
    _add_limits(run)

    demo = add_command(
        commands,
        "demo",
        _demo,
        "run on a synthetic scene, a clip or a camera, without a configuration",
        "edged demo --source /dev/video0 --frames 200",
    )
    demo.add_argument(
        "--source",
        default="synthetic",
        help="clip.mp4, a folder of pictures, /dev/video0, rtsp://… (default: a synthetic scene)",
    )
    demo.set_defaults(trace=None)
    demo.add_argument("--model", default="imagenette", help="a shipped family or a folder")
    demo.add_argument(
        "--budget",
        type=positive_float,
        default=33.0,
        metavar="MS",
        help="latency budget (default: 33)",
    )
    demo.add_argument(
        "--port",
        type=port,
        help=f"HTTP port (default: {DEMO_PORT}, or a free one); 0: a free one",
    )
    _add_limits(demo)

    check = add_command(
        commands, "check", _check, "check a configuration", "edged check edged.yaml"
    )
    add_config(check, "the configuration")

    add_command(
        commands,
        "schema",
        _schema,
        "print the JSON Schema of the configuration, for editors",
        "edged schema > edged.schema.json",
    )


def _add_limits(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "--json", action="store_true", help="on a terminal: print JSON lines, not a screen"
    )
    parser.add_argument("--frames", type=positive_int, metavar="N", help="stop after N results")
    parser.add_argument("--duration", type=positive_float, metavar="S", help="stop after S seconds")


def _run(options: argparse.Namespace) -> int:
    from edged.daemon.signals import Signals, handling_signals

    signals = Signals()
    _close_up()  # before a password is read
    with handling_signals(signals):  # before anything that takes its time
        from edged.config.config import load_config
        from edged.config.family import family_errors

        path = required_config_of(options, "edged run -c edged.yaml")

        terminal = _terminal(options)

        def read() -> Config:
            config = load_config(path, os.environ, family_errors, always=False)
            return config if terminal is None else _for_screen(config)

        return _run_daemon(read(), signals, options, terminal, reread=read)


def _demo(options: argparse.Namespace) -> int:
    from edged.daemon.signals import Signals, handling_signals

    signals = Signals()
    _close_up()
    with handling_signals(signals):
        from edged.capture.source import CaptureRequest
        from edged.capture.sources.grammar import camera_source
        from edged.config.camera import CameraConfig, ViewConfig
        from edged.config.config import Config
        from edged.sinks.jsonl.options import JsonlConfig
        from edged.sinks.options import DEMO
        from edged.web.options import HttpConfig

        here = Path.cwd()
        source = camera_source(options.source, here)
        _check_there(Path(source))
        view = ViewConfig(
            id="demo",
            model=options.model,
            variants=None,
            latency_budget_ms=options.budget,
            on_time=0.95,
        )
        camera = CameraConfig("demo", CaptureRequest(source, loop=True), (view,))
        config = Config(
            path=here / "edged.yaml",
            base=here,
            cameras=(camera,),
            backend="auto",
            threads=(1,),
            http=HttpConfig("127.0.0.1", _demo_port(options.port)),
            results=replace(DEMO, sinks={"jsonl": JsonlConfig()}) if options.json else DEMO,
        )
        terminal = _terminal(options)
        if terminal is not None:
            config = _for_screen(config)
        return _run_daemon(config, signals, options, terminal)


def _check_there(path: Path) -> None:
    """Raise InputError for a missing file or device; the daemon would wait for it."""
    if path.is_absolute() and not path.exists():
        names = [each.name for each in path.parent.iterdir()] if path.parent.is_dir() else []
        close = difflib.get_close_matches(path.name, names, n=1)
        fix = f"did you mean {path.parent / close[0]}?" if close else None
        raise InputError("no such file, folder or device", where=path, fix=fix)


def _demo_port(wanted: int | None) -> int:
    """The default port, or 0 if it is in use."""
    if wanted is not None:
        return wanted
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", DEMO_PORT))
        except OSError:
            log = logging.getLogger("edged")
            log.info("port %d is in use, perhaps by another edged; using a free one", DEMO_PORT)
            return 0
    return DEMO_PORT


def _close_up() -> None:
    """Protect the daemon from its capture processes, which run as the same user."""
    from edged.process import refuse_inspection, refuse_new_privileges

    refuse_inspection()
    refuse_new_privileges()


def _run_daemon(
    config: Config,
    signals: Signals,
    options: argparse.Namespace,
    terminal: Terminal | None,
    reread: Callable[[], Config] | None = None,
) -> int:
    from edged.config.warnings import warnings

    # NumPy multiplies nothing large here: its threads would only cost memory and wake-ups.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    from edged.capture.confinement.confine import missing
    from edged.daemon.daemon import Daemon
    from edged.web.options import container_hint

    log = logging.getLogger("edged")
    for warning in warnings(config):
        log.warning("%s", warning)
    if hint := container_hint(config.http, os.environ):
        log.info("%s", hint)
    if lacking := missing():
        log.warning(
            "capture processes are only partly confined: this system has no %s",
            " and no ".join(lacking),
        )
    if config.backend in ("auto", "ncnn"):
        _let_ncnn_see_the_processor()
    screen = None
    if terminal is not None:
        from edged.commands.status.running import RunningScreen

        screen = RunningScreen(terminal)
    daemon = Daemon(
        config,
        signals=signals,
        reread=reread,
        frames=options.frames,
        duration_seconds=options.duration,
        trace=options.trace,
        ending=lambda: None if screen is None else screen.finish(daemon),
    )
    with nullcontext() if screen is None else screen.of(daemon):
        daemon.run()
    return 0


def _terminal(options: argparse.Namespace) -> Terminal | None:
    """Where a screen can be drawn instead of lines; None elsewhere."""
    if options.json or sys.stdout is None or not sys.stdout.isatty():
        return None
    from edged.commands.status.terminal import Terminal

    terminal = Terminal(sys.stdout, os.environ)
    return terminal if terminal.moves else None


def _for_screen(config: Config) -> Config:
    from edged.commands.status.running import shows_screen, without_lines

    return without_lines(config) if shows_screen(config) else config


def _let_ncnn_see_the_processor() -> None:
    """It reads once, in /proc/self/auxv, what an ARM processor can."""
    from edged.backends.ncnn.ncnn import computes_in_fp16
    from edged.process import inspectable

    with inspectable(), suppress(EdgedError):
        computes_in_fp16()


def _check(options: argparse.Namespace) -> int:
    from edged.config.config import load_config
    from edged.config.family import Families
    from edged.config.warnings import (
        accuracy_warnings,
        name_warnings,
        region_warnings,
        untaught_warnings,
        warnings,
    )
    from edged.doctor.named_files import tls_errors, unreadable_errors
    from edged.teach.store import TeachStore, teach_directory
    from edged.teach.store.deployed import astray

    read: list[Families] = []

    def also(config: Config) -> Iterator[InputError]:
        read.append(Families(config))
        yield from read[0].errors()
        yield from tls_errors(config)
        yield from unreadable_errors(config)

    path = required_config_of(options, "edged check edged.yaml")
    config = load_config(path, os.environ, also)
    families, instead = read[0].by_view, read[0].instead
    as_wanted = {view: each for view, each in families.items() if view not in instead}
    found = [
        warnings(config),
        *(each(config, families) for each in (region_warnings, accuracy_warnings)),
        *(each(config, as_wanted) for each in (name_warnings, untaught_warnings)),
    ]
    deployed = TeachStore(teach_directory(os.environ)).deployed()
    views = [view.id for view in config.views]
    for warning in chain(instead.values(), *found, astray(deployed, views)):
        print(f"edged: {warning}", file=sys.stderr)
    names = sorted({family.name for family in families.values()})
    word = "family" if len(names) == 1 else "families"
    cameras = ", ".join(map(str, config.cameras))
    print(f"{path}: valid; cameras {cameras}; {word} {', '.join(names)}")
    return 0


def _schema(options: argparse.Namespace) -> int:
    from edged.config.schema import json_schema

    print(json.dumps(json_schema(), indent=2))
    return 0
