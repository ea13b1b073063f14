import pytest

from flashsale_core.redis_info import durability_fault, version_fault

SOUND = {"aof_enabled": 1, "aof_last_write_status": "ok", "maxmemory_policy": "noeviction"}


def test_durable_store_has_no_fault() -> None:
    assert durability_fault(SOUND | {"appendfsync": "always"}) is None


def test_server_that_hides_appendfsync_has_no_fault() -> None:
    assert durability_fault(SOUND) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"aof_enabled": 0}, "appendonly yes"),
        ({"aof_last_write_status": "err"}, "disk"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction"),
        ({"appendfsync": "everysec"}, "appendfsync always"),
        ({"appendfsync": "no"}, "appendfsync always"),
        ({"appendfsync": "always", "no-appendfsync-on-rewrite": "yes"}, "no-appendfsync-on-rewrite no"),
    ],
)
def test_fault_names_the_cure(change: dict[str, object], words: str) -> None:
    assert words in (durability_fault(SOUND | change) or "")


@pytest.mark.parametrize(("version", "fine"), [("7.0.15", True), ("7.2.4", True), ("8.0", True), ("6.2.14", False), ("", True)])
def test_server_that_is_too_old_is_named(version: str, fine: bool) -> None:
    assert (version_fault({"redis_version": version}) is None) == fine
