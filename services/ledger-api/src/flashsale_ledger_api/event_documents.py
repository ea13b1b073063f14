"""An event of the feed as its document, and the cursor by which pages follow each other. Pure."""

import re
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import msgspec

from flashsale_core.timestamps import rfc3339
from flashsale_ledger_api.problems import Problem

_CURSOR = re.compile(r"([0-9]{1,20})\.([0-9]{1,18})(?:\.([!-~]{1,100}))?")
_TRANSACTION_MAX = 2**64 - 1


class Cursor(NamedTuple):
    """The last event that a reader has: its transaction, its number and its id. Cursors of earlier releases have no id."""

    transaction: int
    seq: int
    event_id: str = ""

    def __str__(self) -> str:
        return f"{self.transaction}.{self.seq}.{self.event_id}".removesuffix(".")


FIRST = Cursor(0, 0)


def read_cursor(text: str) -> Cursor:
    """Raises Problem(bad_request) if it is no cursor of an earlier answer."""
    match = _CURSOR.fullmatch(text)
    if match is None or int(match[1]) > _TRANSACTION_MAX:
        raise Problem("bad_request", "Must be the value of `next` in the previous page", field="after")
    return Cursor(int(match[1]), int(match[2]), match[3] or "")


def cursor_of(row: Mapping[str, Any]) -> Cursor:
    return Cursor(int(row["txid"]), row["seq"], row["event_id"])


def next_cursor(after: Cursor, rows: Sequence[Mapping[str, Any]], newest: Mapping[str, Any] | None, limit: int) -> Cursor:
    """Where the page after `rows` begins. `newest` is the end of the feed before they were listed; None if the feed was empty.

    A page that is not full ends there, whatever types were asked for: the last event of a rare type is deleted while its reader still asks.
    """
    last = cursor_of(rows[-1]) if rows else after
    return max(last, cursor_of(newest)) if newest is not None and len(rows) < limit else last


def to_document(row: Mapping[str, Any]) -> dict[str, Any]:
    """The id by which webhooks repeat it, when it was written, and the webhook's body as it was sent: type, timestamp and data."""
    return {"id": row["event_id"], "writtenAt": rfc3339(row["created_at"]), **msgspec.json.decode(row["body"])}
