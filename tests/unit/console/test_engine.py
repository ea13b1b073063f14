"""What a person is told when the engine does not answer."""

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
