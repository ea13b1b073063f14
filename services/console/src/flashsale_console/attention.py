"""What needs a person's attention, from what the stores and services report. Pure.

What could not be read is an item as well: quiet means that nothing was wrong in what was looked at, and names the rest.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import NamedTuple

OUTBOX_AGE_MS = 5000
"""Past this age of an entry that the broker has not confirmed, the ledger lags behind Redis."""
COUNT_MAX = 10_000
"""Rows that are counted; more are shown as that number and a plus."""
SALES_SHOWN = 5


class Item(NamedTuple):
    key: str
    is_urgent: bool
    """Whether money, stock or buyers are affected now; otherwise it can wait for an hour."""
    title: str
    detail: str
    href: str
    action: str
    """The words of the link: what to do."""


class OpenRefunds(NamedTuple):
    number: int = 0
    oldest: datetime | None = None


NO_REFUNDS = OpenRefunds()


class Stall(NamedTuple):
    sale_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Facts:
    now: datetime
    due: OpenRefunds = NO_REFUNDS
    failed: OpenRefunds = NO_REFUNDS
    reported: OpenRefunds = NO_REFUNDS
    """Paid orders that the provider reported as paid back."""
    paused: int = 0
    paused_example: str = ""
    stalls: tuple[Stall, ...] = ()
    all_sales_seen: bool = False
    """Whether each open sale was looked at: with many, the first round takes several looks."""
    closed_shards: Mapping[int, str] = field(default_factory=dict)
    """Shards that are not open, with their state."""
    shards: int = 0
    outbox_age_ms: int = 0
    parked: Mapping[str, int] = field(default_factory=dict)
    reports_parked: bool = False
    """Whether any worker reports its parked messages."""
    differences: Mapping[str, int] = field(default_factory=dict)
    is_audited: bool | None = None
    """None if no service reports an audit."""
    disabled_endpoints: int = 0
    failing_endpoints: int = 0
    unread: tuple[tuple[str, str], ...] = ()
    """What could not be read, and why."""


def stall_reason(fields: Mapping[str, str]) -> str:
    """Why an open sale cannot sell, by its fields in Redis; empty if it can."""
    if number(fields, "available") < 0:
        return "its stock is locked until the ledger or a person has settled orders that a rebuild could not read"
    if number(fields, "oversold") > 0:
        return f"{number(fields, 'oversold'):,} paid units are beyond its stock, after lost data"
    return ""


def number(fields: Mapping[str, str], name: str) -> int:
    """A field as a whole number; 0 if it is missing or broken."""
    try:
        return int(fields.get(name) or 0)
    except ValueError:
        return 0


def items_of(facts: Facts) -> list[Item]:
    """What needs attention, the urgent first."""
    items = [*_unread(facts), *_engine(facts), *_sales(facts), *_money(facts), *_shops(facts)]
    return sorted(items, key=lambda item: not item.is_urgent)


def quiet_words(facts: Facts) -> str:
    """What was looked at, and what was not; for facts without an item."""
    looked = {
        "refunds": True, "sales": facts.all_sales_seen, "messages": facts.reports_parked, "outboxes": True,
        "audit": facts.is_audited is not None, "webhooks": True,
    }  # fmt: skip
    words = f"All quiet: {_joined(name for name, is_seen in looked.items() if is_seen)} need nobody."
    if not facts.all_sales_seen:
        words += " Not every open sale has been looked at yet."
    missing = [name for name, is_seen in looked.items() if not is_seen and name != "sales"]
    return f"{words} No service that is asked reports {_joined(missing, 'or')}." if missing else words


def _joined(names: Iterable[str], last: str = "and") -> str:
    *first, end = names
    return f"{', '.join(first)} {last} {end}" if first else end


def _unread(facts: Facts) -> Iterable[Item]:
    for source, reason in facts.unread:
        yield Item(f"unread-{source}", True, f"{source} cannot be read", reason, "/system", "See the system")


def _engine(facts: Facts) -> Iterable[Item]:
    if facts.closed_shards:
        title = f"{len(facts.closed_shards)} of {facts.shards} shards are not open for sales"
        detail = "Orders for their sales are refused until the keeper has opened them."
        yield Item("shards", True, title, detail, "/system", "See the shards")
    if facts.differences:
        title = f"The audit found {plural(sum(facts.differences.values()), 'difference')}"
        yield Item("audit", True, title, _listed(facts.differences), "/system", "See the findings")
    if facts.parked:
        title = f"{plural(sum(facts.parked.values()), 'message')} parked"
        yield Item("parked", True, title, _listed(facts.parked), "/system", "See the queues")
    if facts.outbox_age_ms > OUTBOX_AGE_MS:
        title = f"The outbox is {facts.outbox_age_ms / 1000:.0f} s behind"
        detail = "Orders are safe in Redis, and the ledger shows them later."
        yield Item("outbox", True, title, detail, "/system", "See the outboxes")
    if facts.is_audited is False:
        detail = "Differences between Redis and the ledger would not be found."
        yield Item("audit-idle", False, "No audit runs", detail, "/system", "See the audit")


def _sales(facts: Facts) -> Iterable[Item]:
    for sale_id, reason in facts.stalls[:SALES_SHOWN]:
        detail = f"{reason[:1].upper()}{reason[1:]}."
        yield Item(f"stall-{sale_id}", True, f"{sale_id} cannot sell", detail, f"/sales/{sale_id}", "See the sale")
    if len(facts.stalls) > SALES_SHOWN:
        title = f"{plural(len(facts.stalls) - SALES_SHOWN, 'more sale')} cannot sell"
        yield Item("stalls", True, title, "", "/sales?state=open", "See the sales")
    if facts.paused:
        title = f"{plural(facts.paused, 'sale')} paused while buyers could buy"
        detail = f"{facts.paused_example} and others." if facts.paused > 1 else f"{facts.paused_example}."
        yield Item("paused", False, title, detail, "/sales?state=paused", "See paused sales")


def _money(facts: Facts) -> Iterable[Item]:
    for state, refunds in (("failed", facts.failed), ("due", facts.due)):
        if refunds.number:
            oldest = f"The oldest for {age_words(facts.now, refunds.oldest)}." if refunds.oldest else ""
            title = f"{plural(refunds.number, 'refund')} {state}"
            yield Item(f"refunds-{state}", state == "failed", title, oldest, f"/refunds?state={state}", "Settle them")
    if facts.reported.number:
        title = f"{plural(facts.reported.number, 'paid order')} reported as paid back"
        detail = "By the provider, and still paid: return each order, or leave it as paid."
        yield Item("refunds-reported", False, title, detail, "/refunds?state=reported", "Decide")


def _shops(facts: Facts) -> Iterable[Item]:
    if facts.disabled_endpoints:
        title = f"{plural(facts.disabled_endpoints, 'webhook')} disabled"
        yield Item("webhooks-disabled", True, title, "Its shop receives no events.", "/webhooks", "See the webhooks")
    if facts.failing_endpoints:
        title = f"{plural(facts.failing_endpoints, 'webhook')} failing"
        yield Item("webhooks-failing", False, title, "Events are sent again until they arrive.", "/webhooks", "See the webhooks")


def _listed(counts: Mapping[str, int]) -> str:
    return ", ".join(f"{code_words(name)} {count:,}" for name, count in sorted(counts.items()))


def code_words(code: str) -> str:
    """A code such as `wrong_amount` as people read it."""
    return code.replace("_", " ")


def plural(count: int, noun: str) -> str:
    """`1 refund`, `2 refunds`, `10,000+ refunds`."""
    more = "+" if count >= COUNT_MAX else ""
    return f"{count:,}{more} {noun}{'' if count == 1 else 's'}"


def age_words(now: datetime, then: datetime) -> str:
    """How long ago, in the largest unit that is not 0: `40 s`, `12 min`, `3 h`, `5 days`."""
    seconds = max(0, int((now - then).total_seconds()))
    for limit, size, unit in ((60, 1, "s"), (3600, 60, "min"), (2 * 86_400, 3600, "h")):
        if seconds < limit:
            return f"{seconds // size} {unit}"
    return f"{seconds // 86_400} days"
