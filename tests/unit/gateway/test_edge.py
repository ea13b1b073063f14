"""Bounds over all connections."""

from flashsale_gateway.http.client_buffers import PIPELINED_MAX, PIPELINED_PER_CONNECTION_MAX, STALLED_BYTES_MAX, Edge


def test_pipelines_are_bounded_for_a_connection_and_over_all() -> None:
    edge = Edge()
    assert [edge.has_room(waiting) for waiting in (0, PIPELINED_PER_CONNECTION_MAX - 1, PIPELINED_PER_CONNECTION_MAX)] == [
        True,
        True,
        False,
    ]
    edge.pipelined = PIPELINED_MAX
    assert not edge.has_room(0)


def test_connections_that_have_stalled_the_longest_make_room_for_another() -> None:
    edge, ended = Edge(), list[str]()
    for name in ("a", "b", "c", "d"):
        edge.stall(name, STALLED_BYTES_MAX // 4, lambda name=name: ended.append(name))  # type: ignore[misc]
    edge.unstall("a")
    edge.unstall("a")
    edge.stall("e", STALLED_BYTES_MAX // 4, lambda: None)
    assert ended == []
    edge.stall("f", STALLED_BYTES_MAX // 4 + 1, lambda: None)
    assert ended == ["b", "c"]
