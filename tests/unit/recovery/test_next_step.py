from dataclasses import replace

import pytest

from flashsale_core.fence import Attestation, Fence
from flashsale_recovery.facts import DrainState, Installation, LedgerFacts, LedgerShard, ServerView, Witnesses
from flashsale_recovery.next_step import next_incarnation, next_step
from flashsale_recovery.steps import Drain, Initialise, Nothing, Record, Recover, Refuse, Reopen, Reseal, Rules, Step, Wait

NOW, BEFORE = "a" * 40, "b" * 40
LEDGER = "3f0c"
OURS = Installation("flashsale", LEDGER, 2)
OPEN = Fence("open", NOW, 3, 500, "flashsale", LEDGER, 2)
RECORDED = LedgerShard(3, 1, "open", 480)
NOBODY = Witnesses()
DISK = Rules(reseal_without_ledger=True)


def view_of(*fences: Fence) -> ServerView:
    return ServerView(NOW, dict(enumerate(fences)), {shard: {} for shard in range(len(fences))})


def facts_of(*shards: LedgerShard, lacking: frozenset[int] = frozenset()) -> LedgerFacts:
    return LedgerFacts(OURS, {shard: known for shard, known in enumerate(shards) if known.incarnation}, lacking)


def decide(fence: Fence, ledger: LedgerShard = RECORDED, witnesses: Witnesses = NOBODY) -> Step:
    return next_step(view_of(fence), facts_of(ledger), witnesses)


def closed(**fields: object) -> Fence:
    return replace(OPEN, **fields)  # type: ignore[arg-type]


def test_nothing_is_done_while_all_fences_are_open() -> None:
    assert next_step(view_of(OPEN, OPEN), facts_of(RECORDED, RECORDED), Witnesses()) == Nothing()


def test_ledger_without_an_installation_is_waited_for() -> None:
    step = next_step(view_of(OPEN), LedgerFacts(None), Witnesses())
    assert isinstance(step, Wait)
    assert "flashsale migrate --initialise" in step.reason


@pytest.mark.parametrize(
    ("foreign", "word"), [(closed(ledger="77aa"), "77aa"), (closed(installation="other"), "other"), (closed(shards=16), "16 shards")]
)
def test_fence_of_another_installation_is_refused(foreign: Fence, word: str) -> None:
    for fence in (foreign, replace(foreign, replid=BEFORE), replace(foreign, state="fenced")):
        step = decide(fence)
        assert isinstance(step, Refuse)
        assert word in step.reason


def test_nothing_is_sealed_by_a_user_who_may_not_run_info() -> None:
    hidden = replace(view_of(closed(replid=BEFORE), Fence()), replid="", may_run_info=False)
    for facts, witnesses in ((facts_of(RECORDED), Witnesses(drain=DrainState.DONE, saw_open=True)), (facts_of(), NOBODY), (None, NOBODY)):
        step = next_step(hidden, facts, witnesses, DISK)
        assert isinstance(step, Refuse)
        assert "+info" in step.reason


def test_empty_redis_of_a_new_ledger_is_initialised() -> None:
    assert next_step(view_of(Fence(), Fence()), facts_of(), Witnesses()) == Initialise([0, 1])


def test_initialisation_that_was_interrupted_is_continued() -> None:
    new = LedgerShard(1, 1, "new")
    assert next_step(view_of(closed(state="fenced", incarnation=1), Fence()), facts_of(new, new), Witnesses()) == Initialise([0, 1])


def test_redis_that_lacks_sales_of_the_ledger_is_not_initialised() -> None:
    step = next_step(view_of(Fence(), Fence()), facts_of(lacking=frozenset({1})), Witnesses())
    assert isinstance(step, Recover)
    assert list(step.reasons) == [1]


def test_redis_of_an_earlier_release_that_lacks_one_sale_waits_for_a_person() -> None:
    facts = replace(facts_of(), doubtful={1: "shoe"})
    step = next_step(view_of(Fence(), Fence()), facts, Witnesses())
    assert isinstance(step, Wait)
    assert "not shoe" in step.reason
    assert next_step(view_of(Fence()), facts, Witnesses()) == Initialise([0])
    by_hand = next_step(view_of(Fence(), Fence()), facts, Witnesses(), Rules(rebuild_doubtful=True))
    assert isinstance(by_hand, Recover)
    assert list(by_hand.reasons) == [1]


@pytest.mark.parametrize(
    "fence",
    [
        Fence(),
        closed(incarnation=2),
        closed(state="fenced"),
        closed(state="restoring"),
        closed(seq=479),
        closed(seq=479, replid=BEFORE),
        closed(incarnation=2, replid=BEFORE),
    ],
)
def test_redis_that_lost_writes_is_recovered(fence: Fence) -> None:
    assert isinstance(decide(fence), Recover)


@pytest.mark.parametrize("state", ["new", "fenced", "draining", "restoring", "verifying"])
def test_recovery_that_was_interrupted_begins_again(state: str) -> None:
    assert isinstance(decide(closed(state="restoring"), replace(RECORDED, state=state)), Recover)


def test_position_that_a_gateway_was_answered_proves_a_loss() -> None:
    assert isinstance(decide(closed(replid=BEFORE), witnesses=Witnesses({0: 501}, drain=DrainState.DONE)), Recover)
    assert decide(closed(replid=BEFORE), witnesses=Witnesses({0: 500}, drain=DrainState.DONE, saw_open=True)) == Reseal([0])


def test_all_shards_of_a_server_are_recovered_if_one_lost_writes() -> None:
    step = next_step(view_of(OPEN, Fence()), facts_of(RECORDED, RECORDED), Witnesses())
    assert step == Recover({1: "Redis has no fence: it is empty, or it lost its data"})


def test_new_history_is_accepted_once_all_attested_and_the_queue_is_drained() -> None:
    fence = closed(replid=BEFORE)
    waiting = Witnesses(expected=frozenset({"a", "b"}), attested=frozenset({"a"}), waited_seconds=1)
    attested = replace(waiting, attested=frozenset({"a", "b", "c"}))
    assert decide(fence, witnesses=waiting) == Wait("waiting for what the gateways were answered: b")
    assert decide(fence, witnesses=attested) == Drain()
    drained = replace(attested, drain=DrainState.DONE)
    assert decide(fence, witnesses=replace(drained, saw_open=True)) == Reseal([0])
    # A keeper that has just taken over may not know a gateway that was cut off before.
    assert isinstance(decide(fence, witnesses=drained), Reopen)


def test_new_history_begins_an_incarnation_if_somebody_who_could_know_is_away() -> None:
    fence, silent = closed(replid=BEFORE), Witnesses(expected=frozenset({"a"}), waited_seconds=5.1)
    assert decide(fence, witnesses=silent) == Drain()
    assert decide(fence, witnesses=replace(silent, drain=DrainState.DONE)) == Reopen([0], "gateways are silent: a")
    # What a silent gateway had confirmed may be in the queue only.
    assert decide(fence, witnesses=replace(silent, drain=DrainState.FAILED)) == Drain()
    # A gateway that cannot publish what it holds has attested to its position all the same.
    holding = replace(silent, drain=DrainState.FAILED, spoken=frozenset({"a"}))
    assert decide(fence, witnesses=holding) == Reopen([0], "gateways are silent: a")
    assert decide(fence, witnesses=Witnesses(drain=DrainState.FAILED)) == Reopen([0], "the queue could not be drained")


@pytest.mark.parametrize(("ended", "step"), [(480, Reopen([0], "the queue could not be drained")), (481, Drain()), (None, Drain())])
def test_entries_of_a_gateway_that_ended_are_waited_for_while_the_ledger_lacks_them(ended: int | None, step: Step) -> None:
    witnesses = Witnesses(drain=DrainState.FAILED, saw_open=True, ended={0: {"dead": ended}})
    assert decide(closed(replid=BEFORE), witnesses=witnesses) == step
    assert decide(closed(replid=BEFORE), witnesses=replace(witnesses, drain=DrainState.DONE)) == Reseal([0])


@pytest.mark.parametrize("ledger", [LedgerShard(), LedgerShard(2, 1, "open", 900), LedgerShard(3, 1, "restoring")])
def test_ledger_restored_from_a_backup_learns_the_incarnation_of_redis(ledger: LedgerShard) -> None:
    assert decide(OPEN, ledger) == Record([0])


@pytest.mark.parametrize(
    ("fence", "ledger", "incarnation"),
    [
        (Fence(), RECORDED, 4),
        (OPEN, RECORDED, 4),
        (closed(state="restoring"), replace(RECORDED, state="restoring"), 3),
        # Redis was lost again after the recovery began in it.
        (Fence(), replace(RECORDED, state="restoring"), 4),
        (closed(incarnation=2), replace(RECORDED, state="fenced"), 4),
        (closed(incarnation=9), RECORDED, 10),
        (Fence(), LedgerShard(), 1),
    ],
)
def test_recovery_continues_only_an_incarnation_that_redis_has(fence: Fence, ledger: LedgerShard, incarnation: int) -> None:
    assert next_incarnation(fence, ledger) == incarnation


def test_without_the_ledger_only_a_single_servers_disk_opens_redis() -> None:
    changed = view_of(closed(replid=BEFORE))
    assert next_step(view_of(OPEN), None, Witnesses()) == Nothing()
    assert next_step(changed, None, Witnesses()) == Wait("Redis cannot be opened while Postgres is away")
    assert next_step(changed, None, Witnesses(), DISK) == Reseal([0])


@pytest.mark.parametrize(
    ("fence", "witnesses"),
    [
        (closed(replid=BEFORE), Witnesses({0: 501})),
        (closed(replid=BEFORE, state="fenced"), Witnesses()),
        (Fence(), Witnesses()),
        (closed(replid=BEFORE), Witnesses(expected=frozenset({"a"}), waited_seconds=99)),
    ],
)
def test_without_the_ledger_nothing_doubtful_is_opened(fence: Fence, witnesses: Witnesses) -> None:
    assert isinstance(next_step(view_of(fence), None, witnesses, DISK), Wait)


def test_attestations_are_of_the_shards_of_the_view() -> None:
    view = ServerView(NOW, {0: OPEN, 1: closed(replid=BEFORE)}, {0: {"a": Attestation(1, 0, 1)}, 1: {}})
    assert (view.shards, view.is_open) == ([0, 1], False)
