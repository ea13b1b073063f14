"""What a person is told when the engine does not answer."""

import asyncio

from flashsale_console import service_metrics
from flashsale_console.engine import Engine
from tests.unit.console.test_settings import settings


async def test_only_a_change_without_an_answer_may_have_been_made() -> None:
    # Nothing listens on port 1.
    engine = Engine(settings(FLASHSALE_LEDGER_API_URL="http://127.0.0.1:1"))
    try:
        looked, changed = await engine.show_refund("ann", 1), await engine.change_refund("ann", 1, {"state": "sent"})
    finally:
        await engine.close()
    assert [answer.words.startswith("The engine did not answer: Client") for answer in (looked, changed)] == [True, True]
    assert ["unknown whether the change was made" in answer.words for answer in (looked, changed)] == [False, True]


async def test_answer_that_arrives_in_pieces_is_read_whole() -> None:
    metrics = '# HELP flashsale_one Something else.\nflashsale_one 1.0\nflashsale_parked_messages{queue="orders.parked"} 3.0\n'
    closed = asyncio.Semaphore(0)
    bodies = {"/admin/refunds/1": '{"refundId": "1", "history": []}', "/metrics": metrics}

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        body = bodies[path].encode()
        # As a network delivers it: the head and the body in several segments.
        for piece in (b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\nconnection: close\r\n\r\n" % len(body), body[:20], body[20:40], body[40:]):
            writer.write(piece)
            await writer.drain()
            await asyncio.sleep(0.02)
        writer.close()
        await writer.wait_closed()
        closed.release()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        engine = Engine(settings(FLASHSALE_LEDGER_API_URL=url))
        try:
            shown, facts = await engine.show_refund("ann", 1), await service_metrics.ask(engine, [f"{url}/metrics"])
        finally:
            await engine.close()
        async with asyncio.timeout(10):
            for _ in bodies:
                await closed.acquire()
    assert (shown.status, shown.document) == (200, {"refundId": "1", "history": []})
    assert (facts.parked, facts.away) == ({"orders.parked": 3}, ())
