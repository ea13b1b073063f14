from dataclasses import replace

from tools.bench.figures import ACCEPTED, BARE, SOLD_OUT, Bar, Persisted, Round, figures
from tools.bench.wrk import Shot, read

SHOT = Shot(requests=1000, seconds=1.0, refused=0, broken=0, p50_ms=1.0, p99_ms=2.0, max_ms=3.0)
SHOTS = {BARE: SHOT, ACCEPTED: replace(SHOT, requests=700), SOLD_OUT: replace(SHOT, requests=1100, refused=1100)}
ROUND = Round(64, SHOTS, Persisted(700, 710, 710, 0.5))


def with_shot(kind: str, shot: Shot) -> Round:
    return replace(ROUND, shots={**SHOTS, kind: shot})


def test_last_line_of_wrk_is_read() -> None:
    output = 'Running 1s test\n{"requests":5,"seconds":1.0,"refused":2,"broken":0,"p50_ms":1.0,"p99_ms":2.0,"max_ms":3.0}\n'
    assert (read(output).accepted, read(output).per_second) == (3, 5.0)


def test_figures_are_medians_beside_the_bare_endpoint() -> None:
    rounds = [ROUND, with_shot(BARE, replace(SHOT, requests=10)), with_shot(BARE, replace(SHOT, requests=2000))]
    assert [(one.name, one.per_second, one.ratio, one.reached) for one in figures(rounds)] == [
        (BARE, 1000.0, 1.0, True),
        (ACCEPTED, 700.0, 0.7, False),
        (SOLD_OUT, 1100.0, 1.1, True),
    ]


def test_bar_of_latency_counts_too() -> None:
    fast = {BARE: SHOT, ACCEPTED: replace(SHOT, p99_ms=99.0)}
    assert [one.reached for one in figures([Round(512, fast, ROUND.persisted)])] == [True, True]
    slow = {BARE: SHOT, ACCEPTED: replace(SHOT, p99_ms=101.0)}
    assert [one.reached for one in figures([Round(512, slow, ROUND.persisted)])] == [True, False]


def test_bars_say_their_direction() -> None:
    assert (str(Bar(0.8)), str(Bar(350, at_least=False))) == ("≥ 0.8", "≤ 350")
    assert (Bar(0.8).reached(0.8), Bar(350, at_least=False).reached(351)) == (True, False)


def test_sound_round_has_no_problems() -> None:
    assert ROUND.problems() == []


def test_every_disagreement_is_a_problem() -> None:
    assert replace(ROUND, persisted=Persisted(700, 699, 699, 1.0)).problems() == ["700 orders answered, 699 in Redis"]
    assert replace(ROUND, persisted=Persisted(700, 765, 765, 1.0)).problems() == ["700 orders answered, 765 in Redis"]
    assert replace(ROUND, persisted=Persisted(700, 710, 600, 5.0)).problems() == ["710 orders in Redis, 600 in the ledger"]
    assert with_shot(SOLD_OUT, SHOT).problems() == ["sold out: 1000 were accepted"]
    assert with_shot(ACCEPTED, replace(SHOT, refused=2)).problems() == ["accepted: 2 were refused"]
    assert with_shot(BARE, replace(SHOT, broken=3)).problems() == ["bare Starlette: 3 connections broke"]
