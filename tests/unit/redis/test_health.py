"""What is wrong with a server, by its own INFO."""

from typing import Any

import pytest

from flashsale_redis.health import no_master_writes, node_fault


def test_node_of_a_cluster_is_no_single_server() -> None:
    assert "redis+cluster://" in (node_fault({"": {"cluster_enabled": 1}}) or "")
    assert node_fault({"": {"cluster_enabled": 0}}) is None
    assert node_fault({"10.0.0.7:6379": {"cluster_enabled": 1}}) is None


@pytest.mark.parametrize(
    ("masters", "fault"),
    [
        ([{}], None),
        ([{"min_slaves_good_slaves": 0}], "0 of 1"),
        ([{"min_slaves_good_slaves": 1}], None),
        ([{"min_slaves_good_slaves": 1, "min-replicas-to-write": "2"}], "1 of 2"),
        ([{"min_slaves_good_slaves": 2, "min-replicas-to-write": "2"}], None),
        ([{"min_slaves_good_slaves": 0}, {"min_slaves_good_slaves": 1}], None),
        ([{"min_slaves_good_slaves": 0}, {"min_slaves_good_slaves": 0}], "h0:1: Redis takes no writes: 0 of 1"),
    ],
)
def test_masters_without_their_replicas_take_no_writes(masters: list[dict[str, Any]], fault: str | None) -> None:
    shown = no_master_writes({f"h{number}:1" if len(masters) > 1 else "": info for number, info in enumerate(masters)})
    assert shown is None if fault is None else fault in (shown or "")
