"""`edged doctor`: the table of checks.

Works with broken libraries: imports nothing heavy, and runs what may crash or hang in a child.
Changes nothing and shows no secrets.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor

from edged.doctor import cameras, decoder, files, network, power, runtime, service, system
from edged.doctor.finding import Finding, error
from edged.doctor.subject import Subject
from edged.secret import redact

Check = Callable[[Subject], Iterable[Finding]]

CHECKS: Mapping[str, Check] = {
    "system.bits": system.bits,
    "system.dot_product": system.dot_product,
    "system.memory": system.memory,
    "system.clock": system.clock,
    "system.confinement": system.confinement,
    "power.throttling": power.throttling,
    "power.governor": power.governor,
    "power.mode": power.power_mode,
    "power.limit": power.power_limit,
    "power.temperature": power.temperature_limit,
    "runtime.packages": runtime.packages,
    "runtime.onnxruntime": runtime.onnxruntime,
    "runtime.ncnn": runtime.ncnn,
    "runtime.opencv_wheels": runtime.opencv_wheels,
    "runtime.tensorrt": runtime.tensorrt,
    "cameras.devices": cameras.devices,
    "cameras.gstreamer": cameras.gstreamer,
    "cameras.picamera2": cameras.picamera2,
    "cameras.decoder": decoder.check,
    "files.configuration": files.configuration,
    "files.family": files.family,
    "files.state": files.state_folder,
    "files.cache": files.cache_folder,
    "network.port": network.port,
    "service.unit": service.unit,
    "service.account": service.account,
    "service.state": service.state,
    "service.memory_limit": service.memory_limit,
}
"""A check that does not apply (no Jetson, no service) finds nothing."""


def examine(subject: Subject, checks: Mapping[str, Check] = CHECKS) -> list[tuple[str, Finding]]:
    """(name of the check, finding), in the order of the table."""
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:  # they mostly wait for children
        found = pool.map(lambda check: _findings(check, subject), checks.values())
        return [
            (name, each) for name, several in zip(checks, found, strict=True) for each in several
        ]


def _findings(check: Check, subject: Subject) -> list[Finding]:
    """Failure of a check is a finding, so that the others are reported too."""
    try:
        return [_redacted(each) for each in check(subject)]
    except Exception as failure:
        what = f"the check failed: {type(failure).__name__}: {failure}"
        return [error(redact(what), fix="please report it")]


def _redacted(each: Finding) -> Finding:
    got, fix = (None if text is None else redact(text) for text in (each.got, each.fix))
    return Finding(each.severity, redact(each.what), got, fix)
