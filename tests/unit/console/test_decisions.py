"""What the pages decide: attention, changes in numbers, histories and plots."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any, cast

import pytest

from flashsale_console import plot, watch
from flashsale_console.attention import Facts, OpenRefunds, Stall, items_of, quiet_words, stall_reason
from flashsale_console.changes import WrongInputError, plan, require_possible
from flashsale_console.history import BUCKETS, Row, history
from flashsale_console.live_sales import SaleLook
from flashsale_console.pages.login import local_path
from flashsale_console.pages.orders import Known
from flashsale_console.sale_views import SaleView, view
from flashsale_console.service_metrics import read
from flashsale_core.ids import parse_order_ref
from flashsale_core.on_behalf import with_person

NOW = datetime(2026, 11, 27, 12, tzinfo=UTC)
SALE = SaleView("tv", 1, "selling", 100, 70, 10, 20, 0, None, None, "admin", 3, "", True)
ROW = {
    "sale_id": "tv", "epoch": 7, "owner": "admin", "state": "open", "total": 100, "starts_at": None, "ends_at": None,
    "price": "1999 EUR", "final_available": None, "final_reserved": None, "final_sold": None,
}  # fmt: skip


def test_order_is_shown_as_redis_has_it_or_else_as_the_ledger_does() -> None:
    ref, row = parse_order_ref(f"tv.{'o' * 20}"), {"quantity": 3, "user_id": "ann"}
    assert ref is not None
    both, ledger_only = Known(ref, row, SimpleNamespace(quantity=2, user_id="bob")), Known(ref, row, None)
    assert [(known.quantity, known.buyer) for known in (both, ledger_only)] == [(2, "bob"), (3, "ann")]


def test_quiet_means_that_everything_was_read() -> None:
    assert items_of(Facts(NOW)) == []
    (item,) = items_of(Facts(NOW, unread=(("Redis", "away"),)))
    assert (item.title, item.is_urgent) == ("Redis cannot be read", True)


def test_quiet_names_only_what_was_looked_at() -> None:
    assert quiet_words(Facts(NOW)) == (
        "All quiet: refunds, outboxes and webhooks need nobody. Not every open sale has been looked at yet."
        " No service that is asked reports messages or audit."
    )
    seen = Facts(NOW, all_sales_seen=True, reports_parked=True, is_audited=True)
    assert quiet_words(seen) == "All quiet: refunds, sales, messages, outboxes, audit and webhooks need nobody."
    assert quiet_words(replace(seen, reports_parked=False)).endswith("No service that is asked reports messages.")


async def test_sales_are_quiet_only_after_a_round_over_all_of_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "SALES_PER_LOOK", 2)
    names = ["a", "b", "c"]

    async def rows(_: str, after: str, limit: int) -> list[dict[str, str]]:
        return [{"sale_id": name} for name in names if name > after][:limit]

    async def sales(asked: list[str]) -> list[SaleLook]:
        return [SaleLook({"available": "1"}, is_open=True) for _ in asked]

    looking = watch.Watch(cast("Any", SimpleNamespace(rows=rows)), cast("Any", SimpleNamespace(sales=sales)), cast("Any", None), ())
    seen = []
    for _ in range(3):
        await looking._look_at_sales()
        seen.append(looking._has_seen_all)
    assert seen == [False, True, True]


def test_urgent_items_come_first() -> None:
    facts = Facts(
        NOW, due=OpenRefunds(2, NOW - timedelta(hours=3)), reported=OpenRefunds(1, NOW), paused=1, paused_example="tv",
        stalls=(Stall("a", "b"),), parked={"orders.parked": 1}, closed_shards={3: "sealed"}, shards=16, outbox_age_ms=9000,
        differences={"units": 2}, is_audited=False, disabled_endpoints=1, failing_endpoints=1,
    )  # fmt: skip
    items = items_of(facts)
    assert [item.is_urgent for item in items] == [True] * 6 + [False] * 5
    assert {"2 refunds due", "1 paid order reported as paid back"} <= {item.title for item in items}
    assert all(item.href.startswith("/") and item.action for item in items)


def test_sale_is_stalled_by_locked_or_oversold_stock() -> None:
    assert stall_reason({"available": "5", "oversold": "0"}) == ""
    assert "locked" in stall_reason({"available": "-1"})
    assert "2 paid units" in stall_reason({"available": "0", "oversold": "2"})


def test_live_numbers_count_only_for_the_same_sale() -> None:
    fields = {"epoch": "7", "state": "paused", "total": "120", "available": "100", "reserved": "0", "sold": "20", "owner": "a/b/c"}
    live, older = view(ROW, fields, NOW), view(ROW, fields | {"epoch": "8"}, NOW)
    assert (live.phase, live.stock, live.flashsale, live.can_change) == ("paused", 120, "a/b", False)
    assert (older.is_live, older.stock, older.available, older.can_change) == (False, 100, None, False)


@pytest.mark.parametrize(
    ("change", "phase"),
    [({}, "selling"), ({"ends_at": NOW}, "over"), ({"starts_at": NOW + timedelta(seconds=1)}, "upcoming"), ({"state": "closed"}, "closed")],
)
def test_phase_follows_the_window(change: dict[str, object], phase: str) -> None:
    assert view(ROW | change, {}, NOW).phase == phase


@pytest.mark.parametrize(("doubt", "words"), [("recovering", "Recovering"), ("away", "Redis is away")])
def test_sale_is_not_on_sale_while_nobody_knows(doubt: str, words: str) -> None:
    fields = {"epoch": "7", "state": "open", "total": "120", "available": "100", "reserved": "0", "sold": "20", "owner": "admin"}
    doubtful = view(ROW, fields if doubt == "recovering" else {}, NOW, doubt)
    assert (doubtful.words, doubtful.can_change, view(ROW, fields, NOW).can_change) == (words, False, True)
    assert view(ROW | {"state": "closed"}, {}, NOW, doubt).words == "Ended"


def test_change_says_what_will_happen_in_numbers() -> None:
    assert plan("add", SALE, "50").consequences[0] == "The stock goes from 100 to 150."
    assert plan("add", replace(SALE, reserved=0, sold=1), "5").consequences[1].startswith("1 unit is held or sold, so about 104 can")
    assert plan("add", SALE, " -70 ").document == {"productId": "tv", "add": -70}
    assert "70 units stay unsold" in plan("pause", SALE, "").consequences[0]
    assert plan("close", SALE, "").is_final


@pytest.mark.parametrize(
    ("reserved", "available", "words"),
    [
        (0, 1, ("New orders are refused. 1 unit stays unsold until somebody resumes the sale.", "No buyer holds a unit now.")),
        (1, 2, ("New orders are refused. 2 units stay unsold until somebody resumes the sale.",
                "Units that buyers hold can still be paid, and expire as before: 1 unit now.")),
    ],
)  # fmt: skip
def test_consequences_are_plain_about_one_unit_and_none(reserved: int, available: int, words: tuple[str, ...]) -> None:
    sale = replace(SALE, reserved=reserved, available=available)
    assert plan("pause", sale, "").consequences == words
    assert words[0].split(". ")[1].split(" until")[0] in plan("close", sale, "").consequences[0]


@pytest.mark.parametrize(("action", "units"), [("add", ""), ("add", "1e3"), ("stock", "٣"), ("drop", "")])
def test_change_that_no_sale_can_have_is_refused(action: str, units: str) -> None:
    with pytest.raises(WrongInputError):
        plan(action, SALE, units)


@pytest.mark.parametrize(("action", "units"), [("add", "-71"), ("stock", "29"), ("add", "999999999")])
def test_impossible_change_is_refused_when_it_is_asked_but_a_repeat_of_it_is_sent(action: str, units: str) -> None:
    change = plan(action, SALE, units)
    with pytest.raises(WrongInputError):
        require_possible(change, SALE)
    assert change.document["productId"] == "tv"


def test_history_counts_orders_and_what_stays_sold() -> None:
    rows = [Row(1000, "reserved", 3, 2), Row(1001, "paid", 2, 1), Row(1003, "returned", 1, 1), Row(1003, "expired", 1, 1)]
    drawn = history(rows, 2, 5000)
    assert (drawn.begin, drawn.step_seconds, drawn.demand, drawn.sold, drawn.sampled) == (1000, 1, (3, 0, 0, 0), (0, 2, 2, 1), 0)


def test_sample_is_scaled_to_all_orders() -> None:
    drawn = history([Row(1000, "reserved", 10, 10), Row(1000, "paid", 5, 5)], 1000, 1000)
    assert (sum(drawn.demand), drawn.sold[-1], drawn.sampled) == (1000, 500, 10)


@pytest.mark.parametrize("span", [1, 59, 60, 3600, 86_400, 400 * 86_400])
def test_history_of_any_length_is_a_bounded_plot(span: int) -> None:
    drawn = history([Row(10**9, "reserved", 1, 1), Row(10**9 + span, "paid", 1, 1)], 1, 10**9 + span)
    assert len(drawn.demand) <= BUCKETS + 1
    assert sum(drawn.demand) == 1
    svg = plot.demand_svg(drawn) + plot.sold_svg(drawn, 100)
    assert ("style" in svg, len(svg) < 16_000, len(plot.table(drawn)) <= 13) == (False, True, True)


def test_empty_history_is_drawn() -> None:
    assert "0 of 5" in plot.sold_svg(history([], 0, 0), 5)


def test_metrics_of_replicas_are_joined() -> None:
    text = (
        'flashsale_parked_messages{queue="orders.parked"} 3.0\nflashsale_audit_differences{kind="units"} 0.0\nflashsale_audit_running 1.0\n'
    )
    facts = read([text, text.replace("3.0", "2.0").replace("running 1", "running 0")])
    assert (facts.parked, facts.differences, facts.is_audited) == ({"orders.parked": 3}, {"units": 0}, True)
    assert read([]).is_audited is None


@pytest.mark.parametrize("text", ["//evil.example", "https://evil.example", "/\\evil", "javascript:1", "evil", "/\n/evil.example", ""])
def test_login_leads_only_to_the_console(text: str) -> None:
    assert local_path(text) == "/"


def test_login_leads_back_to_the_page() -> None:
    assert local_path("/sales?q=tv&after=1~a~2") == "/sales?q=tv&after=1~a~2"


def test_person_stands_after_the_key() -> None:
    assert (with_person("console", []), with_person("console", ["ann"])) == ("console", "console/ann")
    for headers in (["a", "b"], [""], ["Ann"], ['a"b'], ["a" * 41]):
        with pytest.raises(ValueError, match="one name"):
            with_person("console", headers)


def test_bar_never_passes_the_stock() -> None:
    assert replace(SALE, stock=10, sold=20).per_mille == (1000, 1000)


@pytest.mark.parametrize(
    ("stock", "ticks"), [(0, ["0", "1", "2"]), (1000, ["0", "500", "1k"]), (12_345_678, ["0", "10M", "20M"]), (10**9, ["0", "500M", "1bn"])]
)
def test_values_beside_a_plot_are_short(stock: int, ticks: list[str]) -> None:
    svg = plot.sold_svg(history([], 0, 1000), stock)
    assert re.findall(r">([^<>]+)</text>", svg) == ticks
