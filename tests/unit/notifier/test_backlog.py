"""Endpoints that people have disabled are no alert; those that failed are."""

from typing import Any

import pytest

from flashsale_core.shop_events import DISABLED_BY_COMMAND, REMOVED_FROM_SETTINGS
from flashsale_notifier.database import Database
from flashsale_notifier.repository import Repository
from flashsale_notifier.rows import Backlog
from tools.repository import ROOT


class OneEndpoint(Database):
    def __init__(self, state: str, reason: str) -> None:
        self._row = {"endpoint": "shop", "state": state, "reason": reason, "due": 3, "oldest_seconds": 60.0}

    async def run(self, name: str, *arguments: Any) -> list[Any]:
        return [self._row]


@pytest.mark.parametrize(
    ("state", "reason", "reported"),
    [
        ("enabled", "", [Backlog("shop", True, 3, 60.0)]),
        ("disabled", "it answered 410 Gone", [Backlog("shop", False, 3, 60.0)]),
        ("disabled", DISABLED_BY_COMMAND, []),
        ("disabled", REMOVED_FROM_SETTINGS, []),
    ],
)
async def test_endpoint_that_people_disabled_is_not_reported(state: str, reason: str, reported: list[Backlog]) -> None:
    assert await Repository(OneEndpoint(state, reason)).backlog() == reported


def test_statements_give_the_reason_that_is_looked_for() -> None:
    statements = (ROOT / "services" / "notifier" / "src" / "flashsale_notifier" / "queries.sql").read_text()
    assert f"reason = '{REMOVED_FROM_SETTINGS}'" in statements
