"""/admin/events: the feed of what shops receive, for reconciliation. It needs a notifier, which writes the events."""

from starlette.requests import Request
from starlette.responses import Response

from flashsale_core.errors import SettingsError
from flashsale_core.shop_events import event_types
from flashsale_ledger_api import requests
from flashsale_ledger_api.answers import json
from flashsale_ledger_api.event_documents import FIRST, next_cursor, read_cursor, to_document
from flashsale_ledger_api.problems import Problem
from flashsale_ledger_api.queries import QUERIES

PARAMETERS = ("types", "after", "limit")


async def list_events(request: Request) -> Response:
    """Events in the order of their transactions. `next` is never null: the same question, asked later, continues there."""
    values = requests.query(request, PARAMETERS)
    types = _types(values)
    after, limit = read_cursor(values["after"]) if "after" in values else FIRST, requests.limit(values)
    async with requests.ledger_of(request).transaction() as connection:
        if after != FIRST and not await connection.fetchval(QUERIES["is_known_cursor"], str(after.transaction), after.seq, after.event_id):
            words = "The database was restored, or the event of this cursor is too old and deleted"
            raise Problem("unknown_cursor", f"{words}; begin without `after`, and drop the ids that you have")
        # Before the listing: an event that commits between the two would be passed by.
        newest = await connection.fetchrow(QUERIES["newest_event"])
        rows = [dict(row) for row in await connection.fetch(QUERIES["list_events"], str(after.transaction), after.seq, types, limit)]
    following = next_cursor(after, rows, dict(newest) if newest else None, limit)
    return json({"events": [to_document(row) for row in rows], "next": str(following)})


def _types(values: dict[str, str]) -> list[str]:
    if "types" not in values:
        return []
    try:
        return [kind.value for kind in event_types(values["types"].split(","))]
    except SettingsError as error:
        raise Problem("bad_request", str(error), field="types") from None
