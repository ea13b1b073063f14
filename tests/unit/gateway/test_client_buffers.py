"""Limits over all connections."""

from flashsale_gateway.http.client_buffers import PIPELINED_MAX, PIPELINED_PER_CONNECTION_MAX, STALLED_BYTES_MAX, ClientBuffers


def test_pipelines_are_limited_per_connection_and_in_total() -> None:
    buffers = ClientBuffers()
    assert [buffers.may_pipeline(waiting) for waiting in (0, PIPELINED_PER_CONNECTION_MAX - 1, PIPELINED_PER_CONNECTION_MAX)] == [
        True,
        True,
        False,
    ]
    buffers.pipelined = PIPELINED_MAX
    assert not buffers.may_pipeline(0)


def test_longest_stalled_connections_are_ended_first() -> None:
    buffers, ended = ClientBuffers(), list[str]()
    for name in ("a", "b", "c", "d"):
        buffers.stall(name, STALLED_BYTES_MAX // 4, lambda name=name: ended.append(name))  # type: ignore[misc]
    buffers.unstall("a")
    buffers.unstall("a")
    buffers.stall("e", STALLED_BYTES_MAX // 4, lambda: None)
    assert ended == []
    buffers.stall("f", STALLED_BYTES_MAX // 4 + 1, lambda: None)
    assert ended == ["b", "c"]
