"""Judges losses that come one at a time: what each took is compared with what the keeper reported, entry by entry."""

from collections.abc import Sequence

from flashsale_chaos.bench import Bench
from flashsale_chaos.loss import Loss
from flashsale_chaos.positions_reader import read_positions
from flashsale_chaos.verdict.exact import judge_effects, judge_loss, traces_of
from flashsale_chaos.verdict.regressions import Regression
from flashsale_chaos.verdict.taken import Taken, taken_by
from flashsale_chaos.verdict.violations import Violation


class LossJudge:
    """What the losses of a run took so far."""

    def __init__(self, bench: Bench) -> None:
        self._bench = bench
        self._judged: list[tuple[Loss, Sequence[Taken]]] = []
        self._orders: set[str] = set()

    async def judge(self, database_url: str, effects: Sequence[Regression]) -> list[Violation]:
        """`effects`: what buyers of the present sales were told of and is gone. Raises what asyncpg raises."""
        if not self._bench.losses_only:
            return []
        ledger, violations = await read_positions(database_url), list[Violation]()
        for loss in self._bench.losses[len(self._judged) :]:
            taken = list(taken_by(loss, ledger))
            self._judged.append((loss, taken))
            violations += judge_loss(loss, taken, ledger)
        self._orders |= {effect.order for effect in effects if effect.is_order}
        return [*violations, *judge_effects(effects, traces_of(self._judged))]

    @property
    def reported(self) -> int:
        return sum(item.reported for _, taken in self._judged for item in taken)

    @property
    def gone(self) -> int:
        return sum(len(item.gone) for _, taken in self._judged for item in taken)

    @property
    def orders(self) -> int:
        """Orders that a buyer was told are accepted, and that are gone."""
        return len(self._orders)
