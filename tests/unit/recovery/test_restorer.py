"""Calls of a rebuild that fail together."""

import asyncio
import gc
from collections.abc import Mapping
from typing import Any

import pytest

from flashsale_recovery.rebuild.report import SaleReport
from flashsale_recovery.rebuild.restorer import Restorer


class FailingRestorer(Restorer):
    def __init__(self) -> None:
        self._calls = set()

    async def now(self, sale_id: str, part: Mapping[str, Any], report: SaleReport | None = None) -> None:
        raise ConnectionError(sale_id)


async def test_first_error_is_raised_and_no_other_is_left_unseen() -> None:
    unseen: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: unseen.append(context))
    restorer = FailingRestorer()
    for sale_id in ("a", "b", "c"):
        await restorer.soon(sale_id, {}, SaleReport(sale_id, 1, 1, "open"))
    with pytest.raises(ConnectionError):
        await restorer.finish()
    del restorer
    gc.collect()
    assert unseen == []
