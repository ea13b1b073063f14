"""Every guard of the protocol, with bounds within which its removal breaks a promise."""

from typing import Any, NamedTuple

from tests.model.state import Bounds

CRASH: dict[str, Any] = {"upsets": 1, "upset_kinds": frozenset({"crash"})}
SILENCE: dict[str, Any] = {"upsets": 1, "upset_kinds": frozenset({"silence"})}
TWICE = {**SILENCE, "upsets": 2}
PROMOTE, LOSE = frozenset({"promote"}), frozenset({"lose"})


class Guard(NamedTuple):
    name: str
    rule: str
    bounds: Bounds


def _guard(name: str, rule: str, *, pays: bool = False, expires: bool = False, **bounds: Any) -> Guard:
    return Guard(name, rule, Bounds(pays=pays, expires=expires, without=frozenset({name}), **bounds))


GUARDS = (
    _guard("fence", "A script writes only while the shard's fence is open."),
    _guard("replid", "A script writes only to the history that the fence names.", kinds=PROMOTE),
    _guard("no_create", "Nothing but recovery creates a fence or a sale in an empty Redis."),
    _guard("release_checks_state", "Only a held order releases its unit.", expires=True, faults=0),
    _guard("delete_after_confirm", "An entry is deleted after the broker's confirm.", faults=0, **CRASH),
    _guard("commit_before_ack", "A worker acknowledges a message after the commit.", faults=0),
    _guard("confirm_webhook", "A webhook is answered after the broker's confirm.", pays=True),
    _guard("confirm_return", "A returned unit is for sale again after the broker's confirm.", pays=True, returns=True, kinds=LOSE, **CRASH),
    _guard("confirm_order", "In `confirmed`, an order is accepted after the broker's confirm.", confirmed=True, **CRASH),
    _guard("replay_confirm", "In `confirmed`, a replay is published again and waits.", confirmed=True, **CRASH),
    _guard("timely", "A confirm that is seen later than the marker could be sent is no confirm.", confirmed=True, **SILENCE),
    _guard("attest", "The keeper waits until every gateway has published what it holds, or is silent for too long."),
    _guard("drain", "The keeper waits until the ledger has everything that was in the queue before its marker.", confirmed=True),
    _guard("fast_waits", "If a gateway was silent or died, the shard opens in a new incarnation.", **SILENCE),
    _guard("fast_opened", "Only an incarnation that the ledger shows as opened may open without a rebuild.", upsets=1),
    _guard("restore_position", "The end of a restore takes a position, which a copy of a half restored shard does not have.", faults=2),
    _guard("opened_seq", "The ledger notes the position of the opening before Redis opens.", faults=2),
    _guard("seal_once", "Only the first step of a recovery writes the replid; the opening compares it.", faults=2),
    _guard("seq_continues", "A new incarnation continues above every known position.", pays=True),
    _guard("join_redis", "The rebuild keeps what only the surviving Redis has.", expires=True, **CRASH),
    _guard("resend", "The rebuild sends again what the ledger lacks.", expires=True, kinds=PROMOTE),
    _guard("refunds_restored", "The rebuild restores refunds.", pays=True, expires=True, orders=1, copies=0, kinds=LOSE),
    _guard("deficit", "The rebuild breaks unpaid holds for which there is no unit.", expires=True, kinds=PROMOTE),
    _guard("late_refused", "The ledger does not merge an entry without which a recovery ended.", **SILENCE),
    _guard("late_only_counted", "A late payment is not refunded: its webhook comes again.", pays=True, **SILENCE),
    _guard("kept_falls", "Each recovery lowers what earlier incarnations are known to have left in Redis.", faults=2, **TWICE),
)  # fmt: skip
