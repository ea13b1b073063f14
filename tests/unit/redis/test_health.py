"""What is wrong with a server, by its own INFO."""

from flashsale_redis.health import node_fault


def test_node_of_a_cluster_is_no_single_server() -> None:
    assert "redis+cluster://" in (node_fault({"": {"cluster_enabled": 1}}) or "")
    assert node_fault({"": {"cluster_enabled": 0}}) is None
    assert node_fault({"10.0.0.7:6379": {"cluster_enabled": 1}}) is None
