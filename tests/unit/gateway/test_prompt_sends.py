"""When entries are sent whose confirm somebody waits for: at once, after the calls and the message that are running, or after a pause."""

import asyncio
from functools import partial

import pytest

from flashsale_gateway.outbox import prompt_sends
from flashsale_gateway.outbox.prompt_sends import PromptSends
from tests import waiting

until = partial(waiting.until, timeout_seconds=5)
LONG_SECONDS = 60


class Broker:
    """Each message is confirmed when the test says so."""

    def __init__(self) -> None:
        self.sent: list[str] = []
        self.confirms: list[asyncio.Event] = []
        self.prompt = PromptSends(self.send)

    def send(self, routing_key: str) -> list["asyncio.Task[None]"]:
        self.sent.append(routing_key)
        self.confirms.append(asyncio.Event())
        return [asyncio.create_task(self.publish(self.confirms[-1]))]

    def has_sent(self, count: int) -> bool:
        return len(self.sent) == count

    async def publish(self, confirm: asyncio.Event) -> None:
        await confirm.wait()


async def test_idle_outbox_sends_in_the_next_turn_and_each_key_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sends, "PAUSE_SECONDS", LONG_SECONDS)
    broker = Broker()
    for key in ("a", "b", "a"):
        broker.prompt.request(key)
    assert broker.sent == []
    await until(lambda: sorted(broker.sent) == ["a", "b"])


async def test_what_is_requested_while_a_message_is_in_flight_follows_its_confirm(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sends, "PAUSE_SECONDS", LONG_SECONDS)
    broker = Broker()
    broker.prompt.request("a")
    await until(lambda: broker.sent == ["a"])
    for _ in range(3):
        broker.prompt.request("a")
    await asyncio.sleep(0.02)
    assert broker.sent == ["a"]
    broker.confirms[0].set()
    await until(lambda: broker.sent == ["a", "a"])
    broker.confirms[1].set()
    await asyncio.sleep(0.02)
    broker.prompt.request("a")
    await until(lambda: len(broker.sent) == 3)


async def test_a_slow_confirm_holds_up_the_next_message_for_a_short_pause_only() -> None:
    broker = Broker()
    for count in (1, 2, 3):
        broker.prompt.request("a")
        await until(partial(broker.has_sent, count))
    assert not any(confirm.is_set() for confirm in broker.confirms)


async def test_entries_of_overlapping_calls_share_a_message(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sends, "PAUSE_SECONDS", LONG_SECONDS)
    broker = Broker()
    with broker.prompt.calling():
        with broker.prompt.calling():
            broker.prompt.request("a")
        await asyncio.sleep(0.02)
        assert broker.sent == []
        broker.prompt.request("a")
    await until(lambda: broker.sent == ["a"])
    await asyncio.sleep(0.02)
    assert broker.sent == ["a"]


async def test_a_call_that_follows_in_the_same_turn_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sends, "PAUSE_SECONDS", LONG_SECONDS)
    broker = Broker()
    with broker.prompt.calling():
        broker.prompt.request("a")
    with broker.prompt.calling():
        await asyncio.sleep(0.02)
        assert broker.sent == []
    await until(lambda: broker.sent == ["a"])


async def test_a_confirm_during_a_call_sends_nothing_yet(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prompt_sends, "PAUSE_SECONDS", LONG_SECONDS)
    broker = Broker()
    broker.prompt.request("a")
    await until(lambda: broker.sent == ["a"])
    with broker.prompt.calling():
        broker.prompt.request("a")
        broker.confirms[0].set()
        await asyncio.sleep(0.02)
        assert broker.sent == ["a"]
    await until(lambda: broker.sent == ["a", "a"])


async def test_a_call_that_hangs_holds_up_entries_for_a_short_pause_only() -> None:
    broker = Broker()
    with broker.prompt.calling():
        broker.prompt.request("a")
        await until(lambda: broker.sent == ["a"])
