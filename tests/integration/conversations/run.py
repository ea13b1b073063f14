"""Many conversations side by side: against a gateway, the honest ones against uvicorn's own way as well, and a look around afterwards."""

import asyncio
import base64
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from urllib.parse import urlsplit

import uvloop

from tests.integration.client import Client
from tests.integration.conversations import afterwards
from tests.integration.conversations.buyer import World
from tests.integration.conversations.conversation import Conversation
from tests.integration.conversations.generate import conversation
from tests.integration.conversations.judge import Seen, difference, fault_of
from tests.integration.conversations.play import Address, play
from tests.integration.gateways import Gateway, gateway_on

STOCK, SCARCE_STOCK = 100_000_000, 300
WINDOW_SECONDS = 1800
"""No hold expires while conversations run; if some do, their records say so."""
OWN = "tests.integration.conversations.uvicorns_own"
WARM_UP_ORDERS = 50
REFUSED_SHARE_MAX = 0.01
REPORTS = 20
"""How often a run reports its progress."""
Say = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    seed: int
    count: int
    first: int = 0
    """Number of the first conversation."""
    at_once: int = 64
    findings_max: int = 20
    """No new conversation begins after these."""
    deadline_seconds: float = 30.0
    """How long one conversation may take."""

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    number: int | None = None
    """The conversation's; None for what was found afterwards."""
    beside: tuple[int, ...] = ()
    """Conversations that were going on when it was found: the cause may be any of them."""


@dataclass
class Report:
    """What was played, and what is wrong with it."""

    played: Counter[str] = field(default_factory=Counter)
    """Conversations by kind."""
    answers: int = 0
    compared: int = 0
    """Honest conversations that were played on uvicorn's own way as well."""
    refused: int = 0
    """Of them and others: those with a 503 that may be any request's answer."""
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """Orders that honest clients had a 200 for, by sale."""
    findings: list[Finding] = field(default_factory=list)
    before_bytes: int = 0
    """Resident memory of the gateway."""
    after_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway, and what is sold there."""

    gateway: Gateway
    client: Client
    world: World

    @property
    def address(self) -> Address:
        parts = urlsplit(self.gateway.url)
        return str(parts.hostname), int(parts.port or 80)

    def conversation(self, seed: int, number: int) -> Conversation:
        return conversation(replace(self.world, now_seconds=time.time()), seed, number)


@contextmanager
def stages(env: Mapping[str, str], folder: Path) -> Iterator[tuple[Stage, Stage]]:
    """Two gateways on the stores that `env` names: ours, and one on uvicorn's own way."""
    with gateway_on(env, folder / "ours.log") as ours, gateway_on(env, folder / "own.log", OWN) as own:
        yield _stage(env, ours), _stage(env, own)


def run(env: Mapping[str, str], plan: Plan, ours: Stage, own: Stage, say: Say = lambda _: None) -> Report:
    report, began = Report(), time.monotonic()
    _warm_up(ours)
    report.before_bytes = afterwards.resident_bytes(ours.gateway.pid)
    uvloop.run(_Run(plan, ours, own, report, say).play_all())
    report.findings += map(Finding, afterwards.faults(env, ours.client, ours.gateway, ours.world, report.accepted))
    report.after_bytes = afterwards.resident_bytes(ours.gateway.pid)
    report.findings += map(Finding, _odd_figures(report))
    report.seconds = time.monotonic() - began
    return report


def _stage(env: Mapping[str, str], running: Gateway) -> Stage:
    client = Client({**env, "FLASHSALE_URL": running.url})
    world = World(
        sale=client.new_sale(STOCK, paymentWindowSeconds=WINDOW_SECONDS),
        scarce_sale=client.new_sale(SCARCE_STOCK, paymentWindowSeconds=WINDOW_SECONDS),
        order_id_key=env["FLASHSALE_ORDER_ID_KEY"].encode(),
        webhook_key=base64.b64decode(env["FLASHSALE_WEBHOOK_SECRET"].removeprefix("whsec_")),
        now_seconds=0.0,
    )
    return Stage(running, client, world)


def _warm_up(stage: Stage) -> None:
    for number in range(WARM_UP_ORDERS):
        assert stage.client.order(stage.world.sale, f"warm-{number}").status == 200


def _odd_figures(report: Report) -> Iterator[str]:
    grown = report.after_bytes - report.before_bytes
    if grown > afterwards.GROWTH_BYTES_MAX:
        yield f"the gateway has {grown / 1e6:.0f} MB more than before"
    if report.refused > max(5, REFUSED_SHARE_MAX * report.played.total()):
        yield f"{report.refused} conversations had a 503"


@dataclass
class _Run:
    plan: Plan
    ours: Stage
    own: Stage
    report: Report
    say: Say
    _playing: set[int] = field(default_factory=set)

    async def play_all(self) -> None:
        numbers = iter(self.plan.numbers)
        async with asyncio.TaskGroup() as group:
            for _ in range(min(self.plan.at_once, self.plan.count)):
                group.create_task(self._play_each(numbers))

    async def _play_each(self, numbers: Iterator[int]) -> None:
        for number in numbers:
            if len(self.report.findings) >= self.plan.findings_max:
                return
            self._playing.add(number)
            await self._play(number)
            self._playing.discard(number)
            self._say_progress()

    async def _play(self, number: int) -> None:
        talk = self.ours.conversation(self.plan.seed, number)
        seen = await play(talk, self.ours.address, self.plan.deadline_seconds)
        fault = fault_of(talk, seen) or await self._other_way(talk, seen)
        if fault:
            self.report.findings.append(Finding(fault, number, tuple(sorted(self._playing - {number}))))
        self._count(talk, seen)

    async def _other_way(self, talk: Conversation, seen: Seen) -> str:
        """What uvicorn's own way does otherwise; empty when nothing, or nothing that can be compared."""
        if not talk.comparable or seen.refused:
            return ""
        same = self.own.conversation(self.plan.seed, talk.number)
        other = await play(same, self.own.address, self.plan.deadline_seconds)
        if other.refused:
            return ""
        self.report.compared += 1
        return difference(seen, other, [(self.ours.world.sale, self.own.world.sale)])

    def _count(self, talk: Conversation, seen: Seen) -> None:
        report = self.report
        report.played[talk.kind] += 1
        report.answers += len(seen.answers)
        report.refused += seen.refused
        for request, answer in zip(talk.requests, seen.finals, strict=False):
            if talk.honest and request.order is not None and answer.status == 200:
                report.accepted.setdefault(request.order.sale, set()).add(request.order.order_id)

    def _say_progress(self) -> None:
        done, step = self.report.played.total(), max(1, self.plan.count // REPORTS)
        if done % step == 0:
            self.say(f"{done:,} of {self.plan.count:,} conversations, {len(self.report.findings)} findings")
