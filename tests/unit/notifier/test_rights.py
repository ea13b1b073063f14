"""The role of the notifier may do what its statements do, for one that is refused keeps it waiting for ever."""

import re

import pytest

from flashsale_cli import webhooks
from tools.repository import ROOT

STATEMENTS = {
    "notifier": (ROOT / "services" / "notifier" / "src" / "flashsale_notifier" / "queries.sql").read_text(),
    "flashsale webhook": "\n".join(text for name, text in vars(webhooks).items() if name.startswith("_") and isinstance(text, str)),
}
_CHANGE = re.compile(r"\b(insert into|update|delete from) (shop_events|webhook_\w+)(?:(?: as)?(?: (?!set )\w+)? set (\w+) =)?")
_GRANT = re.compile(r"grant ([^;]+?) on ([\w, ]+) to flashsale_notifier;")


def granted() -> set[tuple[str, str]]:
    """(right, table); a right of a single column is `update (column)`."""
    text = (ROOT / "db" / "notifier.sql").read_text()
    return {(right, table) for rights, tables in _GRANT.findall(text) for right in rights.split(", ") for table in tables.split(", ")}


@pytest.mark.parametrize("place", STATEMENTS)
def test_role_has_the_rights_of_every_statement(place: str) -> None:
    changes = _CHANGE.findall(STATEMENTS[place])
    assert changes
    rights = granted()
    missing = {
        (change, table, column)
        for change, table, column in changes
        if not {(change.split()[0], table), (f"{change} ({column})", table)} & rights
    }
    assert missing == set()
