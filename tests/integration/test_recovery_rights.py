"""The recovery with a Redis user of few rights."""

from collections.abc import Iterator, Mapping
from urllib.parse import urlsplit, urlunsplit

import pytest

from flashsale_recovery.servers import look
from flashsale_redis import open_redis
from tests.conftest import REDIS_MASTERS
from tests.integration.stores import redis_client


@pytest.fixture
def narrow_url(infra: Mapping[str, str]) -> Iterator[str]:
    """Redis, as a user who may do everything but INFO."""
    with redis_client(infra["REDIS_URL"]) as redis:
        redis.acl_setuser("narrow", enabled=True, nopass=True, keys=["*"], commands=["+@all", "-info"])
        parts = urlsplit(infra["REDIS_URL"])
        yield urlunsplit(parts._replace(netloc=f"narrow:any@{parts.hostname}:{parts.port}"))
        redis.acl_deluser("narrow")


@pytest.mark.skipif(REDIS_MASTERS > 1, reason="each master of a cluster has users of its own")
async def test_look_notices_that_its_user_may_not_run_info(narrow_url: str, infra: Mapping[str, str]) -> None:
    async with open_redis(narrow_url, 5, 4) as narrow, open_redis(infra["REDIS_URL"], 5, 4) as redis:
        assert [view.may_run_info for view in (await look(narrow, range(2), 5)).servers] == [False]
        assert [view.may_run_info for view in (await look(redis, range(2), 5)).servers] == [True]
