"""Which faults happen when. The same seed, number and kinds give the same schedule on every machine. Pure."""

from collections.abc import Iterator, Sequence
from itertools import islice
from random import Random

import msgspec

from flashsale_chaos.faults import KINDS, LOSSES, Fault

ROUND_FAULTS = 20
DISTANCE_SECONDS_MEAN = 0.6


class Schedule(msgspec.Struct, frozen=True):
    seed: int
    rounds: list[list[Fault]]

    @property
    def faults(self) -> list[Fault]:
        return [fault for faults in self.rounds for fault in faults]

    @property
    def losses_only(self) -> bool:
        return {fault.kind for fault in self.faults} <= LOSSES


def make(seed: int, faults: int, kinds: Sequence[str] = tuple(KINDS)) -> Schedule:
    """Raises KeyError for an unknown kind."""
    random = Random(seed)  # noqa: S311 - a schedule is no secret, and must be the same every time
    names = islice(_dealt(random, [kind for kind in kinds for _ in range(KINDS[kind].weight)]), faults)
    # A deck of its own for each kind: every target is hit, the rare ones as well.
    targets = {kind: _dealt(random, KINDS[kind].targets) for kind in kinds}
    rounds: list[list[Fault]] = []
    for number, kind in enumerate(names, start=1):
        if (number - 1) % ROUND_FAULTS == 0:
            rounds.append([])
            at_seconds = 0.0
        at_seconds += random.expovariate(1 / DISTANCE_SECONDS_MEAN)
        rounds[-1].append(_fault(random, number, round(at_seconds, 3), kind, next(targets[kind])))
    return Schedule(seed, rounds)


def rounds_of(faults: Sequence[Fault]) -> list[list[Fault]]:
    """The faults of a shrunk schedule, in the rounds they came from."""
    rounds: dict[int, list[Fault]] = {}
    for fault in faults:
        rounds.setdefault((fault.number - 1) // ROUND_FAULTS, []).append(fault)
    return list(rounds.values())


def to_json(schedule: Schedule) -> bytes:
    return msgspec.json.format(msgspec.json.encode(schedule))


def from_json(text: bytes) -> Schedule:
    """Raises msgspec.MsgspecError if the text is no schedule. A report contains one as well."""
    return msgspec.json.decode(text, type=Schedule)


def _fault(random: Random, number: int, at_seconds: float, kind: str, target: str) -> Fault:
    lasts_seconds = round(random.uniform(*KINDS[kind].lasts_seconds), 3)
    return Fault(number, at_seconds, kind, target, lasts_seconds, random.randint(*KINDS[kind].amount))


def _dealt(random: Random, cards: Sequence[str]) -> Iterator[str]:
    """The cards in random order, again and again: each comes equally often."""
    while True:
        deck = list(cards)
        random.shuffle(deck)
        yield from deck
