"""Kubernetes Events: one for each change, at a bounded rate."""

import asyncio
from typing import Any

import pytest

from flashsale_core.tasks import cancel_and_wait
from flashsale_operator import recorder
from flashsale_operator.events import MESSAGE_CHARACTERS_MAX, Event, event_document, status_events
from flashsale_operator.recorder import Recorder
from tests.unit.operator.test_operator_plan import RESOURCE


def status(phase: str, **conditions: str) -> dict[str, Any]:
    listed = [{"type": kind, "status": holds, "reason": f"{kind}Reason", "message": ""} for kind, holds in conditions.items()]
    return {"phase": phase, "conditions": listed}


@pytest.mark.parametrize(
    ("before", "after", "reasons"),
    [
        ({}, status("Scheduled", Ready="True"), ["Scheduled"]),
        (status("Stalled", Ready="False"), status("Live", Ready="True"), ["ReadyReason"]),
        (status("Scheduled", Ready="True"), status("Live", Ready="True"), ["Started"]),
        (status("Live"), status("Live"), []),
        (status("Live"), status("Paused"), ["Paused"]),
        (status("Paused"), status("Live"), ["Resumed"]),
        (status("Live"), status("Ended"), ["Ended"]),
        (status("Live", SoldOut="False"), status("SoldOut", SoldOut="True"), ["SoldOutReason"]),
        (status("SoldOut", SoldOut="True"), status("Live", SoldOut="False"), ["NotSoldOut"]),
        (status("Live", Ready="True"), status("Draining", Ready="False"), ["NotReady", "Draining"]),
        (status("Live", Stalled="False"), status("Stalled", Stalled="True"), ["StalledReason"]),
    ],
)
def test_each_change_is_one_event(before: dict[str, Any], after: dict[str, Any], reasons: list[str]) -> None:
    assert [event.reason for event in status_events(before, after)] == reasons


def test_only_faults_are_warnings() -> None:
    events = status_events(status("Live", Ready="True", Stalled="False"), status("Stalled", Ready="False", Stalled="True"))
    assert {event.type for event in events} == {"Warning"}
    assert {event.type for event in status_events({}, status("Live", Ready="True"))} == {"Normal"}


def test_event_names_its_resource_and_fits_the_apiserver() -> None:
    document = event_document(RESOURCE, Event("Normal", "Started", "x" * 5000), "2026-08-01T12:00:00Z", "pod-1")
    assert document["involvedObject"]["uid"] == RESOURCE.uid
    assert len(document["message"]) == MESSAGE_CHARACTERS_MAX


async def test_flood_of_events_is_dropped_and_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recorder, "PAUSE_SECONDS", 0)
    posted: list[str] = []

    async def post(namespace: str, document: dict[str, Any]) -> None:
        posted.append(f"{namespace} {document['reason']}")
        if len(posted) == 1:
            raise OSError("the apiserver is away")

    events = Recorder(post)
    events.record(RESOURCE, [Event("Normal", "Started", "")] * (recorder.WAITING_MAX + 50))
    posting = asyncio.create_task(events.run())
    async with asyncio.timeout(5):
        while len(posted) < recorder.WAITING_MAX:  # noqa: ASYNC110 - what is waited for is a number that grows
            await asyncio.sleep(0.005)
    await cancel_and_wait(posting)
    assert posted == [f"{RESOURCE.namespace} Started"] * recorder.WAITING_MAX
