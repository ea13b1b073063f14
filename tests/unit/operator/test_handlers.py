"""The pauses after which kopf retries."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, cast

import kopf
import pytest

from flashsale_core.settings import Environment
from flashsale_operator.cache import ResourceCache
from flashsale_operator.handlers import BACKOFF_SECONDS, Handlers, drain_seconds, spread
from flashsale_operator.main import kopf_settings
from flashsale_operator.reconcile import Reconciler
from flashsale_operator.resource import Resource
from flashsale_operator.settings import Settings, read_settings
from tests.unit.operator.test_operator_plan import body


class NeverDone:
    """A Reconciler whose sales drain for ever, and whose reconciliations fail."""

    async def retire(self, _: Resource, __: Mapping[str, Any]) -> dict[str, Any]:
        return {"conditions": [{"type": "Ready", "message": "3 units are reserved"}]}

    async def reconcile(self, _: Resource, __: Mapping[str, Any]) -> dict[str, Any]:
        raise ZeroDivisionError("unforeseen")


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return read_settings(Environment({"REDIS_URL": "redis://r", "FLASHSALE_LUA_DIR": str(tmp_path)}))


@pytest.mark.parametrize(("hold_seconds", "pause_seconds"), [(1, 2), (15, 2), (60, 6), (300, 30), (1800, 30)])
def test_draining_sale_is_checked_every_tenth_of_its_payment_window(hold_seconds: int, pause_seconds: float) -> None:
    assert drain_seconds(hold_seconds) == pause_seconds


def test_pause_is_spread_around_its_length() -> None:
    pauses = [spread(8) for _ in range(100)]
    assert (min(pauses) >= 6, max(pauses) <= 10, len(set(pauses)) > 50) == (True, True, True)


async def test_sales_that_drain_together_are_checked_at_different_times(settings: Settings) -> None:
    delays = {await delay(settings, "on_delete", paymentWindowSeconds=300) for _ in range(20)}
    assert (len(delays) > 10, min(delays) >= 22.5, max(delays) <= 37.5) == (True, True, True)


async def test_failed_reconciliations_are_retried_at_different_times(settings: Settings) -> None:
    delays = {await delay(settings, "on_change", reason="update") for _ in range(20)}
    assert (len(delays) > 10, min(delays) >= 0.75 * BACKOFF_SECONDS, max(delays) <= 1.25 * BACKOFF_SECONDS) == (True, True, True)


def test_apiserver_requests_are_retried_at_different_times(settings: Settings) -> None:
    backoffs = cast("Any", kopf_settings(settings).networking.error_backoffs)
    assert list(backoffs) != list(backoffs)
    assert len(list(backoffs)) == 8


async def delay(settings: Settings, handler: str, reason: str = "", **spec: Any) -> float:
    handlers = Handlers(cast("Reconciler", NeverDone()), ResourceCache(), settings)
    with pytest.raises(kopf.TemporaryError) as raised:
        await getattr(handlers, handler)(body=kopf.Body(cast("Any", body(**spec) | {"status": {}})), patch=kopf.Patch(), reason=reason)
    assert raised.value.delay is not None
    return raised.value.delay
