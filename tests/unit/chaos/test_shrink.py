"""Shrinking keeps what fails, drops what does not matter, and ends."""

import pytest

from flashsale_chaos.faults import Fault
from flashsale_chaos.schedule import make
from flashsale_chaos.shrink import Faults, shrink

FAULTS = make(1, 40).faults


@pytest.mark.parametrize("needed", [{1}, {40}, {3, 4}, {1, 40}, {5, 17, 33}])
async def test_only_the_needed_faults_remain(needed: set[int]) -> None:
    async def fails(faults: Faults) -> bool:
        return needed <= {fault.number for fault in faults}

    assert {fault.number for fault in await shrink(FAULTS, fails, 500)} == needed


async def test_number_of_runs_is_bounded_and_the_rest_still_fails() -> None:
    tried: list[Faults] = []

    async def fails(faults: Faults) -> bool:
        tried.append(faults)
        return {1, 40} <= {fault.number for fault in faults}

    rest = await shrink(FAULTS, fails, 5)
    assert len(tried) == 5
    assert {1, 40} <= {fault.number for fault in rest}


async def test_faults_that_fail_only_together_remain_all() -> None:
    async def fails(faults: list[Fault] | Faults) -> bool:
        return len(faults) == 6

    assert list(await shrink(FAULTS[:6], fails, 500)) == FAULTS[:6]
