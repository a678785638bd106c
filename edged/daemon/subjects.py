"""What others are told of a run: health checks, the status line, metrics and the page."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING

from edged.config.camera import ViewConfig
from edged.config.config import Config
from edged.config.family import needed, overruled
from edged.pipeline.queue import ViewQueue
from edged.service.status_line import ViewNow
from edged.teach.teaching import Configured
from edged.telemetry.health import DOWN_STATES, CameraHealth
from edged.telemetry.subjects import Learnt, Subjects, ViewSubject
from edged.variants.taught import to_teach
from edged.view import camera_of

if TYPE_CHECKING:
    from edged.daemon.run import Run


def configured(config: Config) -> Configured:
    """For teaching."""
    models: dict[str | None, str] = {view.id: view.model for view in config.views}
    refusals = partial(overruled, config), partial(needed, config)
    return Configured(config.base, models, *refusals)


def health(run: Run) -> list[CameraHealth]:
    queues = run.queues
    return [
        CameraHealth(
            settings.name,
            camera.state.value,
            all(view.id in queues and queues[view.id].results > 0 for view in on),
            camera.last_error,
            off=not on,
        )
        for settings in run.config.cameras
        for camera in [run.cameras[settings.name].camera]
        for on in [[each for each in settings.views if run.world.switches.of_view(each.id).on]]
    ]


def now(run: Run) -> list[ViewNow]:
    queues = run.queues
    return [_now(run, view.id, queues.get(view.id)) for view in run.config.views]


def _now(run: Run, view: str, queue: ViewQueue | None) -> ViewNow:
    trouble, camera = None, run.cameras[camera_of(view)].camera
    if camera.state.value in DOWN_STATES:
        trouble = ", ".join(filter(None, (camera.state.value, camera.last_error)))
    else:
        trouble = run.models.instead.get(view) or to_teach(run.models.by_view[view].family)
    if not (switch := run.world.switches.of_view(view)).on:
        trouble = switch.words()
    if queue is None or run.pipeline is None:
        return ViewNow(view, trouble, "", 0, 0)
    in_use = run.pipeline.controller.views[view].previous
    variant = "" if in_use is None else in_use.variant.name
    on_time = queue.results - queue.late
    return ViewNow(view, trouble, variant, queue.results + queue.stale, on_time)


def subjects(run: Run) -> Subjects:
    queues = run.queues
    return Subjects(
        views=[_subject(run, view, queues.get(view.id)) for view in run.config.views],
        cameras=[each.camera for each in run.cameras.values()],
        sinks=[each.sink for each in run.sinks.values()],
        runtimes=[backend.describe() for backend in run.models.backends],
        loading=lambda: run.pipeline is None,
        engines=lambda: run.models.engines,
        max_temperature_c=run.config.max_temperature_c,
        max_power_w=run.config.max_power_w,
        sensors=lambda: run.world.sensors.gauges,
        power_w=lambda: run.thermostat.power_w,
        joules=run.thermostat.energy.of,
        slowdown=run.slowdown,
        busy_share=lambda: run.thermostat.allowance.share,
        events=run.watch.counts,
        rules=lambda: {
            rule.name: run.world.switches.of_event(rule.name) for rule in run.config.events
        },
        events_dropped=lambda: run.dispatcher.dropped,
        snapshots_dropped=lambda: run.dispatcher.snapshots_dropped,
        history_dropped=lambda: run.world.history.dropped,
        history_trouble=lambda: run.world.history.trouble,
        history_bytes=lambda: run.world.history.size_bytes,
        classified=lambda: run.world.sent.counts,
        failures=lambda: {} if run.pipeline is None else run.pipeline.setbacks.failures,
    )


def _subject(run: Run, view: ViewConfig, queue: ViewQueue | None) -> ViewSubject:
    model, attached = run.models.by_view[view.id], run.cameras[view.camera]
    number, instead = attached.number(view), run.models.instead.get(view.id)
    return ViewSubject(
        id=view.id,
        camera=attached.camera,
        index=number,
        budget_ms=view.latency_budget_ms,
        on_time=view.on_time,
        max_fps=view.max_fps,
        roi=view.roi,
        family=model.family.name,
        labels=model.family.labels,
        variants=model.variants,
        networks={each: model.family.network(each).sha256 for each in model.variants},
        top1=model.known_top1(),
        ladder=lambda: run.ladder(view.id),
        to_teach=to_teach(model.family) and (instead or to_teach(model.family)),
        instead=instead,
        measured_ms=partial(_measured_ms, run, view.id),
        quiet=view.quiet is not None,
        square=attached.request.numbered[number].square,
        replaced=lambda: 0 if queue is None else queue.overwritten,
        off=lambda: 0 if queue is None else queue.off,
        switch=partial(run.world.switches.of_view, view.id),
        give_up=view.give_up if view.goal == "power" else None,
        learnt=lambda: Learnt() if queue is None else _learnt(queue),
    )


def _learnt(queue: ViewQueue) -> Learnt:
    evidence, agreement = queue.evidence, queue.evidence.agreement
    if agreement is None:
        return Learnt(evidence.seconds, spared_seconds=queue.spared_ms / 1000)
    found = {each: agreement.estimate(each) for each in agreement.variants}
    return Learnt(
        evidence.seconds,
        agreement.reference,
        agreement.breaks,
        {variant: each for variant, each in found.items() if each is not None},
        agreement.figures(),
        evidence.score,
        evidence.classless,
        queue.spared_ms / 1000,
    )


def _measured_ms(run: Run, view: str) -> dict[str, float]:
    """Median time of the view's variants, in the fastest way of each that was measured."""
    found: dict[str, float] = {}
    if run.loaded_models is not None:
        networks = {each.sha256 for each in run.models.by_view[view].family.networks}
        for choice, timing in run.loaded_models.profiler.profile.items():
            if choice.network in networks:
                name, p50_ms = choice.variant.name, timing.service.p50_ms
                found[name] = min(found.get(name, p50_ms), p50_ms)
    return found
