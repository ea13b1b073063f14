"""What a service key does for buyers is logged with its name, also when it is refused; what buyers do is not."""

import logging
from typing import Any

import pytest

from flashsale_core.ids import UserId
from flashsale_gateway.http.admin_audit import SERVICE_EVENT, audited_service
from flashsale_gateway.http.problems import Problem
from flashsale_gateway.identity.identities import ANYBODY, Caller
from flashsale_gateway.identity_settings import Mode

SERVICE = Caller(None, Mode.SERVICE, "backend")


def logged(caplog: pytest.LogCaptureFixture) -> list[dict[str, Any]]:
    records = [vars(record) for record in caplog.records if record.msg == SERVICE_EVENT]
    return [{name: record[name] for name in ("by", "action", "result", "user_id")} for record in records]


def test_action_of_a_service_is_logged_with_its_result(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    with audited_service(SERVICE, "session.open", user_id="ann") as change:
        change.result = "opened"
    assert logged(caplog) == [{"by": "backend", "action": "session.open", "result": "opened", "user_id": "ann"}]


@pytest.mark.parametrize(("error", "result"), [(Problem("not_found"), "not_found"), (RuntimeError(), "internal")])
def test_action_of_a_service_that_fails_is_logged(caplog: pytest.LogCaptureFixture, error: Exception, result: str) -> None:
    caplog.set_level(logging.INFO)
    with pytest.raises(type(error)), audited_service(SERVICE, "session.open", user_id="ann"):
        raise error
    assert [entry["result"] for entry in logged(caplog)] == [result]


@pytest.mark.parametrize("caller", [ANYBODY, Caller(UserId("ann"), Mode.TOKEN)])
def test_action_of_a_buyer_is_not_logged(caplog: pytest.LogCaptureFixture, caller: Caller) -> None:
    caplog.set_level(logging.INFO)
    with audited_service(caller, "order.cancel", user_id="ann"):
        pass
    assert logged(caplog) == []
