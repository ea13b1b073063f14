"""The Kubernetes Events that a change of status is worth, each once. Pure."""

from collections.abc import Mapping, Set
from typing import Any, NamedTuple

from flashsale_operator.conditions import Phase, transitions
from flashsale_operator.resource import GROUP, VERSION, Resource

COMPONENT = "flashsale-operator"
_CONDITIONS = ("Ready", "Stalled", "SoldOut")
_PHASES = {
    Phase.SCHEDULED: ("Scheduled", "the sale has not started yet"),
    Phase.LIVE: ("Started", "the sale accepts orders"),
    Phase.PAUSED: ("Paused", "the sale accepts no orders until spec.paused is false"),
    Phase.ENDED: ("Ended", "the sale accepts no new orders; live holds can still be paid"),
    Phase.DRAINING: ("Draining", "the sale accepts no new orders, and is removed once no hold is left"),
}
"""Sold out and stalled are conditions, which have events of their own."""


class Event(NamedTuple):
    type: str
    """Normal or Warning."""
    reason: str
    message: str


def status_events(previous: Mapping[str, Any], status: Mapping[str, Any]) -> list[Event]:
    """An event for each condition whose status changed, and for a new phase.

    A sale that becomes Ready in a new phase has the phase's event only: thousands of new sales would have two each.
    """
    phase_events = _phase_events(previous.get("phase"), status["phase"])
    return [*_condition_events(previous, status, {"Ready"} if phase_events else set()), *phase_events]


def event_document(resource: Resource, event: Event, now: str, instance: str) -> dict[str, Any]:
    """The Event as the apiserver takes it (core/v1). `now` is RFC 3339, `instance` the pod's name."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"namespace": resource.namespace, "generateName": "flashsale-"},
        "involvedObject": {
            "apiVersion": f"{GROUP}/{VERSION}",
            "kind": "FlashSale",
            "namespace": resource.namespace,
            "name": resource.name,
            "uid": resource.uid,
        },
        "type": event.type,
        "reason": event.reason,
        "message": event.message[:MESSAGE_CHARACTERS_MAX],
        "action": "Reconcile",
        "source": {"component": COMPONENT},
        "reportingComponent": COMPONENT,
        "reportingInstance": instance,
        "firstTimestamp": now,
        "lastTimestamp": now,
        "count": 1,
    }


MESSAGE_CHARACTERS_MAX = 1024
"""The apiserver refuses longer messages."""


def _condition_events(previous: Mapping[str, Any], status: Mapping[str, Any], implied: Set[str]) -> list[Event]:
    """`implied` are conditions whose becoming True needs no event."""
    events = []
    for condition in transitions(previous, status):
        kind, holds = condition["type"], condition["status"] == "True"
        if kind in _CONDITIONS and not (holds and kind in implied):
            bad = holds if kind == "Stalled" else not holds and kind == "Ready"
            reason = condition["reason"] if holds else f"Not{kind}"
            events.append(Event("Warning" if bad else "Normal", reason, condition["message"] or f"{kind} is {condition['status']}"))
    return events


def _phase_events(before: str | None, phase: str) -> list[Event]:
    known = _PHASES.get(Phase(phase))
    if known is None or before == phase:
        return []
    reason, message = known
    if phase == Phase.LIVE and before == Phase.PAUSED:
        reason = "Resumed"
    elif phase == Phase.LIVE and before in (Phase.SOLD_OUT, Phase.STALLED):
        # The event of the condition says it.
        return []
    return [Event("Normal", reason, message)]
