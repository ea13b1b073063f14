"""Rates, quantiles and forecasts, from scrapes to the numbers of a frame."""

from math import inf

import pytest

from flashsale_cli.top.changes import Change, Changes, changes_of, histogram_quantile, increase
from flashsale_cli.top.faults import faults
from flashsale_cli.top.frame import SALES_MAX, frame
from flashsale_cli.top.read import busy
from flashsale_cli.top.reading import Samples, parse_samples
from flashsale_cli.top.watch import recent
from tests.unit.cli.top_readings import FIRST, GATEWAY, ORDER_WORKER, SECOND, WORKER_TEXT, gateway_text, reading, sale, scrape

POSITIVE = {0.1: 5.0, 0.2: 7.0, 1.0: 11.0, inf: 12.0}
NEGATIVE = {-0.2: 1.0, -0.1: 2.0, 0.3: 2.0, inf: 3.0}


@pytest.mark.parametrize(
    ("buckets", "q", "expected"),
    [
        # promql/promqltest/testdata/histograms.test of Prometheus
        (POSITIVE, 0, 0),
        (POSITIVE, 0.2, 0.048),
        (POSITIVE, 0.5, 0.15),
        (POSITIVE, 0.8, 0.72),
        (POSITIVE, 1, 1),
        (NEGATIVE, 0, -0.2),
        (NEGATIVE, 0.2, -0.2),
        (NEGATIVE, 0.5, -0.15),
        (NEGATIVE, 0.8, 0.3),
        (NEGATIVE, 1, 0.3),
        # The same observations, whatever the order of the buckets, and with a later bucket a hair less than the one before.
        ({inf: 12.0, 1.0: 11.0, 0.2: 7.0, 0.1: 5.0}, 0.8, 0.72),
        ({0.1: 5.0, 0.2: 4.999, inf: 10.0}, 0.5, 0.1),
    ],
)
def test_quantile_is_that_of_prometheus(buckets: dict[float, float], q: float, expected: float) -> None:
    assert histogram_quantile(q, buckets) == pytest.approx(expected)


@pytest.mark.parametrize("buckets", [{}, {inf: 3.0}, {0.1: 1.0, 0.2: 2.0}, {0.1: 0.0, inf: 0.0}])
def test_quantile_of_nothing_is_unknown(buckets: dict[float, float]) -> None:
    assert histogram_quantile(0.5, buckets) is None


def test_counter_that_fell_started_again_at_zero() -> None:
    assert (increase(5, 12), increase(12, 12), increase(12, 5)) == (7, 0, 5)


def counted(value: float, started: int = 1) -> Samples:
    return parse_samples(f'process_start_time_seconds {started}\n# TYPE x_total counter\nx_total{{by="a"}} {value}\n')


def test_rates_are_summed_over_processes() -> None:
    two = Changes([Change.between(counted(5), counted(15), 2), Change.between(counted(1), counted(2), 0.5)])
    assert (two.rate("x_total"), two.rates("x_total", "by"), two.rate("x_total", by="b"), two.total("x_total")) == (7, {"a": 7}, 0, 17)


def test_new_series_starts_at_zero() -> None:
    before = parse_samples("process_start_time_seconds 1\n# TYPE x_total counter\n")
    assert Changes([Change.between(before, counted(4), 2)]).rates("x_total", "by") == {"a": 2}


def test_new_process_at_an_address_has_no_rates_at_first() -> None:
    other = Changes([Change.between(counted(5), counted(1_000_000, started=2), 1)])
    assert (other.rate("x_total"), other.total("x_total")) == (None, 1_000_000)


def test_metric_without_counts_is_zero_and_missing_metric_is_unknown() -> None:
    empty = parse_samples("process_start_time_seconds 1\n# TYPE y_total counter\n# TYPE h histogram\n")
    known = Changes([Change.between(empty, empty, 1)])
    assert (known.rate("y_total"), known.rates("y_total", "by"), known.total("y_total")) == (0, {}, 0)
    assert (known.rate("z_total"), known.total("z_total"), known.most("z"), known.mean("h"), known.quantile(0.5, "h")) == (None,) * 5


def test_frame_has_the_rates_since_the_previous_reading() -> None:
    shown = frame([FIRST], SECOND)
    admission, ledger = shown.pipeline.admission, shown.pipeline.ledger
    assert (admission.orders_per_second, admission.batch_orders_mean) == ({"accepted": 200, "out_of_stock": 300}, 10)
    assert (admission.order_p50_seconds, admission.order_p99_seconds) == pytest.approx((0.01 * 0.5 / 0.9, 0.019))
    assert (ledger.consumed_per_second, ledger.lag_seconds, ledger.parked_total) == ({"orders": 20}, 0.25, 2)
    assert [(service.name, service.answers, service.cpu_cores) for service in shown.services] == [
        ("gateway", True, 0.5),
        ("order-worker", True, None),
        ("timeout-worker", False, None),
    ]
    assert shown.pipeline.outbox.failures_per_second == 0
    assert shown.pipeline.expiry.overdue_orders is None


def test_rates_cover_the_time_since_the_last_scrape_that_was_answered() -> None:
    missed = reading(11.0, {ORDER_WORKER: WORKER_TEXT}, sale(available=700))
    assert frame([FIRST], missed).pipeline.admission.orders_per_second is None
    shown = frame([FIRST, missed], SECOND)
    assert shown.pipeline.admission.orders_per_second == {"accepted": 200, "out_of_stock": 300}
    assert [(service.name, service.seconds) for service in shown.services] == [
        ("gateway", 2),
        ("order-worker", 1),
        ("timeout-worker", None),
    ]


def test_frame_has_demand_and_time_to_sell_out_of_each_sale() -> None:
    tele, lamp = frame([FIRST], SECOND).sales
    assert (tele.product_id, tele.available, tele.reserved, tele.sold) == ("tele", 500, 480, 20)
    assert (tele.demand_per_second, tele.sold_out_share) == ({"accepted": 200, "out_of_stock": 300}, 0.6)
    # 400 units in two seconds, 500 left.
    assert tele.sold_out_in_seconds == 2.5
    assert (lamp.state, lamp.demand_per_second, lamp.sold_out_share, lamp.sold_out_in_seconds) == ("paused", {}, None, None)


def test_speed_is_measured_since_the_oldest_reading_with_the_sale() -> None:
    readings = [reading(0.0, {}), reading(10.0, {}, sale(available=1000)), reading(19.0, {}, sale(available=500))]
    (row,) = frame(readings, reading(20.0, {}, sale(available=500))).sales
    assert row.sold_out_in_seconds == 10


@pytest.mark.parametrize("now", [sale(available=0), sale(available=1000), sale(available=400, state="paused"), sale("new", available=3)])
def test_sale_that_does_not_sell_out_has_no_time_to_sell_out(now: dict[str, object]) -> None:
    (row,) = frame([reading(0.0, {}, sale(available=900))], reading(1.0, {}, now)).sales
    assert row.sold_out_in_seconds is None


def test_demand_of_a_sale_without_its_own_label_is_unknown() -> None:
    others = '\nflashsale_sale_orders_total{{sale="_other",outcome="{}"}} 5\n'
    for outcome, expected in (("accepted", None), ("unknown_sale", {})):
        texts = {GATEWAY: gateway_text(1) + others.format(outcome)}
        rows = frame([reading(0.0, texts)], reading(1.0, texts, sale("lamp"))).sales
        assert rows[0].demand_per_second == expected


def test_busiest_sales_come_first_and_hidden_ones_are_counted() -> None:
    before = reading(0.0, {GATEWAY: gateway_text()}, *(sale(f"s{number}") for number in range(SALES_MAX + 5)), sale())
    sales = [sale(f"s{number}", available=1000 - number) for number in range(SALES_MAX + 5)]
    shown = frame([before], reading(1.0, {GATEWAY: gateway_text(1)}, *sales, sale(available=999)))
    assert [row.product_id for row in shown.sales[:3]] == ["tele", "s24", "s23"]
    assert (len(shown.sales), shown.sales_hidden) == (SALES_MAX, 6)


def test_restarted_service_has_rates_one_reading_later() -> None:
    texts = [{}, {GATEWAY: gateway_text(100)}, {GATEWAY: gateway_text(200)}]
    first, second, third = (reading(float(at), text) for at, text in enumerate(texts))
    rates = [frame(earlier, now).pipeline.admission.orders_per_second for earlier, now in (([first], second), ([first, second], third))]
    assert rates == [None, {"accepted": 100, "out_of_stock": 0}]


def test_service_is_recognized_by_its_metrics() -> None:
    assert scrape(ORDER_WORKER, 0.0, gateway_text()).name == "gateway"


def test_faults_are_sentences() -> None:
    more = WORKER_TEXT + 'flashsale_wait_up{window="60"} 0\nflashsale_wait_up{window="15"} 1\n'
    sentences = faults(changes_of({}, reading(0.0, {GATEWAY: gateway_text() + "flashsale_redis_durable 0\n", ORDER_WORKER: more})))
    assert sentences == [
        "Redis may lose accepted orders: see the gateway's /readyz",
        "the order-worker cannot reach Postgres",
        "the wait queue of 60 s returns no messages",
    ]


def test_gateway_that_is_told_not_to_judge_redis_reports_no_fault_of_it() -> None:
    excused, judging = (gateway_text() + f"flashsale_redis_durable 0\nflashsale_redis_durable_required {required}\n" for required in (0, 1))
    assert faults(changes_of({}, reading(0.0, {GATEWAY: excused}))) == []
    assert faults(changes_of({}, reading(0.0, {GATEWAY: excused, ORDER_WORKER: judging}))) == [
        "Redis may lose accepted orders: see the gateway's /readyz"
    ]


def test_recent_readings_and_always_the_last_are_kept() -> None:
    readings = [reading(float(at), {}) for at in range(4)]
    assert recent(readings, 1.5) == readings[2:]
    assert recent(readings, 9.0) == readings[3:]


def test_sales_with_most_orders_are_busiest() -> None:
    counts = '# TYPE flashsale_sale_orders_total counter\nflashsale_sale_orders_total{{sale="{}",outcome="accepted"}} {}\n'
    text = "".join(counts.format(*item) for item in (("a", 1), ("b", 9), ("_other", 99)))
    assert busy([scrape(GATEWAY, 0.0, text), scrape(ORDER_WORKER, 0.0, None)]) == ["b", "a"]
