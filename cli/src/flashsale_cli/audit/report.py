"""An audit as tables and as JSON: the numbers of each sale, the verdict on each promise, and the differences by kind."""

from typing import Any

from rich.console import Group as Lines
from rich.console import RenderableType
from rich.table import Table
from rich.text import Text

from flashsale_audit.audit_all import Report
from flashsale_audit.differences import PROMISES, Promise
from flashsale_audit.facts import OrderTotals, SaleNumbers, TotalsByState
from flashsale_cli.console import number, table, verdict
from flashsale_core.orders import State
from flashsale_core.prices import money

SALES_SHOWN_MAX = 20
EXAMPLES_SHOWN = 3
PASS, FAIL, INCOMPLETE = "PASS", "FAIL", "INCOMPLETE"


def render(report: Report) -> RenderableType:
    parts: list[RenderableType] = [sales_table(report), Text()]
    if not report.findings.clean():
        parts += [differences_text(report)]
    if report.skipped or not report.by_position:
        parts += [limits_text(report)]
    return Lines(*parts, promises_table(report))


def sales_table(report: Report) -> Table:
    columns = ("sale", "stock", "free", "held", "sold", "orders", "in ledger", "paid", "expired", "cancelled", "returned")
    shown = report.sales[:SALES_SHOWN_MAX]
    result = table("", columns, [_sale_row(numbers) for numbers in shown])
    if len(report.sales) > len(shown):
        result.caption = f"and {len(report.sales) - len(shown)} more"
    return result


def differences_text(report: Report) -> Text:
    """Each kind of difference with its count and a few examples."""
    text = Text()
    for kind, samples in report.findings.samples.items():
        text.append(f"{kind.value}", "bold red").append(f"  {number(report.findings.counts[kind])}\n")
        for sample in samples[:EXAMPLES_SHOWN]:
            text.append(f"  {sample.subject}: {sample.detail}\n")
    return text


def limits_text(report: Report) -> Text:
    """What was not judged, and how the ledger was compared if not by the positions of its entries."""
    text = Text()
    for subject, reason in list(report.skipped.reasons.items())[:SALES_SHOWN_MAX]:
        text.append("not judged", "bold yellow").append(f"  {subject}: {reason}\n")
    if not report.by_position:
        text.append("the ledger lacks entries, so a difference to it counts if it lasts for some seconds\n")
    return text


def promises_table(report: Report) -> Table:
    return table("", ("promise", " verdict", " "), [_promise_row(report, promise) for promise in Promise])


def to_json(report: Report) -> dict[str, Any]:
    findings = report.findings
    return {
        "verdict": FAIL if not findings.clean() else INCOMPLETE if report.skipped else PASS,
        "promises": {promise.name.lower(): _word(report, promise) for promise in Promise},
        "differences": [
            {
                "kind": kind.value,
                "promise": PROMISES[kind].name.lower(),
                "count": findings.counts[kind],
                "examples": [{"subject": sample.subject, "detail": sample.detail} for sample in samples],
            }
            for kind, samples in findings.samples.items()
        ],
        "sales": [_sale_json(numbers) for numbers in report.sales],
        "money": {
            sale_id: {
                "received": dict(money.received_minor),
                "kept": dict(money.kept_minor),
                "refunds": dict(money.refunds_minor),
                "sent": dict(money.sent_minor),
            }
            for sale_id, money in report.money.items()
        },
        "accepted_checked": report.accepted_checked,
        "not_judged": [{"subject": subject, "reason": reason} for subject, reason in report.skipped.reasons.items()],
        "compared_by_position": report.by_position,
    }


def _promise_row(report: Report, promise: Promise) -> tuple[str, Text, str]:
    broken = report.findings.broken(promise)
    word = _word(report, promise)
    shown = Text(word, "bold yellow") if word == INCOMPLETE else verdict(word == PASS)
    return promise.value, shown, f"{number(broken)} differences" if broken else evidence(report, promise)


def _word(report: Report, promise: Promise) -> str:
    """A promise is not kept because nobody looked: what was not judged may break any of them."""
    return FAIL if report.findings.broken(promise) else INCOMPLETE if report.skipped else PASS


def evidence(report: Report, promise: Promise) -> str:
    """What was compared, in numbers."""
    counters = [numbers.counters for numbers in report.sales]
    match promise:
        case Promise.NOT_OVERSOLD:
            committed = sum(sale.sold + sale.reserved for sale in counters)
            return f"{number(committed)} sold or held of {number(sum(sale.total for sale in counters))}"
        case Promise.NOT_FORGOTTEN:
            seen = f"; {number(report.accepted_checked)} that clients received" if report.accepted_checked else ""
            return f"{number(sum(_orders(numbers.redis) for numbers in report.sales))} orders{seen}"
        case Promise.ONE_ORDER:
            return f"{number(sum(sale.sold + sale.reserved for sale in counters))} units, counted by buyer"
        case Promise.GIVEN_BACK:
            return f"{number(sum(_released(numbers.redis) for numbers in report.sales))} units released"
        case Promise.MONEY:
            return _money_words(report)
        case Promise.LEDGER:
            return f"{number(sum(_orders(numbers.ledger) for numbers in report.sales))} orders in the ledger"


def _money_words(report: Report) -> str:
    kept, refunds, sent = (_total(report, name) for name in ("kept_minor", "refunds_minor", "sent_minor"))
    amounts = [
        f"{money(kept[name], name)} kept, {money(refunds.get(name, 0), name)} to refund, {money(sent.get(name, 0), name)} sent"
        for name in sorted(kept)
    ]
    return ", ".join(amounts) or "no payments"


def _total(report: Report, name: str) -> dict[str, int]:
    total: dict[str, int] = {}
    for amounts in report.money.values():
        for currency, amount in {**dict.fromkeys(amounts.received_minor, 0), **getattr(amounts, name)}.items():
            total[currency] = total.get(currency, 0) + amount
    return total


def _orders(sums: TotalsByState) -> int:
    return sum(total.orders for total in sums.values())


def _released(sums: TotalsByState) -> int:
    return sum(sums.get(state, OrderTotals()).units for state in (State.EXPIRED, State.CANCELLED))


def _sale_row(numbers: SaleNumbers) -> tuple[str, ...]:
    sale = numbers.counters
    counts = (sale.total, sale.available, sale.reserved, sale.sold, _orders(numbers.redis), _orders(numbers.ledger))
    states = (numbers.ledger.get(state, OrderTotals()).orders for state in (State.PAID, State.EXPIRED, State.CANCELLED, State.RETURNED))
    return (sale.sale_id, *map(number, counts), *map(number, states))


def _sale_json(numbers: SaleNumbers) -> dict[str, Any]:
    sale = numbers.counters
    return {
        "sale": sale.sale_id,
        "epoch": sale.epoch,
        "counters": {name: getattr(sale, name) for name in ("total", "available", "reserved", "sold")},
        "redis": _sums_json(numbers.redis),
        "ledger": _sums_json(numbers.ledger),
    }


def _sums_json(sums: TotalsByState) -> dict[str, dict[str, int]]:
    totals = {state: sums.get(state, OrderTotals()) for state in State}
    return {state.value: {"orders": total.orders, "units": total.units} for state, total in totals.items()}
