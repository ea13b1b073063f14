import pytest

from flashsale_cli.load.latency import Latency, summarize
from flashsale_cli.load.outcomes import Group, Outcome, classify
from flashsale_cli.load.plan import Click, Kind
from flashsale_cli.load.report import to_json
from flashsale_cli.load.tally import Accepted, Tally


@pytest.mark.parametrize(
    ("status", "code", "replayed", "group"),
    [
        (200, "", False, Group.ACCEPTED),
        (200, "", True, Group.REPLAYED),
        (409, "out_of_stock", False, Group.SOLD_OUT),
        (409, "user_limit", False, Group.LIMITED),
        (429, "rate_limited", False, Group.LIMITED),
        (409, "paused", False, Group.REFUSED),
        (400, "bad_request", False, Group.REFUSED),
        (401, "unauthenticated", False, Group.REFUSED),
        (403, "identity_mismatch", False, Group.REFUSED),
        (403, "", False, Group.ERROR),
        (410, "order_gone", False, Group.REFUSED),
        (422, "request_conflict", False, Group.REFUSED),
        (503, "overloaded", False, Group.REFUSED),
        (500, "internal", False, Group.ERROR),
        (502, "", False, Group.ERROR),
        (400, "", False, Group.ERROR),
    ],
)
def test_answers_are_classified(status: int, code: str, replayed: bool, group: Group) -> None:
    assert classify(status, code, replayed).group is group


def test_percentiles_are_measured_times() -> None:
    latency = summarize([value / 1000 for value in range(1000, 0, -1)])
    ranks = ((50.0, 500.0), (90.0, 900.0), (95.0, 950.0), (99.0, 990.0), (99.9, 999.0))
    assert latency == Latency(1000, pytest.approx(500.5), tuple((p, pytest.approx(v)) for p, v in ranks), pytest.approx(1000.0))  # type: ignore[arg-type, misc]


def test_no_measurements_have_no_latency() -> None:
    assert summarize([]) is None


def click(kind: Kind = Kind.ORDER, request_id: str = "r") -> Click:
    return Click(kind, "u", request_id, b"{}")


ACCEPTED, REPLAYED = Outcome(Group.ACCEPTED, "", 200), Outcome(Group.REPLAYED, "", 200)


def test_order_is_reported_once() -> None:
    tally = Tally(2)
    first = tally.answered(click(), ACCEPTED, {"orderId": "tele.a"}, 0.1)
    second = tally.answered(click(Kind.RETRY), REPLAYED, {"orderId": "tele.a"}, 0.1)
    assert (first, second, tally.broken) == (Accepted("tele.a", "u", "r"), None, [])


def test_replay_answered_before_its_order_counts_as_the_order() -> None:
    tally = Tally(2)
    tally.answered(click(Kind.RETRY), REPLAYED, {"orderId": "tele.a"}, 0.1)
    tally.answered(click(), ACCEPTED, {"orderId": "tele.a"}, 0.1)
    assert list(tally.orders) == ["r"]


@pytest.mark.parametrize(
    ("second", "document", "words"),
    [
        (click(Kind.RETRY), {"orderId": "tele.b"}, "two orders"),
        (click(Kind.RUBBISH, "x"), {"orderId": "tele.b"}, "invalid request"),
        (click(Kind.IMPOSTOR, "x"), {"orderId": "tele.b"}, "without a genuine proof"),
        (click(Kind.ORDER, "x"), {"state": "reserved"}, "no order id"),
        (click(Kind.ORDER, "x"), None, "no order id"),
    ],
)
def test_impossible_answers_are_reported(second: Click, document: object, words: str) -> None:
    tally = Tally(2)
    tally.answered(click(), ACCEPTED, {"orderId": "tele.a"}, 0.1)
    tally.answered(second, ACCEPTED, document, 0.1)
    assert [words in sentence for sentence in tally.broken] == [True]


def test_refused_proofs_count_by_who_bore_them() -> None:
    tally, wrong, other = Tally(4), classify(401, "unauthenticated", False), classify(403, "identity_mismatch", False)
    for kind, outcome in ((Kind.ORDER, wrong), (Kind.IMPOSTOR, wrong), (Kind.IMPOSTOR, other), (Kind.RUBBISH, other)):
        tally.answered(click(kind), outcome, {}, 0.1)
    assert (tally.unproven, tally.impostors) == (1, {wrong: 1, other: 1})


def test_report_counts_by_group_and_code() -> None:
    tally = Tally(3, elapsed_seconds=2.0)
    tally.answered(click(), ACCEPTED, {"orderId": "tele.a"}, 0.1)
    tally.answered(click(), classify(409, "out_of_stock", False), {}, 0.1)
    tally.unanswered(Outcome(Group.ERROR, "timeout"))
    document = to_json(tally)
    assert document["groups"] == {"accepted": 1, "replayed": 0, "sold out": 1, "limited": 0, "refused": 0, "error": 1}
    assert (document["requests"], document["per_second"], document["orders"], document["latency"]["count"]) == (3, 1.5, 1, 2)
