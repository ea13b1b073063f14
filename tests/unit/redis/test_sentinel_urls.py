"""A REDIS_URL of Sentinels: its parts, or an error that names the cure and shows no password."""

import pytest

from flashsale_core.errors import SettingsError
from flashsale_redis import checked_url
from flashsale_redis.sentinel_urls import SentinelUrl, sentinel_url


@pytest.mark.parametrize(
    ("url", "expected"),
    [
        (
            "redis+sentinel://s-0/sales",
            SentinelUrl("redis", "sales", (("s-0", 26379),), "redis://sales:26379/0", "", ""),
        ),
        (
            "redis+sentinel://u:p%40x@a:1,b:2,[::1]/m_y.1?sentinel_password=q%2F1&protocol=2&db=3",
            SentinelUrl(
                "redis",
                "m_y.1",
                (("a", 1), ("b", 2), ("::1", 26379)),
                "redis://u:p%40x@m_y.1:26379/0?protocol=2&db=3",
                ":q%2F1@",
                "protocol=2",
            ),
        ),
        (
            "rediss+sentinel://:p@a:1/m?sentinel_username=ann&sentinel_password=q&ssl_ca_certs=%2Fca.pem",
            SentinelUrl("rediss", "m", (("a", 1),), "rediss://:p@m:26379/0?ssl_ca_certs=%2Fca.pem", "ann:q@", "ssl_ca_certs=%2Fca.pem"),
        ),
    ],
)
def test_url_names_sentinels_and_their_master(url: str, expected: SentinelUrl) -> None:
    assert (sentinel_url(url), checked_url(url)) == (expected, url)


def test_sentinel_gets_its_own_login_and_no_database() -> None:
    url = sentinel_url("redis+sentinel://u:p@a:1,b/m?sentinel_username=ann&sentinel_password=q%2F&db=3")
    assert url is not None
    assert url.sentinel_url(url.sentinels[1]) == "redis://ann:q%2F@b:26379/0"


def test_description_of_a_url_shows_no_password() -> None:
    assert "secret" not in repr(sentinel_url("redis+sentinel://u:secret1@a/m?sentinel_password=secret2"))


@pytest.mark.parametrize("url", ["redis://h", "rediss://h", "unix:///s", "redis+cluster://h"])
def test_other_url_names_no_sentinels(url: str) -> None:
    assert sentinel_url(url) is None


@pytest.mark.parametrize(
    "url",
    [
        "redis+sentinel://",
        "redis+sentinel://u:secret@h",
        "redis+sentinel://u:secret@h/",
        "redis+sentinel://u:secret@h/a/0",
        "redis+sentinel://u:secret@h/a%20b",
        "redis+sentinel://u:secret@/m",
        "redis+sentinel://u:secret@a,,b/m",
        "redis+sentinel://u:secret@a:0/m",
        "redis+sentinel://u:secret@a:65536/m",
        "redis+sentinel://u:secret@a/m?sentinel_user=x",
        "redis+sentinel://u:secret@a/m?sentinel_username=x",
        "redis+sentinel://u:secret@a/m?sentinel_password=",
        "redis+sentinel://:sec/ret@a/m",
        "'redis+sentinel://u:secret@a/m'",
        "redis+sentinel://u:secret@a/m\n",
        "redis-sentinel://u:secret@a/m",
    ],
)
def test_wrong_url_is_refused_without_its_password(url: str) -> None:
    with pytest.raises(SettingsError, match="REDIS_URL") as refused:
        checked_url(url)
    assert "secret" not in str(refused.value)
