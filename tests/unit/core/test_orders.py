import pytest

from flashsale_core.orders import LETTERS, RANK, RULES, Event, Guard, Result, Rule, State, next_state, supersedes


def test_every_state_and_event_has_a_rule() -> None:
    assert set(RULES) == {(state, event) for state in (None, *State) for event in Event}


@pytest.mark.parametrize(("state", "event"), RULES, ids=str)
def test_every_transition_raises_the_rank(state: State | None, event: Event) -> None:
    entered = RULES[state, event].next
    assert entered is None or state is None or supersedes(entered, state)


@pytest.mark.parametrize("rule", RULES.values(), ids=str)
def test_guard_comes_with_another_result(rule: Rule) -> None:
    assert (rule.guard is None) == (rule.otherwise is None)


def test_each_state_is_entered_from_states_that_cannot_follow_it() -> None:
    # Ranks only rise, so no path enters a state twice, and no path has both cancelled and expired or paid.
    entered = {(state, rule.next) for (state, _), rule in RULES.items() if rule.next}
    assert entered == {
        (None, State.RESERVED),
        (State.RESERVED, State.PAID),
        (State.RESERVED, State.EXPIRED),
        (State.RESERVED, State.CANCELLED),
        (State.EXPIRED, State.PAID),
        (State.PAID, State.RETURNED),
    }


def test_guard_decides_the_result() -> None:
    assert next_state(State.RESERVED, Event.EXPIRE) == (Result.EXPIRED, State.EXPIRED)
    assert next_state(State.RESERVED, Event.EXPIRE, guard_holds=False) == (Result.NOT_DUE, State.RESERVED)


def test_ranks_and_letters_cover_all_states() -> None:
    assert (set(RANK), set(LETTERS.values()), len(Guard)) == (set(State), set(State), 4)
