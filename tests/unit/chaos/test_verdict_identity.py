"""The verdict on tokens: one that proves nothing is refused, and one that proves its buyer is not."""

import time
from collections.abc import Mapping
from random import Random

import pytest

from flashsale_chaos.crowd.proofs import Proofs, user_name
from flashsale_chaos.history import NO_ANSWER, Ask, Call
from flashsale_chaos.verdict.identity import is_refused_imposture
from flashsale_core.buyer_token import BuyerTokens
from flashsale_core.errors import Rejected
from tests.unit.chaos.rounds import facts, ordered, row, verdict

KEY = b"k" * 64
UNKNOWN = ("401 unauthenticated", "403 identity_mismatch", "404 unknown_order")


def forged(status: int, code: str = "") -> Call:
    return Call(ask=Ask.FORGED, sale="fast", gateway=0, began=10.0, ended=10.1, status=status, code=code, user="u1")


@pytest.mark.parametrize("answer", UNKNOWN)
def test_refused_imposture_breaks_no_promise_and_is_counted(answer: str) -> None:
    status, code = answer.split()
    call = forged(int(status), code)
    assert (verdict([call], facts({})), is_refused_imposture(call)) == ([], True)


@pytest.mark.parametrize("status", [NO_ANSWER, 503])
def test_imposture_without_a_final_answer_proves_nothing(status: int) -> None:
    call = forged(status, "recovering" if status else "")
    assert (verdict([call], facts({})), is_refused_imposture(call)) == ([], False)


@pytest.mark.parametrize("answer", ["200 accepted", "409 out_of_stock", "410 order_gone", "400 bad_request"])
def test_imposture_that_gets_further_is_named(answer: str) -> None:
    status, code = answer.split()
    assert f"an impostor's request about fast was answered {answer}" in verdict([forged(int(status), code)], facts({}))[0]


def test_order_that_only_an_impostor_asked_for_is_nobodys() -> None:
    assert any("fast.o: nobody asked for it" in words for words in verdict([forged(401, "unauthenticated")], facts({"fast.o": row()})))


def test_refused_genuine_buyer_is_named() -> None:
    words = verdict([ordered("fast", "o", 10.0, 401, code="unauthenticated")], facts({}))
    assert "order of fast.o by u was refused: unauthenticated" in words[0]


def test_proofs_of_buyers_are_genuine_and_those_of_impostors_name_nobody_they_pose_as() -> None:
    proofs, tokens, rng = Proofs(KEY, time.time()), BuyerTokens([KEY]), Random(1)
    assert (_user(tokens, proofs.of(1)), proofs.of(2)) == (user_name(1), {})
    proven = {_user(tokens, proofs.imposture("u1", rng)) for _ in range(40)}
    assert proven == {"forged", "expired", f"{user_name(1)}-other"}


def _user(tokens: BuyerTokens, headers: Mapping[str, str]) -> str:
    """The buyer of a token, or why it is refused."""
    try:
        return tokens.verify(headers["authorization"].removeprefix("Bearer ").encode(), time.time())
    except Rejected as error:
        return error.reason
