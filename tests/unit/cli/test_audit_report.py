from dataclasses import replace

from rich.console import Console

from flashsale_audit.audit_all import Report
from flashsale_audit.compare import compare_counters
from flashsale_audit.differences import Promise
from flashsale_audit.facts import Counters, Money, OrderTotals, SaleNumbers
from flashsale_audit.skipped import ShardNotOpenError
from flashsale_cli.audit.report import render, to_json
from flashsale_core.orders import State

COUNTERS = Counters("tele", 1, total=10, available=5, reserved=2, sold=3)
SUMS = {State.RESERVED: OrderTotals(1, 2), State.PAID: OrderTotals(2, 3), State.EXPIRED: OrderTotals(1, 4)}
MONEY = Money(received_minor={"EUR": 900}, kept_minor={"EUR": 600}, refunds_minor={"EUR": 300})


def report_of(counters: Counters) -> Report:
    report = Report([SaleNumbers(counters, SUMS, SUMS)], {"tele": MONEY}, accepted_checked=4)
    report.findings.add(compare_counters(counters))
    return report


def text_of(report: Report) -> str:
    console = Console(width=120, record=True, quiet=True)
    with console.capture():
        console.print(render(report))
    plain = Console(width=120, no_color=True)
    with plain.capture() as captured:
        plain.print(render(report))
    return captured.get()


def test_correct_sale_passes_with_its_evidence() -> None:
    text = text_of(report_of(COUNTERS))
    assert text.count("PASS") == len(Promise)
    assert "6.00 EUR kept, 3.00 EUR to refund, 0.00 EUR sent" in text
    assert "5 sold or held of 10" in text
    assert "FAIL" not in text


def test_money_without_decimals_is_shown_without_them() -> None:
    report = report_of(COUNTERS)
    report.money["tele"] = Money(received_minor={"JPY": 9000}, kept_minor={"JPY": 9000})
    assert "9,000 JPY kept, 0 JPY to refund" in text_of(report)


def test_wrong_counter_fails_one_promise_and_is_named() -> None:
    text = text_of(report_of(replace(COUNTERS, available=7)))
    assert (text.count("PASS"), text.count("FAIL")) == (len(Promise) - 1, 1)
    assert "counters_unbalanced" in text
    assert "total 10, but available 7 + reserved 2 + sold 3 = 12" in text


def test_json_has_the_same_verdict() -> None:
    document = to_json(report_of(replace(COUNTERS, available=7)))
    assert document["verdict"] == "FAIL"
    assert document["promises"] == {promise.name.lower(): "FAIL" if promise is Promise.NOT_OVERSOLD else "PASS" for promise in Promise}
    assert [(difference["kind"], difference["count"]) for difference in document["differences"]] == [("counters_unbalanced", 1)]
    assert to_json(report_of(COUNTERS))["verdict"] == "PASS"


def test_shard_that_was_not_judged_is_named_and_never_counts_as_clean() -> None:
    report = report_of(COUNTERS)
    report.skipped.add("lamp", ShardNotOpenError(3, "draining"))
    report.by_position = False
    assert "not judged  lamp: shard 3 is not open (draining)" in text_of(report)
    assert "counts if it lasts" in text_of(report)
    assert (text_of(report).count("PASS"), text_of(report).count("INCOMPLETE")) == (0, len(Promise))
    document = to_json(report)
    assert set(document["promises"].values()) == {"INCOMPLETE"}
    assert (report.clean(), document["verdict"], len(document["not_judged"])) == (False, "INCOMPLETE", 1)
