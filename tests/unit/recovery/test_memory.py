from flashsale_core.fence import Attestation, Fence
from flashsale_recovery.facts import DrainState, ServerView
from flashsale_recovery.memory import Memory

FIRST, SECOND = "a" * 40, "b" * 40
Gateways = dict[str, Attestation]


def at(ms: int, seq: int = 0) -> Attestation:
    return Attestation(seq, 0, ms)


def view(replid: str, gateways: Gateways, seq: int = 0) -> ServerView:
    return ServerView(replid, {0: Fence("open", FIRST, 1, seq)}, {0: gateways})


def test_gateways_that_were_alive_are_expected_to_attest_to_a_new_history() -> None:
    memory = Memory()
    memory.observe(view(FIRST, {"dead": at(1), "a": at(1)}), 0.0)
    memory.observe(view(FIRST, {"dead": at(1), "a": at(9_000), "b": at(9_000)}), 9.0)
    kept = {"dead": at(1), "a": at(9_000), "b": at(9_000)}
    memory.observe(view(SECOND, kept), 60.0)
    memory.observe(view(SECOND, {**kept, "a": at(60_100), "new": at(60_100)}), 60.2)
    witnesses = memory.witnesses(view(SECOND, kept), 61.0)
    assert witnesses.expected == {"a", "b"}
    assert witnesses.attested == {"a", "new"}
    assert witnesses.silent == ["b"]
    assert (witnesses.waited_seconds, witnesses.saw_open) == (1.0, True)


def test_keeper_that_has_just_started_expects_the_gateways_that_redis_kept() -> None:
    memory = Memory()
    memory.observe(view(SECOND, {"old": at(1_000), "a": at(60_000), "b": at(58_000)}), 0.0)
    witnesses = memory.witnesses(view(SECOND, {}), 0.0)
    assert (witnesses.silent, witnesses.saw_open) == (["a", "b"], False)


def test_gateway_that_left_is_not_expected() -> None:
    memory = Memory()
    memory.observe(view(FIRST, {"a": at(1), "b": at(1)}), 0.0)
    memory.observe(view(FIRST, {"a": at(1_000)}), 1.0)
    memory.observe(view(SECOND, {"a": at(1_000)}), 2.0)
    assert memory.witnesses(view(SECOND, {}), 2.0).expected == {"a"}


def test_highest_position_is_remembered_when_redis_goes_back() -> None:
    memory = Memory()
    memory.observe(view(FIRST, {"a": at(1, 70)}, seq=71), 0.0)
    memory.observe(view(SECOND, {"a": at(2, 75)}, seq=30), 1.0)
    assert memory.witnesses(view(SECOND, {}), 1.0).highest_seq == {0: 75}


def test_drain_counts_for_the_history_that_was_drained() -> None:
    memory = Memory()
    memory.observe(view(FIRST, {}), 0.0)
    memory.mark_drained(view(FIRST, {}), DrainState.DONE)
    assert memory.witnesses(view(FIRST, {}), 0.0).drain is DrainState.DONE
    memory.observe(view(SECOND, {}), 1.0)
    # A drain of the former history that ends only now.
    memory.mark_drained(view(FIRST, {}), DrainState.DONE)
    assert memory.witnesses(view(SECOND, {}), 1.0).drain is DrainState.NOT_TRIED


def test_gateway_that_waits_for_an_answer_has_not_attested() -> None:
    memory = Memory()
    memory.observe(view(SECOND, {"a": at(1)}), 0.0)
    memory.observe(view(SECOND, {"a": Attestation(0, 1, 2)}), 0.1)
    assert memory.witnesses(view(SECOND, {}), 0.1).silent == ["a"]
    memory.observe(view(SECOND, {"a": at(3)}), 0.2)
    assert memory.witnesses(view(SECOND, {}), 0.2).silent == []


def test_gateway_has_attested_once_it_did_in_every_shard() -> None:
    memory = Memory()
    fences = {shard: Fence("open", FIRST, 1, 0) for shard in (0, 1)}
    first, both = ServerView(SECOND, fences, {0: {"a": at(1)}, 1: {"a": at(1)}}), {"a": at(2)}
    memory.observe(first, 0.0)
    memory.observe(ServerView(SECOND, fences, {0: both, 1: {"a": at(1)}}), 0.1)
    assert memory.witnesses(first, 0.1).attested == frozenset()
    memory.observe(ServerView(SECOND, fences, {0: both, 1: both}), 0.2)
    assert memory.witnesses(first, 0.2).attested == {"a"}


def test_gateway_that_ended_was_answered_no_position_after_its_end() -> None:
    memory = Memory()
    memory.observe(view(FIRST, {"dead": at(1), "a": at(1)}, seq=5), 0.0)
    for second in (4, 8):
        memory.observe(view(FIRST, {"dead": at(1), "a": at(second * 1000)}, seq=5 + second), float(second))
    memory.observe(view(SECOND, {"dead": at(1), "a": at(9_000)}, seq=13), 9.0)
    assert memory.witnesses(view(SECOND, {}), 9.0).ended == {0: {"dead": 9}}


def test_gateway_that_ended_is_remembered_when_redis_lost_its_name() -> None:
    memory = Memory()
    memory.observe(view(FIRST, {"dead": at(1), "a": at(4_000)}, seq=5), 0.0)
    memory.observe(view(FIRST, {"dead": at(1), "a": at(5_000)}, seq=5), 1.0)
    assert memory.witnesses(view(FIRST, {}), 1.0).knew_all
    memory.observe(ServerView(FIRST, {0: Fence()}, {0: {}}), 2.0)
    assert memory.witnesses(view(FIRST, {}), 2.0).ended == {0: {"dead": 5}}


def test_keeper_that_has_just_started_does_not_know_when_a_gateway_ended() -> None:
    memory = Memory()
    memory.observe(view(SECOND, {"dead": at(1), "a": at(9_000)}), 0.0)
    witnesses = memory.witnesses(view(SECOND, {}), 0.0)
    assert (witnesses.ended, witnesses.knew_all) == ({0: {"dead": None}}, False)


def test_gateway_is_forgotten_long_after_its_end_and_once_the_ledger_has_everything() -> None:
    memory, gateways = Memory(), {"dead": at(1), "a": at(400_001)}
    memory.observe(view(FIRST, gateways, seq=7), 0.0)
    memory.observe(view(FIRST, gateways | {"a": at(500_000)}, seq=8), 100.0)
    assert memory.forgettable(view(FIRST, {}), {0: 7}, 199.0) == {0: []}
    assert memory.forgettable(view(FIRST, {}), {0: 6}, 201.0) == {0: []}
    assert memory.forgettable(view(FIRST, {}), {0: 7}, 201.0) == {0: ["dead"]}
    memory.observe(view(FIRST, {"dead": at(600_000), "a": at(600_000)}, seq=8), 202.0)
    assert memory.forgettable(view(FIRST, {}), {0: 9}, 203.0) == {0: []}
