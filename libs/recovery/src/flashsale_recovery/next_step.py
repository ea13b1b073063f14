"""Decides what to do with a Redis server: nothing, wait, accept its history, or rebuild it. Pure.

The order of writes makes each step repeatable: the ledger gets a new incarnation before Redis does, and is told that a shard is open before
Redis opens it. So a fence that is behind the ledger's newest incarnation is an unfinished step or an older Redis, and both are recovered.
"""

from collections.abc import Sequence
from enum import Enum, auto

from flashsale_core.fence import OPEN, Fence, foreign_reason
from flashsale_recovery.facts import NEW, DrainState, LedgerFacts, LedgerShard, ServerView, Witnesses
from flashsale_recovery.steps import Drain, Initialise, Nothing, Record, Recover, Refuse, Reopen, Reseal, Rules, Step, Wait

RULES = Rules()


class _Verdict(Enum):
    OPEN = auto()
    NEW = auto()
    UNRECORDED = auto()
    HISTORY = auto()
    LOST = auto()


def next_step(view: ServerView, ledger: LedgerFacts | None, witnesses: Witnesses, rules: Rules = RULES) -> Step:
    """`ledger` is None while Postgres is away."""
    if not view.may_run_info:
        # Sealed with an empty replication id, the fence would be closed to every gateway that has the right.
        return Refuse("the Redis user of the recovery lacks the right to run INFO: give it `+info`")
    if ledger is None:
        return _without_ledger(view, witnesses, rules)
    if (ours := ledger.installation) is None:
        return Wait("the ledger has no installation; run `flashsale migrate --initialise`")
    for shard, fence in sorted(view.fences.items()):
        if (reason := foreign_reason(fence, ours.name, ours.shards, ours.ledger)) is not None:
            return Refuse(f"shard {shard}: {reason}")
    judged = {shard: judge(view, shard, ledger.shard(shard), witnesses.highest_seq.get(shard, 0)) for shard in view.shards}
    lost = {shard: reason for shard, (verdict, reason) in judged.items() if verdict is _Verdict.LOST}
    lost |= dict.fromkeys(ledger.lacking & view.fences.keys(), "Redis has no fence, and lacks sales that the ledger has")
    doubtful = {shard: sale_id for shard, sale_id in sorted(ledger.doubtful.items()) if shard in view.fences}
    if doubtful and rules.rebuild_doubtful:
        lost |= dict.fromkeys(doubtful, "Redis has no fence, and lacks sales that the ledger has")
    if lost:
        return Recover(lost)
    if doubtful:
        shard, sale_id = next(iter(doubtful.items()))
        return Wait(
            f"shard {shard} was never opened, and Redis has sales, but not {sale_id}, which the ledger has: if the ledger is right, "
            "stop the keeper and run `flashsale recover --rebuild`; if Redis is, remove the sale from the ledger"
        )
    if new := [shard for shard, (verdict, _) in judged.items() if verdict is _Verdict.NEW]:
        return Initialise(new)
    if unrecorded := [shard for shard, (verdict, _) in judged.items() if verdict is _Verdict.UNRECORDED]:
        return Record(unrecorded)
    changed = [shard for shard, (verdict, _) in judged.items() if verdict is _Verdict.HISTORY]
    return _accept(changed, witnesses, rules, are_ended_settled=_are_ended_settled(ledger, witnesses))


def judge(view: ServerView, shard: int, ledger: LedgerShard, witnessed_seq: int) -> tuple[_Verdict, str]:
    """The verdict on a shard, and its reason if data was lost."""
    fence = view.fences[shard]
    if _is_new(fence, ledger):
        return _Verdict.NEW, ""
    if fence.is_missing:
        return _Verdict.LOST, "Redis has no fence: it is empty, or it lost its data"
    if fence.incarnation < ledger.incarnation:
        return _Verdict.LOST, f"Redis is in incarnation {fence.incarnation}, the ledger in {ledger.incarnation}"
    if fence.state != OPEN:
        return _Verdict.LOST, f"the fence is {fence.state}"
    if fence.incarnation > ledger.incarnation or ledger.state != OPEN:
        return _Verdict.UNRECORDED, ""
    highest = max(ledger.highest_seq, witnessed_seq)
    if fence.seq < highest:
        return _Verdict.LOST, f"Redis ends at position {fence.seq}, and {highest} was given"
    return (_Verdict.OPEN if fence.replid == view.replid else _Verdict.HISTORY), ""


def _is_new(fence: Fence, ledger: LedgerShard) -> bool:
    """Whether a shard was never open, or its first opening was interrupted."""
    if ledger.incarnation == 0:
        return fence.is_missing
    return ledger.state == NEW and fence.incarnation <= 1 and fence.state in ("", "fenced")


def next_incarnation(fence: Fence, ledger: LedgerShard) -> int:
    """The incarnation of a recovery. One that Redis has begun and that never opened is continued: nothing was sold in it."""
    if fence.incarnation == ledger.incarnation and not fence.is_missing and ledger.state != OPEN:
        return ledger.incarnation
    return max(fence.incarnation, ledger.incarnation) + 1


def _are_ended_settled(ledger: LedgerFacts, witnesses: Witnesses) -> bool:
    """Whether the ledger has everything that gateways can have been answered which ended without leaving."""
    return all(
        seq is not None and seq <= ledger.shard(shard).highest_seq for shard, ended in witnesses.ended.items() for seq in ended.values()
    )


def _accept(changed: Sequence[int], witnesses: Witnesses, rules: Rules, *, are_ended_settled: bool) -> Step:
    """What follows when nothing is known to be lost. `changed` are the shards whose history is not accepted yet."""
    if not changed:
        return Nothing()
    silent = ", ".join(witnesses.silent)
    if silent and witnesses.waited_seconds < rules.attest_seconds:
        return Wait(f"waiting for what the gateways were answered: {silent}")
    # What a gateway that is gone had confirmed may be in the queue only: with both unknown, nothing may be closed as late.
    are_known = not witnesses.expected - witnesses.spoken and are_ended_settled
    if witnesses.drain is DrainState.NOT_TRIED or (witnesses.drain is DrainState.FAILED and not are_known):
        return Drain()
    if silent:
        return Reopen(changed, f"gateways are silent: {silent}")
    if witnesses.drain is DrainState.FAILED:
        return Reopen(changed, "the queue could not be drained")
    if not witnesses.saw_open:
        return Reopen(changed, "this keeper did not see the shards open, so it may not know all gateways")
    return Reseal(changed)


def _without_ledger(view: ServerView, witnesses: Witnesses, rules: Rules) -> Step:
    if view.is_open:
        return Nothing()
    regressed = [shard for shard, fence in view.fences.items() if fence.seq < witnesses.highest_seq.get(shard, 0)]
    usable = not regressed and all(fence.state == OPEN for fence in view.fences.values())
    if not rules.reseal_without_ledger or not usable:
        return Wait("Redis cannot be opened while Postgres is away")
    changed = [shard for shard, fence in view.fences.items() if fence.replid != view.replid]
    if not witnesses.silent:
        return Reseal(changed)
    return Wait(f"Redis cannot be opened while Postgres is away, and gateways are silent: {', '.join(witnesses.silent)}")
