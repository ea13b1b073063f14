"""Many conversations at the same time against a gateway; honest ones are repeated against plain uvicorn, and final checks follow."""

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
from tests.integration.conversations import final_checks
from tests.integration.conversations.buyer import World
from tests.integration.conversations.conversation import Conversation
from tests.integration.conversations.generate import conversation
from tests.integration.conversations.judge import ClientView, difference, fault_of
from tests.integration.conversations.play import Address, play
from tests.integration.gateways import Gateway, gateway_on

STOCK, SCARCE_STOCK = 100_000_000, 300
WINDOW_SECONDS = 1800
"""The longest payment window: no hold should expire during a run, and an expired one would be found in its record."""
PLAIN = "tests.integration.conversations.plain_uvicorn"
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
    """No new conversation begins after this many findings."""
    deadline_seconds: float = 30.0
    """How long a conversation may take."""

    @property
    def numbers(self) -> range:
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class Finding:
    what: str
    number: int | None = None
    """The number of the conversation; None for a finding of the final checks."""
    concurrent: tuple[int, ...] = ()
    """Conversations that ran at that time: any of them may be the cause."""


@dataclass
class Report:
    """What was played, and the findings."""

    played: Counter[str] = field(default_factory=Counter)
    """Conversations by kind."""
    answers: int = 0
    compared: int = 0
    """Honest conversations that were also played against plain uvicorn."""
    refused: int = 0
    """Conversations with a 503 that asks for the same request again."""
    accepted: dict[str, set[str]] = field(default_factory=dict)
    """Orders for which honest clients received a 200, by sale."""
    findings: list[Finding] = field(default_factory=list)
    before_bytes: int = 0
    """Resident memory of the gateway."""
    after_bytes: int = 0
    seconds: float = 0.0


@dataclass(frozen=True, slots=True)
class Stage:
    """A gateway, a client of it, and the sales for its conversations."""

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
    """Two gateways on the stores that `env` names: one as it is, and one run by plain uvicorn without the fast path."""
    with gateway_on(env, folder / "ours.log") as ours, gateway_on(env, folder / "plain.log", PLAIN) as plain:
        yield _stage(env, ours), _stage(env, plain)


def run(env: Mapping[str, str], plan: Plan, ours: Stage, plain: Stage, say: Say = lambda _: None) -> Report:
    report, began = Report(), time.monotonic()
    _warm_up(ours)
    report.before_bytes = final_checks.resident_bytes(ours.gateway.pid)
    uvloop.run(_Run(plan, ours, plain, report, say).play_all())
    report.findings += map(Finding, final_checks.faults(env, ours.client, ours.gateway, ours.world, report.accepted))
    report.after_bytes = final_checks.resident_bytes(ours.gateway.pid)
    report.findings += map(Finding, _odd_figures(report, plan.at_once))
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


def _odd_figures(report: Report, at_once: int) -> Iterator[str]:
    grown = report.after_bytes - report.before_bytes
    if grown > final_checks.GROWTH_BYTES_MAX:
        yield f"the gateway's memory has grown by {grown / 1e6:.0f} MB"
    # A broker that stands still for a moment refuses all that are under way.
    if report.refused > max(at_once, REFUSED_SHARE_MAX * report.played.total()):
        yield f"{report.refused} conversations received a 503"


@dataclass
class _Run:
    plan: Plan
    ours: Stage
    plain: Stage
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
        view = await play(talk, self.ours.address, self.plan.deadline_seconds)
        fault = fault_of(talk, view) or await self._compare(talk, view)
        if fault:
            self.report.findings.append(Finding(fault, number, tuple(sorted(self._playing - {number}))))
        self._count(talk, view)

    async def _compare(self, talk: Conversation, view: ClientView) -> str:
        """How plain uvicorn answers differently; empty when it does not, or cannot be compared."""
        if not talk.comparable or view.refused:
            return ""
        same = self.plain.conversation(self.plan.seed, talk.number)
        other = await play(same, self.plain.address, self.plan.deadline_seconds)
        if other.refused:
            return ""
        self.report.compared += 1
        return difference(view, other, [(self.ours.world.sale, self.plain.world.sale)])

    def _count(self, talk: Conversation, view: ClientView) -> None:
        report = self.report
        report.played[talk.kind] += 1
        report.answers += len(view.answers)
        report.refused += view.refused
        for request, answer in zip(talk.requests, view.finals, strict=False):
            if talk.honest and request.order is not None and answer.status == 200:
                report.accepted.setdefault(request.order.sale, set()).add(request.order.order_id)

    def _say_progress(self) -> None:
        done, step = self.report.played.total(), max(1, self.plan.count // REPORTS)
        if done % step == 0:
            self.say(f"{done:,} of {self.plan.count:,} conversations, {len(self.report.findings)} findings")
