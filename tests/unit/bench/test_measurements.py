from dataclasses import replace

from tools.bench.measurements import ACCEPTED, BARE, SOLD_OUT, Persisted, Round, Target, summarize_rates
from tools.bench.wrk import WrkResult, parse_result

RESULT = WrkResult(requests=1000, seconds=1.0, refused=0, broken=0, p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
RESULTS = {BARE: RESULT, ACCEPTED: replace(RESULT, requests=700), SOLD_OUT: replace(RESULT, requests=1100, refused=1100)}
ROUND = Round(64, RESULTS, Persisted(700, 710, 710, 0.5))


def with_result(kind: str, result: WrkResult) -> Round:
    return replace(ROUND, results={**RESULTS, kind: result})


def test_last_line_of_wrk_is_parsed() -> None:
    output = 'Running 1s test\n{"requests":5,"seconds":1.0,"refused":2,"broken":0,"p50_ms":1.0,"p99_ms":2.0,"max_ms":3.0}\n'
    assert (parse_result(output).accepted, parse_result(output).per_second) == (3, 5.0)


def test_rates_are_medians_divided_by_those_of_the_bare_endpoint() -> None:
    rounds = [ROUND, with_result(BARE, replace(RESULT, requests=10)), with_result(BARE, replace(RESULT, requests=2000))]
    assert [(rate.kind, rate.per_second, rate.ratio, rate.reached) for rate in summarize_rates(rounds)] == [
        (BARE, 1000.0, 1.0, True),
        (ACCEPTED, 700.0, 0.7, False),
        (SOLD_OUT, 1100.0, 1.1, True),
    ]


def test_missed_response_time_is_a_missed_target() -> None:
    fast = {BARE: RESULT, ACCEPTED: replace(RESULT, p99_ms=99.0)}
    assert [rate.reached for rate in summarize_rates([Round(512, fast, ROUND.persisted)])] == [True, True]
    slow = {BARE: RESULT, ACCEPTED: replace(RESULT, p99_ms=101.0)}
    assert [rate.reached for rate in summarize_rates([Round(512, slow, ROUND.persisted)])] == [True, False]


def test_target_shows_its_direction() -> None:
    assert (str(Target(0.8)), str(Target(350, at_least=False))) == ("≥ 0.8", "≤ 350")
    assert (Target(0.8).reached(0.8), Target(350, at_least=False).reached(351)) == (True, False)


def test_round_without_contradictions_has_no_problems() -> None:
    assert ROUND.problems() == []


def test_every_contradiction_is_a_problem() -> None:
    assert replace(ROUND, persisted=Persisted(700, 699, 699, 1.0)).problems() == ["700 orders answered, 699 in Redis"]
    assert replace(ROUND, persisted=Persisted(700, 765, 765, 1.0)).problems() == ["700 orders answered, 765 in Redis"]
    assert replace(ROUND, persisted=Persisted(700, 710, 600, 5.0)).problems() == ["710 orders in Redis, 600 in the ledger"]
    assert with_result(SOLD_OUT, RESULT).problems() == ["sold out: 1000 were accepted"]
    assert with_result(ACCEPTED, replace(RESULT, refused=2)).problems() == ["accepted: 2 were refused"]
    assert with_result(BARE, replace(RESULT, broken=3)).problems() == ["bare Starlette: 3 connections broke"]
