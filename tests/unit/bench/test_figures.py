from dataclasses import replace

from bench.figures import Persisted, Round, figures
from bench.wrk import Shot, read

SHOT = Shot(requests=1000, seconds=1.0, refused=0, broken=0, p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
ROUND = Round(64, SHOT, replace(SHOT, requests=700), replace(SHOT, requests=1100, refused=1100), Persisted(700, 710, 710, 0.5))


def test_last_line_of_wrk_is_read() -> None:
    output = 'Running 1s test\n{"requests":5,"seconds":1.0,"refused":2,"broken":0,"p50_ms":1.0,"p99_ms":2.0,"max_ms":3.0}\n'
    assert (read(output).accepted, read(output).per_second) == (3, 5.0)


def test_figures_are_medians_beside_the_bare_endpoint() -> None:
    rounds = [ROUND, replace(ROUND, bare=replace(SHOT, requests=10)), replace(ROUND, bare=replace(SHOT, requests=2000))]
    assert [(one.name, one.per_second, one.ratio, one.reached) for one in figures(rounds)] == [
        ("bare Starlette", 1000.0, 1.0, True),
        ("accepted", 700.0, 0.7, True),
        ("sold out", 1100.0, 1.1, True),
    ]


def test_sound_round_has_no_problems() -> None:
    assert ROUND.problems() == []


def test_every_disagreement_is_a_problem() -> None:
    assert replace(ROUND, persisted=Persisted(700, 699, 699, 1.0)).problems() == ["700 orders answered, 699 in Redis"]
    assert replace(ROUND, persisted=Persisted(700, 765, 765, 1.0)).problems() == ["700 orders answered, 765 in Redis"]
    assert replace(ROUND, persisted=Persisted(700, 710, 600, 5.0)).problems() == ["710 orders in Redis, 600 in the ledger"]
    assert replace(ROUND, sold_out=SHOT).problems() == ["1000 orders of a sold-out sale were accepted"]
    assert replace(ROUND, bare=replace(SHOT, broken=3)).problems() == ["3 connections broke"]
