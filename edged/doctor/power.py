"""Throttling now and since boot, the CPU governor, a Jetson's power mode, what measures power."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence

from edged.doctor.account import READ
from edged.doctor.finding import Finding, error, info, ok, warning
from edged.doctor.subject import Subject
from edged.sensors.power import Power
from edged.sensors.reading import read_number, read_text
from edged.sensors.temperature import Temperature
from edged.sensors.throttling import NOW, Throttle, Throttling

_COMMAND_SECONDS = 10.0
_SCALES_BY_ITSELF = ("intel_pstate", "amd-pstate-epp")
"""Drivers whose `powersave` follows the load; with others it is the lowest clock."""

_FIXES = {
    Throttle.UNDER_VOLTAGE: "use the board's own power supply and a short cable, and a powered hub "
    "for USB devices",
    Throttle.FREQUENCY_CAPPED: "cool the device, and check its power supply",
    Throttle.THROTTLED: "cool the device (a fan, a heat sink), or set max_temperature_c",
    Throttle.SOFT_TEMPERATURE_LIMIT: "cool the device (a fan, a heat sink)",
}


def throttling(subject: Subject) -> Iterator[Finding]:
    def printed(command: Sequence[str]) -> str | None:
        outcome = subject.run(command, _COMMAND_SECONDS)
        return outcome.out if outcome.status == 0 else None

    (gauge,) = Throttling(subject.root, printed).read()
    flags = {(Throttle(kind), when): bool(on) for (kind, when), on in gauge.values.items()}
    if not flags:
        yield info("this device does not report throttling or under-voltage")
    elif not any(flags.values()):
        yield ok("no throttling or under-voltage, now or since boot")
    for (kind, when), on in flags.items():
        if not on or (when != NOW and flags[kind, NOW]):  # reported once
            continue
        what = f"{kind.value.replace('_', ' ')}, {when.replace('_', ' ')}"
        if kind is Throttle.UNDER_VOLTAGE and when == NOW:
            yield error(f"{what}: slows the device, and may corrupt its card", fix=_FIXES[kind])
        elif kind is Throttle.SOFT_TEMPERATURE_LIMIT:
            yield info(what, fix=_FIXES[kind])
        else:
            yield warning(what, fix=_FIXES[kind])


def governor(subject: Subject) -> Iterator[Finding]:
    policies = sorted((subject.root / "sys/devices/system/cpu/cpufreq").glob("policy*"))
    chosen = {policy.name: read_text(policy / "scaling_governor") for policy in policies}
    known = sorted({name for name in chosen.values() if name is not None})
    if not known:
        yield info("the kernel does not control the CPU clock", "no cpufreq")
        return
    slow = [
        policy.name
        for policy in policies
        if chosen[policy.name] == "powersave"
        and read_text(policy / "scaling_driver") not in _SCALES_BY_ITSELF
    ]
    if slow:
        yield warning(
            "the governor keeps the CPU at its lowest clock",
            f"powersave on {', '.join(slow)}",
            "echo ondemand | sudo tee /sys/devices/system/cpu/cpufreq/policy*/scaling_governor",
        )
    else:
        yield ok(f"governor {', '.join(known)}")
    for policy in policies:
        most = read_number(policy / "cpuinfo_max_freq")
        allowed = read_number(policy / "scaling_max_freq")
        if most is not None and allowed is not None and allowed < most:
            yield info(
                f"{policy.name} is limited below its full clock by power mode, heat or a setting",
                f"{allowed // 1000} of {most // 1000} MHz",
            )


def power_mode(subject: Subject) -> Iterator[Finding]:
    """After NVIDIA's documentation of nvpmodel; not tested on a Jetson."""
    if not subject.is_jetson:
        return
    outcome = subject.run(["nvpmodel", "-q"], _COMMAND_SECONDS)
    mode = re.search(r"NV Power Mode: *(\S.*)", outcome.out)
    if mode is None:
        yield info("the power mode is unknown", outcome.said, "query it: sudo nvpmodel -q")
    elif mode[1].upper().startswith("MAXN"):
        yield ok(f"power mode {mode[1]}")
    else:
        yield info(
            "the power mode limits clocks or cores",
            mode[1],
            "list modes: sudo nvpmodel -p --verbose; set a higher one: sudo nvpmodel -m N",
        )


def power_limit(subject: Subject) -> Iterator[Finding]:
    """Whether `max_power_w`, if set, can have an effect."""
    if subject.config is None or subject.config.max_power_w is None:
        return
    power, account = Power(subject.root), subject.account
    files, limit = power.total_files, f"max_power_w {subject.config.max_power_w:g}"
    barred = [file for file in files if account is not None and not account.may(file, READ)]
    if not files:
        yield warning(
            "max_power_w has no effect: nothing measures the power of the whole device",
            limit,
            "remove it, or limit max_temperature_c instead"
            if Temperature(subject.root).measures
            else "remove it",
        )
    elif barred and account is not None:
        yield warning(
            f"max_power_w has no effect: {account.name} has no permission to read {barred[0]}",
            limit,
            "see docs/operations.md, Power",
        )
    elif not power.measures:
        yield warning("max_power_w has no effect: its sensor gives no reading", str(files[0]))
    else:
        yield ok("the power that max_power_w limits can be read")


def temperature_limit(subject: Subject) -> Iterator[Finding]:
    """Whether `max_temperature_c`, if set, can have an effect."""
    if subject.config is None or subject.config.max_temperature_c is None:
        return
    if Temperature(subject.root).measures:
        yield ok("the temperature that max_temperature_c limits can be read")
    else:
        yield warning(
            "max_temperature_c has no effect: no sensor gives the processor's temperature",
            f"max_temperature_c {subject.config.max_temperature_c:g}",
            "remove it",
        )
