"""The verdict on what buyers were shown: each test has a round that breaks a promise, and one that keeps it."""

from flashsale_chaos.faults import Fault
from flashsale_chaos.history import Ask
from flashsale_chaos.verdict.violations import Promise
from flashsale_core.orders import State
from tests.unit.chaos.rounds import FIRST, SECOND, asked, facts, ordered, paid, row, verdict

ORDER = ordered("fast", "o", 10.0)
SURE = ordered("sure", "o", 10.0)


def lost(entries: int) -> dict[str, object]:
    return {"incarnations": [FIRST, SECOND._replace(lost_entries=entries)]}


def test_accepted_order_that_exists_breaks_nothing() -> None:
    assert verdict([ORDER], facts({"fast.o": row()})) == []


def test_accepted_order_must_not_disappear_without_a_loss() -> None:
    (words,) = verdict([ORDER], facts({}))
    assert words.startswith(Promise.NOT_FORGOTTEN)
    assert "fast.o: order showed reserved, and it is unknown" in words


def test_fsync_order_may_be_among_the_lost_entries() -> None:
    assert verdict([ORDER], facts({}, **lost(1))) == []


def test_fsync_order_must_not_be_lost_beyond_the_reported_entries() -> None:
    (words,) = verdict([ORDER], facts({}, **lost(0)))
    assert "1 effects in at least 1 entries are gone from incarnation 2 on, and 0 entries were reported" in words


def test_orders_that_did_not_overlap_were_in_different_entries() -> None:
    calls = [ordered("fast", "a", 10.0), ordered("fast", "b", 10.05), ordered("fast", "c", 11.0)]
    assert verdict(calls, facts({}, **lost(2))) == []
    assert "at least 2 entries are gone" in verdict(calls, facts({}, **lost(1)))[0]


def test_order_lost_after_the_last_loss_was_lost_without_a_cause() -> None:
    (words,) = verdict([ordered("fast", "o", 25.0)], facts({}, **lost(5)))
    assert "Redis lost nothing since" in words


def test_confirmed_order_is_never_lost() -> None:
    (words,) = verdict([SURE], facts({}, **lost(9)))
    assert words.startswith(Promise.NOT_FORGOTTEN)
    assert "sure.o" in words


def test_entry_that_only_a_killed_gateway_knew_is_not_counted() -> None:
    kill = Fault(1, 15.0, "kill", "gateway", 1.0, 0)
    assert verdict([ORDER], facts({}, **lost(0)), [kill]) == []
    assert verdict([ORDER], facts({}, **lost(0)), [Fault(1, 15.0, "kill", "gateway-2", 1.0, 0)]) != []
    assert verdict([ORDER], facts({}, **lost(0)), [Fault(1, 2.0, "kill", "gateway", 1.0, 0)]) != []


def test_crash_excuses_only_the_gateway_that_died() -> None:
    assert verdict([ORDER], facts({}, **lost(0)), [Fault(1, 15.0, "crash", "gateway/outbox.deleted", 1.0, 1)]) == []
    assert verdict([ORDER], facts({}, **lost(0)), [Fault(1, 15.0, "crash", "gateway-2/outbox.deleted", 1.0, 1)]) != []


def test_refused_and_unanswered_orders_promise_nothing() -> None:
    calls = [ordered("sure", "o", 10.0, 503, code="outcome_unknown"), ordered("sure", "o", 11.0, 0)]
    assert verdict(calls, facts({})) == verdict(calls, facts({"sure.o": row()})) == []


def test_cancelled_order_is_held_again_only_after_a_loss() -> None:
    calls = [ORDER, asked(Ask.CANCEL, "fast", "o", 12.0, state="cancelled")]
    assert "cancel showed cancelled, and it is reserved" in verdict(calls, facts({"fast.o": row()}))[0]
    assert verdict(calls, facts({"fast.o": row()}, **lost(1))) == []
    assert verdict(calls, facts({"fast.o": row(State.CANCELLED)})) == []


def test_open_redis_must_not_deny_an_order_that_it_accepted() -> None:
    for ask in (Ask.CANCEL, Ask.LOOK):
        calls = [SURE, asked(ask, "sure", "o", 12.0, 404, code="unknown_order")]
        assert f"accepted, then {ask} got 404 unknown_order" in verdict(calls, facts({"sure.o": row()}))[0]
    again = [SURE, ordered("sure", "o", 12.0)]
    assert "accepted, then order got 200 accepted" in verdict(again, facts({"sure.o": row()}))[0]
    assert verdict([SURE, ordered("sure", "o", 12.0, code="replayed")], facts({"sure.o": row()})) == []


def test_request_gets_the_order_that_it_asked_for() -> None:
    other = ordered("fast", "o", 10.0, shown_id="fast.x")
    assert verdict([other], facts({"fast.o": row()})) == [f"{Promise.ONE_ORDER}: order of fast.o got fast.x"]
    assert "and it has 2 of u" in verdict([ORDER], facts({"fast.o": row(quantity=2)}))[0]


def test_order_that_nobody_asked_for_is_named() -> None:
    assert verdict([ORDER], facts({"fast.o": row(), "fast.x": row()})) == [f"{Promise.ONE_ORDER}: fast.x: nobody asked for it"]


def test_states_do_not_come_from_nowhere() -> None:
    assert verdict([ORDER], facts({"fast.o": row(State.CANCELLED)})) == [f"{Promise.HISTORY}: fast.o is cancelled, and nobody cancelled it"]
    calls = [ORDER, paid("fast", "o", "p", 12.0, status=503)]
    assert "paid by 'q', which nobody sent" in verdict(calls, facts({"fast.o": row(State.PAID, "q")}))[0]


def test_hold_does_not_expire_before_its_deadline() -> None:
    def look(at: float) -> list[str]:
        return verdict([ORDER, asked(Ask.LOOK, "fast", "o", at, state="expired")], facts({"fast.o": row(State.EXPIRED)}))

    assert look(12.0) == [f"{Promise.RELEASED_ONCE}: fast.o: expired 2.10 s after it was first asked for"]
    assert look(15.5) == []


def test_refund_policy_does_not_revive_what_was_shown_as_expired() -> None:
    calls = [ORDER, asked(Ask.LOOK, "fast", "o", 16.0, state="expired"), paid("fast", "o", "p", 17.0, status=503)]
    assert "look showed expired, and it is paid" in verdict(calls, facts({"fast.o": row(State.PAID, "p")}))[0]


def test_requests_are_answered_and_failures_have_codes() -> None:
    given_up = ordered("fast", "o", 10.0, 503, code="recovering")
    (words,) = verdict([given_up], facts({}), gave_up=[given_up])
    assert words == f"{Promise.ANSWERED}: order of fast.o got 503 recovering was the last answer"
    assert verdict([ordered("fast", "o", 10.0, 500, code="internal")], facts({}))[0].startswith(Promise.CLOSED)
    assert verdict([ordered("fast", "o", 10.0, 404, code="unknown_sale")], facts({}))[0].startswith(Promise.CLOSED)


def test_gateway_that_was_left_with_the_old_master_is_not_asked() -> None:
    calls, split = [ordered("fast", "o", 20.5, gateway=1)], Fault(1, 15.0, "redis.split_brain", "redis", 7.0, 0)
    assert verdict(calls, facts({}, **lost(0)), [split]) == []
    assert verdict([ORDER], facts({}, **lost(0)), [split]) != []
