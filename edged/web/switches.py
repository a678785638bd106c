"""Switches over HTTP: `/api/v1/switches`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from http import HTTPStatus
from typing import Any

from edged.errors import InputError
from edged.switches.switch import Kind, State, Target
from edged.switches.switches import Switches
from edged.web.answer import JSON, Answer, Request
from edged.web.changes.json_body import (
    ANSWER_SECONDS,
    JSON_BYTES,
    TEXT_FIELD,
    Field,
    answered,
    fields_of,
)
from edged.web.changes.post import Body, Post

PATH = "/api/v1/switches"
_FIELDS: Mapping[str, Field] = {
    "view": Field((str,), "the id of a view", required=False),
    "event": Field((str,), "the name of an event rule", required=False),
    "set": TEXT_FIELD,
    "minutes": Field((int,), "a whole number", required=False),
}
_SET = {"on": State.ON, "off": State.OFF, "snooze": State.SNOOZED}


class SwitchesEndpoint:
    """switches: None where nothing is switched."""

    def __init__(self, switches: Switches | None) -> None:
        self._switches = switches

    def answer(self, request: Request) -> Answer | Post | None:
        """None: not its path."""
        if request.path != PATH or self._switches is None:
            return None
        if request.method == "POST":
            make = partial(self._make, self._switches, _origin(request))
            return Post("control", {JSON: JSON_BYTES}, ANSWER_SECONDS, make)
        if request.method not in ("GET", "HEAD"):
            return Answer.text(HTTPStatus.METHOD_NOT_ALLOWED, ("Allow", "GET, HEAD, POST"))
        why_not = request.barred.get("control")
        about = {"may_change": why_not is None, "why_not": why_not}
        return Answer.json(HTTPStatus.OK, about | _told(self._switches))

    def _make(self, switches: Switches, origin: str, body: Body) -> Answer:
        def act() -> Answer:
            given = fields_of(body, _FIELDS)
            switches.change(_target(given), _state(given), origin, given.get("minutes"))
            return Answer.json(HTTPStatus.OK, {"kept": switches.save()} | _told(switches))

        return answered(act)


def _told(switches: Switches) -> dict[str, dict[str, Any]]:
    found: dict[str, dict[str, Any]] = {"views": {}, "events": {}}
    for target, switch in switches.states.items():
        found[f"{target.kind.value}s"][target.name] = switch.told()
    return found


def _target(given: Mapping[str, Any]) -> Target:
    named = [Target(kind, given[kind.value]) for kind in Kind if kind.value in given]
    if len(named) != 1:
        raise InputError("expected a view or an event", got="both" if named else "neither")
    return named[0]


def _state(given: Mapping[str, Any]) -> State:
    state = _SET.get(given["set"])
    if state is None:
        raise InputError(f"set: expected {', '.join(_SET)}", got=given["set"][:80])
    if "minutes" in given and state is not State.SNOOZED:
        raise InputError("minutes are those of a snooze", fix="leave them out")
    return state


def _origin(request: Request) -> str:
    """`page by anna`, `api on loopback`. A token is named by the beginning of its hash."""
    way = "page" if request.origin or request.fetch_site == "same-origin" else "api"
    if not request.who:
        return f"{way} on loopback"  # others must log in to change something
    kind, colon, digits = request.who.partition(":")
    return f"{way} by {f'token {digits[:8]}' if colon and kind == 'sha256' else request.who}"
