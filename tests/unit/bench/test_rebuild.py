"""The bench of the rebuild does not measure a Redis that the check after it refuses."""

from collections.abc import Awaitable, Callable
from types import SimpleNamespace
from typing import Any

import pytest

from flashsale_recovery.rebuild import RebuildReport
from flashsale_recovery.rebuild.verify import Verified
from tools.bench.rebuild import Shop


def answering(answer: object) -> Callable[..., Awaitable[Any]]:
    async def answered(*_: object, **__: object) -> object:
        return answer

    return answered


async def test_sale_that_is_faulty_after_the_rebuild_is_no_measurement(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = Verified(9, {"iphone": "9 reserved instead of 8"})
    for name, answer in {"redis_cpu_seconds": 0.0, "now_ms": 0, "rebuild": RebuildReport(), "verify": checked}.items():
        monkeypatch.setattr(f"tools.bench.rebuild.{name}", answering(answer))
    monkeypatch.setattr(Shop, "seal", answering(None))
    redis: Any = SimpleNamespace(flushall=answering(None))
    anything: Any = None
    with pytest.raises(RuntimeError, match="9 reserved instead of 8"):
        await Shop(anything, redis, anything, anything).recover("iphone")
