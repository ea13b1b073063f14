"""Asking Redis to expire: chunks, what the answers mean, and which errors are the sale's own."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from redis.exceptions import OutOfMemoryError, ResponseError

from flashsale_core.errors import FlashsaleError, Rejected, Retryable
from flashsale_core.scripts import pack, read_scripts
from flashsale_timeout_worker.expiry import Expired, Expiry, by_sale

SCRIPTS = read_scripts(Path(__file__).parents[3] / "lua")


class Server:
    """Answers each call of `expire` with the results that follow, or the error."""

    def __init__(self, answers: Sequence[Any]) -> None:
        self._answers = list(answers)
        self.sizes: list[int] = []

    async def execute_command(self, *args: Any, **_: Any) -> bytes:
        self.sizes.append(args[-2].count(b"\xa2"))
        answer = self._answers.pop(0)
        if isinstance(answer, Exception):
            raise answer
        return pack(answer)


def expiry(server: Any) -> Expiry:
    return Expiry(server, SCRIPTS, 16, timeout_seconds=1, retry_seconds=0.5)


def test_only_what_expired_is_returned() -> None:
    server = Server([[1500, [["expired", 2, 1000], ["not_due", 1, 9000], ["ignored", 0, 0]]]])
    assert asyncio.run(expiry(server).expire("shoe", ["o1", "o2", "o3"], "queue")) == [Expired("o1", 2, 500)]


def test_more_orders_than_one_call_takes_are_cut() -> None:
    ids = [f"{number:02x}"[-2:] for number in range(600)]
    server = Server([[0, [["ignored", 0, 0]] * 512], [0, [["ignored", 0, 0]] * 88]])
    assert (asyncio.run(expiry(server).expire("shoe", ids, "queue")), server.sizes) == ([], [512, 88])


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ResponseError("INVARIANT total 3 is not available 1 + reserved 1 + sold 0"), Rejected),
        (ResponseError("WRONGTYPE Operation against a key holding the wrong kind of value script: f00"), Rejected),
        (ResponseError("user_script:12: attempt to index a nil value script: f00"), Rejected),
        (ResponseError("MISCONF Redis is configured to save RDB snapshots script: f00, on @user_script:9."), Retryable),
        (OutOfMemoryError("command not allowed when used memory > 'maxmemory'. script: f00, on @user_script:9."), Retryable),
        (ConnectionResetError("gone"), Retryable),
        (TimeoutError(), Retryable),
    ],
)
def test_an_error_of_the_sale_is_told_from_one_of_the_server(error: Exception, expected: type[FlashsaleError]) -> None:
    with pytest.raises(expected):
        asyncio.run(expiry(Server([error])).expire("shoe", ["o1"], "queue"))


def test_members_are_grouped_by_sale() -> None:
    assert by_sale(["shoe|o1", "hat|o2", "shoe|o3"]) == {"shoe": ["o1", "o3"], "hat": ["o2"]}
