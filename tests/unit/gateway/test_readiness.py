import pytest

from flashsale_gateway.readiness import durability_fault

SOUND = {"aof_enabled": 1, "aof_last_write_status": "ok", "maxmemory_policy": "noeviction"}


def test_durable_store_has_no_fault() -> None:
    assert durability_fault(SOUND) is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"aof_enabled": 0}, "appendonly yes"),
        ({"aof_last_write_status": "err"}, "disk"),
        ({"maxmemory_policy": "allkeys-lru"}, "noeviction"),
    ],
)
def test_fault_names_the_cure(change: dict[str, object], words: str) -> None:
    assert words in (durability_fault(SOUND | change) or "")
