"""What the bench of the pages reads from event streams, and when it calls its own measurement worthless."""

from tools.bench.live_streams import LiveStream
from tools.bench.pages import stream_problems


def stream(events: int, available: int) -> LiveStream:
    reader = LiveStream("/s/shoe/events")
    for number in range(events):
        left = available if number == events - 1 else available + 1
        reader.data_received(b'data: {"productId":"shoe","available":%d}\n\n' % left)
    return reader


def test_events_in_pieces_are_counted_once_and_times_are_no_events() -> None:
    reader = LiveStream("/s/shoe/events")
    for piece in (b"HTTP/1.1 200 OK\r\n\r\ndata: {", b'"productId":"shoe"}\n', b'\nevent: time\ndata: {"serverTime":"now"}\n\n'):
        reader.data_received(piece)
    assert (reader.events, reader.last) == (1, b'{"productId":"shoe"}')


def test_streams_that_follow_the_sale_are_right() -> None:
    assert stream_problems([stream(4, 7), stream(3, 7)], 7, 4.0) == []


def test_stream_that_ended_lies_or_is_silent_is_a_problem() -> None:
    ended = stream(4, 7)
    ended.connection_lost(None)
    assert stream_problems([ended, stream(4, 8), stream(1, 7), LiveStream("/")], 7, 4.0) == [
        "1 of 4 streams ended",
        "2 of 4 streams do not show the 7 units that are left",
        "2 of 4 streams had too few events",
    ]
