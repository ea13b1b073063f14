"""Bounds over all connections."""

from flashsale_gateway.edge import PIPELINED_MAX, PIPELINED_PER_CONNECTION_MAX, STALLED_MAX, Edge


def test_pipelines_are_bounded_for_a_connection_and_over_all() -> None:
    edge = Edge()
    assert [edge.has_room(waiting) for waiting in (0, PIPELINED_PER_CONNECTION_MAX - 1, PIPELINED_PER_CONNECTION_MAX)] == [
        True,
        True,
        False,
    ]
    edge.pipelined = PIPELINED_MAX
    assert not edge.has_room(0)


def test_connection_that_has_stalled_the_longest_makes_room_for_another() -> None:
    edge, ended = Edge(), list[int]()
    for number in range(STALLED_MAX):
        edge.stall(number, lambda number=number: ended.append(number))  # type: ignore[misc]
    edge.unstall(0)
    edge.stall("a", lambda: None)
    assert ended == []
    edge.stall("b", lambda: None)
    assert ended == [1]
