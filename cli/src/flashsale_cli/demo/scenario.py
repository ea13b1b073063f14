"""The demo from the first order to the last payment, against a running stack."""

import asyncio
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from secrets import token_bytes
from time import monotonic, time
from typing import Any
from uuid import uuid4

from aiohttp import ClientSession

from flashsale_cli import sales_client
from flashsale_cli.console import number
from flashsale_cli.demo import refunds as refund_settlement
from flashsale_cli.demo import screen as view
from flashsale_cli.demo.pace import FAST, Pace
from flashsale_cli.demo.refunds import Refunds
from flashsale_cli.demo.screen import Screen
from flashsale_cli.demo.winners import Action, action_of
from flashsale_cli.http_client import open_session, send_request
from flashsale_cli.load.outcomes import Group
from flashsale_cli.load.plan import Crowd, plan
from flashsale_cli.load.proofs import buyer_token, impostures
from flashsale_cli.load.report import latency_table, outcome_table
from flashsale_cli.load.run import Target, run
from flashsale_cli.load.tally import Accepted, Tally
from flashsale_cli.payments import AMOUNT_MINOR_DEFAULT, CURRENCY_DEFAULT, Payment, Provider, new_payment_id
from flashsale_cli.refunds_client import RefundsClient
from flashsale_cli.sales_client import Sale
from flashsale_core.buyer_token import BuyerTokens
from flashsale_core.errors import FlashsaleError, Retryable
from flashsale_core.tasks import cancel_and_wait
from flashsale_core.timestamps import rfc3339_of_ms

MAX_PER_USER = 2
REPLAYS, OVER_LIMIT, RUBBISH, IMPOSTORS = 0.05, 0.05, 0.02, 0.02
WINNERS_AT_ONCE = 24
SALE_EVERY_SECONDS = 0.25
RELEASE_GRACE_SECONDS = 20.0
OPENED_GRACE_SECONDS = 0.25
SECOND_WAVE_DIVISOR = 10
"""The second wave has a tenth of the buyers of the first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ScenarioSettings:
    url: str
    ledger_api_url: str
    admin_token: str
    provider: Provider
    tokens: BuyerTokens
    """Signs as the shop's backend does for buyers who are logged in."""
    buyers: int
    units: int
    window_seconds: int
    connections: int
    seed: int
    pace: Pace = FAST
    page_lines: Callable[[str], list[str]] = lambda _: []
    """Where a person sees the sale with this id."""


@dataclass(slots=True)
class Outcome:
    """What the buyers of the demo observed. The audit is separate from it."""

    product_id: str
    sale: Sale
    tallies: list[Tally] = field(default_factory=list)
    prefixes: list[str] = field(default_factory=list)
    """With which the user ids of the crowds begin."""
    visitors: int = 0
    """Orders of people at the storefront."""
    held: int = 0
    """Units held when the last hold of the first wave should have ended."""
    late: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)
    """The answers to payments of a wrong amount."""
    returns: Counter[str] = field(default_factory=Counter)
    """The answers to returns of paid orders."""
    refunds: Refunds = field(default_factory=Refunds)

    @property
    def orders(self) -> list[str]:
        return [order.order_id for tally in self.tallies for order in tally.orders.values()]

    @property
    def broken(self) -> list[str]:
        return [words for tally in self.tallies for words in tally.broken]

    @property
    def impostors(self) -> int:
        return sum(tally.impostors.total() for tally in self.tallies)

    @property
    def impostors_refused(self) -> int:
        """Those refused for their proof, and for nothing else."""
        return sum(count for tally in self.tallies for outcome, count in tally.impostors.items() if outcome.unproven)

    @property
    def unproven(self) -> int:
        """Genuine buyers who were refused for their proof."""
        return sum(tally.unproven for tally in self.tallies)

    @property
    def unanswered(self) -> int:
        return sum(tally.count(Group.ERROR) for tally in self.tallies)


class Scenario:
    def __init__(self, settings: ScenarioSettings, screen: Screen, session: ClientSession) -> None:
        self._settings = settings
        self._screen = screen
        self._session = session
        now = time()
        self._proof = buyer_token(settings.tokens, now)
        self._impostures = impostures(settings.tokens, BuyerTokens([token_bytes(32)]), now)
        self._product_id = f"demo-{uuid4().hex[:8]}"
        self._actions: Counter[str] = Counter()
        self._payments: Counter[str] = Counter()
        self._wrong: Counter[str] = Counter()
        self._returns: Counter[str] = Counter()
        self._late: list[Accepted] = []
        self._sale: Sale = {}
        self._prefixes: list[str] = []

    async def run(self) -> Outcome:
        await self._open_sale()
        outcome = Outcome(self._product_id, self._sale, wrong=self._wrong, returns=self._returns, prefixes=self._prefixes)
        outcome.tallies.append(await self._first_wave())
        outcome.held = await self._wait_for_release()
        outcome.late = await self._pay_late()
        outcome.tallies.append(await self._second_wave())
        outcome.refunds = await self._settle_refunds(outcome.late)
        outcome.sale = await self._refresh()
        return outcome

    async def _open_sale(self) -> None:
        settings = self._settings
        wanted = {
            "productId": self._product_id,
            "stock": settings.units,
            "maxPerUser": MAX_PER_USER,
            "paymentWindowSeconds": settings.window_seconds,
            "latePayment": "refund",
            "price": {"amountMinor": AMOUNT_MINOR_DEFAULT, "currency": CURRENCY_DEFAULT},
        }
        opens_at = time() + settings.pace.opens_after_seconds
        if settings.pace.opens_after_seconds:
            wanted["startsAt"] = rfc3339_of_ms(int(1000 * opens_at))
        self._sale = await sales_client.set_sale(self._session, settings.url, settings.admin_token, wanted)
        self._screen.section("The sale")
        terms = f"at most {MAX_PER_USER} per buyer, {settings.window_seconds} s to pay, late payments are refunded"
        self._screen.say(f"{self._product_id}: {number(settings.units)} units, {terms}.")
        for line in settings.page_lines(self._product_id):
            self._screen.say_address(f"· {line}")
        if settings.pace.opens_after_seconds:
            self._screen.say(f"It opens in {settings.pace.opens_after_seconds:.0f} s.")
            # The gateway decides by Redis' clock, which is that of this machine.
            await asyncio.sleep(max(0.0, opens_at - time()) + OPENED_GRACE_SECONDS)

    async def _first_wave(self) -> Tally:
        settings, screen = self._settings, self._screen
        screen.section(f"First wave: {number(settings.buyers)} buyers for {number(settings.units)} units")
        shares = f"{REPLAYS:.0%} send the same request twice, {OVER_LIMIT:.0%} order three times, {RUBBISH:.0%} send invalid requests"
        screen.say(f"Up to {number(settings.connections)} requests at once; {shares}.")
        screen.say(f"Each buyer bears a buyer token; {IMPOSTORS:.0%} bear one that is forged, expired, or of another shop or buyer.")
        impostors = max(len(self._impostures), round(IMPOSTORS * settings.buyers))
        crowd = self._crowd("a", settings.buyers, replays=REPLAYS, over_limit=OVER_LIMIT, rubbish=RUBBISH, impostors=impostors)
        tally = await self._sell(crowd, self._take_next_action, settings.pace.arrival_seconds)
        screen.say(view.summary(tally))
        if len(tally.orders) > settings.units:
            screen.say("There are more orders than units, because cancelled units are sold again at once.")
        screen.show(outcome_table(tally))
        screen.say("")
        screen.show(latency_table(tally))
        screen.section(f"{number(len(tally.orders))} winners have {settings.window_seconds} s to pay")
        screen.show(view.actions_table(self._actions))
        screen.show(view.payments_table(self._payments))
        return tally

    async def _wait_for_release(self) -> int:
        """The units that are held after all holds of the first wave should have ended."""
        self._screen.section("Unpaid units are released")
        give_up_at = monotonic() + self._settings.window_seconds + RELEASE_GRACE_SECONDS
        with self._screen.live(lambda: view.stock_bar(self._sale)):
            while (await self._refresh())["reserved"] and monotonic() < give_up_at:  # noqa: ASYNC110 - the gateway cannot wake us
                await asyncio.sleep(SALE_EVERY_SECONDS)
        self._screen.show(view.stock_bar(self._sale))
        return int(self._sale["reserved"])

    async def _pay_late(self) -> Counter[str]:
        self._screen.section("Some winners pay too late")
        payments = [Payment(order.order_id, new_payment_id()) for order in self._late]
        results = await self._settings.provider.send_all(self._session, payments, WINNERS_AT_ONCE)
        words = ", ".join(f"{number(count)} {name}" for name, count in results.items()) or "no answers"
        self._screen.say(f"{number(len(payments))} payments after the payment window: {words}.")
        return results

    async def _second_wave(self) -> Tally:
        buyers = max(self._settings.buyers // SECOND_WAVE_DIVISOR, 2 * self._sale["available"])
        self._screen.section(f"Second wave: {number(buyers)} buyers for the {number(self._sale['available'])} released units")
        tally = await self._sell(self._crowd("b", buyers), self._pay)
        self._screen.say(view.summary(tally))
        await self._refresh()
        self._screen.show(view.stock_bar(self._sale))
        return tally

    async def _settle_refunds(self, late: Counter[str]) -> Refunds:
        self._screen.section("The provider pays back what is due, and reports it")
        expected = self._returns["returned"] + refund_settlement.promised(self._payments + late)
        client = RefundsClient(self._session, self._settings.ledger_api_url, self._settings.admin_token)
        refunds = await refund_settlement.settle(client, self._session, self._settings.provider, self._product_id, expected)
        self._screen.say(f"{number(refunds.sent)} refunds are sent, and {number(refunds.open)} are open.")
        return refunds

    async def _sell(self, crowd: Crowd, then: Callable[[Accepted], Any], arrival_seconds: float = 0.0) -> Tally:
        """Send the orders of the crowd; `then` is called for each winner while others still order."""
        clicks = plan(crowd)
        tally, winners = Tally(len(clicks)), asyncio.Queue[Accepted]()
        target = Target(self._settings.url, self._settings.connections, arrival_seconds=arrival_seconds)
        helpers = [asyncio.create_task(_each(winners, then)) for _ in range(WINNERS_AT_ONCE)]
        helpers.append(asyncio.create_task(self._follow_sale()))
        try:
            with self._screen.live(lambda: view.wave(self._sale, tally, self._payments)):
                await run(clicks, target, tally, winners.put_nowait)
                await winners.join()
        finally:
            await cancel_and_wait(*helpers)
        return tally

    def _crowd(self, wave: str, buyers: int, **shares: Any) -> Crowd:
        self._prefixes.append(f"{wave}{uuid4().hex[:8]}")
        return Crowd(
            product_id=self._product_id,
            buyers=buyers,
            prefix=self._prefixes[-1],
            proof=self._proof,
            impostures=self._impostures,
            seed=self._settings.seed,
            **shares,
        )

    async def _take_next_action(self, order: Accepted) -> None:
        action = action_of(self._actions.total(), self._settings.seed)
        self._actions[action.value] += 1
        if action is Action.LATE:
            self._late.append(order)
        else:
            await self._perform(action, order)

    async def _pay(self, order: Accepted) -> None:
        await self._perform(Action.PAY, order)

    async def _perform(self, action: Action, order: Accepted) -> None:
        results = await perform(action, order, self._session, self._settings.provider, {"Authorization": self._proof(order.user_id)})
        self._payments.update(results)
        if action is Action.PAY_WRONG:
            self._wrong[results[0]] += 1
        if action is Action.RETURN and results == ["paid"]:
            self._returns[await self._return(order)] += 1

    async def _return(self, order: Accepted) -> str:
        """The state of the order afterwards, or why it was not returned."""
        settings = self._settings
        try:
            returned = await sales_client.return_order(self._session, settings.url, settings.admin_token, order.order_id, restock=True)
        except FlashsaleError as error:
            return str(error)
        return str(returned["state"])

    async def _follow_sale(self) -> None:
        while True:
            with suppress(Retryable):
                await self._refresh()
            await asyncio.sleep(SALE_EVERY_SECONDS)

    async def _refresh(self) -> Sale:
        self._sale = await sales_client.get_sale(self._session, self._settings.url, self._product_id)
        return self._sale


async def run_scenario(settings: ScenarioSettings, screen: Screen) -> Outcome:
    async with open_session(timeout_seconds=30.0) as session:
        return await Scenario(settings, screen, session).run()


async def perform(
    action: Action, order: Accepted, session: ClientSession, provider: Provider, proof: Mapping[str, str] | None = None
) -> list[str]:
    """Perform the action now, with the buyer's `proof`. Returns the gateway's result for each payment. Raises Retryable."""
    if action is Action.CANCEL:
        await send_request(session, "DELETE", f"{provider.url}/orders/{order.order_id}", headers=proof)
    return [await provider.send(session, payment) for payment in _payments(action, order.order_id)]


def _payments(action: Action, order_id: str) -> list[Payment]:
    payment = Payment(order_id, new_payment_id(), "failed" if action is Action.DECLINED else "succeeded")
    match action:
        case Action.PAY | Action.LATE | Action.DECLINED | Action.RETURN:
            return [payment]
        case Action.PAY_REPLAYED:
            return [payment] * 3
        case Action.PAY_TWICE:
            return [payment, Payment(order_id, new_payment_id())]
        case Action.PAY_WRONG:
            return [Payment(order_id, new_payment_id(), amount_minor=AMOUNT_MINOR_DEFAULT - 1), payment]
        case Action.CANCEL | Action.NEVER:
            return []


async def _each(winners: "asyncio.Queue[Accepted]", then: Callable[[Accepted], Any]) -> None:
    while True:
        order = await winners.get()
        try:
            with suppress(Retryable):
                await then(order)
        finally:
            winners.task_done()
